/*
 * fuzz/shape.c - the interpreter over every shape: the first byte picks the shape and the second
 * how strict. What reads must pack again, and what was packed must read back as the same bytes.
 */
#include "tests/fuzz/fuzz.h"

#include "proto/proto.h"

static void again(const struct shape *s, const void *obj, struct arena *a)
{
	own_buf one = { .max = 8 * MiB }, two = { .max = 8 * MiB };
	void *back = arena_take(a, MAX(s->size, 1u));
	struct why why;

	if (!back)
		return;
	must(shape_pack(s, obj, &one, &why) == OK);
	if (shape_read(s, mp_over(one.p, one.n), STRICT, a, back, &why)) {
		must(why.code == ERR_no_memory);
		return;
	}
	must(shape_pack(s, back, &two, &why) == OK);
	must(one.n == two.n && memcmp(one.p, two.p, one.n) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	const struct shape *s;
	uint32_t shapes = 0;
	struct arena a;
	struct why why = { .code = OK };
	void *obj;

	while (all_shapes[shapes])
		shapes++;
	must(shapes <= 256);
	if (n < 2 || p[0] >= shapes)
		return 0;
	s = all_shapes[p[0]];
	arena_init(&a, 0);
	obj = arena_take(&a, MAX(s->size, 1u));
	if (obj &&
		!shape_read(s, mp_over(p + 2, n - 2), p[1] & 1 ? LENIENT : STRICT, &a, obj, &why))
		again(s, obj, &a);
	else
		must(!obj || (why.code && why.text[0]));
	arena_done(&a);
	return 0;
}
