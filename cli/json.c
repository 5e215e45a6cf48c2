/*
 * json.c - walks a shape and builds a document with jansson. Nothing is written per message.
 */
#include "cli/json.h"

#include "base/text.h"
#include "proto/proto.h"

static json_t *base64(const void *p, size_t n)
{
	size_t room = (n + 2) / 3 * 4 + 1;
	own_mem char *text = malloc(room);

	if (!text)
		return NULL;
	base64_of(text, room, p, n);
	return json_string(text);
}

static bool is_text(const struct type *t, const void *p)
{
	const char *s;

	if (t->base == BASE_BIN)
		return false;
	if (t->base != BASE_STR && t->base != BASE_OSSTR)
		return true;
	s = *(const char *const *)p;
	return utf8_valid(s, strlen(s));
}

static json_t *number(const struct type *t, uint64_t v)
{
	char text[32];

	if (t == &type_time) {
		show_time(text, sizeof(text), v);
		return json_string(text);
	}
	if (v <= INT64_MAX)
		return json_integer((json_int_t)v);
	snprintf(text, sizeof(text), "%llu", (unsigned long long)v); /* no JSON integer here */
	return json_string(text);
}

static json_t *value(const struct type *t, const void *p, bool as_base64)
{
	const struct bytes *b = p;
	const char *s;

	switch (t->base) {
	case BASE_BOOL:
		return json_boolean(*(const bool *)p);
	case BASE_U64:
		return number(t, *(const uint64_t *)p);
	case BASE_I64:
		return json_integer(*(const int64_t *)p);
	case BASE_ENUM:
		return json_string(t->names[*(const int *)p]);
	case BASE_STR:
	case BASE_OSSTR:
		s = *(const char *const *)p;
		return as_base64 ? base64(s, strlen(s)) : json_string(s);
	case BASE_BIN:
		return base64(b->p, b->n);
	}
	return NULL;
}

static json_t *list(const struct field *f, const struct any_list *l, bool as_base64)
{
	size_t each = value_size(f->type);
	json_t *a = json_array();

	for (uint32_t i = 0; i < l->n; i++)
		if (json_array_append_new(
			    a, value(f->type, (const uint8_t *)l->v + i * each, as_base64))) {
			json_decref(a);
			return NULL;
		}
	return a;
}

/* One element that is no UTF-8 makes the whole list base64: a reader looks at one key. */
static bool list_is_text(const struct field *f, const struct any_list *l)
{
	size_t each = value_size(f->type);

	for (uint32_t i = 0; i < l->n; i++)
		if (!is_text(f->type, (const uint8_t *)l->v + i * each))
			return false;
	return true;
}

static bool absent(const struct field *f, const void *obj, const void *p)
{
	switch (f->op) {
	case MAY:
		return !*(const bool *)((const uint8_t *)obj + f->has_off);
	case OPT: /* text and bytes both begin with a pointer */
	case OPTSUB:
		return *(const void *const *)p == NULL;
	case REQ:
	case LIST:
	case SUB:
	case MANY:
		break;
	}
	return false;
}

static json_t *field(const struct field *f, const void *p, bool *as_base64)
{
	const struct any_list *l = p;

	*as_base64 = false;
	switch (f->op) {
	case REQ:
	case OPT:
	case MAY:
		*as_base64 = !is_text(f->type, p);
		return value(f->type, p, *as_base64);
	case LIST:
		*as_base64 = !list_is_text(f, l);
		return list(f, l, *as_base64);
	case SUB:
		return json_of(f->sub, p);
	case OPTSUB:
		return json_of(f->sub, *(const void *const *)p);
	case MANY:
		return json_of_list(f->sub, l->v, l->n);
	}
	return NULL;
}

json_t *json_of(const struct shape *s, const void *obj)
{
	json_t *o = json_object();
	bool as_base64;
	char key[80];

	for (uint32_t i = 0; i < s->count; i++) {
		const struct field *f = &s->fields[i];
		const void *p = (const uint8_t *)obj + f->off;
		json_t *v;

		if (absent(f, obj, p))
			continue;
		v = field(f, p, &as_base64);
		snprintf(key, sizeof(key), "%s%s", f->name, as_base64 ? "_b64" : "");
		if (json_object_set_new(o, key, v)) {
			json_decref(o);
			return NULL;
		}
	}
	return o;
}

json_t *json_of_list(const struct shape *s, const void *v, uint32_t n)
{
	json_t *a = json_array();

	for (uint32_t i = 0; i < n; i++)
		if (json_array_append_new(a, json_of(s, (const uint8_t *)v + i * s->size))) {
			json_decref(a);
			return NULL;
		}
	return a;
}

json_t *json_of_error(const struct why *why)
{
	struct error e = error_of(why);

	return json_pack("{s:o}", "error", json_of(&shape_error, &e));
}

void json_add(json_t **all, json_t *v)
{
	if (*all && json_array_append_new(*all, v) == 0)
		return;
	if (!*all)
		json_decref(v);
	json_decref(*all);
	*all = NULL;
}

void json_set(json_t **all, const char *key, json_t *v)
{
	if (*all && json_object_set_new(*all, key, v) == 0)
		return;
	if (!*all)
		json_decref(v);
	json_decref(*all);
	*all = NULL;
}

/*
 * Straight to the file: jansson's own buffer loses keys when it cannot grow. Fractions are of
 * milliseconds, and end with the microsecond.
 */
static bool dump(FILE *f, json_t *doc, size_t how)
{
	bool good = doc && json_dumpf(doc, f, how | JSON_ENCODE_ANY | JSON_REAL_PRECISION(12)) == 0;

	if (!good)
		fputs("{\"error\": {\"code\": \"no_memory\", \"message\": \"no memory\"}}", f);
	fputc('\n', f);
	json_decref(doc);
	return good;
}

void json_print(struct cli *c, json_t *doc)
{
	if (!dump(stdout, doc, JSON_INDENT(2)))
		c->no_memory = true;
}

void json_print_line(FILE *f, json_t *doc)
{
	dump(f, doc, JSON_COMPACT);
	fflush(f);
}

void json_error(FILE *f, const struct why *why)
{
	dump(f, json_of_error(why), JSON_INDENT(2));
}
