/*
 * bundle_manifest.c - the manifest of a bundle: the shape `bundle`, as JSON.
 *
 * JSON and MessagePack say the same things; so what is read is packed again and goes through the
 * one interpreter of shapes, with its ranges and checks, and what is written comes out of it.
 */
#include <inttypes.h>

#include "base/text.h"
#include "letter/pack.h"
#include "worker/bundle.h"
#include "worker/json.h"

enum { DEPTH_MAX = 8 };

const char *const
	bundle_names[2] = { [bundle_role_root] = "root.ext4", [bundle_role_work] = "work.ext4" };

bool is_bundle_name(const char *path)
{
	while (path[0] == '.' && path[1] == '/')
		path += 2;
	return str_eq(path, BUNDLE_MANIFEST);
}

/* ---- MessagePack to JSON ---- */

static json_t *json_next(struct mp *c);

static json_t *json_map(struct mp *c, uint32_t n)
{
	json_t *o = json_object();
	struct bytes key;

	while (o && n-- > 0) {
		json_t *v = mp_str(c, &key) ? json_next(c) : NULL;

		if (!v || json_object_setn_new(o, (const char *)key.p, key.n, v)) {
			json_decref(o);
			return NULL;
		}
	}
	return o;
}

static json_t *json_list(struct mp *c, uint32_t n)
{
	json_t *l = json_array();

	while (l && n-- > 0) {
		json_t *v = json_next(c);

		if (!v || json_array_append_new(l, v)) {
			json_decref(l);
			return NULL;
		}
	}
	return l;
}

/* The next value; NULL when JSON cannot say it (bytes that are no text), or without memory. */
static json_t *json_next(struct mp *c)
{
	struct bytes s;
	uint32_t n;
	uint64_t v;
	bool b;

	if (mp_bool(c, &b))
		return json_boolean(b);
	if (mp_u64(c, &v))
		return json_integer((json_int_t)v);
	if (mp_str(c, &s))
		return json_stringn((const char *)s.p, s.n);
	if (mp_array(c, &n))
		return json_list(c, n);
	return mp_map(c, &n) ? json_map(c, n) : NULL;
}

static int into_buf(const char *p, size_t n, void *out)
{
	buf_add(out, p, n);
	return 0;
}

enum err bundle_write(const struct bundle *b, struct buf *out, struct why *why)
{
	own_buf packed = { .max = BUNDLE_JSON_MAX };
	own_json json_t *o = NULL;
	struct mp c;
	enum err e = shape_pack(&shape_bundle, b, &packed, why);

	if (e)
		return e;
	c = mp_over(packed.p, packed.n);
	o = json_next(&c);
	if (!o)
		return fail(why, ERR_unsupported,
			"what the image says of itself (environment, command) is not all UTF-8");
	if (json_dump_callback(o, into_buf, out, JSON_INDENT(1) | JSON_REAL_PRECISION(1)))
		return fail(why, ERR_no_memory, "no memory for a manifest");
	buf_add(out, "\n", 1);
	if (out->failed || out->n > BUNDLE_JSON_MAX)
		return fail(why, ERR_too_large,
			"what the image says of itself (environment, command) is over %d KiB",
			BUNDLE_JSON_MAX / 1024);
	return OK;
}

/* ---- JSON to MessagePack ---- */

static enum err pack_json(msgpack_packer *pk, const json_t *v, int depth, struct why *why);

static enum err pack_map(msgpack_packer *pk, const json_t *o, int depth, struct why *why)
{
	json_t *at = (json_t *)(uintptr_t)o; /* iteration wants it so and changes nothing */
	enum err e = OK;

	msgpack_pack_map(pk, json_object_size(o));
	for (void *i = json_object_iter(at); i && !e; i = json_object_iter_next(at, i)) {
		const char *key = json_object_iter_key(i);

		pack_str(pk, key, strlen(key));
		e = pack_json(pk, json_object_iter_value(i), depth, why);
	}
	return e;
}

static enum err pack_json(msgpack_packer *pk, const json_t *v, int depth, struct why *why)
{
	enum err e = OK;

	if (depth == DEPTH_MAX)
		return fail(why, ERR_too_large, "nested more than %d deep", DEPTH_MAX);
	if (json_is_object(v))
		return pack_map(pk, v, depth + 1, why);
	if (json_is_array(v)) {
		msgpack_pack_array(pk, json_array_size(v));
		for (size_t i = 0; i < json_array_size(v) && !e; i++)
			e = pack_json(pk, json_array_get(v, i), depth + 1, why);
	} else if (json_is_string(v)) {
		pack_str(pk, json_string_value(v), json_string_length(v));
	} else if (json_is_integer(v) && json_integer_value(v) >= 0) {
		msgpack_pack_uint64(pk, (uint64_t)json_integer_value(v));
	} else if (json_is_boolean(v) && json_is_true(v)) {
		msgpack_pack_true(pk);
	} else if (json_is_boolean(v)) {
		msgpack_pack_false(pk);
	} else {
		return fail(why, ERR_invalid_type, "a value of a kind that stands nowhere in it");
	}
	return e;
}

/* One that a later banger wrote says so before anything else of it is looked at. */
static enum err check_version(const json_t *o, struct why *why)
{
	const json_t *v = json_object_get(o, "version");

	if (!json_is_integer(v))
		return fail_field(why, ERR_missing_field, "version", "it has no version");
	if (json_integer_value(v) == BUNDLE_VERSION)
		return OK;
	fail_field(why, ERR_unsupported, "version",
		"it is of version %lld, and this build knows version %d",
		(long long)json_integer_value(v), BUNDLE_VERSION);
	return fail_hint(why, "a later banger reads it, or exports it again");
}

static enum err check_files(const struct bundle *b, struct why *why)
{
	const struct bundle_file *f = b->files.v;

	if (f[0].role == f[1].role)
		return fail_field(why, ERR_invalid_value, "files", "two files of one role");
	for (uint32_t i = 0; i < b->files.n; i++)
		if (f[i].role == bundle_role_root && f[i].size != b->image.facts.size)
			return fail_field(why, ERR_invalid_value, "size",
				"the root filesystem has %" PRIu64 " bytes here and %" PRIu64
				" there",
				f[i].size, b->image.facts.size);
	return OK;
}

static enum err parse(
	struct bytes json, const char *arch, struct arena *a, struct bundle *ret, struct why *why)
{
	own_buf packed = { .max = 2 * BUNDLE_JSON_MAX };
	msgpack_packer pk = packer_on(&packed);
	own_json json_t *o = NULL;
	enum err e = json_open(json, &o, why);

	if (!e && !json_is_object(o))
		e = fail(why, ERR_invalid_type, "it is no object");
	if (!e)
		e = check_version(o, why);
	if (!e)
		e = pack_json(&pk, o, 0, why);
	if (!e && packed.failed)
		e = fail(why, ERR_no_memory, "no memory for a manifest");
	if (!e)
		e = shape_read(&shape_bundle, mp_over(packed.p, packed.n), STRICT, a, ret, why);
	if (!e && !str_eq(ret->arch, arch))
		e = fail_field(why, ERR_unsupported, "arch",
			"the image is of %.20s, and this host is %s", ret->arch, arch);
	return e ? e : check_files(ret, why);
}

enum err bundle_read(
	struct bytes json, const char *arch, struct arena *a, struct bundle *ret, struct why *why)
{
	char text[sizeof(why->text)];

	if (json.n > BUNDLE_JSON_MAX)
		return fail(why, ERR_too_large, "the bundle's manifest is over %d KiB",
			BUNDLE_JSON_MAX / 1024);
	if (parse(json, arch, a, ret, why) == OK)
		return OK;
	snprintf(text, sizeof(text), "the bundle's manifest: %.*s", (int)sizeof(text) - 32,
		why->text);
	memcpy(why->text, text, sizeof(text));
	return why->code;
}
