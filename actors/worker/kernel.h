/*
 * worker/kernel.h - what the two files of the kernel job share.
 */
#ifndef WORKER_KERNEL_H
#define WORKER_KERNEL_H

#include "worker/modset.h"

struct kernel {
	struct job *job;
	struct work_kernel ask;
	struct modset mods;
	int image; /* bzImage or ELF as it came; -1 before one was found */
	uint64_t image_n;
	uint64_t content, entries;
};

/* Takes kernel and modules out of a package or a tar. */
enum err kernel_collect_deb(struct kernel *k, struct source *s, struct why *why) MUST_CHECK;
enum err kernel_collect_tar(struct kernel *k, struct source *s, struct why *why) MUST_CHECK;
/* The source itself is the kernel. */
enum err kernel_take_image(struct kernel *k, struct source *s, struct why *why) MUST_CHECK;

#endif
