/*
 * letter/shape.h - what a message looks like, as data; and the one interpreter that reads it.
 *
 * proto/ declares structs by tables of fields; each table also becomes a struct shape. From the
 * shape alone a message is packed, decoded strictly, checked, printed and documented. No code
 * exists per message.
 *
 * How fields appear in the C struct:
 *   bool, u64, i64, enum    the value; an optional one (MAY) has `bool has_<name>` beside it
 *   str, osstr              const char *, NUL-terminated; NULL when optional and absent
 *   bin                     struct bytes; p is NULL when optional and absent
 *   list of a type          struct { T *v; uint32_t n; }, empty when absent
 *   nested shape            the struct itself, or a pointer (NULL when absent) if optional
 *   list of a shape         struct { struct S *v; uint32_t n; }
 * Decoded strings and lists live in the arena; bin points into the message.
 */
#ifndef LETTER_SHAPE_H
#define LETTER_SHAPE_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "letter/mp.h"

enum base_type {
	BASE_BOOL,
	BASE_U64,
	BASE_I64,
	BASE_ENUM, /* str on the wire, int in C: index into names */
	BASE_STR, /* UTF-8 without NUL */
	BASE_OSSTR, /* bytes without NUL (paths, argv): str where UTF-8, else bin */
	BASE_BIN
};

/* What is wrong with a string, or NULL when it is right. s is NUL-terminated, n its length. */
typedef const char *type_check(const char *s, size_t n);

struct type {
	const char *name;
	enum base_type base;
	int64_t lo; /* least value, or least length in bytes */
	uint64_t hi; /* greatest value, or greatest length in bytes */
	type_check *check; /* may be NULL */
	const char *const *names; /* BASE_ENUM */
	uint32_t names_n;
	const char *doc;
};

enum field_op {
	REQ, /* one value, must be there */
	OPT, /* text or bytes that may be absent (NULL) */
	MAY, /* number, bool or enum that may be absent (has_<name> is false) */
	LIST, /* values; absent means empty unless the least count is over 0 */
	SUB, /* nested shape, must be there */
	OPTSUB, /* nested shape, may be absent */
	MANY /* list of nested shapes */
};

struct shape;

struct field {
	const char *name;
	enum field_op op;
	const struct type *type; /* REQ, OPT, MAY, LIST */
	const struct shape *sub; /* SUB, OPTSUB, MANY */
	uint32_t off, has_off; /* has_off: MAY */
	int64_t lo; /* narrows the type's range, or counts of LIST and MANY; 0,0 = as the type */
	uint64_t hi;
	const char *doc;
	uint32_t name_n; /* strlen(name) */
};

struct shape {
	const char *name;
	uint32_t size; /* of the C struct */
	uint32_t count;
	const struct field *fields;
	const char *doc;
};

struct any_list { /* what every LIST and MANY member looks like */
	void *v;
	uint32_t n;
};

enum strictness {
	STRICT, /* unknown keys are refused: requests, records */
	LENIENT /* unknown keys are passed over: results and notifications (row A6) */
};

/*
 * Packs obj as one map. Absent optionals are left out, empty lists are not. Breaking a range or
 * check here is our own bug (the pair of the check on the way in), refused with ERR_internal.
 */
enum err shape_pack(const struct shape *s, const void *obj, struct buf *out,
	struct why *why) MUST_CHECK;

/*
 * Reads one map that fills the cursor exactly. obj (s->size bytes) is zeroed first. Errors name the
 * offending field. Nothing is allocated but from the arena, and only for elements that are there.
 */
enum err shape_read(const struct shape *s, struct mp in, enum strictness strict, struct arena *a,
	void *obj, struct why *why) MUST_CHECK;

/* Deep copy into the arena's memory; obj becomes independent of the message it came from. */
enum err shape_copy(const struct shape *s, const void *from, void *to, struct arena *a,
	struct why *why) MUST_CHECK;

/* The type's own check on a C string, with the field named in why. */
enum err type_ok(const struct type *t, const char *field, const char *s,
	struct why *why) MUST_CHECK;

const struct field *shape_field(const struct shape *s, const char *name);
int type_enum(const struct type *t, const char *word); /* -1 when unknown */

/* Bytes of one value of the type in C. */
size_t value_size(const struct type *t);

#endif
