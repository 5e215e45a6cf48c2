/*
 * actor/asks.h - the asks that wait for an answer: slots found by serial, ordered by deadline.
 */
#ifndef ACTOR_ASKS_H
#define ACTOR_ASKS_H

#include "base/base.h"

struct open_ask {
	uint64_t serial; /* generation << 16 | slot + 1; 0 = free */
	uint64_t deadline; /* milliseconds, UINT64_MAX = none */
	uint64_t ctx;
	void *fn; /* answer_fn or packed_answer_fn */
	uint32_t heap_at; /* place in the heap */
	uint16_t kind;
	uint8_t asker;
	bool packed;
};

struct asks {
	struct open_ask *slots;
	uint16_t *free_slots; /* a stack */
	uint16_t *heap; /* slots, least deadline first */
	uint32_t free_n, open_n, max;
	uint64_t generation;
};

bool asks_init(struct asks *a, uint32_t max) MUST_CHECK; /* max at most 65,535 */
void asks_done(struct asks *a);
/* A slot for a new ask with that deadline, serial set; NULL when all are taken. */
struct open_ask *asks_open(struct asks *a, uint64_t deadline);
struct open_ask *asks_find(struct asks *a, uint64_t serial); /* NULL when it is not open */
void asks_close(struct asks *a, struct open_ask *o);
/* The open ask with the least deadline, NULL when none is open. */
struct open_ask *asks_first(struct asks *a);

#endif
