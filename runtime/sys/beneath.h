/*
 * sys/beneath.h - files beneath a held directory descriptor, never through a link.
 *
 * Every open is openat2 with RESOLVE_BENEATH | NO_SYMLINKS | NO_MAGICLINKS: a path that walks out
 * or over a link fails, whoever changes the tree meanwhile. Paths are relative and clean.
 */
#ifndef SYS_BENEATH_H
#define SYS_BENEATH_H

#include <fcntl.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/err.h"
#include "sys/closer.h"

/* A descriptor, or -1 with errno. O_CLOEXEC is always set. */
int open_beneath(int dir, const char *path, int flags, mode_t mode);

/*
 * Opens a directory by absolute path and checks that it is the caller's own and closed to others.
 */
enum err open_own_dir(const char *path, int *ret, struct why *why) MUST_CHECK;

/* Makes the directory and its missing parents beneath dir, mode 0700. There already is fine. */
enum err make_dirs(int dir, const char *path, struct why *why) MUST_CHECK;

/* Removes whatever path names, a whole tree too, never crossing a mount. Absent is fine. */
enum err remove_tree(int dir, const char *path, struct why *why) MUST_CHECK;
/* The same; the names are gone when this returns, and what is large is freed by the closer. */
enum err remove_tree_soon(
	int dir, const char *path, struct closer *closer, struct why *why) MUST_CHECK;

/* Whole file into ret (at most max bytes). ERR_not_found when absent. */
enum err read_file(
	int dir, const char *path, size_t max, struct buf *ret, struct why *why) MUST_CHECK;

/* Replaces the file's content at once (temporary file, fsync, rename). */
enum err write_file(
	int dir, const char *path, mode_t mode, struct bytes content, struct why *why) MUST_CHECK;

/* Calls fn with each name in the directory, in no order, without "." and "..". Absent: no calls. */
enum err list_dir(int dir, const char *path, void (*fn)(void *ctx, const char *name), void *ctx,
	struct why *why) MUST_CHECK;

/* All of n bytes, or an errno in errno and false. */
bool write_all(int fd, const void *p, size_t n);

#endif
