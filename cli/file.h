/*
 * cli/file.h - small files of the user, read whole and replaced at once.
 */
#ifndef CLI_FILE_H
#define CLI_FILE_H

#include <sys/types.h>

#include "base/buf.h"
#include "base/err.h"

enum { FILE_BYTES_MAX = 4194304 };

/* A text file; one that is not there is empty, and *there false. */
enum err file_read(const char *path, struct buf *ret, bool *there, struct why *why) MUST_CHECK;

/*
 * Writes a new file beside it and renames it over, so that a reader sees the old or the new. The
 * mode of a file that is there is kept. A link is not followed: see file_real.
 */
enum err file_replace(
	const char *path, mode_t mode, const struct buf *content, struct why *why) MUST_CHECK;

/* Where the file really lies, when path is a link; else path itself. */
enum err file_real(const char *path, char *ret, size_t size, struct why *why) MUST_CHECK;

/* Opens a directory and waits until nobody else holds it; closing the descriptor lets it go. */
enum err file_lock_dir(const char *dir, int *ret, struct why *why) MUST_CHECK;

/* On disk, with the directory entry that leads to it. */
enum err file_sync(const char *path, struct why *why) MUST_CHECK;

#endif
