/*
 * worker/stretch.h - the stretches of a file that hold data; what lies between them was never
 * written.
 */
#ifndef WORKER_STRETCH_H
#define WORKER_STRETCH_H

#include <sys/types.h>

#include "base/err.h"

struct stretch {
	off_t at, end; /* {0, 0}: before the first; at == end: there are no more */
};

/* Goes to the next before size. */
enum err stretch_next(int fd, off_t size, struct stretch *s, struct why *why) MUST_CHECK;

#endif
