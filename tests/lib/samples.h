/*
 * lib/samples.h - good and bad text for each type that has a check; a new checked type needs a row
 * in samples.c, and the test of the tables says so.
 */
#ifndef LIB_SAMPLES_H
#define LIB_SAMPLES_H

#include "letter/shape.h"

enum { SAMPLES_MAX = 20 };

struct samples {
	const char *type;
	const char *good[SAMPLES_MAX]; /* NULL behind the last */
	const char *bad[SAMPLES_MAX];
};

const struct samples *samples_of(const struct type *t); /* NULL when there are none */

#endif
