/*
 * yaml.c - libyaml's events into a struct, by its shape.
 *
 * Invariants: nesting follows the shapes, whose depth the tables fix; one event is held at a time;
 * nothing is stored before it was checked. It never guesses a type: the shape tells it.
 */
#include "conf/yaml.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <yaml.h>

#include "base/log.h"
#include "base/text.h"
#include "proto/proto.h"

struct reader {
	yaml_parser_t parser;
	yaml_event_t ev;
	bool held; /* ev holds an event */
	const char *file;
	struct arena *a;
	yaml_check_fn *check; /* may be NULL */
	void *check_ctx;
	struct why *why;
};

static enum err read_map(struct reader *r, const struct shape *s, void *obj, uint32_t *lines);

/* Puts file:line:column before the failure that is in why. */
static enum err locate(struct reader *r, yaml_mark_t m)
{
	char text[sizeof(r->why->text)];

	if (!r->why)
		return ERR_invalid_value;
	str_copy(text, sizeof(text), r->why->text);
	snprintf(r->why->text, sizeof(r->why->text), "%.150s:%zu:%zu: %.200s", r->file, m.line + 1,
		m.column + 1, text);
	return r->why->code;
}

static enum err wrong(struct reader *r, yaml_mark_t m, const struct field *f, const char *want)
{
	fail_field(r->why, ERR_invalid_type, f->name, "'%s' must be %s", f->name, want);
	return locate(r, m);
}

static enum err next(struct reader *r)
{
	if (r->held)
		yaml_event_delete(&r->ev);
	r->held = false;
	if (!yaml_parser_parse(&r->parser, &r->ev)) {
		yaml_mark_t m = r->parser.problem_mark;

		if (r->parser.error == YAML_MEMORY_ERROR)
			return fail(r->why, ERR_no_memory, "no memory to read %.200s", r->file);
		fail(r->why, ERR_invalid_value, "%s",
			r->parser.problem ? r->parser.problem : "not YAML");
		return locate(r, m);
	}
	r->held = true;
	return OK;
}

/* Anchors, aliases and tags of the event in hand are refused. */
static enum err plain(struct reader *r)
{
	const yaml_char_t *anchor = NULL, *tag = NULL;

	if (r->ev.type == YAML_SCALAR_EVENT) {
		anchor = r->ev.data.scalar.anchor;
		tag = r->ev.data.scalar.tag;
	} else if (r->ev.type == YAML_SEQUENCE_START_EVENT) {
		anchor = r->ev.data.sequence_start.anchor;
		tag = r->ev.data.sequence_start.tag;
	} else if (r->ev.type == YAML_MAPPING_START_EVENT) {
		anchor = r->ev.data.mapping_start.anchor;
		tag = r->ev.data.mapping_start.tag;
	}
	if (r->ev.type != YAML_ALIAS_EVENT && !anchor && !tag)
		return OK;
	fail(r->why, ERR_unsupported, "%s are not allowed here",
		tag ? "tags" : "anchors and aliases");
	return locate(r, r->ev.start_mark);
}

static enum err next_plain(struct reader *r)
{
	enum err e = next(r);

	return e ? e : plain(r);
}

static enum err parse_i64(const char *s, int64_t *ret, struct why *why)
{
	bool minus = s[0] == '-';
	uint64_t v;
	enum err e = parse_u64(s + minus, &v, why);

	if (e)
		return e;
	if (v > (uint64_t)INT64_MAX)
		return fail(why, ERR_invalid_value, "'%.40s' is too large", s);
	*ret = minus ? -(int64_t)v : (int64_t)v;
	return OK;
}

/* Numbers by what they mean. 010 is refused, since some read it as 8. */
static enum err parse_number(const struct type *t, const char *s, uint64_t *ret, struct why *why)
{
	if (s[0] == '0' && s[1] >= '0' && s[1] <= '9')
		return fail(why, ERR_invalid_value, "'%.40s' begins with a needless 0", s);
	if (t == &type_size)
		return parse_size(s, ret, why);
	if (t == &type_ms && strspn(s, "0123456789") != strlen(s))
		return parse_duration(s, ret, why);
	return parse_u64(s, ret, why);
}

static enum err read_u64(struct reader *r, const struct field *f, const char *s, uint64_t *ret)
{
	bool own = f->op != LIST && (f->lo || f->hi);
	uint64_t lo = (uint64_t)(own ? f->lo : f->type->lo), hi = own ? f->hi : f->type->hi;
	char least[32], most[32];
	enum err e = parse_number(f->type, s, ret, r->why);

	if (e)
		return locate(r, r->ev.start_mark);
	if (*ret >= lo && *ret <= hi)
		return OK;
	snprintf(least, sizeof(least), "%llu", (unsigned long long)lo);
	snprintf(most, sizeof(most), "%llu", (unsigned long long)hi);
	if (f->type == &type_size) {
		show_size(least, sizeof(least), lo);
		show_size(most, sizeof(most), hi);
	} else if (f->type == &type_ms) {
		show_duration(least, sizeof(least), lo);
		show_duration(most, sizeof(most), hi);
	}
	fail_field(
		r->why, ERR_invalid_value, f->name, "'%s' must be %s to %s", f->name, least, most);
	return locate(r, r->ev.start_mark);
}

static enum err read_word(struct reader *r, const struct field *f, const char *s, int *ret)
{
	const char *near;

	*ret = type_enum(f->type, s);
	if (*ret >= 0)
		return OK;
	near = nearest(s, f->type->names, f->type->names_n);
	fail_field(r->why, ERR_invalid_value, f->name, "'%s' may not be '%.40s'", f->name, s);
	if (near)
		fail_hint(r->why, "did you mean '%s'?", near);
	return locate(r, r->ev.start_mark);
}

static enum err read_text(struct reader *r, const struct field *f, const char *s, const char **ret)
{
	enum err e = type_ok(f->type, f->name, s, r->why);

	if (e)
		return locate(r, r->ev.start_mark);
	*ret = arena_str(r->a, s);
	return *ret ? OK : fail(r->why, ERR_no_memory, "no memory to read %.200s", r->file);
}

/* The event in hand is the value. */
static enum err read_scalar(struct reader *r, const struct field *f, void *p)
{
	const char *s = (const char *)r->ev.data.scalar.value;
	yaml_mark_t m = r->ev.start_mark;
	bool bare;

	if (r->ev.type != YAML_SCALAR_EVENT)
		return wrong(r, m, f, "one value");
	if (strlen(s) != r->ev.data.scalar.length)
		return wrong(r, m, f, "text without NUL");
	bare = r->ev.data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
	if (bare && (s[0] == '\0' || str_eq(s, "~") || str_eq(s, "null")))
		return wrong(r, m, f, "given a value, or its line left out");
	switch (f->type->base) {
	case BASE_BOOL:
		if (!bare || (!str_eq(s, "true") && !str_eq(s, "false")))
			return wrong(r, m, f, "true or false");
		*(bool *)p = str_eq(s, "true");
		return OK;
	case BASE_U64:
		if (!bare)
			return wrong(r, m, f, "a number without quotes");
		return read_u64(r, f, s, p);
	case BASE_I64:
		if (!bare)
			return wrong(r, m, f, "a number without quotes");
		return parse_i64(s, p, r->why) ? locate(r, m) : OK;
	case BASE_ENUM:
		return read_word(r, f, s, p);
	case BASE_STR:
	case BASE_OSSTR:
		return read_text(r, f, s, p);
	case BASE_BIN:
		break;
	}
	return wrong(r, m, f, "left out: bytes cannot stand in a file");
}

/* One more element of `each` bytes behind l->n; a full list moves to twice the room. */
static void *grow(struct reader *r, struct any_list *l, uint32_t *cap, size_t each)
{
	uint32_t want = *cap ? *cap * 2 : 4;
	void *v;

	if (l->n < *cap)
		return (uint8_t *)l->v + l->n * each;
	v = arena_take(r->a, want * each);
	if (!v)
		return NULL;
	if (l->n > 0)
		memcpy(v, l->v, l->n * each);
	l->v = v;
	*cap = want;
	return (uint8_t *)v + l->n * each;
}

static enum err read_list(struct reader *r, const struct field *f, struct any_list *l)
{
	size_t each = f->op == MANY ? f->sub->size : value_size(f->type);
	yaml_mark_t m = r->ev.start_mark;
	uint32_t cap = 0;
	enum err e;

	if (r->ev.type != YAML_SEQUENCE_START_EVENT)
		return wrong(r, m, f, "a list");
	*l = (struct any_list){ NULL, 0 };
	while ((e = next_plain(r)) == OK && r->ev.type != YAML_SEQUENCE_END_EVENT) {
		void *p = l->n < f->hi ? grow(r, l, &cap, each) : NULL;

		if (l->n >= f->hi)
			return wrong(r, r->ev.start_mark, f, "a shorter list");
		if (!p)
			return fail(r->why, ERR_no_memory, "no memory to read %.200s", r->file);
		e = f->op == MANY ? read_map(r, f->sub, p, NULL) : read_scalar(r, f, p);
		if (e)
			return e;
		l->n++;
	}
	if (!e && l->n < (uint64_t)f->lo)
		return wrong(r, m, f, "a longer list");
	return e;
}

static enum err read_value(struct reader *r, const struct field *f, void *obj)
{
	void *p = (uint8_t *)obj + f->off, *sub;
	enum err e = OK;

	switch (f->op) {
	case MAY:
		e = read_scalar(r, f, p);
		if (!e)
			*(bool *)((uint8_t *)obj + f->has_off) = true;
		return e;
	case REQ:
	case OPT:
		return read_scalar(r, f, p);
	case LIST:
	case MANY:
		return read_list(r, f, p);
	case SUB:
		return read_map(r, f->sub, p, NULL);
	case OPTSUB:
		sub = arena_take(r->a, f->sub->size);
		if (!sub)
			return fail(r->why, ERR_no_memory, "no memory to read %.200s", r->file);
		*(void **)p = sub;
		return read_map(r, f->sub, sub, NULL);
	}
	return e;
}

static enum err unknown_key(struct reader *r, const struct shape *s, const char *key)
{
	const char *names[64], *near;
	char shown[64], all[200] = "";
	size_t n = 0;

	log_escape(shown, sizeof(shown), key, strlen(key));
	for (uint32_t i = 0; i < s->count; i++) {
		names[i] = s->fields[i].name;
		if (n < sizeof(all))
			n += (size_t)snprintf(all + n, sizeof(all) - n, "%s%s", i ? ", " : "",
				names[i]);
	}
	near = nearest(shown, names, s->count);
	fail_field(r->why, ERR_unknown_field, shown, "'%s' is no key of %s", shown, s->doc);
	if (near)
		fail_hint(r->why, "did you mean '%s'?", near);
	else
		fail_hint(r->why, "the keys are %s%s", all, n < sizeof(all) ? "" : "...");
	return locate(r, r->ev.start_mark);
}

/* The event in hand is a key: which field, and not seen before. */
static enum err read_key(
	struct reader *r, const struct shape *s, uint64_t *seen, const struct field **ret)
{
	const char *key = (const char *)r->ev.data.scalar.value;

	if (r->ev.type != YAML_SCALAR_EVENT || strlen(key) != r->ev.data.scalar.length) {
		fail(r->why, ERR_invalid_type, "a key must be a word");
		return locate(r, r->ev.start_mark);
	}
	*ret = shape_field(s, key);
	if (!*ret)
		return unknown_key(r, s, key);
	if (*seen >> (*ret - s->fields) & 1) {
		fail_field(r->why, ERR_invalid_value, key, "'%s' is there twice", key);
		return locate(r, r->ev.start_mark);
	}
	*seen |= 1ull << (*ret - s->fields);
	return OK;
}

/* The event in hand is what should be a map; ends with its end in hand. */
static enum err read_map(struct reader *r, const struct shape *s, void *obj, uint32_t *lines)
{
	yaml_mark_t m = r->ev.start_mark;
	const struct field *f = NULL;
	uint64_t seen = 0;
	enum err e;

	must(s->count <= 64);
	if (r->ev.type != YAML_MAPPING_START_EVENT) {
		fail(r->why, ERR_invalid_type, "%s must be 'key: value' lines", s->doc);
		return locate(r, m);
	}
	while ((e = next_plain(r)) == OK && r->ev.type != YAML_MAPPING_END_EVENT) {
		e = read_key(r, s, &seen, &f);
		if (e)
			return e;
		if (lines)
			lines[f - s->fields] = (uint32_t)r->ev.start_mark.line + 1;
		e = next_plain(r);
		if (!e)
			e = read_value(r, f, obj);
		if (e)
			return e;
	}
	for (uint32_t i = 0; !e && i < s->count; i++)
		if ((s->fields[i].op == REQ || s->fields[i].op == SUB) && !(seen >> i & 1)) {
			fail_field(r->why, ERR_missing_field, s->fields[i].name, "'%s' is missing",
				s->fields[i].name);
			e = locate(r, m);
		}
	if (!e && r->check && r->check(r->check_ctx, s, obj, r->why))
		e = locate(r, m);
	return e;
}

/* Stream and document start; an empty file has no document: *empty. */
static enum err open_document(struct reader *r, bool *empty)
{
	enum err e = next(r);

	if (!e)
		e = next(r);
	if (e)
		return e;
	*empty = r->ev.type == YAML_STREAM_END_EVENT;
	if (*empty)
		return OK;
	e = next_plain(r);
	/* comments and a lone --- are an empty document */
	if (!e && r->ev.type == YAML_SCALAR_EVENT && r->ev.data.scalar.length == 0 &&
		r->ev.data.scalar.style == YAML_PLAIN_SCALAR_STYLE)
		*empty = true;
	return e;
}

static enum err close_document(struct reader *r)
{
	enum err e = next(r);

	if (!e)
		e = next(r);
	if (e || r->ev.type == YAML_STREAM_END_EVENT)
		return e;
	fail(r->why, ERR_unsupported, "a second document is not allowed here");
	return locate(r, r->ev.start_mark);
}

static enum err read_document(struct reader *r, const struct shape *s, struct bytes text, void *obj,
	uint32_t *lines)
{
	bool empty = false;
	enum err e;

	if (text.n > YAML_BYTES_MAX)
		return fail(r->why, ERR_too_large, "%.200s is larger than %d bytes", r->file,
			(int)YAML_BYTES_MAX);
	if (!yaml_parser_initialize(&r->parser))
		return fail(r->why, ERR_no_memory, "no memory to read %.200s", r->file);
	yaml_parser_set_encoding(&r->parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&r->parser, text.p ? text.p : (const uint8_t *)"", text.n);
	e = open_document(r, &empty);
	if (!e && !empty)
		e = read_map(r, s, obj, lines);
	if (!e && r->ev.type != YAML_STREAM_END_EVENT)
		e = close_document(r);
	if (r->held)
		yaml_event_delete(&r->ev);
	yaml_parser_delete(&r->parser);
	return e;
}

enum err yaml_read(const struct shape *s, const char *file, struct bytes text, struct arena *a,
	void *obj, uint32_t *lines, struct why *why)
{
	struct reader r = { .file = file, .a = a, .why = why };

	return read_document(&r, s, text, obj, lines);
}

enum err yaml_read_checked(const struct shape *s, const char *file, struct bytes text,
	struct arena *a, void *obj, yaml_check_fn *check, void *ctx, struct why *why)
{
	struct reader r = { .file = file, .a = a, .check = check, .check_ctx = ctx, .why = why };

	return read_document(&r, s, text, obj, NULL);
}

static enum err read_all(int fd, const char *path, struct buf *b, struct why *why)
{
	uint8_t chunk[4096];
	ssize_t n;

	while ((n = read(fd, chunk, sizeof(chunk))) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fail_errno(why, "cannot read %.200s", path);
		buf_add(b, chunk, (size_t)n);
		if (b->failed && b->n + (size_t)n > YAML_BYTES_MAX)
			return fail(why, ERR_too_large, "%.200s is larger than %d bytes", path,
				(int)YAML_BYTES_MAX);
		if (b->failed)
			return fail(why, ERR_no_memory, "no memory to read %.200s", path);
	}
	return OK;
}

enum err yaml_file(
	const char *path, enum yaml_trust trust, struct buf *ret, bool *there, struct why *why)
{
	own_fd fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;

	*there = fd >= 0;
	if (fd < 0)
		return errno == ENOENT || errno == ENOTDIR ?
			       OK :
			       fail_errno(why, "cannot open %.200s", path);
	if (fstat(fd, &st) < 0)
		return fail_errno(why, "cannot look at %.200s", path);
	if (!S_ISREG(st.st_mode))
		return fail(why, ERR_invalid_type, "%.200s is no regular file", path);
	if ((st.st_uid != 0 && (trust == YAML_ROOTS || st.st_uid != geteuid())) ||
		(st.st_mode & (trust == YAML_ROOTS ? 022 : 002))) {
		fail(why, ERR_not_owned, "%.200s may be written by somebody else", path);
		return fail_hint(why, "give it its owner and mode: chown, chmod o-w");
	}
	ret->max = YAML_BYTES_MAX;
	return read_all(fd, path, ret, why);
}
