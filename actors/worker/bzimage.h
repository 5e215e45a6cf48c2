/*
 * worker/bzimage.h - the header of an x86 bzImage: where its compressed kernel lies. Pure.
 */
#ifndef WORKER_BZIMAGE_H
#define WORKER_BZIMAGE_H

#include "base/err.h"

enum { BZIMAGE_HEAD = 0x268 }; /* bytes that the header needs */

struct bzimage {
	struct bytes payload; /* compressed ELF, without the size that is appended to it */
	char release[129]; /* "" when it does not say */
};

bool bzimage_is(struct bytes file); /* the first BZIMAGE_HEAD bytes are enough */
enum err bzimage_read(struct bytes file, struct bzimage *ret, struct why *why) MUST_CHECK;

#endif
