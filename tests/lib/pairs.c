/*
 * pairs.c - top-level pairs of a packed map; values stay packed bytes of the message.
 */
#include "tests/lib/pairs.h"

#include "letter/pack.h"

bool pairs_split(struct pairs *ps, struct bytes map)
{
	struct mp c = mp_over(map.p, map.n);
	uint32_t n;

	ps->n = 0;
	if (!mp_map(&c, &n) || n > PAIRS_MAX)
		return false;
	while (n-- > 0) {
		const uint8_t *at = c.p;

		if (!mp_skip(&c))
			return false;
		ps->key[ps->n] = (struct bytes){ at, (size_t)(c.p - at) };
		at = c.p;
		if (!mp_skip(&c))
			return false;
		ps->value[ps->n++] = (struct bytes){ at, (size_t)(c.p - at) };
	}
	return c.p == c.end;
}

int pairs_find(const struct pairs *ps, const char *key)
{
	for (uint32_t i = 0; i < ps->n; i++) {
		struct mp c = mp_over(ps->key[i].p, ps->key[i].n);
		struct bytes s;

		if (mp_str(&c, &s) && s.n == strlen(key) && memcmp(s.p, key, s.n) == 0)
			return (int)i;
	}
	return -1;
}

void pairs_set(struct pairs *ps, struct bytes packed_key, struct bytes value)
{
	must(ps->n < PAIRS_MAX);
	ps->key[ps->n] = packed_key;
	ps->value[ps->n++] = value;
}

void pairs_del(struct pairs *ps, uint32_t i)
{
	must(i < ps->n);
	ps->n--;
	ps->key[i] = ps->key[ps->n];
	ps->value[i] = ps->value[ps->n];
}

void pairs_pack(const struct pairs *ps, struct buf *out)
{
	msgpack_packer pk = packer_on(out);

	msgpack_pack_map(&pk, ps->n);
	for (uint32_t i = 0; i < ps->n; i++) {
		buf_add(out, ps->key[i].p, ps->key[i].n);
		buf_add(out, ps->value[i].p, ps->value[i].n);
	}
}
