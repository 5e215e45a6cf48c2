/*
 * lib/gen.h - random valid objects of any shape, made from its descriptor; the same seed makes the
 * same object.
 */
#ifndef LIB_GEN_H
#define LIB_GEN_H

#include "letter/shape.h"

struct gen {
	uint64_t state; /* the seed */
	struct arena *a; /* where strings, lists and nested objects go */
};

uint64_t gen_u64(struct gen *g);
uint64_t gen_below(struct gen *g, uint64_t n); /* 0 to n-1; n > 0 */
/* Fills obj (s->size bytes). False when the arena is full. */
bool gen_object(struct gen *g, const struct shape *s, void *obj) MUST_CHECK;

/* An object of the shape, packed; false when memory ran out. */
bool gen_packed(struct gen *g, const struct shape *s, struct buf *out) MUST_CHECK;

#endif
