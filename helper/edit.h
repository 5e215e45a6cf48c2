/*
 * helper/edit.h - files of an ext4 filesystem that is not mounted, on a bare descriptor.
 *
 * For a plain child only: the filesystem is whatever a guest or the owner made of it. No symbolic
 * link is followed, at no component; what a failure names is the request's key. The descriptor
 * belongs to these functions and is closed by them.
 */
#ifndef HELPER_EDIT_H
#define HELPER_EDIT_H

#include "base/buf.h"
#include "base/err.h"

enum { EDIT_DEPTH_MAX = 64, EDIT_NAME_MAX = 255 };

struct edit_file {
	const char *path; /* absolute, clean */
	struct bytes data;
	uint32_t mode, uid, gid;
};

/* What is wrong with a path of a guest's file, or NULL. Pure. */
const char *edit_check_path(const char *path);

/* A regular file's content; ERR_too_large when it has more than max bytes. */
enum err edit_read(
	int fd, const char *path, size_t max, struct buf *out, struct why *why) MUST_CHECK;

/*
 * Makes or replaces files, and makes missing parents (0755, root's). The filesystem is marked as
 * being written meanwhile, so that one that was left in the middle is checked before it is used.
 */
enum err edit_write(int fd, const struct edit_file *files, unsigned n, struct why *why) MUST_CHECK;

#endif
