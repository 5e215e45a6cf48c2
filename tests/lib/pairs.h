/*
 * lib/pairs.h - a packed map taken apart into its pairs, and put together again with one pair
 * changed, left out or added: how a wrong message is made from a right one.
 */
#ifndef LIB_PAIRS_H
#define LIB_PAIRS_H

#include "base/buf.h"
#include "letter/mp.h"

enum { PAIRS_MAX = 80 };

struct pairs {
	struct bytes key[PAIRS_MAX], value[PAIRS_MAX]; /* packed */
	uint32_t n;
};

bool pairs_split(struct pairs *ps, struct bytes map) MUST_CHECK;
int pairs_find(const struct pairs *ps, const char *key); /* -1 when absent */
void pairs_set(struct pairs *ps, struct bytes packed_key, struct bytes value);
void pairs_del(struct pairs *ps, uint32_t i);
void pairs_pack(const struct pairs *ps, struct buf *out);

#endif
