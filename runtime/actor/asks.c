/*
 * asks.c - slots and a binary heap by deadline; all memory is taken at start.
 */
#include "actor/asks.h"

bool asks_init(struct asks *a, uint32_t max)
{
	must(max <= UINT16_MAX);
	*a = (struct asks){ .max = max };
	a->slots = calloc(max, sizeof(*a->slots));
	a->free_slots = calloc(max, sizeof(*a->free_slots));
	a->heap = calloc(max, sizeof(*a->heap));
	if (!a->slots || !a->free_slots || !a->heap) {
		asks_done(a);
		return false;
	}
	return true;
}

void asks_done(struct asks *a)
{
	free(a->slots);
	free(a->free_slots);
	free(a->heap);
	*a = (struct asks){ .max = 0 };
}

static bool before(struct asks *a, uint32_t i, uint32_t j)
{
	return a->slots[a->heap[i]].deadline < a->slots[a->heap[j]].deadline;
}

static void place(struct asks *a, uint32_t i, uint16_t slot)
{
	a->heap[i] = slot;
	a->slots[slot].heap_at = i;
}

static void exchange(struct asks *a, uint32_t i, uint32_t j)
{
	uint16_t slot = a->heap[i];

	place(a, i, a->heap[j]);
	place(a, j, slot);
}

static void sift(struct asks *a, uint32_t i)
{
	while (i > 0 && before(a, i, (i - 1) / 2)) {
		exchange(a, i, (i - 1) / 2);
		i = (i - 1) / 2;
	}
	for (;;) {
		uint32_t least = i;

		for (uint32_t j = 2 * i + 1; j <= 2 * i + 2 && j < a->open_n; j++)
			if (before(a, j, least))
				least = j;
		if (least == i)
			return;
		exchange(a, i, least);
		i = least;
	}
}

struct open_ask *asks_open(struct asks *a, uint64_t deadline)
{
	struct open_ask *o;
	uint16_t slot;

	if (a->open_n == a->max)
		return NULL;
	/* slots never used before come after those that were given back */
	slot = a->free_n > 0 ? a->free_slots[--a->free_n] : (uint16_t)a->open_n;
	o = &a->slots[slot];
	must(o->serial == 0);
	o->serial = ++a->generation << 16 | (slot + 1u);
	o->deadline = deadline;
	place(a, a->open_n, slot);
	a->open_n++;
	sift(a, a->open_n - 1);
	return o;
}

struct open_ask *asks_find(struct asks *a, uint64_t serial)
{
	uint32_t slot = (serial & 0xffff) - 1;

	if (serial == 0 || slot >= a->max || a->slots[slot].serial != serial)
		return NULL;
	return &a->slots[slot];
}

void asks_close(struct asks *a, struct open_ask *o)
{
	uint32_t at = o->heap_at;

	must(o->serial != 0);
	o->serial = 0;
	a->free_slots[a->free_n++] = (uint16_t)(o - a->slots);
	a->open_n--;
	if (at != a->open_n) {
		place(a, at, a->heap[a->open_n]);
		sift(a, at);
	}
}

struct open_ask *asks_first(struct asks *a)
{
	return a->open_n ? &a->slots[a->heap[0]] : NULL;
}
