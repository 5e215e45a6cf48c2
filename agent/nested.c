/*
 * nested.c - moves a nested home's entries up (row C7). What the disk holds is its user's: no link
 * is followed, and a name that is taken stays as it is.
 */
#include "agent/nested.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/home.h"
#include "tree/at.h"

/* Calls fn for each name of a directory until it answers false; false then, or when unreadable. */
static bool each(int dir, bool (*fn)(void *ctx, const char *name), void *ctx)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	own_dir d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	if (!d && fd >= 0)
		close(fd);
	while (d && (e = readdir(d)) != NULL)
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 &&
			!fn(ctx, e->d_name))
			return false;
	return d != NULL;
}

static bool beside(void *path, const char *name)
{
	return nested_beside(name, path);
}

static bool no_mark(void *ctx UNUSED, const char *name)
{
	return !nested_mark(name);
}

struct move {
	int from, to;
};

/* Of two .ssh the home's own is the one that counts; the other holds what an agent put there. */
static bool move_up(void *ctx, const char *name)
{
	const struct move *m = ctx;

	if (renameat2(m->from, name, m->to, name, RENAME_NOREPLACE) < 0 && errno == EEXIST &&
		strcmp(name, ".ssh") == 0 &&
		renameat2(m->from, name, m->to, name, RENAME_EXCHANGE) == 0) {
		own_fd old = openat(m->from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

		(void)unlinkat(old, "authorized_keys", 0);
		(void)unlinkat(m->from, name, AT_REMOVEDIR);
	}
	return true;
}

/* The directories above it are empty then, unless a name was taken. */
static void remove_path(int top, const char *path)
{
	char at[AT_PATH_BYTES];
	char *slash;

	if ((size_t)snprintf(at, sizeof(at), "%s", path) >= sizeof(at))
		return;
	while (unlinkat(top, at, AT_REMOVEDIR) == 0) {
		slash = strrchr(at, '/');
		if (!slash)
			return;
		*slash = '\0';
	}
}

bool nested_flatten(int top, const char *home, uid_t uid)
{
	const char *path = nested_path(home);
	own_fd deep = -1;
	struct stat st, own;

	if (!*path)
		return false;
	deep = at_open(top, path, O_RDONLY | O_DIRECTORY, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
	if (deep < 0 || fstat(deep, &st) < 0 || fstat(top, &own) < 0 || st.st_dev != own.st_dev ||
		st.st_uid != uid || !each(top, beside, (void *)(uintptr_t)path) ||
		each(deep, no_mark, NULL))
		return false;
	(void)each(deep, move_up, &(struct move){ deep, top });
	remove_path(top, path);
	return true;
}
