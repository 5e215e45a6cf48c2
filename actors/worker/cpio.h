/*
 * worker/cpio.h - writing an initramfs: uncompressed newc, dates and owners all zero, so that the
 * same content makes the same bytes.
 */
#ifndef WORKER_CPIO_H
#define WORKER_CPIO_H

#include <archive.h>
#include <sys/types.h>

#include "base/err.h"

struct cpio {
	struct archive *a;
	int fd; /* the caller's */
	uint64_t inodes; /* dealt out */
	int error; /* of the last write */
};

enum err cpio_open(struct cpio *c, int fd, struct why *why) MUST_CHECK;
enum err cpio_dir(struct cpio *c, const char *path, struct why *why) MUST_CHECK;
enum err cpio_device(struct cpio *c, const char *path, mode_t mode, unsigned major, unsigned minor,
	struct why *why) MUST_CHECK;
enum err cpio_begin_file(struct cpio *c, const char *path, mode_t mode, uint64_t size,
	struct why *why) MUST_CHECK;
enum err cpio_data(struct cpio *c, const void *p, size_t n, struct why *why) MUST_CHECK;
enum err cpio_file(struct cpio *c, const char *path, mode_t mode, struct bytes content,
	struct why *why) MUST_CHECK;
enum err cpio_close(struct cpio *c, struct why *why) MUST_CHECK; /* trailer; flushes */
void cpio_done(struct cpio *c); /* closed or not */

#endif
