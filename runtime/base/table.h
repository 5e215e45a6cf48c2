/*
 * base/table.h - an intrusive hash table: a lookup costs the same with 1,000 things as with 10.
 *
 * A thing embeds a struct link for each table it is in; the table owns only its bucket array. Keys
 * are bytes that live in the thing (table_add keeps no copy), hashed with a per-table seed so that
 * a peer that chooses names cannot choose collisions.
 */
#ifndef BASE_TABLE_H
#define BASE_TABLE_H

#include "base/base.h"

struct link {
	struct link *next;
	const void *key;
	uint32_t key_n;
	uint32_t hash;
};

struct table {
	struct link **buckets;
	uint32_t size; /* power of two, 0 before the first add */
	uint32_t count;
	uint64_t seed;
};

void table_init(struct table *t, uint64_t seed);
void table_done(struct table *t); /* frees buckets; things are the caller's */
/* False when out of memory (the thing is then not in). The key must not be in already. */
bool table_add(struct table *t, struct link *l, const void *key, size_t key_n) MUST_CHECK;
struct link *table_get(const struct table *t, const void *key, size_t key_n);
void table_del(struct table *t, struct link *l);
/* Walk in no order: for (l = table_next(t, NULL); l; l = next) with next taken before a del. */
struct link *table_next(const struct table *t, const struct link *after);

#endif
