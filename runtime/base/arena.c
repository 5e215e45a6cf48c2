/*
 * arena.c - bump allocation in blocks; see base/arena.h for the contract.
 */
#include "base/arena.h"

#include <stdarg.h>

enum { BLOCK_BYTES = 4096, ALIGN_BYTES = 16 };

struct arena_block {
	struct arena_block *next;
	size_t size, used;
	_Alignas(ALIGN_BYTES) uint8_t data[];
};

void arena_init(struct arena *a, size_t max)
{
	*a = (struct arena){ .max = max };
}

void arena_done(struct arena *a)
{
	struct arena_block *b = a->head;

	while (b) {
		struct arena_block *next = b->next;

		free(b);
		b = next;
	}
	*a = (struct arena){ .max = a->max, .block = a->block };
}

void arena_reset(struct arena *a)
{
	a->used = 0;
	while (a->head && a->head->next) {
		struct arena_block *next = a->head->next;

		free(a->head);
		a->head = next;
	}
	if (a->head)
		a->head->used = 0;
}

void *arena_take(struct arena *a, size_t n)
{
	size_t max = a->max ? a->max : 4 * MiB;
	struct arena_block *b = a->head;
	size_t want;
	void *p;

	if (n > max || a->used > max - n)
		return NULL;
	n = (n + ALIGN_BYTES - 1) & ~(size_t)(ALIGN_BYTES - 1);
	if (!b || b->size - b->used < n) {
		want = MAX(n, a->block ? a->block : BLOCK_BYTES);
		b = malloc(sizeof(*b) + want);
		if (!b)
			return NULL;
		*b = (struct arena_block){ .next = a->head, .size = want };
		a->head = b;
	}
	p = b->data + b->used;
	b->used += n;
	a->used += n;
	return memset(p, 0, n);
}

char *arena_strn(struct arena *a, const void *p, size_t n)
{
	char *s = arena_take(a, n + 1);

	if (s && n)
		memcpy(s, p, n);
	return s;
}

char *arena_str(struct arena *a, const char *s)
{
	return arena_strn(a, s, strlen(s));
}

char *arena_fmt(struct arena *a, const char *fmt, ...)
{
	va_list ap;
	char *s;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	must(n >= 0);
	s = arena_take(a, (size_t)n + 1);
	if (!s)
		return NULL;
	va_start(ap, fmt);
	vsnprintf(s, (size_t)n + 1, fmt, ap);
	va_end(ap);
	return s;
}
