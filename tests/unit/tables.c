/*
 * unit/tables.c - the tables of proto/ keep their own rules: a row that breaks one is found here,
 * and not by a peer.
 */
#include "tests/unit/unit.h"

#include "base/text.h"
#include "proto/proto.h"
#include "tests/lib/samples.h"

static void types_are_sound(void **state UNUSED)
{
	for (size_t i = 0; all_types[i]; i++) {
		const struct type *t = all_types[i];

		check_row(t->doc && t->doc[0], "type %s has no sentence", t->name);
		for (size_t j = 0; j < i; j++)
			check_row(!str_eq(t->name, all_types[j]->name), "type %s twice", t->name);
		if (t->base == BASE_ENUM) {
			check_row(t->names_n > 0, "type %s has no words", t->name);
			continue;
		}
		check_row(t->base == BASE_I64 || (t->lo >= 0 && (uint64_t)t->lo <= t->hi),
			"type %s: range", t->name);
		check_row(t->base != BASE_BIN || t->hi <= MiB, "type %s has no ceiling", t->name);
		check_row(t->base == BASE_BOOL || t->base == BASE_U64 || t->base == BASE_I64 ||
				t->hi <= MiB, "type %s has no ceiling", t->name);
	}
}

/* Small letters, or a signal's name. */
static bool is_plain(const char *word)
{
	size_t n = strlen(word);

	return strspn(word, "abcdefghijklmnopqrstuvwxyz0123456789_") == n ||
	       strspn(word, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") == n;
}

static void words_are_plain(void **state UNUSED)
{
	for (size_t i = 0; all_types[i]; i++) {
		const struct type *t = all_types[i];

		for (uint32_t w = 0; t->base == BASE_ENUM && w < t->names_n; w++) {
			check_row(is_plain(t->names[w]), "%s", t->names[w]);
			check_row(type_enum(t, t->names[w]) == (int)w, "%s: '%s' twice", t->name,
				t->names[w]);
		}
		check_row(
			t->base != BASE_ENUM || type_enum(t, "no such word") == -1, "%s", t->name);
	}
}

static void samples_fit_their_checks(void **state UNUSED)
{
	for (size_t i = 0; all_types[i]; i++) {
		const struct type *t = all_types[i];
		const struct samples *s = samples_of(t);
		struct why why;

		if (!t->check)
			continue;
		check_row(s, "type %s: add good and bad text to tests/lib/samples.c", t->name);
		check_row(s->good[0] && s->bad[0] && s->bad[1], "type %s: samples", t->name);
		for (size_t k = 0; k < SAMPLES_MAX && s->good[k]; k++)
			check_row(type_ok(t, "f", s->good[k], &why) == OK, "%s refuses '%s'",
				t->name, s->good[k]);
		for (size_t k = 0; k < SAMPLES_MAX && s->bad[k]; k++) {
			why.text[0] = '\0';
			check_row(type_ok(t, "f", s->bad[k], &why) != OK, "%s takes '%s'", t->name,
				s->bad[k]);
			check_row(str_eq(why.field, "f") && why.text[0], "%s: why", t->name);
		}
	}
}

static bool known(const struct shape *s)
{
	for (size_t i = 0; all_shapes[i]; i++)
		if (all_shapes[i] == s)
			return true;
	return false;
}

static void check_value_field(const struct shape *s, const struct field *f)
{
	enum base_type base = f->type->base;
	bool text = base == BASE_STR || base == BASE_OSSTR || base == BASE_BIN;
	bool own = f->lo || f->hi;

	check_row(f->op != OPT || text, "%s.%s: OPT is for text and bytes", s->name, f->name);
	check_row(f->op != MAY || !text, "%s.%s: MAY is for numbers and words", s->name, f->name);
	if (f->op == LIST) {
		check_row(f->hi > 0 && f->hi <= 65536, "%s.%s: no ceiling", s->name, f->name);
		check_row(f->lo >= 0 && (uint64_t)f->lo <= f->hi, "%s.%s: count", s->name, f->name);
		return;
	}
	check_row(!own || base == BASE_U64 || base == BASE_I64,
		"%s.%s: only numbers are narrowed", s->name, f->name);
	check_row(!own || base != BASE_U64 ||
			((uint64_t)f->lo <= f->hi && f->hi <= f->type->hi && f->lo >= f->type->lo),
		"%s.%s: range", s->name, f->name);
}

static void shapes_are_sound(void **state UNUSED)
{
	for (size_t i = 0; all_shapes[i]; i++) {
		const struct shape *s = all_shapes[i];

		check_row(s->doc && s->doc[0], "shape %s has no sentence", s->name);
		check_row(s->count <= 64, "shape %s has too many fields", s->name);
		for (size_t j = 0; j < i; j++)
			check_row(!str_eq(s->name, all_shapes[j]->name), "shape %s twice", s->name);
		for (uint32_t k = 0; k < s->count; k++) {
			const struct field *f = &s->fields[k];

			check_row(f->doc && f->doc[0], "%s.%s has no sentence", s->name, f->name);
			check_row(shape_field(s, f->name) == f, "%s.%s twice", s->name, f->name);
			check_row(f->off < s->size, "%s.%s", s->name, f->name);
			check_row((f->type == NULL) != (f->sub == NULL), "%s.%s", s->name, f->name);
			if (f->type)
				check_value_field(s, f);
			else
				check_row(known(f->sub), "%s.%s: unknown shape", s->name, f->name);
			check_row(f->op != MANY || (f->hi > 0 && f->hi <= 65536),
				"%s.%s: no ceiling", s->name, f->name);
		}
		check_row(!shape_field(s, "no_such_field"), "%s", s->name);
	}
}

/* A shape that held itself would let a peer choose how deep the reader goes. */
static unsigned depth_of(const struct shape *s, unsigned above)
{
	unsigned deepest = 0;

	check_row(above < 16, "shape %s is nested too deep, or in itself", s->name);
	for (uint32_t k = 0; k < s->count; k++)
		if (s->fields[k].sub) {
			unsigned d = depth_of(s->fields[k].sub, above + 1);

			d += s->fields[k].op == MANY;
			deepest = MAX(deepest, d);
		}
	return deepest + 1;
}

static void nesting_fits_a_frame(void **state UNUSED)
{
	/* two of a frame's sixteen levels are the frame's own */
	for (size_t i = 0; all_shapes[i]; i++)
		check_row(depth_of(all_shapes[i], 0) <= 14, "%s", all_shapes[i]->name);
}

static void letters_are_sound(void **state UNUSED)
{
	size_t talks = 0;

	for (unsigned i = 0; i < LETTER_COUNT; i++) {
		const struct letter_kind *k = &letter_kinds[i];

		check_row(k->method && k->method[0] && strlen(k->method) <= 64, "letter %u", i);
		check_row(utf8_valid(k->method, strlen(k->method)), "%s", k->method);
		check_row(k->doc && k->doc[0], "%s has no sentence", k->method);
		check_row(
			k->in && known(k->in) && k->out && known(k->out), "%s: shapes", k->method);
		check_row(k->way == ASK || k->out == &shape_nothing, "%s is told, yet answered",
			k->method);
		check_row(
			letter_by_method(k->method, strlen(k->method)) == i, "%s twice", k->method);
	}
	for (const struct talk *t = all_talks; t->name; t++)
		talks += t->count;
	assert_int_equal(talks, LETTER_COUNT);
}

/* Methods come from peers: any bytes, any length up to 64, NUL too. */
static void unknown_methods(void **state UNUSED)
{
	static const struct bytes rows[] = { { (const uint8_t *)"", 0 },
		{ (const uint8_t *)"pin", 3 }, { (const uint8_t *)"pingx", 5 },
		{ (const uint8_t *)"ping\0", 5 }, { (const uint8_t *)"Ping", 4 },
		{ (const uint8_t *)"ping\0ping ping ping ping ping", 29 },
		{ (const uint8_t *)"\xff\xfe", 2 } };

	for (size_t i = 0; i < COUNT(rows); i++)
		check_row(letter_by_method((const char *)rows[i].p, rows[i].n) == LETTER_COUNT,
			"row %zu", i);
	assert_int_equal(letter_by_method("ping of death", 4), LETTER_ping);
}

static void errors_cross_the_wire(void **state UNUSED)
{
	for (int i = 1; i < ERR_malformed; i++) {
		struct why why, back;
		struct error e;

		fail_field(&why, (enum err)i, i % 2 ? "name" : NULL, "it went wrong");
		if (i % 3)
			fail_hint(&why, "try again");
		e = error_of(&why);
		check_row(why_of(&e, &back) == (enum err)i, "%s", e.code);
		check_row(str_eq(back.field, why.field) && str_eq(back.text, why.text) &&
				str_eq(back.hint, why.hint), "%s", e.code);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { TEST(types_are_sound), TEST(words_are_plain),
		TEST(samples_fit_their_checks), TEST(shapes_are_sound), TEST(nesting_fits_a_frame),
		TEST(letters_are_sound), TEST(unknown_methods), TEST(errors_cross_the_wire) };

	return RUN(tests);
}
