/*
 * jail_remove.c - a jail goes whole: first every mount below it, deepest first, then its files.
 *
 * What is in a jail was made by a VMM, so names in it may be links, and trees may be deep without
 * end. Every step is taken from a held directory, by one name, following nothing; a deep tree is
 * flattened while it is removed, so depth costs neither descriptors nor stack.
 */
#include <dirent.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "helper/jail.h"
#include "sys/beneath.h"

enum { MOUNTINFO_MAX = 16 * 1048576, MOUNTS_MAX = 4096 };

/* Field 5 of a mountinfo line, its octal escapes undone; false when there is none. */
static bool mount_point(const char *line, char *out, size_t size)
{
	size_t n = 0;

	for (int field = 1; field < 5; field++) {
		line = strchr(line, ' ');
		if (!line)
			return false;
		line++;
	}
	while (*line && *line != ' ' && *line != '\n') {
		char c = *line++;

		if (c == '\\' && line[0] >= '0' && line[0] <= '3' && line[1] && line[2]) {
			c = (char)((line[0] - '0') << 6 | (line[1] - '0') << 3 | (line[2] - '0'));
			line += 3;
		}
		if (n + 1 >= size)
			return false;
		out[n++] = c;
	}
	out[n] = '\0';
	return true;
}

struct mounts {
	char *at[MOUNTS_MAX]; /* relative to the jail; "" is the jail itself */
	unsigned n;
	struct arena mem;
};

static enum err find_mounts(const char *jail, struct mounts *m, struct why *why)
{
	own_buf text = { .max = MOUNTINFO_MAX };
	own_fd self = openat(AT_FDCWD, "/proc/thread-self", O_PATH | O_DIRECTORY | O_CLOEXEC);
	size_t n = strlen(jail);
	char point[4096];
	enum err e;

	if (self < 0)
		return fail_errno(why, "cannot read the mounts");
	e = read_file(self, "mountinfo", MOUNTINFO_MAX, &text, why);
	if (e)
		return e;
	for (const char *line = buf_cstr(&text); *line; line += *line == '\n') {
		if (mount_point(line, point, sizeof(point)) && strncmp(point, jail, n) == 0 &&
			(point[n] == '/' || point[n] == '\0')) {
			if (m->n == MOUNTS_MAX)
				return fail(why, ERR_conflict, "more than %d mounts in a jail",
					MOUNTS_MAX);
			m->at[m->n] = arena_str(&m->mem, point[n] ? point + n + 1 : "");
			if (!m->at[m->n++])
				return fail(why, ERR_no_memory, "no memory for mounts");
		}
		line += strcspn(line, "\n");
	}
	return OK;
}

/* Into the directory that holds the mount point, then by its last name, which is not followed. */
static enum err detach(int above, const char *id, const char *at, struct why *why)
{
	const char *slash = strrchr(at, '/'), *leaf = slash ? slash + 1 : *at ? at : id;
	own_fd dir = -1;
	char up[4096];

	if (!*at)
		dir = dup(above);
	else if (snprintf(up, sizeof(up), "%s%s%.*s", id, slash ? "/" : "",
			 slash ? (int)(slash - at) : 0, at) < (int)sizeof(up))
		dir = open_beneath(above, up, O_RDONLY | O_DIRECTORY, 0);
	if (dir < 0 || fchdir(dir) < 0)
		return fail_errno(why, "cannot get to mount %s of a jail", at);
	if (umount2(leaf, MNT_DETACH | UMOUNT_NOFOLLOW) < 0 && errno != EINVAL && errno != ENOENT)
		return fail_errno(why, "cannot detach mount %s of a jail", at);
	return OK;
}

static enum err detach_all(int above, const char *id, const char *jail, struct why *why)
{
	struct mounts m = { .n = 0, .mem = { .max = 32 * MiB } };
	enum err e = find_mounts(jail, &m, why);

	while (!e && m.n > 0) /* the latest mounts stand last, the deepest behind what holds them */
		e = detach(above, id, m.at[--m.n], why);
	arena_done(&m.mem);
	m = (struct mounts){ .n = 0, .mem = { .max = 32 * MiB } };
	if (!e)
		e = find_mounts(jail, &m, why);
	if (!e && m.n > 0)
		e = fail(why, ERR_conflict, "mount %s of the jail cannot be detached", m.at[0]);
	arena_done(&m.mem);
	return e;
}

/* ---- files ---- */

/*
 * Empties dir one level: files go, directories move up into `top` under new names (or go, when they
 * are empty). Answers how many moved, or -1 with errno.
 */
static int empty_level(int top, int dir, dev_t dev, unsigned *serial)
{
	own_dir d = NULL;
	int list = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), moved = 0;
	struct dirent *e;

	d = list < 0 ? NULL : fdopendir(list);
	if (!d) {
		if (list >= 0)
			close(list);
		return -1;
	}
	while ((e = readdir(d)) != NULL) {
		struct stat st;
		char name[32];

		if (str_eq(e->d_name, ".") || str_eq(e->d_name, ".."))
			continue;
		if (unlinkat(dir, e->d_name, 0) == 0 || errno == ENOENT)
			continue;
		if (errno != EISDIR && errno != EPERM)
			return -1;
		if (unlinkat(dir, e->d_name, AT_REMOVEDIR) == 0 || errno == ENOENT)
			continue;
		if (fstatat(dir, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			return -1;
		if (st.st_dev != dev) {
			errno = EXDEV;
			return -1;
		}
		snprintf(name, sizeof(name), ".gone-%u", (*serial)++);
		if (dir != top && renameat(dir, e->d_name, top, name) < 0)
			return -1;
		moved++;
	}
	return moved;
}

/* Each round takes one level off every directory in top, until nothing is left. */
static enum err empty_dir(int top, dev_t dev, struct why *why)
{
	unsigned serial = 0;

	for (;;) {
		own_dir d = NULL;
		int list, left = empty_level(top, top, dev, &serial);
		struct dirent *e;

		if (left == 0)
			return OK;
		list = openat(top, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		d = list < 0 ? NULL : fdopendir(list);
		if (left < 0 || !d)
			return fail_errno(why, "cannot empty a jail");
		while ((e = readdir(d)) != NULL) {
			own_fd sub = -1;

			if (str_eq(e->d_name, ".") || str_eq(e->d_name, ".."))
				continue;
			sub = open_beneath(top, e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
			if (sub < 0 && errno == ENOENT)
				continue;
			if (sub < 0 || empty_level(top, sub, dev, &serial) < 0)
				return fail_errno(why, "cannot empty a jail");
		}
	}
}

enum err jail_remove(struct helper *h, const char *name, struct why *why)
{
	const char *id = strchr(name, '/') + 1;
	char driver[JAIL_NAME_MAX], path[1024 + JAIL_NAME_MAX];
	own_fd above = -1, jail = -1;
	struct stat st, up;
	enum err e;

	snprintf(driver, sizeof(driver), "%.*s", (int)(id - name - 1), name);
	snprintf(path, sizeof(path), "%s/%s", h->jail_path, name);
	above = open_beneath(h->jails, driver, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	if (above < 0)
		return errno == ENOENT ?
			       OK :
			       fail_field(why, ERR_denied, "chroot_path",
				       "%s is not a directory: %s", driver, strerror(errno));
	e = detach_all(above, id, path, why);
	if (e)
		return e;
	jail = open_beneath(above, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	if (jail < 0)
		return errno == ENOENT ?
			       OK :
			       fail_field(why, ERR_denied, "chroot_path",
				       "%s is not a directory: %s", name, strerror(errno));
	if (fstat(jail, &st) < 0 || fstat(above, &up) < 0)
		return fail_errno(why, "cannot look at a jail");
	if (st.st_dev != up.st_dev)
		return fail(why, ERR_conflict, "%s is a mount point", name);
	e = empty_dir(jail, st.st_dev, why);
	if (!e && unlinkat(above, id, AT_REMOVEDIR) < 0 && errno != ENOENT)
		e = fail_errno(why, "cannot remove jail %s", name);
	return e;
}
