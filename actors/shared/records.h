/*
 * actors/shared/records.h - reading and writing the store's tables, from an actor.
 */
#ifndef ACTORS_SHARED_RECORDS_H
#define ACTORS_SHARED_RECORDS_H

#include "actors/roster.h"

/* How long the store may take: far more than a busy disk needs. */
enum { STORE_MS = 60000 };

/* One change for a store.write: the record packed by its shape, or (record NULL) its removal. */
enum err record_put(struct store_put *ret, enum store_table table, const char *key,
	const struct shape *shape, const void *record, struct arena *a,
	struct why *why) MUST_CHECK;

/* Writes all of them or none; fn is called once, when they are on disk or are not. */
void record_write(struct actor *me, struct store_put *puts, uint32_t n, answer_fn *fn,
	uint64_t ctx);

/*
 * A walk over a table, page by page. It lives in the actor's state until done is called, once.
 * A record that cannot be read is logged and passed over.
 */
struct record_scan {
	struct actor *me;
	enum store_table table;
	const struct shape *shape;
	/* The record ends with the call. */
	void (*row)(void *ctx, const char *key, const void *record);
	void (*done)(void *ctx, const struct why *why); /* NULL: all of it was read */
	void *ctx;
	char after[256]; /* the last key that was read */
};
void record_scan(struct record_scan *s);

#endif
