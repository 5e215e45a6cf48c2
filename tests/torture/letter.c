/*
 * torture/letter.c - every shape is packed, read and copied while the heap says no.
 */
#include "tests/torture/torture.h"

#include "proto/proto.h"
#include "tests/lib/gen.h"

static void every_shape(void)
{
	for (size_t i = 0; all_shapes[i]; i++) {
		const struct shape *s = all_shapes[i];
		own_buf b = { .p = NULL }, again = { .p = NULL };
		own_mem void *obj = calloc(1, MAX(s->size, 1u)),
			     *copy = calloc(1, MAX(s->size, 1u));
		struct gen g = { i, NULL };
		struct arena a;
		struct why why;
		bool good;

		arena_init(&a, 0);
		g.a = &a;
		good = obj && copy && gen_packed(&g, s, &b) &&
		       shape_read(s, mp_over(b.p, b.n), STRICT, &a, obj, &why) == OK &&
		       shape_copy(s, obj, copy, &a, &why) == OK &&
		       shape_pack(s, copy, &again, &why) == OK;
		torture_must(good || torture_struck());
		torture_must(!good || (again.n == b.n && memcmp(again.p, b.p, b.n) == 0));
		arena_done(&a);
	}
}

static const struct scenario scenarios[] = {
	{ .name = "every shape out and back", .run = every_shape },
};

TORTURE(scenarios)
