/*
 * buf.c - the growable byte run. Grows by half at least, never over its ceiling.
 */
#include "base/buf.h"

#include <stdarg.h>

void buf_init(struct buf *b, size_t max)
{
	*b = (struct buf){ .max = max };
}

void buf_done(struct buf *b)
{
	free(b->p);
	*b = (struct buf){ .max = b->max };
}

uint8_t *buf_grow(struct buf *b, size_t n)
{
	size_t max = b->max ? b->max : MiB;
	size_t want;
	uint8_t *p;

	if (b->failed)
		return NULL;
	if (n <= b->cap - b->n)
		return b->p + b->n;
	if (n > max || b->n > max - n) {
		b->failed = true;
		return NULL;
	}
	want = MAX(b->cap + b->cap / 2, MAX(b->n + n, (size_t)64));
	want = MIN(want, max);
	p = realloc(b->p, want);
	if (!p) {
		b->failed = true;
		return NULL;
	}
	b->p = p;
	b->cap = want;
	return b->p + b->n;
}

void buf_str(struct buf *b, const char *s)
{
	buf_add(b, s, strlen(s));
}

void buf_fmt(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	must(n >= 0);
	if (!buf_room(b, (size_t)n + 1))
		return;
	va_start(ap, fmt);
	vsnprintf((char *)b->p + b->n, (size_t)n + 1, fmt, ap);
	va_end(ap);
	b->n += (size_t)n;
}

void buf_drop(struct buf *b, size_t n)
{
	must(n <= b->n);
	if (n == 0)
		return;
	memmove(b->p, b->p + n, b->n - n);
	b->n -= n;
}

const char *buf_cstr(struct buf *b)
{
	if (b->failed || !buf_room(b, 1))
		return "";
	b->p[b->n] = '\0';
	return (const char *)b->p;
}
