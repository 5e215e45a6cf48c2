/*
 * torture/base.c - buf, arena and table while the heap says no.
 */
#include "tests/torture/torture.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/table.h"

static void bufs(void)
{
	own_buf b = { .p = NULL };
	size_t n;

	for (int i = 0; i < 200; i++) {
		n = b.n;
		buf_fmt(&b, "line %d\n", i);
		torture_must(!b.failed || b.n == n);
		torture_must(b.failed == (b.n == n));
	}
	torture_must(!b.failed || torture_struck());
	torture_must(b.failed == (buf_cstr(&b)[0] == '\0'));
}

static void arenas(void)
{
	struct arena a;

	arena_init(&a, 0);
	for (int round = 0; round < 3; round++) {
		for (size_t i = 0; i < 20; i++) {
			char *s = arena_fmt(&a, "%zu %600s", i, "x");
			uint8_t *p = arena_take(&a, i * 300);

			torture_must((s && p) || torture_struck());
			torture_must(!s || strlen(s) > 600);
		}
		arena_reset(&a);
		torture_must(a.used == 0);
	}
	arena_done(&a);
}

/* A table that cannot grow goes on, slower; only the first bucket array is needed. */
static void tables(void)
{
	struct thing {
		struct link link;
		uint32_t id;
	} things[300] = { 0 };
	struct table t;
	uint32_t in = 0;

	table_init(&t, 7);
	for (uint32_t i = 0; i < COUNT(things); i++) {
		things[i].id = i;
		in += table_add(&t, &things[i].link, &things[i].id, sizeof(uint32_t));
		torture_must(t.count == in);
	}
	torture_must(in == COUNT(things) || torture_struck());
	for (uint32_t i = 0; i < COUNT(things); i++) {
		struct link *l = table_get(&t, &i, sizeof(i));

		torture_must(!l || l == &things[i].link);
		if (l) {
			table_del(&t, l);
			in--;
		}
	}
	torture_must(in == 0 && t.count == 0);
	table_done(&t);
}

static const struct scenario scenarios[] = {
	{ .name = "buf", .run = bufs },
	{ .name = "arena", .run = arenas },
	{ .name = "table", .run = tables },
};

TORTURE(scenarios)
