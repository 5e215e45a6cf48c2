/*
 * shape_read.c - bytes to struct, strictly: walks a shape over a cursor.
 *
 * Invariants: a key is matched once (a second one is refused); a list is allocated only after its
 * count was checked against both its ceiling and the bytes that are left; nesting follows the
 * shapes, whose depth the tables fix.
 */
#include "letter/shape.h"

#include "base/log.h"
#include "base/text.h"

struct in {
	struct mp c;
	enum strictness strict;
	struct arena *a;
	struct why *why;
};

static enum err read_shape(struct in *in, const struct shape *s, void *obj);

static enum err wrong_type(struct in *in, const struct field *f, const char *want)
{
	return fail_field(in->why, ERR_invalid_type, f->name, "'%s' must be %s", f->name, want);
}

static enum err no_memory(struct in *in, const struct field *f)
{
	return fail_field(in->why, ERR_no_memory, f->name, "no memory to read '%s'", f->name);
}

static void range_of(const struct field *f, int64_t *lo, uint64_t *hi)
{
	bool own = f->op != LIST && (f->lo || f->hi);

	*lo = own ? f->lo : f->type->lo;
	*hi = own ? f->hi : f->type->hi;
}

static enum err read_u64(struct in *in, const struct field *f, uint64_t *ret)
{
	uint64_t hi;
	int64_t lo;

	range_of(f, &lo, &hi);
	if (mp_u64(&in->c, ret)) {
		if (*ret >= (uint64_t)lo && *ret <= hi)
			return OK;
	} else if (mp_peek(&in->c) != MP_INT) {
		return wrong_type(in, f, "a whole number");
	}
	return fail_field(in->why, ERR_invalid_value, f->name, "'%s' must be %lld to %llu", f->name,
		(long long)lo, (unsigned long long)hi);
}

static enum err read_i64(struct in *in, const struct field *f, int64_t *ret)
{
	uint64_t hi;
	int64_t lo;

	range_of(f, &lo, &hi);
	if (!mp_i64(&in->c, ret)) {
		if (mp_peek(&in->c) != MP_UINT)
			return wrong_type(in, f, "a whole number");
	} else if (*ret >= lo && *ret <= (int64_t)hi) {
		return OK;
	}
	return fail_field(in->why, ERR_invalid_value, f->name, "'%s' must be %lld to %llu", f->name,
		(long long)lo, (unsigned long long)hi);
}

static enum err read_enum(struct in *in, const struct field *f, int *ret)
{
	struct bytes b;
	char list[160] = "";

	if (!mp_str(&in->c, &b))
		return wrong_type(in, f, "a string");
	for (uint32_t i = 0; i < f->type->names_n; i++) {
		const char *name = f->type->names[i];

		if (strlen(name) == b.n && memcmp(name, b.p, b.n) == 0) {
			*ret = (int)i;
			return OK;
		}
		if (strlen(list) + strlen(name) + 3 < sizeof(list)) {
			strcat(list, i ? ", " : "");
			strcat(list, name);
		}
	}
	return fail_field(in->why, ERR_invalid_value, f->name, "'%s' must be one of: %s", f->name,
		list);
}

enum err type_ok(const struct type *t, const char *field, const char *s, struct why *why)
{
	const char *bad;
	size_t n = strlen(s);

	if (n < (uint64_t)t->lo)
		return fail_field(why, ERR_invalid_value, field, n ? "'%s' is too short" :
									"'%s' is empty", field);
	if (n > t->hi)
		return fail_field(why, ERR_too_large, field, "'%s' is longer than %llu bytes",
			field, (unsigned long long)t->hi);
	if (t->base == BASE_STR && !utf8_valid(s, n))
		return fail_field(why, ERR_invalid_value, field, "'%s' is not UTF-8", field);
	if (t->check && (bad = t->check(s, n)) != NULL)
		return fail_field(why, ERR_invalid_value, field, "'%s' %s", field, bad);
	return OK;
}

static enum err read_text(struct in *in, const struct field *f, const char **ret)
{
	const struct type *t = f->type;
	struct bytes b;
	uint64_t hi;
	int64_t lo;

	range_of(f, &lo, &hi);
	if (mp_str(&in->c, &b)) {
		if (!utf8_valid(b.p, b.n))
			return fail_field(in->why, ERR_invalid_value, f->name,
				"'%s' holds NUL or is not UTF-8", f->name);
	} else if (t->base != BASE_OSSTR || !mp_bin(&in->c, &b)) {
		return wrong_type(in, f, "a string");
	} else if (memchr(b.p, 0, b.n)) {
		return fail_field(in->why, ERR_invalid_value, f->name, "'%s' holds NUL", f->name);
	}
	if (b.n > hi)
		return fail_field(in->why, ERR_too_large, f->name,
			"'%s' is longer than %llu bytes", f->name, (unsigned long long)hi);
	*ret = arena_strn(in->a, b.p, b.n);
	if (!*ret)
		return no_memory(in, f);
	return type_ok(t, f->name, *ret, in->why);
}

static enum err read_bin(struct in *in, const struct field *f, struct bytes *ret)
{
	uint64_t hi;
	int64_t lo;

	range_of(f, &lo, &hi);
	if (!mp_bin(&in->c, ret))
		return wrong_type(in, f, "bytes");
	if (ret->n > hi)
		return fail_field(in->why, ERR_too_large, f->name,
			"'%s' is longer than %llu bytes", f->name, (unsigned long long)hi);
	if (ret->n < (uint64_t)lo)
		return fail_field(in->why, ERR_invalid_value, f->name,
			"'%s' is shorter than %lld bytes", f->name, (long long)lo);
	return OK;
}

static enum err read_value(struct in *in, const struct field *f, void *p)
{
	switch (f->type->base) {
	case BASE_BOOL:
		return mp_bool(&in->c, p) ? OK : wrong_type(in, f, "true or false");
	case BASE_U64:
		return read_u64(in, f, p);
	case BASE_I64:
		return read_i64(in, f, p);
	case BASE_ENUM:
		return read_enum(in, f, p);
	case BASE_STR:
	case BASE_OSSTR:
		return read_text(in, f, p);
	case BASE_BIN:
		return read_bin(in, f, p);
	}
	return fail(in->why, ERR_internal, "no such base type");
}

static enum err read_many(struct in *in, const struct field *f, struct any_list *l)
{
	size_t each = f->op == MANY ? f->sub->size : value_size(f->type);
	uint32_t n;

	if (mp_peek(&in->c) != MP_ARRAY)
		return wrong_type(in, f, "an array");
	if (!mp_array(&in->c, &n) || n > f->hi)
		return fail_field(in->why, ERR_too_large, f->name,
			"'%s' may hold at most %llu elements", f->name, (unsigned long long)f->hi);
	if (n < (uint64_t)f->lo)
		return fail_field(in->why, ERR_invalid_value, f->name,
			"'%s' must hold at least %lld elements", f->name, (long long)f->lo);
	if (n == 0)
		return OK;
	l->v = arena_take(in->a, n * each);
	if (!l->v)
		return no_memory(in, f);
	for (l->n = 0; l->n < n; l->n++) {
		void *p = (uint8_t *)l->v + l->n * each;
		enum err e = f->op == MANY ? read_shape(in, f->sub, p) : read_value(in, f, p);

		if (e)
			return e;
	}
	return OK;
}

static enum err read_field(struct in *in, const struct field *f, void *obj)
{
	void *p = (uint8_t *)obj + f->off;
	void *sub;

	switch (f->op) {
	case MAY:
		*(bool *)((uint8_t *)obj + f->has_off) = true;
		return read_value(in, f, p);
	case REQ:
	case OPT:
		return read_value(in, f, p);
	case LIST:
	case MANY:
		return read_many(in, f, p);
	case SUB:
		return read_shape(in, f->sub, p);
	case OPTSUB:
		sub = arena_take(in->a, MAX(f->sub->size, 1u));
		if (!sub)
			return no_memory(in, f);
		*(void **)p = sub;
		return read_shape(in, f->sub, sub);
	}
	return fail(in->why, ERR_internal, "no such field kind");
}

/* Passes the key that is due next, as writers keep the order; false when it is another. */
static bool key_due(struct mp *c, const struct field *f)
{
	const uint8_t *p = c->p;
	uint32_t i = 0;

	if ((size_t)(c->end - p) <= f->name_n || f->name_n >= 32 || p[0] != (0xa0 | f->name_n))
		return false;
	while (i < f->name_n && p[i + 1] == (uint8_t)f->name[i])
		i++;
	if (i < f->name_n)
		return false;
	c->p += i + 1;
	return true;
}

/* The field that the key names; `hint` is where to look first, since writers keep the order. */
static const struct field *match(const struct shape *s, struct bytes key, uint32_t hint)
{
	for (uint32_t i = 0; i < s->count; i++) {
		const struct field *f = &s->fields[(hint + i) % s->count];

		if (f->name_n == key.n && memcmp(f->name, key.p, key.n) == 0)
			return f;
	}
	return NULL;
}

static enum err unknown_key(struct in *in, const struct shape *s, struct bytes key)
{
	const char *names[64], *near;
	char shown[64];

	log_escape(shown, sizeof(shown), key.p, MIN(key.n, (size_t)48));
	for (uint32_t i = 0; i < s->count; i++)
		names[i] = s->fields[i].name;
	near = nearest(shown, names, s->count);
	fail_field(in->why, ERR_unknown_field, shown, "'%s' knows no field '%s'", s->name, shown);
	if (near)
		fail_hint(in->why, "did you mean '%s'?", near);
	return ERR_unknown_field;
}

static enum err check_missing(struct in *in, const struct shape *s, uint64_t seen)
{
	for (uint32_t i = 0; i < s->count; i++) {
		const struct field *f = &s->fields[i];
		bool due = f->op == REQ || f->op == SUB ||
			   ((f->op == LIST || f->op == MANY) && f->lo > 0);

		if (due && !(seen >> i & 1))
			return fail_field(in->why, ERR_missing_field, f->name,
				"'%s' is missing", f->name);
	}
	return OK;
}

static enum err read_shape(struct in *in, const struct shape *s, void *obj)
{
	uint64_t seen = 0;
	uint32_t pairs, hint = 0;

	must(s->count <= 64);
	if (!mp_map(&in->c, &pairs))
		return fail(in->why, ERR_invalid_type, "'%s' must be a map", s->name);
	for (uint32_t i = 0; i < pairs; i++) {
		const struct field *f = &s->fields[hint];
		struct bytes key;
		enum err e;

		if (hint >= s->count || !key_due(&in->c, f)) {
			if (!mp_str(&in->c, &key))
				return fail(in->why, ERR_invalid_type,
					"keys of '%s' must be strings", s->name);
			f = match(s, key, hint);
			if (!f && in->strict == STRICT)
				return unknown_key(in, s, key);
			if (!f && !mp_skip(&in->c))
				return fail(in->why, ERR_invalid_type, "unreadable value");
			if (!f)
				continue;
		}
		if (seen >> (f - s->fields) & 1)
			return fail_field(in->why, ERR_invalid_value, f->name,
				"'%s' is there twice", f->name);
		seen |= 1ull << (f - s->fields);
		e = read_field(in, f, obj);
		if (e)
			return e;
		hint = (uint32_t)(f - s->fields) + 1;
	}
	if (s->count > 0 && seen == UINT64_MAX >> (64 - s->count))
		return OK;
	return check_missing(in, s, seen);
}

enum err shape_read(const struct shape *s, struct mp c, enum strictness strict, struct arena *a,
	void *obj, struct why *why)
{
	struct in in = { c, strict, a, why };
	enum err e;

	memset(obj, 0, s->size);
	e = read_shape(&in, s, obj);
	if (!e && in.c.p != in.c.end)
		e = fail(why, ERR_invalid_type, "bytes are left after '%s'", s->name);
	return e;
}

enum err shape_copy(const struct shape *s, const void *from, void *to, struct arena *a,
	struct why *why)
{
	own_buf b = { .max = 4 * MiB };
	uint8_t *keep;
	enum err e = shape_pack(s, from, &b, why);

	if (e)
		return e;
	keep = arena_take(a, b.n); /* bins point here */
	if (!keep)
		return fail(why, ERR_no_memory, "no memory to keep '%s'", s->name);
	memcpy(keep, b.p, b.n);
	return shape_read(s, mp_over(keep, b.n), STRICT, a, to, why);
}

const struct field *shape_field(const struct shape *s, const char *name)
{
	return match(s, (struct bytes){ (const uint8_t *)name, strlen(name) }, 0);
}

int type_enum(const struct type *t, const char *word)
{
	for (uint32_t i = 0; i < t->names_n; i++)
		if (str_eq(t->names[i], word))
			return (int)i;
	return -1;
}

size_t value_size(const struct type *t)
{
	switch (t->base) {
	case BASE_BOOL:
		return sizeof(bool);
	case BASE_U64:
	case BASE_I64:
		return sizeof(uint64_t);
	case BASE_ENUM:
		return sizeof(int);
	case BASE_STR:
	case BASE_OSSTR:
		return sizeof(char *);
	case BASE_BIN:
		return sizeof(struct bytes);
	}
	return 0;
}
