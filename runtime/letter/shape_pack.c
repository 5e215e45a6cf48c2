/*
 * shape_pack.c - struct to bytes: walks a shape and packs with msgpack-c.
 *
 * Checks on the way out what the reader checks on the way in, so that a wrong value is found at
 * its maker's.
 */
#include "letter/pack.h"
#include "letter/shape.h"

#include "base/text.h"

/* A packer is made where it is used: the compiler then sees its callback, and inlines it. */
struct out {
	struct buf *out;
	struct why *why;
};

static enum err pack_shape(struct out *o, const struct shape *s, const void *obj);

static const void *at(const void *obj, uint32_t off)
{
	return (const uint8_t *)obj + off;
}

static bool absent_option(const struct field *f, const void *obj)
{
	if (f->op == OPTSUB)
		return *(void *const *)at(obj, f->off) == NULL;
	if (f->op == MAY)
		return !*(const bool *)at(obj, f->has_off);
	if (f->type->base == BASE_BIN)
		return ((const struct bytes *)at(obj, f->off))->p == NULL;
	return *(const char *const *)at(obj, f->off) == NULL;
}

static inline bool absent(const struct field *f, const void *obj)
{
	return (f->op == OPT || f->op == MAY || f->op == OPTSUB) && absent_option(f, obj);
}

static enum err bug(struct out *o, const struct field *f, const char *what)
{
	return fail_field(o->why, ERR_internal, f->name, "cannot send '%s': %s", f->name, what);
}

static enum err pack_text(struct out *o, const struct field *f, const char *s)
{
	const struct type *t = f->type;
	uint64_t hi = f->hi && f->op != LIST ? f->hi : t->hi;
	msgpack_packer pk = packer_on(o->out);
	const char *bad = NULL;
	size_t n;

	if (!s)
		return bug(o, f, "no value");
	n = strlen(s);
	if (n > hi || n < (uint64_t)t->lo)
		return bug(o, f, "length");
	if (t->check && (bad = t->check(s, n)) != NULL)
		return bug(o, f, bad);
	if (utf8_valid(s, n))
		pack_str(&pk, s, n);
	else if (t->base == BASE_OSSTR)
		pack_bin(&pk, s, n);
	else
		return bug(o, f, "not UTF-8");
	return OK;
}

static enum err pack_value(struct out *o, const struct field *f, const void *p)
{
	const struct type *t = f->type;
	bool own = f->op != LIST && (f->lo || f->hi);
	uint64_t hi = own ? f->hi : t->hi;
	int64_t lo = own ? f->lo : t->lo;
	msgpack_packer pk = packer_on(o->out);

	switch (t->base) {
	case BASE_BOOL:
		if (*(const bool *)p)
			msgpack_pack_true(&pk);
		else
			msgpack_pack_false(&pk);
		return OK;
	case BASE_U64:
		if (*(const uint64_t *)p > hi || *(const uint64_t *)p < (uint64_t)lo)
			return bug(o, f, "out of range");
		msgpack_pack_uint64(&pk, *(const uint64_t *)p);
		return OK;
	case BASE_I64:
		if (*(const int64_t *)p > (int64_t)hi || *(const int64_t *)p < lo)
			return bug(o, f, "out of range");
		msgpack_pack_int64(&pk, *(const int64_t *)p);
		return OK;
	case BASE_ENUM:
		if (*(const unsigned *)p >= t->names_n)
			return bug(o, f, "not one of its words");
		pack_str(&pk, t->names[*(const unsigned *)p],
			strlen(t->names[*(const unsigned *)p]));
		return OK;
	case BASE_STR:
	case BASE_OSSTR:
		return pack_text(o, f, *(const char *const *)p);
	case BASE_BIN:
		if (((const struct bytes *)p)->n > hi)
			return bug(o, f, "length");
		pack_bin(&pk, ((const struct bytes *)p)->p, ((const struct bytes *)p)->n);
		return OK;
	}
	return bug(o, f, "type");
}

static enum err pack_many(struct out *o, const struct field *f, const struct any_list *l)
{
	size_t each = f->op == MANY ? f->sub->size : value_size(f->type);
	msgpack_packer pk = packer_on(o->out);

	if (l->n < (uint64_t)f->lo || l->n > f->hi)
		return bug(o, f, "count");
	msgpack_pack_array(&pk, l->n);
	for (uint32_t i = 0; i < l->n; i++) {
		const void *p = (const uint8_t *)l->v + i * each;
		enum err e = f->op == MANY ? pack_shape(o, f->sub, p) : pack_value(o, f, p);

		if (e)
			return e;
	}
	return OK;
}

static enum err pack_field(struct out *o, const struct field *f, const void *obj)
{
	const void *p = at(obj, f->off);

	pack_key(o->out, f->name, f->name_n);
	switch (f->op) {
	case REQ:
	case OPT:
	case MAY:
		return pack_value(o, f, p);
	case LIST:
	case MANY:
		return pack_many(o, f, p);
	case SUB:
		return pack_shape(o, f->sub, p);
	case OPTSUB:
		return pack_shape(o, f->sub, *(void *const *)p);
	}
	return bug(o, f, "kind");
}

static enum err pack_shape(struct out *o, const struct shape *s, const void *obj)
{
	msgpack_packer pk = packer_on(o->out);
	uint32_t there = 0;

	for (uint32_t i = 0; i < s->count; i++)
		there += !absent(&s->fields[i], obj);
	msgpack_pack_map(&pk, there);
	for (uint32_t i = 0; i < s->count; i++) {
		enum err e;

		if (absent(&s->fields[i], obj))
			continue;
		e = pack_field(o, &s->fields[i], obj);
		if (e)
			return e;
	}
	return OK;
}

enum err shape_pack(const struct shape *s, const void *obj, struct buf *out, struct why *why)
{
	struct out o = { out, why };
	enum err e = pack_shape(&o, s, obj);

	if (e)
		return e;
	if (out->failed)
		return fail(why, ERR_too_large, "message '%s' is over its ceiling", s->name);
	return OK;
}
