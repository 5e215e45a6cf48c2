/*
 * agent/image.h - files of the image's root, reached from outside it. Links of the image are
 * resolved inside it, whatever they say.
 */
#ifndef AGENT_IMAGE_H
#define AGENT_IMAGE_H

#include "base/buf.h"
#include "base/err.h"

/* A descriptor, or -1 and errno. */
int image_open(int root, const char *path, int flags);

/* Reads a whole file, at most max bytes. A file of another kind is not read. */
enum err image_read(int root, const char *path, size_t max, struct buf *out,
	struct why *why) MUST_CHECK;

/*
 * Replaces or makes a file, at once. When the path is a link, what it points to is replaced, unless
 * `over_link`: then the link itself.
 */
enum err image_write(int root, const char *path, const void *p, size_t n, mode_t mode,
	bool over_link, struct why *why) MUST_CHECK;

/* The directory, made with its parents when it is missing. A descriptor (O_PATH), or -1. */
int image_dir(int root, const char *path, uid_t uid, gid_t gid);

/* "/proc/self/fd/N": the way to name a descriptor to calls that want a path. */
struct fd_path {
	char s[32];
};
struct fd_path fd_path(int fd);

#endif
