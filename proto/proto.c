/*
 * proto.c - the tables of proto/ (the .def files) as data: types, shapes, letters.
 * Nothing here is written per message; a new row in a .def file is all that a new message takes.
 */
#include "proto/proto.h"

#include "proto/check.h"

/* Types. */
#define T(name, base, lo, hi, check, doc) \
	const struct type type_##name = { #name, BASE_##base, lo, hi, check, NULL, 0, doc };
#define W(name, doc)                                                                       \
	static const char *const words_##name[] = { WORDS_##name(AS_TEXT) };              \
	const struct type type_##name = { #name, BASE_ENUM, 0, 0, NULL, words_##name,     \
		COUNT(words_##name), doc };
#define AS_TEXT(list, word) #word,
#include "proto/types.def"
#undef T
#undef W

const struct type *const all_types[] = {
#define T(name, base, lo, hi, check, doc) &type_##name,
#define W(name, doc) &type_##name,
#include "proto/types.def"
#undef T
#undef W
	NULL
};

/* Shapes. */
#define OFF(S, name) offsetof(struct S, name)
#define FIELD_REQ(S, t, f, lo, hi, doc) FIELD(REQ, f, &type_##t, NULL, OFF(S, f), 0, lo, hi, doc)
#define FIELD_OPT(S, t, f, lo, hi, doc) FIELD(OPT, f, &type_##t, NULL, OFF(S, f), 0, lo, hi, doc)
#define FIELD_MAY(S, t, f, lo, hi, doc) \
	FIELD(MAY, f, &type_##t, NULL, OFF(S, f), OFF(S, has_##f), lo, hi, doc)
#define FIELD_LIST(S, t, f, lo, hi, doc) FIELD(LIST, f, &type_##t, NULL, OFF(S, f), 0, lo, hi, doc)
#define FIELD_SUB(S, s, f, lo, hi, doc) FIELD(SUB, f, NULL, &shape_##s, OFF(S, f), 0, lo, hi, doc)
#define FIELD_OPTSUB(S, s, f, lo, hi, doc) \
	FIELD(OPTSUB, f, NULL, &shape_##s, OFF(S, f), 0, lo, hi, doc)
#define FIELD_MANY(S, s, f, lo, hi, doc) \
	FIELD(MANY, f, NULL, &shape_##s, OFF(S, f), 0, lo, hi, doc)
#define FIELD(op, f, type, sub, off, has_off, lo, hi, doc) \
	{ #f, op, type, sub, off, has_off, lo, hi, doc, sizeof(#f) - 1 },

#define AS_FIELD(S, op, type, name, lo, hi, doc) FIELD_##op(S, type, name, lo, hi, doc)
#define AS_SHAPE(name, doc)                                                                     \
	static const struct field fields_##name[] = { SHAPE_##name(AS_FIELD, name){ 0 } };      \
	const struct shape shape_##name = { #name, sizeof(struct name), COUNT(fields_##name) - 1, \
		fields_##name, doc };
ALL_SHAPES(AS_SHAPE)
#undef AS_SHAPE

const struct shape *const all_shapes[] = {
#define AS_POINTER(name, doc) &shape_##name,
	ALL_SHAPES(AS_POINTER)
#undef AS_POINTER
	NULL
};

/* Letters. */
const struct letter_kind letter_kinds[LETTER_COUNT] = {
#define AS_KIND(id, method, way, in, out, doc) \
	[LETTER_##id] = { method, way, &shape_##in, &shape_##out, doc },
#define AS_TALK(name, LETTERS) LETTERS(AS_KIND)
	ALL_TALKS(AS_TALK)
#undef AS_TALK
#undef AS_KIND
};

#define AS_ONE(id, method, way, in, out, doc) +1
const struct talk all_talks[] = {
#define AS_TALK(name, LETTERS) { #name, 0 LETTERS(AS_ONE) },
	ALL_TALKS(AS_TALK)
#undef AS_TALK
	{ NULL, 0 }
};

enum letter_id letter_by_method(const char *method, size_t n)
{
	for (unsigned i = 0; i < LETTER_COUNT; i++)
		if (strlen(letter_kinds[i].method) == n &&
			memcmp(letter_kinds[i].method, method, n) == 0)
			return (enum letter_id)i;
	return LETTER_COUNT;
}

struct error error_of(const struct why *why)
{
	enum err code = why->code == OK || why->code == ERR_malformed ? ERR_internal : why->code;

	return (struct error){
		.code = err_name(code),
		.message = why->text,
		.field = why->field[0] ? why->field : NULL,
		.hint = why->hint[0] ? why->hint : NULL,
	};
}

enum err why_of(const struct error *e, struct why *why)
{
	enum err code = err_by_name(e->code);

	fail_field(why, code, e->field, "%s", e->message);
	if (e->hint)
		fail_hint(why, "%s", e->hint);
	return code;
}
