/*
 * base/arena.h - memory that follows a letter.
 *
 * What handling a letter needs is taken here and ends all at once. The first block is kept over
 * arena_reset(), so between letters the heap is flat.
 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include "base/base.h"

struct arena_block;

struct arena {
	struct arena_block *head; /* newest first; the last one is kept by reset */
	size_t used; /* bytes taken since reset, all blocks */
	size_t max; /* ceiling in bytes; 0 means 4 MiB */
	size_t block; /* what is asked of the heap at a time; 0 means 4 KiB */
};

void arena_init(struct arena *a, size_t max);
void arena_done(struct arena *a);
void arena_reset(struct arena *a);
/* Zeroed, aligned for any type; NULL when over the ceiling or out of memory. */
void *arena_take(struct arena *a, size_t n);
char *arena_strn(struct arena *a, const void *p, size_t n); /* copies, NUL-terminates */
char *arena_str(struct arena *a, const char *s);
char *arena_fmt(struct arena *a, const char *fmt, ...) PRINTF_LIKE(2, 3);

#endif
