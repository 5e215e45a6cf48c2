/*
 * table.c - chained hash table with intrusive links; doubles at a load of one.
 */
#include "base/table.h"

static uint32_t hash_of(const struct table *t, const void *key, size_t n)
{
	const uint8_t *p = key;
	uint64_t h = t->seed ^ 0x9e3779b97f4a7c15ull;

	for (size_t i = 0; i < n; i++)
		h = (h ^ p[i]) * 0x100000001b3ull;
	h ^= h >> 32;
	h *= 0xd6e8feb86659fd93ull;
	return (uint32_t)(h >> 32);
}

void table_init(struct table *t, uint64_t seed)
{
	*t = (struct table){ .seed = seed };
}

void table_done(struct table *t)
{
	free(t->buckets);
	*t = (struct table){ .seed = t->seed };
}

static bool grow(struct table *t)
{
	uint32_t size = t->size ? t->size * 2 : 16;
	struct link **buckets = calloc(size, sizeof(struct link *));

	if (!buckets)
		return false;
	for (uint32_t i = 0; i < t->size; i++) {
		struct link *l = t->buckets[i];

		while (l) {
			struct link *next = l->next;

			l->next = buckets[l->hash & (size - 1)];
			buckets[l->hash & (size - 1)] = l;
			l = next;
		}
	}
	free(t->buckets);
	t->buckets = buckets;
	t->size = size;
	return true;
}

bool table_add(struct table *t, struct link *l, const void *key, size_t key_n)
{
	must(!table_get(t, key, key_n));
	if (t->count >= t->size && !grow(t) && t->size == 0)
		return false;
	l->key = key;
	l->key_n = (uint32_t)key_n;
	l->hash = hash_of(t, key, key_n);
	l->next = t->buckets[l->hash & (t->size - 1)];
	t->buckets[l->hash & (t->size - 1)] = l;
	t->count++;
	return true;
}

struct link *table_get(const struct table *t, const void *key, size_t key_n)
{
	uint32_t h;

	if (t->size == 0)
		return NULL;
	h = hash_of(t, key, key_n);
	for (struct link *l = t->buckets[h & (t->size - 1)]; l; l = l->next)
		if (l->hash == h && l->key_n == key_n && memcmp(l->key, key, key_n) == 0)
			return l;
	return NULL;
}

void table_del(struct table *t, struct link *l)
{
	struct link **at;

	must(t->size > 0);
	for (at = &t->buckets[l->hash & (t->size - 1)]; *at != l; at = &(*at)->next)
		must(*at);
	*at = l->next;
	l->next = NULL;
	t->count--;
}

struct link *table_next(const struct table *t, const struct link *after)
{
	uint32_t i = 0;

	if (after) {
		if (after->next)
			return after->next;
		i = (after->hash & (t->size - 1)) + 1;
	}
	for (; i < t->size; i++)
		if (t->buckets[i])
			return t->buckets[i];
	return NULL;
}
