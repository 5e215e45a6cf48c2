/*
 * unit/stream.c - how a link begins (mark) and how a stream is held back (window).
 */
#include "tests/unit/unit.h"

#include "wire/mark.h"
#include "wire/window.h"

static const uint8_t nonce[NONCE_BYTES] = { 1, 2, 0xc1, 4, 0xc1, 0xc1, 7, 8, 9, 10, 11, 12, 13, 14,
	15, 0xc1 };

/* Feeds p in pieces of that size; answers how many openings were found. end: of the last. */
static size_t openings(const uint8_t *p, size_t n, size_t piece, size_t *end)
{
	struct mark_finder m = { .n = 0 };
	size_t at = 0, found_n = 0;

	while (at < n) {
		uint8_t got[NONCE_BYTES];
		size_t len = MIN(piece, n - at), used;
		bool found;

		used = mark_find(&m, p + at, len, &found, got);
		assert_true(used > 0 && used <= len);
		assert_true(found || used == len);
		at += used;
		if (found) {
			found_n++;
			*end = at;
			assert_memory_equal(got, nonce, NONCE_BYTES);
		}
	}
	return found_n;
}

static void found_however_it_is_cut(void **state UNUSED)
{
	for (size_t before = 0; before < 40; before++) {
		uint8_t in[40 + OPENING_BYTES + 5];
		size_t end = 0;

		memset(in, 0xc1, before);
		mark_opening(in + before, nonce);
		memset(in + before + OPENING_BYTES, 'x', 5);
		for (size_t piece = 1; piece <= before + OPENING_BYTES + 5; piece++) {
			check_row(openings(in, before + OPENING_BYTES + 5, piece, &end) == 1,
				"%zu before, pieces of %zu", before, piece);
			check_row(end == before + OPENING_BYTES, "%zu, %zu", before, piece);
		}
	}
}

/* A mark may break off at any byte and a whole one begin right there. */
static void found_inside_a_failed_one(void **state UNUSED)
{
	for (size_t cut = 1; cut < MARK_BYTES; cut++) {
		uint8_t in[2 * OPENING_BYTES];
		size_t end = 0;

		mark_opening(in, nonce);
		mark_opening(in + cut, nonce);
		for (size_t piece = 1; piece <= cut + OPENING_BYTES; piece++)
			check_row(openings(in, cut + OPENING_BYTES, piece, &end) == 1,
				"broken at %zu, pieces of %zu", cut, piece);
	}
}

static void several_in_a_row(void **state UNUSED)
{
	uint8_t in[5 * OPENING_BYTES];
	size_t end = 0;

	for (size_t i = 0; i < 5; i++)
		mark_opening(in + i * OPENING_BYTES, nonce);
	for (size_t piece = 1; piece < sizeof(in); piece++)
		check_row(openings(in, sizeof(in), piece, &end) == 5, "pieces of %zu", piece);
}

static void a_changed_mark_is_none(void **state UNUSED)
{
	for (size_t i = 0; i < MARK_BYTES; i++) {
		uint8_t in[OPENING_BYTES];
		size_t end;

		mark_opening(in, nonce);
		in[i] ^= 0x10;
		check_row(openings(in, MARK_BYTES, 64, &end) == 0, "byte %zu", i);
	}
}

static void the_mark_begins_with_what_msgpack_never_uses(void **state UNUSED)
{
	uint8_t in[OPENING_BYTES];

	mark_opening(in, nonce);
	assert_int_equal(in[0], 0xc1);
	assert_null(memchr(in + 1, 0xc1, MARK_BYTES - 1));
}

static void windows_never_overrun(void **state UNUSED)
{
	struct window w;

	window_init(&w);
	assert_int_equal(w.left, 262144);
	for (int i = 0; i < 8; i++)
		assert_true(window_use(&w, CHUNK_BYTES));
	assert_false(window_use(&w, 1));
	assert_true(window_use(&w, 0));
	assert_true(window_grant(&w, 10));
	assert_false(window_use(&w, 11));
	assert_true(window_use(&w, 10));
	assert_false(window_grant(&w, (uint64_t)UINT32_MAX + 1));
	assert_true(window_grant(&w, UINT32_MAX));
	assert_true(window_grant(&w, UINT32_MAX));
	assert_false(window_grant(&w, 1));
}

/* Reader and writer in turn: credit is never lost, never doubled, and not sent often. */
static void credit_goes_round(void **state UNUSED)
{
	struct window writer, reader;
	uint64_t sent = 0, letters = 0;

	window_init(&writer);
	window_init(&reader);
	while (sent < 100 * MiB) {
		uint64_t n = MIN(writer.left, (uint64_t)(1 + sent % CHUNK_BYTES)), grant;

		assert_true(n > 0);
		assert_true(window_use(&writer, n));
		assert_true(window_use(&reader, n));
		sent += n;
		grant = window_passed(&reader, n);
		if (grant > 0) {
			letters++;
			assert_true(window_grant(&writer, grant));
		}
		assert_int_equal(writer.left, reader.left);
		assert_int_equal(writer.left + reader.owed, WINDOW_BYTES);
	}
	assert_true(letters <= sent / (WINDOW_BYTES / 4));
}

int main(void)
{
	const struct CMUnitTest tests[] = { TEST(found_however_it_is_cut),
		TEST(found_inside_a_failed_one), TEST(several_in_a_row),
		TEST(a_changed_mark_is_none), TEST(the_mark_begins_with_what_msgpack_never_uses),
		TEST(windows_never_overrun), TEST(credit_goes_round) };

	return RUN(tests);
}
