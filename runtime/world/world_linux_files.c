/*
 * world_linux_files.c - files of the two places, beneath held directory descriptors.
 */
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "sys/beneath.h"
#include "sys/disk.h"
#include "world/world_linux.h"

enum err world_mkdir(struct world *w, enum area p, const char *path, struct why *why)
{
	return make_dirs(w->dirs[p], path, why);
}

enum err world_give(struct world *w, enum area p, const char *path, struct why *why)
{
	own_fd fd = -1;

	if (geteuid() != 0)
		return OK;
	fd = open_beneath(w->dirs[p], path, O_RDONLY | O_NOFOLLOW, 0);
	if (fd < 0 || fchown(fd, PLAIN_UID, PLAIN_UID) < 0)
		return fail_errno(why, "cannot give %s to uid %d", path, PLAIN_UID);
	return OK;
}

enum err world_remove(struct world *w, enum area p, const char *path, struct why *why)
{
	return remove_tree_soon(w->dirs[p], path, w->closer, why);
}

enum err world_rename(
	struct world *w, enum area p, const char *from, const char *to, struct why *why)
{
	const char *slash = strrchr(to, '/');
	char parent[PATH_MAX] = ".";
	own_fd fd = -1;

	if (renameat(w->dirs[p], from, w->dirs[p], to) < 0)
		return fail_errno(why, "cannot rename %s to %s", from, to);
	if (slash)
		snprintf(parent, sizeof(parent), "%.*s", (int)(slash - to), to);
	fd = open_beneath(w->dirs[p], parent, O_RDONLY | O_DIRECTORY, 0);
	if (fd < 0 || fsync(fd) < 0)
		return fail_errno(why, "cannot flush the directory of %s", to);
	return OK;
}

enum err world_read(struct world *w, enum area p, const char *path, size_t max, struct buf *ret,
	struct why *why)
{
	return read_file(w->dirs[p], path, max, ret, why);
}

enum err world_write(
	struct world *w, enum area p, const char *path, struct bytes content, struct why *why)
{
	return write_file(w->dirs[p], path, 0600, content, why);
}

enum err world_append(
	struct world *w, enum area p, const char *path, struct bytes content, struct why *why)
{
	own_fd fd =
		open_beneath(w->dirs[p], path, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW, 0600);

	if (fd < 0 || !write_all(fd, content.p, content.n))
		return fail_errno(why, "cannot add to %s", path);
	return OK;
}

enum err world_list(struct world *w, enum area p, const char *path,
	void (*fn)(void *ctx, const char *name), void *ctx, struct why *why)
{
	return list_dir(w->dirs[p], path, fn, ctx, why);
}

enum err world_size(struct world *w, enum area p, const char *path, uint64_t *size, uint64_t *used,
	struct why *why)
{
	own_fd fd = open_beneath(w->dirs[p], path, O_PATH | O_NOFOLLOW, 0);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return fail_errno(why, "cannot look at %s", path);
	*size = (uint64_t)st.st_size;
	*used = (uint64_t)st.st_blocks * 512;
	return OK;
}

enum err world_free_space(struct world *w, enum area p, uint64_t *ret, struct why *why)
{
	struct statvfs st;

	if (fstatvfs(w->dirs[p], &st) < 0)
		return fail_errno(why, "cannot ask for free space");
	*ret = (uint64_t)st.f_bavail * st.f_frsize;
	return OK;
}

enum err world_path(
	struct world *w, enum area p, const char *path, char *out, size_t size, struct why *why)
{
	if (snprintf(out, size, "%s/%s", w->paths[p], path) >= (int)size)
		return fail(why, ERR_too_large, "path too long: %s/%s", w->paths[p], path);
	return OK;
}

/* A new file for a disk layer; what a crash left under that name is replaced. */
static int create_layer(struct world *w, const char *path)
{
	unlinkat(w->dirs[STATE], path, 0);
	return open_beneath(w->dirs[STATE], path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
}

enum err world_overlay(
	struct world *w, const char *to, enum area area, const char *backing, uint64_t size,
	struct why *why)
{
	char path[PATH_MAX];
	own_fd fd = -1;
	enum err e = world_path(w, area, backing, path, sizeof(path), why);

	if (e)
		return e;
	fd = create_layer(w, to);
	if (fd < 0)
		return fail_errno(why, "cannot create %s", to);
	return qcow2_overlay(fd, path, size, why);
}

enum err world_reflink(
	struct world *w, const char *to, enum area area, const char *from, uint64_t size,
	struct why *why)
{
	own_fd src = open_beneath(w->dirs[area], from, O_RDONLY | O_NOFOLLOW, 0);
	own_fd dst = -1;
	enum err e;

	if (src < 0)
		return fail_errno(why, "cannot open %s", from);
	dst = create_layer(w, to);
	if (dst < 0)
		return fail_errno(why, "cannot create %s", to);
	e = disk_reflink(dst, src, why);
	if (!e && size > 0 && ftruncate(dst, (off_t)size) < 0)
		e = fail_errno(why, "cannot size %s", to);
	if (e)
		unlinkat(w->dirs[STATE], to, 0);
	return e;
}

enum err world_overlay_grow(struct world *w, const char *path, uint64_t size, struct why *why)
{
	own_fd fd = open_beneath(w->dirs[STATE], path, O_RDWR | O_NOFOLLOW, 0);

	return fd < 0 ? fail_errno(why, "cannot size %s", path) : qcow2_grow(fd, size, why);
}

enum err world_resize(struct world *w, const char *path, uint64_t size, struct why *why)
{
	own_fd fd = open_beneath(w->dirs[STATE], path, O_WRONLY | O_NOFOLLOW, 0);

	if (fd < 0 || ftruncate(fd, (off_t)size) < 0)
		return fail_errno(why, "cannot size %s", path);
	return OK;
}
