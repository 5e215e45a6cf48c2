/*
 * worker/kmod_index.h - the binary indexes (modules.*.bin) that modprobe reads.
 */
#ifndef WORKER_KMOD_INDEX_H
#define WORKER_KMOD_INDEX_H

#include "base/buf.h"
#include "base/err.h"

struct kmod_pair {
	const char *key; /* 7-bit text; other keys are left out */
	const char *value;
	uint32_t priority; /* order among equal keys */
};

/* Sorts v and appends the index of it to out. */
enum err kmod_index(struct kmod_pair *v, size_t n, struct buf *out, struct why *why) MUST_CHECK;

#endif
