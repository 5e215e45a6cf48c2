/*
 * letter/mp.h - reading msgpack: a cursor with an end.
 *
 * The reader asks, the wire never decides: one call per expected value, each checked against the
 * bytes that are there. Nothing is allocated, so a declared length of 2^32 costs nothing. A failed
 * call leaves the cursor where it was.
 */
#ifndef LETTER_MP_H
#define LETTER_MP_H

#include "base/base.h"

enum { MP_DEPTH_MAX = 16 };

enum mp_type {
	MP_END, /* no bytes left, or a head cut short */
	MP_NIL,
	MP_BOOL,
	MP_UINT,
	MP_INT, /* negative only */
	MP_FLOAT,
	MP_STR,
	MP_BIN,
	MP_ARRAY,
	MP_MAP,
	MP_BAD /* ext types and 0xc1 */
};

struct mp {
	const uint8_t *p, *end;
};

/* One value's head: bytes of head, and what it declares. */
struct mp_head {
	enum mp_type type;
	uint8_t head_n; /* bytes of the head itself */
	uint64_t v; /* integer (two's complement for MP_INT), bool, byte length or element count */
};

/* Reads a head without judging its length. MP_END when n is 0 or the head is cut short. */
struct mp_head mp_head_any(const uint8_t *p, size_t n);
static inline struct mp_head mp_head(const uint8_t *p, size_t n)
{
	if (n > 0 && p[0] < 0x80) /* the commonest: a small number */
		return (struct mp_head){ MP_UINT, 1, p[0] };
	return mp_head_any(p, n);
}

static inline struct mp mp_over(const void *p, size_t n)
{
	return (struct mp){ p, p ? (const uint8_t *)p + n : p };
}

enum mp_type mp_peek(const struct mp *c);
bool mp_nil(struct mp *c);
bool mp_bool(struct mp *c, bool *ret);
static inline bool mp_u64(struct mp *c, uint64_t *ret)
{
	struct mp_head h = mp_head(c->p, (size_t)(c->end - c->p));

	if (h.type != MP_UINT)
		return false;
	c->p += h.head_n;
	*ret = h.v;
	return true;
}
bool mp_i64(struct mp *c, int64_t *ret);
/* str and bin point into the message. */
bool mp_str(struct mp *c, struct bytes *ret);
bool mp_bin(struct mp *c, struct bytes *ret);
/* Element (pair) count, already checked against the bytes left: each element takes at least one. */
bool mp_array(struct mp *c, uint32_t *ret);
bool mp_map(struct mp *c, uint32_t *ret);
/* Passes one whole value, nested at most MP_DEPTH_MAX deep, no ext. */
bool mp_skip(struct mp *c);

/*
 * Finds where one whole value ends in a stream that arrives in pieces, without looking at any byte
 * twice. `depth_max` containers deep, `bytes_max` long.
 */
struct mp_scan {
	uint64_t left[MP_DEPTH_MAX]; /* elements still due, per open container */
	uint8_t depth;
	bool begun;
	size_t at; /* bytes of the value passed so far; may be past what has arrived */
};

enum mp_scan_result { MP_MORE, MP_WHOLE, MP_MALFORMED, MP_OVER };

/* p, n: the value's bytes from its first on. MP_WHOLE: s->at is its length; the caller resets s. */
enum mp_scan_result mp_scan(struct mp_scan *s, const uint8_t *p, size_t n, size_t bytes_max);

#endif
