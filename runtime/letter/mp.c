/*
 * mp.c - the msgpack cursor and the incremental scanner; pure, allocates nothing, never recurses.
 */
#include "letter/mp.h"

static uint64_t big_endian(const uint8_t *p, size_t n)
{
	uint64_t v = 0;

	for (size_t i = 0; i < n; i++)
		v = v << 8 | p[i];
	return v;
}

/* Heads 0xc0-0xdf: kind and how many bytes of value or length follow the tag. */
static const struct {
	uint8_t type, n, is_signed;
} tags[32] = {
	[0x00] = { MP_NIL, 0, 0 },
	[0x01] = { MP_BAD, 0, 0 },
	[0x02] = { MP_BOOL, 0, 0 },
	[0x03] = { MP_BOOL, 0, 0 },
	[0x04] = { MP_BIN, 1, 0 },
	[0x05] = { MP_BIN, 2, 0 },
	[0x06] = { MP_BIN, 4, 0 },
	[0x07] = { MP_BAD, 0, 0 }, /* ext 8, 16, 32 */
	[0x08] = { MP_BAD, 0, 0 },
	[0x09] = { MP_BAD, 0, 0 },
	[0x0a] = { MP_FLOAT, 4, 0 },
	[0x0b] = { MP_FLOAT, 8, 0 },
	[0x0c] = { MP_UINT, 1, 0 },
	[0x0d] = { MP_UINT, 2, 0 },
	[0x0e] = { MP_UINT, 4, 0 },
	[0x0f] = { MP_UINT, 8, 0 },
	[0x10] = { MP_UINT, 1, 1 },
	[0x11] = { MP_UINT, 2, 1 },
	[0x12] = { MP_UINT, 4, 1 },
	[0x13] = { MP_UINT, 8, 1 },
	[0x14] = { MP_BAD, 0, 0 }, /* fixext */
	[0x15] = { MP_BAD, 0, 0 },
	[0x16] = { MP_BAD, 0, 0 },
	[0x17] = { MP_BAD, 0, 0 },
	[0x18] = { MP_BAD, 0, 0 },
	[0x19] = { MP_STR, 1, 0 },
	[0x1a] = { MP_STR, 2, 0 },
	[0x1b] = { MP_STR, 4, 0 },
	[0x1c] = { MP_ARRAY, 2, 0 },
	[0x1d] = { MP_ARRAY, 4, 0 },
	[0x1e] = { MP_MAP, 2, 0 },
	[0x1f] = { MP_MAP, 4, 0 },
};

struct mp_head mp_head_any(const uint8_t *p, size_t n)
{
	struct mp_head h = { MP_END, 0, 0 };
	uint8_t tag;

	if (n == 0)
		return h;
	tag = p[0];
	if (tag < 0x80)
		return (struct mp_head){ MP_UINT, 1, tag };
	if (tag < 0x90)
		return (struct mp_head){ MP_MAP, 1, tag & 0x0f };
	if (tag < 0xa0)
		return (struct mp_head){ MP_ARRAY, 1, tag & 0x0f };
	if (tag < 0xc0)
		return (struct mp_head){ MP_STR, 1, tag & 0x1f };
	if (tag >= 0xe0)
		return (struct mp_head){ MP_INT, 1, (uint64_t)(int64_t)(int8_t)tag };
	h.type = (enum mp_type)tags[tag & 31].type;
	h.head_n = (uint8_t)(1 + tags[tag & 31].n);
	if (h.type == MP_BAD)
		return h;
	if (n < h.head_n)
		return (struct mp_head){ MP_END, 0, 0 };
	h.v = big_endian(p + 1, tags[tag & 31].n);
	if (h.type == MP_BOOL)
		h.v = tag & 1;
	if (tags[tag & 31].is_signed) {
		unsigned shift = 64 - 8u * tags[tag & 31].n;

		h.v = (uint64_t)((int64_t)(h.v << shift) >> shift);
		if ((int64_t)h.v < 0)
			h.type = MP_INT;
	}
	return h;
}

static struct mp_head next(const struct mp *c)
{
	return mp_head(c->p, (size_t)(c->end - c->p));
}

enum mp_type mp_peek(const struct mp *c)
{
	return next(c).type;
}

bool mp_nil(struct mp *c)
{
	if (next(c).type != MP_NIL)
		return false;
	c->p++;
	return true;
}

bool mp_bool(struct mp *c, bool *ret)
{
	struct mp_head h = next(c);

	if (h.type != MP_BOOL)
		return false;
	c->p += h.head_n;
	*ret = h.v != 0;
	return true;
}

bool mp_i64(struct mp *c, int64_t *ret)
{
	struct mp_head h = next(c);

	if (h.type != MP_INT && (h.type != MP_UINT || h.v > INT64_MAX))
		return false;
	c->p += h.head_n;
	*ret = (int64_t)h.v;
	return true;
}

static bool run(struct mp *c, enum mp_type type, struct bytes *ret)
{
	struct mp_head h = next(c);

	if (h.type != type || h.v > (size_t)(c->end - c->p) - h.head_n)
		return false;
	*ret = (struct bytes){ c->p + h.head_n, (size_t)h.v };
	c->p += h.head_n + h.v;
	return true;
}

bool mp_str(struct mp *c, struct bytes *ret)
{
	return run(c, MP_STR, ret);
}

bool mp_bin(struct mp *c, struct bytes *ret)
{
	return run(c, MP_BIN, ret);
}

static bool container(struct mp *c, enum mp_type type, uint64_t each, uint32_t *ret)
{
	struct mp_head h = next(c);

	if (h.type != type || h.v * each > (size_t)(c->end - c->p) - h.head_n)
		return false;
	c->p += h.head_n;
	*ret = (uint32_t)h.v;
	return true;
}

bool mp_array(struct mp *c, uint32_t *ret)
{
	return container(c, MP_ARRAY, 1, ret);
}

bool mp_map(struct mp *c, uint32_t *ret)
{
	return container(c, MP_MAP, 2, ret);
}

bool mp_skip(struct mp *c)
{
	struct mp_scan s = { .depth = 0 };
	size_t n = (size_t)(c->end - c->p);

	if (mp_scan(&s, c->p, n, n) != MP_WHOLE)
		return false;
	c->p += s.at;
	return true;
}

/* Closes every container whose last element has just ended. True when the whole value has. */
static bool element_done(struct mp_scan *s)
{
	while (s->depth > 0 && --s->left[s->depth - 1] == 0)
		s->depth--;
	return s->depth == 0;
}

enum mp_scan_result mp_scan(struct mp_scan *s, const uint8_t *p, size_t n, size_t bytes_max)
{
	for (;;) {
		struct mp_head h;
		uint64_t inside = 0, count = 0;

		if (s->begun && s->depth == 0)
			return s->at <= n ? MP_WHOLE : MP_MORE;
		if (s->at >= bytes_max)
			return MP_OVER;
		if (s->at >= n)
			return MP_MORE;
		h = mp_head(p + s->at, n - s->at);
		if (h.type == MP_BAD)
			return MP_MALFORMED;
		if (h.type == MP_END)
			return MP_MORE;
		if (h.type == MP_STR || h.type == MP_BIN)
			inside = h.v;
		else if (h.type == MP_ARRAY || h.type == MP_MAP)
			count = h.v * (h.type == MP_MAP ? 2 : 1);
		if ((h.type == MP_ARRAY || h.type == MP_MAP) && s->depth == MP_DEPTH_MAX)
			return MP_MALFORMED;
		/* an element is a byte at least: a lying count is caught before it is believed */
		if (h.head_n + inside + count > bytes_max - s->at)
			return MP_OVER;
		s->at += h.head_n + (size_t)inside;
		s->begun = true;
		if (count > 0)
			s->left[s->depth++] = count;
		else
			element_done(s);
	}
}
