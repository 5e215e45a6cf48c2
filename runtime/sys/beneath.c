/*
 * beneath.c - opening, making, reading and removing beneath a directory descriptor.
 */
#include "sys/beneath.h"

#include <dirent.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { DEPTH_MAX = 64, FREED_SOON = 65536 /* host bytes; less is freed at once */ };

int open_beneath(int dir, const char *path, int flags, mode_t mode)
{
	struct open_how how = {
		.flags = (uint64_t)(flags | O_CLOEXEC),
		.mode = flags & (O_CREAT | O_TMPFILE) ? mode : 0,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};
	int fd;

	do
		fd = (int)syscall(SYS_openat2, dir, path, &how, sizeof(how));
	while (fd < 0 && errno == EAGAIN); /* a rename raced with the walk */
	return fd;
}

enum err open_own_dir(const char *path, int *ret, struct why *why)
{
	own_fd fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return fail_errno(why, "cannot open directory %s", path);
	if (st.st_uid != geteuid())
		return fail(why, ERR_denied, "directory %s belongs to uid %u, not to uid %u", path,
			(unsigned)st.st_uid, (unsigned)geteuid());
	if (st.st_mode & 022)
		return fail(why, ERR_denied, "directory %s may be written by others (mode %04o)",
			path, (unsigned)st.st_mode & 07777);
	*ret = take_fd(&fd);
	return OK;
}

enum err make_dirs(int dir, const char *path, struct why *why)
{
	own_fd at = dup(dir);
	char name[256];

	if (at < 0)
		return fail_errno(why, "cannot make directory %s", path);
	while (*path) {
		size_t n = strcspn(path, "/");
		int next;

		if (n == 0 || n >= sizeof(name))
			return fail(why, ERR_invalid_value, "not a clean path: %s", path);
		memcpy(name, path, n);
		name[n] = '\0';
		if (mkdirat(at, name, 0700) < 0 && errno != EEXIST)
			return fail_errno(why, "cannot make directory %s", name);
		next = open_beneath(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
		if (next < 0)
			return fail_errno(why, "cannot enter directory %s", name);
		close(at);
		at = next;
		path += n + (path[n] == '/');
	}
	return OK;
}

/* unlinkat(), but what would take long to free is freed by the closer. */
static int unlink_soon(int dir, const char *name, struct closer *closer)
{
	struct stat st;
	int fd = -1, r, saved;

	if (closer && fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
		st.st_blocks >= FREED_SOON / 512)
		fd = open_beneath(dir, name, O_PATH | O_NOFOLLOW, 0);
	r = unlinkat(dir, name, 0);
	saved = errno;
	if (fd >= 0)
		closer_take(closer, fd);
	errno = saved;
	return r;
}

/* Empties the directory `fd` (taken over), which must lie on device dev. */
static enum err empty_dir(int fd, dev_t dev, int depth, struct closer *closer, struct why *why)
{
	own_dir d = fdopendir(fd);
	struct dirent *e;

	if (!d) {
		close(fd);
		return fail_errno(why, "cannot list a directory");
	}
	while ((e = readdir(d)) != NULL) {
		own_fd child = -1;
		struct stat st;

		if (str_eq(e->d_name, ".") || str_eq(e->d_name, ".."))
			continue;
		if (unlink_soon(fd, e->d_name, closer) == 0 || errno == ENOENT)
			continue;
		if (errno != EISDIR && errno != EPERM)
			return fail_errno(why, "cannot remove %s", e->d_name);
		child = open_beneath(fd, e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
		if (child < 0 || fstat(child, &st) < 0)
			return fail_errno(why, "cannot enter %s", e->d_name);
		if (st.st_dev != dev || depth >= DEPTH_MAX)
			return fail(
				why, ERR_conflict, "%s is a mount point or too deep", e->d_name);
		if (empty_dir(take_fd(&child), dev, depth + 1, closer, why))
			return why ? why->code : ERR_internal;
		if (unlinkat(fd, e->d_name, AT_REMOVEDIR) < 0 && errno != ENOENT)
			return fail_errno(why, "cannot remove directory %s", e->d_name);
	}
	return OK;
}

/*
 * Splits into the parent's descriptor and the last name. -1 with errno when the parent is absent.
 */
static int open_parent(int dir, const char *path, const char **name)
{
	const char *slash = strrchr(path, '/');
	char parent[4096];

	*name = slash ? slash + 1 : path;
	if (!slash)
		return dup(dir);
	if ((size_t)(slash - path) >= sizeof(parent)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(parent, path, (size_t)(slash - path));
	parent[slash - path] = '\0';
	return open_beneath(dir, parent, O_RDONLY | O_DIRECTORY, 0);
}

enum err remove_tree_soon(int dir, const char *path, struct closer *closer, struct why *why)
{
	const char *name;
	own_fd parent = open_parent(dir, path, &name), fd = -1;
	struct stat st;

	if (parent < 0)
		return errno == ENOENT ? OK : fail_errno(why, "cannot remove %s", path);
	if (unlink_soon(parent, name, closer) == 0 || errno == ENOENT)
		return OK;
	if (errno != EISDIR && errno != EPERM)
		return fail_errno(why, "cannot remove %s", path);
	fd = open_beneath(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	if (fd < 0 || fstat(fd, &st) < 0)
		return fail_errno(why, "cannot remove %s", path);
	if (empty_dir(take_fd(&fd), st.st_dev, 0, closer, why))
		return why ? why->code : ERR_internal;
	if (unlinkat(parent, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
		return fail_errno(why, "cannot remove %s", path);
	return OK;
}

enum err remove_tree(int dir, const char *path, struct why *why)
{
	return remove_tree_soon(dir, path, NULL, why);
}

enum err read_file(int dir, const char *path, size_t max, struct buf *ret, struct why *why)
{
	own_fd fd = open_beneath(dir, path, O_RDONLY | O_NONBLOCK, 0);
	ssize_t n;

	if (fd < 0)
		return fail_errno(why, "cannot open %s", path);
	ret->max = MIN(ret->max ? ret->max : SIZE_MAX, max + 1);
	do {
		uint8_t *to = buf_room(ret, MIN(max + 1 - ret->n, (size_t)4096));

		if (!to)
			return fail(why, ERR_no_memory, "no memory to read %s", path);
		n = read(fd, to, MIN(max + 1 - ret->n, (size_t)4096));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fail_errno(why, "cannot read %s", path);
		ret->n += (size_t)n;
		if (ret->n > max)
			return fail(why, ERR_too_large, "%s is over %zu bytes", path, max);
	} while (n != 0);
	return OK;
}

bool write_all(int fd, const void *p, size_t n)
{
	const uint8_t *at = p;

	while (n > 0) {
		ssize_t w = write(fd, at, n);

		if (w < 0 && errno == EINTR)
			continue;
		if (w < 0)
			return false;
		at += w;
		n -= (size_t)w;
	}
	return true;
}

enum err write_file(int dir, const char *path, mode_t mode, struct bytes content, struct why *why)
{
	const char *name;
	own_fd parent = open_parent(dir, path, &name), fd = -1;
	char temp[300];

	if (parent < 0)
		return fail_errno(why, "cannot write %s", path);
	if (snprintf(temp, sizeof(temp), "%s.new", name) >= (int)sizeof(temp))
		return fail(why, ERR_too_large, "path too long: %s", path);
	unlinkat(parent, temp, 0);
	fd = open_beneath(parent, temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode);
	if (fd < 0)
		return fail_errno(why, "cannot create %s.new", path);
	if (write_all(fd, content.p, content.n) && fsync(fd) == 0 &&
		renameat(parent, temp, parent, name) == 0)
		return fsync(parent) == 0 ? OK : fail_errno(why, "cannot flush the name %s", path);
	fail_errno(why, "cannot write %s", path);
	unlinkat(parent, temp, 0);
	return why ? why->code : ERR_internal;
}

enum err list_dir(
	int dir, const char *path, void (*fn)(void *, const char *), void *ctx, struct why *why)
{
	int fd = open_beneath(dir, path, O_RDONLY | O_DIRECTORY, 0);
	struct dirent *e;
	own_dir d = NULL;

	if (fd < 0)
		return errno == ENOENT ? OK : fail_errno(why, "cannot list %s", path);
	d = fdopendir(fd);
	if (!d) {
		close(fd);
		return fail_errno(why, "cannot list %s", path);
	}
	while ((e = readdir(d)) != NULL)
		if (!str_eq(e->d_name, ".") && !str_eq(e->d_name, ".."))
			fn(ctx, e->d_name);
	return OK;
}
