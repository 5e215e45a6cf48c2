/*
 * unit/table.c - the intrusive hash table with a thousand things in it.
 * (What it does when it cannot grow is told by torture/base.c.)
 */
#include "tests/unit/unit.h"

#include "base/table.h"

struct thing {
	struct link link, other;
	uint32_t id;
	char name[16];
	bool seen;
};

enum { THINGS = 1000 };

static void fill(struct table *t, struct thing *things)
{
	table_init(t, 42);
	for (uint32_t i = 0; i < THINGS; i++) {
		things[i] = (struct thing){ .id = i };
		snprintf(things[i].name, sizeof(things[i].name), "thing-%u", i);
		assert_true(table_add(t, &things[i].link, things[i].name, strlen(things[i].name)));
	}
}

static struct thing *find(const struct table *t, const char *name)
{
	struct link *l = table_get(t, name, strlen(name));

	return l ? CONTAINER_OF(l, struct thing, link) : NULL;
}

static void finds_each_of_a_thousand(void **state UNUSED)
{
	static struct thing things[THINGS];
	struct table t;

	fill(&t, things);
	assert_int_equal(t.count, THINGS);
	for (uint32_t i = 0; i < THINGS; i++)
		check_row(find(&t, things[i].name) == &things[i], "%u", i);
	assert_null(find(&t, "thing-1000"));
	assert_null(find(&t, "thing-"));
	assert_null(find(&t, ""));
	table_done(&t);
}

static void deletes_every_second(void **state UNUSED)
{
	static struct thing things[THINGS];
	struct table t;

	fill(&t, things);
	for (uint32_t i = 0; i < THINGS; i += 2)
		table_del(&t, &things[i].link);
	assert_int_equal(t.count, THINGS / 2);
	for (uint32_t i = 0; i < THINGS; i++)
		check_row(find(&t, things[i].name) == (i % 2 ? &things[i] : NULL), "%u", i);
	for (uint32_t i = 0; i < THINGS; i += 2)
		assert_true(table_add(&t, &things[i].link, things[i].name, strlen(things[i].name)));
	assert_int_equal(t.count, THINGS);
	table_done(&t);
}

static void walks_each_once_even_while_deleting(void **state UNUSED)
{
	static struct thing things[THINGS];
	struct link *l, *next;
	struct table t;
	uint32_t n = 0;

	fill(&t, things);
	for (l = table_next(&t, NULL); l; l = next) {
		struct thing *x = CONTAINER_OF(l, struct thing, link);

		next = table_next(&t, l);
		check_row(!x->seen, "%u", x->id);
		x->seen = true;
		table_del(&t, l);
		n++;
	}
	assert_int_equal(n, THINGS);
	assert_int_equal(t.count, 0);
	assert_null(table_next(&t, NULL));
	table_done(&t);
}

static void keys_are_bytes(void **state UNUSED)
{
	struct thing a = { .id = 1 }, b = { .id = 2 }, c = { .id = 3 };
	uint64_t key = 7;
	struct table t;

	table_init(&t, 0);
	assert_null(table_get(&t, "a", 1));
	assert_null(table_next(&t, NULL));
	assert_true(table_add(&t, &a.link, "a\0b", 3));
	assert_true(table_add(&t, &b.link, "a\0c", 3));
	assert_true(table_add(&t, &c.link, &key, sizeof(key)));
	assert_ptr_equal(table_get(&t, "a\0b", 3), &a.link);
	assert_ptr_equal(table_get(&t, "a\0c", 3), &b.link);
	assert_null(table_get(&t, "a\0", 2));
	key = 8;
	assert_null(table_get(&t, &(uint64_t){ 9 }, sizeof(key)));
	table_done(&t);
	assert_null(table_get(&t, "a\0b", 3));
}

static void a_thing_is_in_two_tables(void **state UNUSED)
{
	struct thing x = { .id = 5, .name = "five" };
	struct table names, ids;

	table_init(&names, 1);
	table_init(&ids, 2);
	assert_true(table_add(&names, &x.link, x.name, 4));
	assert_true(table_add(&ids, &x.other, &x.id, sizeof(x.id)));
	table_del(&names, &x.link);
	assert_null(table_get(&names, "five", 4));
	assert_ptr_equal(table_get(&ids, &x.id, sizeof(x.id)), &x.other);
	table_done(&names);
	table_done(&ids);
}

int main(void)
{
	const struct CMUnitTest tests[] = { TEST(finds_each_of_a_thousand),
		TEST(deletes_every_second), TEST(walks_each_once_even_while_deleting),
		TEST(keys_are_bytes), TEST(a_thing_is_in_two_tables) };

	return RUN(tests);
}
