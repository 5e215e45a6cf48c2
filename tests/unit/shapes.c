/*
 * unit/shapes.c - the one interpreter, over every shape there is: random valid objects go out and
 * come back the same; every message that is wrong in one place is refused with the right code.
 */
#include "tests/unit/unit.h"

#include "letter/pack.h"
#include "proto/proto.h"
#include "tests/lib/gen.h"
#include "tests/lib/pairs.h"

enum { ROUNDS = 40 };

struct bench { /* one object of one shape, packed */
	const struct shape *s;
	struct arena a;
	struct buf b;
	void *obj;
};

static void bench_init(struct bench *w, const struct shape *s, uint64_t seed)
{
	struct gen g = { seed, &w->a };

	w->s = s;
	arena_init(&w->a, 0);
	buf_init(&w->b, 0);
	w->obj = malloc(MAX(s->size, 1u));
	assert_non_null(w->obj);
	check_row(gen_packed(&g, s, &w->b), "%s: cannot make one", s->name);
}

static void bench_done(struct bench *w)
{
	free(w->obj);
	buf_done(&w->b);
	arena_done(&w->a);
}

static enum err reading(struct bench *w, struct bytes in, enum strictness strict, struct why *why)
{
	/* a copy of its own, so that a read past the end is seen */
	uint8_t *own = malloc(in.n + !in.n);
	enum err e;

	assert_non_null(own);
	if (in.n)
		memcpy(own, in.p, in.n);
	memset(why, 0, sizeof(*why));
	e = shape_read(w->s, mp_over(own, in.n), strict, &w->a, w->obj, why);
	assert_int_equal(e, why->code);
	free(own);
	return e;
}

/* The pairs as one message, read; wanted: the code, and the field when it is not NULL. */
static void expect(struct bench *w, const struct pairs *ps, enum err want, const char *field,
	const char *what)
{
	own_buf b = { .max = 4 * MiB };
	struct why why;
	enum err got;

	pairs_pack(ps, &b);
	assert_false(b.failed);
	got = reading(w, (struct bytes){ b.p, b.n }, STRICT, &why);
	check_row(got == want, "%s.%s, %s: %s (%s)", w->s->name, field ? field : "", what,
		err_name(got), why.text);
	if (want != OK && field)
		check_row(str_eq(why.field, field), "%s.%s, %s: blames '%s'", w->s->name, field,
			what, why.field);
	check_row(want == OK || why.text[0], "%s: %s: no sentence", w->s->name, what);
}

static void out_and_back_the_same(void **state UNUSED)
{
	for (size_t i = 0; all_shapes[i]; i++) {
		for (uint64_t round = 0; round < ROUNDS; round++) {
			own_buf again = { .p = NULL }, third = { .p = NULL };
			struct bytes in;
			struct bench w;
			struct why why;
			void *copy;

			bench_init(&w, all_shapes[i], i * 1000 + round);
			in = (struct bytes){ w.b.p, w.b.n };
			check_row(shape_read(w.s, mp_over(in.p, in.n), STRICT, &w.a, w.obj, &why) ==
					  OK,
				"%s: %s: %s", w.s->name, why.field, why.text);
			assert_int_equal(shape_pack(w.s, w.obj, &again, &why), OK);
			check_row(again.n == in.n && memcmp(again.p, in.p, in.n) == 0, "%s",
				w.s->name);
			copy = arena_take(&w.a, MAX(w.s->size, 1u));
			assert_int_equal(shape_copy(w.s, w.obj, copy, &w.a, &why), OK);
			memset(w.obj, 0xee, w.s->size);
			assert_int_equal(shape_pack(w.s, copy, &third, &why), OK);
			check_row(third.n == in.n && memcmp(third.p, in.p, in.n) == 0, "%s",
				w.s->name);
			bench_done(&w);
		}
	}
}

static void cut_anywhere_it_is_refused(void **state UNUSED)
{
	for (size_t i = 0; all_shapes[i]; i++) {
		struct bench w;
		struct why why;

		bench_init(&w, all_shapes[i], i);
		for (size_t n = 0; n < w.b.n; n++) {
			struct bytes in = { w.b.p, n };

			check_row(
				reading(&w, in, STRICT, &why) != OK, "%s cut at %zu", w.s->name, n);
			check_row(reading(&w, in, LENIENT, &why) != OK, "%s cut at %zu", w.s->name,
				n);
		}
		buf_add(&w.b, "\xc0", 1);
		check_row(reading(&w, (struct bytes){ w.b.p, w.b.n }, STRICT, &why) ==
				  ERR_invalid_type,
			"%s: a byte behind it", w.s->name);
		bench_done(&w);
	}
}

static void keys(void **state UNUSED)
{
	struct bytes key = BYTES("\xa7unknown"), value = BYTES("\x92\x01\x81\xa1k\xc3");
	struct bytes bad_key = BYTES("\x07");

	for (size_t i = 0; all_shapes[i]; i++) {
		struct pairs ps;
		struct bench w;
		struct why why;

		bench_init(&w, all_shapes[i], i);
		assert_true(pairs_split(&ps, (struct bytes){ w.b.p, w.b.n }));
		pairs_set(&ps, key, value);
		expect(&w, &ps, ERR_unknown_field, "unknown", "an unknown key");
		{
			own_buf b = { .p = NULL };

			pairs_pack(&ps, &b);
			check_row(reading(&w, (struct bytes){ b.p, b.n }, LENIENT, &why) == OK,
				"%s: %s", w.s->name, why.text);
		}
		ps.key[ps.n - 1] = bad_key;
		expect(&w, &ps, ERR_invalid_type, NULL, "a key that is no string");
		for (uint32_t k = 0; k + 1 < ps.n; k++) {
			struct mp c = mp_over(ps.key[k].p, ps.key[k].n);
			char name[80];
			struct bytes s;

			assert_true(mp_str(&c, &s) && s.n < sizeof(name));
			snprintf(name, sizeof(name), "%.*s", (int)s.n, (const char *)s.p);
			ps.key[ps.n - 1] = ps.key[k];
			ps.value[ps.n - 1] = ps.value[k];
			expect(&w, &ps, ERR_invalid_value, name, "the key twice");
		}
		bench_done(&w);
	}
}

/* Keys are bytes of any length: NUL, a known name with a tail, a long run. */
static void hostile_keys(void **state UNUSED)
{
	static char longest[70000];
	static const struct bytes rows[] = { { (const uint8_t *)"", 0 },
		{ (const uint8_t *)"vm\0", 3 }, { (const uint8_t *)"vm\0vm", 5 },
		{ (const uint8_t *)"v", 1 }, { (const uint8_t *)"\xff", 1 },
		{ (const uint8_t *)longest, sizeof(longest) } };

	snprintf(longest, sizeof(longest), "vm");
	for (size_t i = 0; i < COUNT(rows); i++) {
		own_buf b = { .p = NULL };
		msgpack_packer pk = packer_on(&b);
		struct vm_only out;
		struct arena a;
		struct why why;

		msgpack_pack_map(&pk, 1);
		pack_str(&pk, (const char *)rows[i].p, rows[i].n);
		pack_str(&pk, "calm-otter", 10);
		arena_init(&a, 0);
		check_row(shape_read(&shape_vm_only, mp_over(b.p, b.n), STRICT, &a, &out, &why) ==
				ERR_unknown_field, "row %zu", i);
		check_row(shape_read(&shape_vm_only, mp_over(b.p, b.n), LENIENT, &a, &out, &why) ==
				ERR_missing_field, "row %zu", i);
		arena_done(&a);
	}
}

static void missing(void **state UNUSED)
{
	for (size_t i = 0; all_shapes[i]; i++) {
		struct bench w;

		bench_init(&w, all_shapes[i], i);
		for (uint32_t k = 0; k < w.s->count; k++) {
			const struct field *f = &w.s->fields[k];
			bool due = f->op == REQ || f->op == SUB ||
				   ((f->op == LIST || f->op == MANY) && f->lo > 0);
			struct pairs ps;
			int at;

			assert_true(pairs_split(&ps, (struct bytes){ w.b.p, w.b.n }));
			at = pairs_find(&ps, f->name);
			check_row(!due || at >= 0, "%s.%s", w.s->name, f->name);
			if (at >= 0)
				pairs_del(&ps, (uint32_t)at);
			expect(&w, &ps, due ? ERR_missing_field : OK, f->name, "left out");
		}
		bench_done(&w);
	}
}

static void with_value(struct bench *w, const struct field *f, struct bytes value, enum err want,
	const char *what)
{
	own_buf key = { .p = NULL };
	msgpack_packer pk = packer_on(&key);
	struct pairs ps;
	int at;

	assert_true(pairs_split(&ps, (struct bytes){ w->b.p, w->b.n }));
	at = pairs_find(&ps, f->name);
	if (at >= 0)
		pairs_del(&ps, (uint32_t)at);
	pack_str(&pk, f->name, strlen(f->name));
	pairs_set(&ps, (struct bytes){ key.p, key.n }, value);
	expect(w, &ps, want, f->op == SUB || f->op == OPTSUB ? NULL : f->name, what);
}

static void with_number(struct bench *w, const struct field *f, bool below, uint64_t v,
	enum err want, const char *what)
{
	own_buf b = { .p = NULL };
	msgpack_packer pk = packer_on(&b);

	if (below)
		msgpack_pack_int64(&pk, (int64_t)v);
	else
		msgpack_pack_uint64(&pk, v);
	with_value(w, f, (struct bytes){ b.p, b.n }, want, what);
}

static void with_text(struct bench *w, const struct field *f, bool bin, const char *s, size_t n,
	enum err want, const char *what)
{
	own_buf b = { .max = 4 * MiB };
	msgpack_packer pk = packer_on(&b);

	if (bin)
		pack_bin(&pk, s, n);
	else
		pack_str(&pk, s, n);
	with_value(w, f, (struct bytes){ b.p, b.n }, want, what);
}

static void wrong_types(struct bench *w, const struct field *f)
{
	static const struct {
		struct bytes value;
		int good_for; /* the one base type that may take it; -1 none */
		const char *what;
	} rows[] = {
		{ { (const uint8_t *)"\xc0", 1 }, -1, "nil" },
		{ { (const uint8_t *)"\xcb\x7f\xf8\0\0\0\0\0\0", 9 }, -1, "NaN" },
		{ { (const uint8_t *)"\xca\x3f\x80\0\0", 5 }, -1, "a float" },
		{ { (const uint8_t *)"\xc3", 1 }, BASE_BOOL, "true" },
		{ { (const uint8_t *)"\x80", 1 }, -1, "a map" },
		{ { (const uint8_t *)"\x91\x01", 2 }, -1, "an array" },
	};

	for (size_t i = 0; i < COUNT(rows); i++)
		if ((int)f->type->base != rows[i].good_for)
			with_value(w, f, rows[i].value, ERR_invalid_type, rows[i].what);
	if (f->type->base == BASE_U64 || f->type->base == BASE_I64 || f->type->base == BASE_BOOL)
		with_text(w, f, false, "1", 1, ERR_invalid_type, "a string");
	else
		with_number(w, f, false, 1, ERR_invalid_type, "a number");
	if (f->type->base == BASE_STR || f->type->base == BASE_ENUM)
		with_text(w, f, true, "running", 7, ERR_invalid_type, "bin");
	if (f->type->base == BASE_BIN)
		with_text(w, f, false, "x", 1, ERR_invalid_type, "str");
}

static void wrong_numbers(struct bench *w, const struct field *f)
{
	bool own = f->lo || f->hi;
	int64_t lo = own ? f->lo : f->type->lo;
	uint64_t hi = own ? f->hi : f->type->hi;

	with_number(w, f, lo < 0, (uint64_t)lo, OK, "the least");
	with_number(w, f, false, hi, OK, "the greatest");
	if (hi < UINT64_MAX)
		with_number(w, f, false, hi + 1, ERR_invalid_value, "one more than the greatest");
	if (lo > INT64_MIN)
		with_number(
			w, f, lo <= 0, (uint64_t)lo - 1, ERR_invalid_value, "one less than least");
	if (f->type->base == BASE_U64) {
		with_number(w, f, true, (uint64_t)-1, ERR_invalid_value, "minus one");
		with_number(w, f, true, (uint64_t)INT64_MIN, ERR_invalid_value, "far below");
	}
}

static void wrong_text(struct bench *w, const struct field *f)
{
	static char longest[2 * 1048576];
	const struct type *t = f->type;
	bool os = t->base == BASE_OSSTR;

	memset(longest, 'x', sizeof(longest));
	with_text(w, f, false, longest, t->hi + 1, ERR_too_large, "too long");
	if (t->lo > 0)
		with_text(w, f, false, longest, (size_t)t->lo - 1, ERR_invalid_value, "too short");
	if (!t->check)
		with_text(w, f, false, longest, t->hi, OK, "the longest");
	with_text(w, f, false, "a\0b", 3, ERR_invalid_value, "NUL");
	with_text(w, f, false, "a\xff", 2, ERR_invalid_value, "no UTF-8");
	with_text(w, f, false, "\xed\xa0\x80", 3, ERR_invalid_value, "a surrogate");
	with_text(w, f, false, "\xc0\xae", 2, ERR_invalid_value, "overlong");
	if (os)
		with_text(w, f, true, "a\0b", 3, ERR_invalid_value, "NUL in bin");
	if (os && !t->check)
		with_text(w, f, true, "a\xff", 2, OK, "bytes that are no UTF-8");
}

static void each_field_wrong(void **state UNUSED)
{
	static char longest[2 * 1048576];

	for (size_t i = 0; all_shapes[i]; i++) {
		struct bench w;

		bench_init(&w, all_shapes[i], i);
		for (uint32_t k = 0; k < w.s->count; k++) {
			const struct field *f = &w.s->fields[k];

			if (!f->type || f->op == LIST)
				continue;
			wrong_types(&w, f);
			if (f->type->base == BASE_U64 || f->type->base == BASE_I64)
				wrong_numbers(&w, f);
			if (f->type->base == BASE_STR || f->type->base == BASE_OSSTR)
				wrong_text(&w, f);
			if (f->type->base == BASE_ENUM)
				with_text(&w, f, false, "no such word", 12, ERR_invalid_value,
					"word");
			if (f->type->base == BASE_BIN) {
				with_text(&w, f, true, longest, f->type->hi, OK, "the longest");
				with_text(&w, f, true, longest, f->type->hi + 1, ERR_too_large,
					"long");
			}
		}
		bench_done(&w);
	}
}

static void lists(void **state UNUSED)
{
	for (size_t i = 0; all_shapes[i]; i++) {
		struct bench w;

		bench_init(&w, all_shapes[i], i);
		for (uint32_t k = 0; k < w.s->count; k++) {
			const struct field *f = &w.s->fields[k];
			own_buf b = { .p = NULL };
			msgpack_packer pk = packer_on(&b);

			if (f->sub && f->op != MANY) {
				with_value(&w, f, BYTES("\xc0"), ERR_invalid_type, "nil for a map");
				with_value(
					&w, f, BYTES("\x90"), ERR_invalid_type, "array for a map");
			}
			if (f->op != LIST && f->op != MANY)
				continue;
			msgpack_pack_array(&pk, (uint32_t)f->hi + 1);
			for (uint64_t n = 0; n <= f->hi; n++)
				msgpack_pack_nil(&pk);
			with_value(&w, f, (struct bytes){ b.p, b.n }, ERR_too_large, "too many");
			with_value(&w, f, BYTES("\xc0"), ERR_invalid_type, "nil");
			with_value(&w, f, BYTES("\x80"), ERR_invalid_type, "a map");
			with_value(
				&w, f, BYTES("\x90"), f->lo > 0 ? ERR_invalid_value : OK, "empty");
			with_value(&w, f, BYTES("\xdd\xff\xff\xff\xff"), ERR_too_large, "a lie");
		}
		bench_done(&w);
	}
}

/* What we would send wrong is our own bug, found before a byte leaves. */
static void packing_checks_too(void **state UNUSED)
{
	own_buf b = { .p = NULL };
	struct vm_only only = { .vm = "Not A Name" };
	struct vm_list list = { .has_limit = true, .limit = 1001 };
	struct store_write none = { .puts = { NULL, 0 } };
	struct wire_pair {
		const struct shape *s;
		const void *obj;
		const char *field;
	} rows[] = { { &shape_vm_only, &only, "vm" }, { &shape_vm_list, &list, "limit" },
		{ &shape_store_write, &none, "puts" },
		{ &shape_vm_only, &(struct vm_only){ .vm = NULL }, "vm" },
		{ &shape_vm_only, &(struct vm_only){ .vm = "a\xff" }, "vm" } };
	struct why why;

	for (size_t i = 0; i < COUNT(rows); i++) {
		check_row(
			shape_pack(rows[i].s, rows[i].obj, &b, &why) == ERR_internal, "row %zu", i);
		check_row(str_eq(why.field, rows[i].field), "row %zu: %s", i, why.field);
	}
	buf_done(&b);
	b.max = 4;
	only.vm = "calm-otter";
	assert_int_equal(shape_pack(&shape_vm_only, &only, &b, &why), ERR_too_large);
}

static void near_keys_are_hinted(void **state UNUSED)
{
	static const uint8_t in[] = "\x81\xa5vcpuz\x02";
	struct vm_create out;
	struct arena a;
	struct why why;

	arena_init(&a, 0);
	assert_int_equal(shape_read(&shape_vm_create, mp_over(in, sizeof(in) - 1), STRICT, &a, &out,
				 &why), ERR_unknown_field);
	assert_string_equal(why.hint, "did you mean 'vcpus'?");
	arena_done(&a);
}

static void an_arena_too_small_is_no_memory(void **state UNUSED)
{
	struct vm_exec *e;
	struct gen g;
	struct arena a, small;
	own_buf b = { .p = NULL };
	struct why why;

	arena_init(&a, 0);
	g = (struct gen){ 3, &a };
	assert_true(gen_packed(&g, &shape_vm_exec, &b));
	e = arena_take(&a, sizeof(*e));
	arena_init(&small, 8);
	assert_int_equal(shape_read(&shape_vm_exec, mp_over(b.p, b.n), STRICT, &small, e, &why),
		ERR_no_memory);
	arena_done(&small);
	arena_done(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = { TEST(out_and_back_the_same),
		TEST(cut_anywhere_it_is_refused), TEST(keys), TEST(hostile_keys), TEST(missing),
		TEST(each_field_wrong), TEST(lists), TEST(packing_checks_too),
		TEST(near_keys_are_hinted), TEST(an_arena_too_small_is_no_memory) };

	return RUN(tests);
}
