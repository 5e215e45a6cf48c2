/*
 * unit/asks.c - open asks: found by serial while they are open and never after, least deadline
 * first, whatever the order of opening and closing.
 */
#include "tests/unit/unit.h"

#include "actor/asks.h"
#include "tests/lib/gen.h"

enum { SLOTS = 100 };

static void opens_until_full(void **state UNUSED)
{
	struct open_ask *all[SLOTS];
	struct asks a;

	assert_true(asks_init(&a, SLOTS));
	assert_null(asks_first(&a));
	for (unsigned i = 0; i < SLOTS; i++) {
		all[i] = asks_open(&a, 1000 - i);
		assert_non_null(all[i]);
		assert_ptr_equal(asks_first(&a), all[i]);
	}
	assert_null(asks_open(&a, 1));
	for (unsigned i = 0; i < SLOTS; i++)
		assert_ptr_equal(asks_find(&a, all[i]->serial), all[i]);
	asks_close(&a, all[50]);
	assert_non_null(asks_open(&a, UINT64_MAX));
	asks_done(&a);
}

/* A serial is not used twice, so that a late answer finds nobody. */
static void old_serials_find_nobody(void **state UNUSED)
{
	struct asks a;
	uint64_t old;

	assert_true(asks_init(&a, 1));
	old = asks_open(&a, 5)->serial;
	asks_close(&a, asks_find(&a, old));
	assert_null(asks_find(&a, old));
	assert_non_null(asks_open(&a, 5));
	assert_null(asks_find(&a, old));
	assert_null(asks_find(&a, 0));
	assert_null(asks_find(&a, 2));
	assert_null(asks_find(&a, UINT64_MAX));
	asks_done(&a);
}

static void least_first_at_random(void **state UNUSED)
{
	struct gen g = { 7, NULL };
	uint64_t serials[SLOTS];
	unsigned n = 0;
	struct asks a;

	assert_true(asks_init(&a, SLOTS));
	for (int round = 0; round < 20000; round++) {
		uint64_t least = UINT64_MAX;

		if (n < SLOTS && (n == 0 || gen_below(&g, 2))) {
			serials[n++] = asks_open(&a, gen_below(&g, 50))->serial;
		} else {
			unsigned i = (unsigned)gen_below(&g, n);

			asks_close(&a, asks_find(&a, serials[i]));
			serials[i] = serials[--n];
		}
		for (unsigned i = 0; i < n; i++)
			least = MIN(least, asks_find(&a, serials[i])->deadline);
		assert_int_equal(a.open_n, n);
		assert_int_equal(n ? asks_first(&a)->deadline : UINT64_MAX, least);
	}
	asks_done(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(opens_until_full),
		TEST(old_serials_find_nobody),
		TEST(least_first_at_random),
	};

	return RUN(tests);
}
