/*
 * worker/whiteout.h - the names by which a layer takes away what lies below it.
 */
#ifndef WORKER_WHITEOUT_H
#define WORKER_WHITEOUT_H

#include "base/base.h"

enum whiteout {
	WHITEOUT_NONE, /* an ordinary name */
	WHITEOUT_ONE, /* the name behind .wh. goes */
	WHITEOUT_ALL, /* all that older layers put into this directory goes */
	WHITEOUT_MARK /* bookkeeping of a storage driver: not part of the image */
};

/* name need not end in NUL; target points into it for WHITEOUT_ONE. */
enum whiteout whiteout_of(const char *name, size_t n, struct bytes *target);

#endif
