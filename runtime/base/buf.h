/*
 * base/buf.h - a growable run of bytes with a ceiling.
 *
 * Failure is sticky: after the ceiling or the heap said no, appends are no-ops and `failed` stays
 * set, so a writer checks once, at the end.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include "base/base.h"

struct buf {
	uint8_t *p;
	size_t n, cap;
	size_t max; /* bytes; 0 means 1 MiB */
	bool failed;
};

#define own_buf __attribute__((cleanup(buf_done))) struct buf

void buf_init(struct buf *b, size_t max);
void buf_done(struct buf *b); /* frees; the buf may be used again */
void buf_str(struct buf *b, const char *s);
void buf_fmt(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
uint8_t *buf_grow(struct buf *b, size_t n); /* buf_room's slow way */
/* Room for n more bytes to be written by the caller, who then adds to b->n; NULL when refused. */
static inline uint8_t *buf_room(struct buf *b, size_t n)
{
	return n <= b->cap - b->n && !b->failed ? b->p + b->n : buf_grow(b, n);
}
static inline void buf_add(struct buf *b, const void *p, size_t n)
{
	uint8_t *to = n ? buf_room(b, n) : NULL;

	if (!to)
		return;
	memcpy(to, p, n);
	b->n += n;
}
void buf_drop(struct buf *b, size_t n); /* forgets the first n bytes */
const char *buf_cstr(struct buf *b); /* NUL-terminated view, "" when failed */

#endif
