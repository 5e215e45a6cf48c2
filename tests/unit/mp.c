/*
 * unit/mp.c - the msgpack cursor and scanner against every head byte, every truncation, and what is
 * known to break readers: counts that lie, 0xc1, ext types, deep nests.
 */
#include "tests/unit/unit.h"

#include "letter/mp.h"
#include "letter/pack.h"

struct row {
	struct bytes in;
	enum mp_type type;
	uint64_t v;
};

#define ROW(literal, type, v) { { (const uint8_t *)(literal), sizeof(literal) - 1 }, type, v }

static const struct row heads[] = {
	ROW("\x00", MP_UINT, 0),
	ROW("\x7f", MP_UINT, 127),
	ROW("\xe0", MP_INT, (uint64_t)-32),
	ROW("\xff", MP_INT, (uint64_t)-1),
	ROW("\xc0", MP_NIL, 0),
	ROW("\xc2", MP_BOOL, 0),
	ROW("\xc3", MP_BOOL, 1),
	ROW("\xcc\xff", MP_UINT, 255),
	ROW("\xcd\x01\x00", MP_UINT, 256),
	ROW("\xce\xff\xff\xff\xff", MP_UINT, UINT32_MAX),
	ROW("\xcf\xff\xff\xff\xff\xff\xff\xff\xff", MP_UINT, UINT64_MAX),
	ROW("\xd0\x80", MP_INT, (uint64_t)-128),
	ROW("\xd0\x7f", MP_UINT, 127),
	ROW("\xd1\x80\x00", MP_INT, (uint64_t)-32768),
	ROW("\xd2\x80\x00\x00\x00", MP_INT, (uint64_t)INT32_MIN),
	ROW("\xd3\x80\x00\x00\x00\x00\x00\x00\x00", MP_INT, (uint64_t)INT64_MIN),
	ROW("\xd3\x00\x00\x00\x00\x00\x00\x00\x05", MP_UINT, 5),
	ROW("\xca\x7f\xc0\x00\x00", MP_FLOAT, 0x7fc00000),
	ROW("\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00", MP_FLOAT, 0x7ff8000000000000),
	ROW("\xa0", MP_STR, 0),
	ROW("\xbf", MP_STR, 31),
	ROW("\xd9\x20", MP_STR, 32),
	ROW("\xda\x01\x00", MP_STR, 256),
	ROW("\xdb\xff\xff\xff\xff", MP_STR, UINT32_MAX),
	ROW("\xc4\x00", MP_BIN, 0),
	ROW("\xc5\x00\x01", MP_BIN, 1),
	ROW("\xc6\xff\xff\xff\xff", MP_BIN, UINT32_MAX),
	ROW("\x90", MP_ARRAY, 0),
	ROW("\x9f", MP_ARRAY, 15),
	ROW("\xdc\xff\xff", MP_ARRAY, 65535),
	ROW("\xdd\xff\xff\xff\xff", MP_ARRAY, UINT32_MAX),
	ROW("\x80", MP_MAP, 0),
	ROW("\x8f", MP_MAP, 15),
	ROW("\xde\xff\xff", MP_MAP, 65535),
	ROW("\xdf\xff\xff\xff\xff", MP_MAP, UINT32_MAX),
	ROW("\xc1", MP_BAD, 0),
	ROW("\xc7\x01\x00", MP_BAD, 0),
	ROW("\xc8\x00\x01\x00", MP_BAD, 0),
	ROW("\xc9\x00\x00\x00\x01\x00", MP_BAD, 0),
	ROW("\xd4\x00\x00", MP_BAD, 0),
	ROW("\xd8\x00", MP_BAD, 0),
};

static void heads_and_their_truncations(void **state UNUSED)
{
	for (size_t i = 0; i < COUNT(heads); i++) {
		const struct row *r = &heads[i];
		struct mp_head h = mp_head(r->in.p, r->in.n);

		check_row(h.type == r->type, "row %zu", i);
		if (r->type == MP_BAD)
			continue;
		check_row(h.v == r->v && h.head_n == r->in.n, "row %zu", i);
		for (size_t n = 0; n < r->in.n; n++)
			check_row(mp_head(r->in.p, n).type == MP_END, "row %zu cut at %zu", i, n);
	}
}

/* Each of the 256 head bytes, alone and with zeros behind it, means one thing or is refused. */
static void every_head_byte(void **state UNUSED)
{
	for (unsigned tag = 0; tag < 256; tag++) {
		uint8_t in[80] = { (uint8_t)tag };
		bool bad =
			tag == 0xc1 || (tag >= 0xc7 && tag <= 0xc9) || (tag >= 0xd4 && tag <= 0xd8);
		enum mp_type type = mp_head(in, sizeof(in)).type;
		struct mp_scan s = { .depth = 0 };
		struct mp c = mp_over(in, sizeof(in));

		check_row((type == MP_BAD) == bad, "0x%02x", tag);
		check_row(type != MP_END, "0x%02x", tag);
		check_row(mp_skip(&c) == !bad, "0x%02x", tag);
		check_row(
			mp_scan(&s, in, sizeof(in), sizeof(in)) == (bad ? MP_MALFORMED : MP_WHOLE),
			"0x%02x", tag);
		check_row(bad || (size_t)(c.p - in) == s.at, "0x%02x", tag);
	}
}

/* Each getter takes its own type and leaves the cursor alone on every other. */
static void getters_take_their_own_type_only(void **state UNUSED)
{
	static const enum mp_type takes[][2] = { { MP_NIL, MP_NIL }, { MP_BOOL, MP_BOOL },
		{ MP_UINT, MP_UINT }, { MP_UINT, MP_INT }, { MP_STR, MP_STR }, { MP_BIN, MP_BIN },
		{ MP_ARRAY, MP_ARRAY }, { MP_MAP, MP_MAP } };

	for (size_t i = 0; i < COUNT(heads); i++) {
		for (size_t g = 0; g < COUNT(takes); g++) {
			struct mp c = mp_over(heads[i].in.p, heads[i].in.n);
			struct bytes run;
			uint64_t u;
			uint32_t n;
			int64_t v;
			bool b, ok;

			ok = g == 0 ? mp_nil(&c) :
			     g == 1 ? mp_bool(&c, &b) :
			     g == 2 ? mp_u64(&c, &u) :
			     g == 3 ? mp_i64(&c, &v) :
			     g == 4 ? mp_str(&c, &run) :
			     g == 5 ? mp_bin(&c, &run) :
			     g == 6 ? mp_array(&c, &n) :
				      mp_map(&c, &n);
			check_row(ok || c.p == heads[i].in.p, "row %zu moved getter %zu", i, g);
			check_row(
				!ok || heads[i].type == takes[g][0] || heads[i].type == takes[g][1],
				"row %zu, getter %zu", i, g);
		}
	}
}

static void integers_of_any_width(void **state UNUSED)
{
	static const struct bytes fives[] = { { (const uint8_t *)"\x05", 1 },
		{ (const uint8_t *)"\xcc\x05", 2 }, { (const uint8_t *)"\xcd\0\x05", 3 },
		{ (const uint8_t *)"\xce\0\0\0\x05", 5 }, { (const uint8_t *)"\xd0\x05", 2 },
		{ (const uint8_t *)"\xd1\0\x05", 3 }, { (const uint8_t *)"\xd2\0\0\0\x05", 5 },
		{ (const uint8_t *)"\xcf\0\0\0\0\0\0\0\x05", 9 },
		{ (const uint8_t *)"\xd3\0\0\0\0\0\0\0\x05", 9 } };
	struct mp c;
	uint64_t u;
	int64_t v;

	for (size_t i = 0; i < COUNT(fives); i++) {
		c = mp_over(fives[i].p, fives[i].n);
		check_row(mp_u64(&c, &u) && u == 5 && c.p == c.end, "row %zu", i);
		c = mp_over(fives[i].p, fives[i].n);
		check_row(mp_i64(&c, &v) && v == 5 && c.p == c.end, "row %zu", i);
	}
	c = mp_over("\xff", 1);
	assert_false(mp_u64(&c, &u));
	assert_true(mp_i64(&c, &v));
	assert_int_equal(v, -1);
	c = mp_over("\xcf\x80\0\0\0\0\0\0\0", 9);
	assert_false(mp_i64(&c, &v));
	assert_true(mp_u64(&c, &u));
}

/* What msgpack-c's unpacker reserves gigabytes for. */
static void lying_counts(void **state UNUSED)
{
	static const struct row rows[] = { ROW("\xdd\xff\xff\xff\xff", MP_ARRAY, 0),
		ROW("\xdd\x20\x00\x00\x00", MP_ARRAY, 0), ROW("\xdf\x10\x00\x00\x00", MP_MAP, 0),
		ROW("\xdf\xff\xff\xff\xff", MP_MAP, 0), ROW("\xdc\x00\x02\xc0", MP_ARRAY, 0),
		ROW("\x82\xc0\xc0\xc0", MP_MAP, 0), ROW("\xdb\xff\xff\xff\xff", MP_STR, 0),
		ROW("\xc6\xff\xff\xff\xff", MP_BIN, 0), ROW("\xa2x", MP_STR, 0) };

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct mp c = mp_over(rows[i].in.p, rows[i].in.n);
		struct mp_scan s = { .depth = 0 };
		struct bytes run;
		uint32_t n;

		check_row(mp_peek(&c) == rows[i].type, "row %zu", i);
		check_row(!mp_array(&c, &n) && !mp_map(&c, &n), "row %zu", i);
		check_row(!mp_str(&c, &run) && !mp_bin(&c, &run) && !mp_skip(&c), "row %zu", i);
		check_row(c.p == rows[i].in.p, "row %zu", i);
		if (rows[i].in.n == 5)
			check_row(mp_scan(&s, rows[i].in.p, 5, 1048576) == MP_OVER, "row %zu", i);
	}
}

static void depth(void **state UNUSED)
{
	static const uint8_t openers[] = { 0x91, 0x81 };
	static const uint8_t leaves[] = { 0xc0, 0x90, 0x80 };

	for (size_t o = 0; o < COUNT(openers); o++) {
		for (size_t l = 0; l < COUNT(leaves); l++) {
			for (size_t nest = 1; nest < 40; nest++) {
				size_t deep = nest + (leaves[l] != 0xc0), n = 0;
				uint8_t in[128];
				struct mp c;

				for (size_t i = 0; i < nest; i++) {
					in[n++] = openers[o];
					if (openers[o] == 0x81)
						in[n++] = 0x01;
				}
				in[n++] = leaves[l];
				c = mp_over(in, n);
				check_row(mp_skip(&c) == (deep <= MP_DEPTH_MAX), "%zu deep", deep);
			}
		}
	}
}

static void a_million_deep(void **state UNUSED)
{
	static uint8_t in[1000000];
	struct mp_scan s = { .depth = 0 };

	memset(in, 0x91, sizeof(in));
	assert_int_equal(mp_scan(&s, in, sizeof(in), sizeof(in)), MP_MALFORMED);
	assert_true(s.at <= MP_DEPTH_MAX);
}

static void over_its_ceiling(void **state UNUSED)
{
	static const uint8_t str[] = "\xa5hello";
	struct mp_scan s;

	for (size_t max = 1; max < 10; max++) {
		s = (struct mp_scan){ .depth = 0 };
		check_row(mp_scan(&s, str, 6, max) == (max < 6 ? MP_OVER : MP_WHOLE), "%zu", max);
	}
	/* refused by the head alone, before the bytes have come */
	s = (struct mp_scan){ .depth = 0 };
	assert_int_equal(mp_scan(&s, (const uint8_t *)"\xdb\x00\x10\x00\x00", 5, 1048576), MP_OVER);
	s = (struct mp_scan){ .depth = 0 };
	assert_int_equal(mp_scan(&s, (const uint8_t *)"\xdb\x00\x0f\xff\xfb", 5, 1048576), MP_MORE);
	s = (struct mp_scan){ .depth = 0 };
	assert_int_equal(mp_scan(&s, (const uint8_t *)"\xdd\x00\x10\x00\x00", 5, 1048576), MP_OVER);
}

static void sample(struct buf *b)
{
	msgpack_packer pk = packer_on(b);

	msgpack_pack_array(&pk, 4);
	msgpack_pack_uint32(&pk, 0);
	msgpack_pack_uint64(&pk, UINT64_MAX);
	pack_str(&pk, "a method that is longer than thirty-two bytes", 45);
	msgpack_pack_map(&pk, 3);
	pack_str(&pk, "k", 1);
	pack_bin(&pk, "\x00\xff", 2);
	pack_str(&pk, "empty", 5);
	msgpack_pack_array(&pk, 0);
	pack_str(&pk, "n", 1);
	msgpack_pack_array(&pk, 20);
	for (int i = 0; i < 20; i++)
		msgpack_pack_int(&pk, -i * 1000);
}

/* In pieces of any size the scanner finds the same end, and never asks for more than there is. */
static void pieces_equal_the_whole(void **state UNUSED)
{
	own_buf b = { .p = NULL };
	struct mp_scan s = { .depth = 0 };
	struct mp c;

	sample(&b);
	assert_int_equal(mp_scan(&s, b.p, b.n, 1048576), MP_WHOLE);
	assert_int_equal(s.at, b.n);
	for (size_t piece = 1; piece < b.n; piece++) {
		size_t have = 0;

		s = (struct mp_scan){ .depth = 0 };
		while (have + piece < b.n) {
			have += piece;
			check_row(mp_scan(&s, b.p, have, 1048576) == MP_MORE, "%zu of %zu", have,
				b.n);
		}
		check_row(mp_scan(&s, b.p, b.n, 1048576) == MP_WHOLE && s.at == b.n, "%zu", piece);
	}
	for (size_t n = 0; n < b.n; n++) {
		c = mp_over(b.p, n);
		check_row(!mp_skip(&c) && c.p == b.p, "cut at %zu", n);
	}
	buf_add(&b, "\xc0", 1);
	c = mp_over(b.p, b.n);
	assert_true(mp_skip(&c));
	assert_true(mp_nil(&c));
	assert_false(mp_nil(&c));
	assert_int_equal(mp_peek(&c), MP_END);
}

static void nothing_at_all(void **state UNUSED)
{
	struct mp c = mp_over(NULL, 0);
	struct mp_scan s = { .depth = 0 };

	assert_int_equal(mp_peek(&c), MP_END);
	assert_false(mp_skip(&c));
	assert_false(mp_nil(&c));
	assert_int_equal(mp_scan(&s, NULL, 0, 1048576), MP_MORE);
}

int main(void)
{
	const struct CMUnitTest tests[] = { TEST(heads_and_their_truncations),
		TEST(every_head_byte), TEST(getters_take_their_own_type_only),
		TEST(integers_of_any_width), TEST(lying_counts), TEST(depth), TEST(a_million_deep),
		TEST(over_its_ceiling), TEST(pieces_equal_the_whole), TEST(nothing_at_all) };

	return RUN(tests);
}
