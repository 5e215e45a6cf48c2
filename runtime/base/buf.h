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
void buf_add(struct buf *b, const void *p, size_t n);
void buf_str(struct buf *b, const char *s);
void buf_fmt(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Room for n more bytes to be written by the caller, who then adds to b->n; NULL when refused. */
uint8_t *buf_room(struct buf *b, size_t n);
void buf_drop(struct buf *b, size_t n); /* forgets the first n bytes */
const char *buf_cstr(struct buf *b); /* NUL-terminated view, "" when failed */

#endif
