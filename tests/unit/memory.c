/*
 * unit/memory.c - buf and arena: growth, ceilings, what survives a refusal.
 */
#include "tests/unit/unit.h"

#include "base/arena.h"
#include "base/buf.h"

static void buf_grows_to_its_ceiling(void **state UNUSED)
{
	own_buf b = { .max = 1000 };

	for (int i = 0; i < 1000; i++)
		buf_add(&b, "x", 1);
	assert_int_equal(b.n, 1000);
	assert_true(b.cap <= 1000);
	assert_false(b.failed);
	buf_add(&b, "", 0);
	assert_false(b.failed);
	buf_add(&b, "y", 1);
	assert_true(b.failed);
	assert_int_equal(b.n, 1000);
}

static void buf_failure_is_sticky(void **state UNUSED)
{
	own_buf b = { .max = 8 };

	buf_str(&b, "1234");
	buf_str(&b, "56789");
	assert_true(b.failed);
	buf_str(&b, "5");
	buf_fmt(&b, "%d", 5);
	assert_null(buf_room(&b, 1));
	assert_int_equal(b.n, 4);
	assert_string_equal(buf_cstr(&b), "");
	buf_done(&b);
	assert_false(b.failed);
	assert_int_equal(b.max, 8);
	buf_str(&b, "1234567");
	assert_string_equal(buf_cstr(&b), "1234567");
}

static void buf_refuses_absurd_sizes(void **state UNUSED)
{
	static const size_t sizes[] = { MiB + 1, SIZE_MAX, SIZE_MAX / 2, SIZE_MAX - 63 };

	for (size_t i = 0; i < COUNT(sizes); i++) {
		own_buf b = { .p = NULL };

		buf_str(&b, "before");
		check_row(!buf_room(&b, sizes[i]) && b.failed, "%zu", sizes[i]);
		check_row(b.n == 6, "%zu", sizes[i]);
	}
}

static void buf_text_and_drop(void **state UNUSED)
{
	own_buf b = { .p = NULL };

	assert_string_equal(buf_cstr(&b), "");
	buf_fmt(&b, "%s-%d", "abc", 42);
	buf_fmt(&b, "%s", "");
	assert_string_equal(buf_cstr(&b), "abc-42");
	buf_drop(&b, 0);
	buf_drop(&b, 4);
	assert_string_equal(buf_cstr(&b), "42");
	buf_drop(&b, 2);
	assert_int_equal(b.n, 0);
}

static void arena_gives_zeroed_and_aligned(void **state UNUSED)
{
	struct arena a;

	arena_init(&a, 0);
	for (size_t n = 0; n < 5000; n += 7) {
		uint8_t *p = arena_take(&a, n);

		assert_non_null(p);
		assert_int_equal((uintptr_t)p % 16, 0);
		for (size_t i = 0; i < n; i++)
			assert_int_equal(p[i], 0);
		memset(p, 0xee, n);
		if (n % 5 == 0)
			arena_reset(&a);
	}
	arena_done(&a);
}

static void arena_has_a_ceiling(void **state UNUSED)
{
	struct arena a;
	size_t got = 0;

	arena_init(&a, 10000);
	assert_null(arena_take(&a, 10001));
	assert_null(arena_take(&a, SIZE_MAX));
	assert_null(arena_take(&a, SIZE_MAX - 15));
	while (arena_take(&a, 100))
		got += 100;
	assert_true(got > 8000 && got <= 10000);
	assert_null(
		arena_str(&a, "no room for this text, which is longer than what is left in here, "
			      "so that it is refused and not cut short anywhere"));
	arena_reset(&a);
	assert_int_equal(a.used, 0);
	assert_non_null(arena_take(&a, 9984));
	arena_done(&a);
	arena_done(&a);
}

static void arena_is_flat_between_letters(void **state UNUSED)
{
	struct arena a;
	void *first;

	arena_init(&a, 0);
	first = arena_take(&a, 100);
	for (int i = 0; i < 100; i++) {
		for (int j = 0; j < 50; j++)
			assert_non_null(arena_take(&a, 1000));
		arena_reset(&a);
		assert_ptr_equal(arena_take(&a, 100), first);
		arena_reset(&a);
	}
	arena_done(&a);
}

static void arena_text(void **state UNUSED)
{
	struct arena a;

	arena_init(&a, 0);
	assert_string_equal(arena_str(&a, "abc"), "abc");
	assert_string_equal(arena_strn(&a, "abcdef", 3), "abc");
	assert_string_equal(arena_strn(&a, NULL, 0), "");
	assert_string_equal(arena_fmt(&a, "%d %s", 7, "x"), "7 x");
	arena_done(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = { TEST(buf_grows_to_its_ceiling),
		TEST(buf_failure_is_sticky), TEST(buf_refuses_absurd_sizes),
		TEST(buf_text_and_drop), TEST(arena_gives_zeroed_and_aligned),
		TEST(arena_has_a_ceiling), TEST(arena_is_flat_between_letters), TEST(arena_text) };

	return RUN(tests);
}
