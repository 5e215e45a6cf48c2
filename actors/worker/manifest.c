/*
 * manifest.c - which files of an archive are its image. Pure.
 *
 * Digests are checked before a name is made of them; a document that is index and manifest at once
 * is refused (both readings would be somebody's truth).
 */
#include "worker/manifest.h"

#include <jansson.h>

#include "proto/check.h"
#include "worker/json.h"

enum err json_open(struct bytes text, json_t **ret, struct why *why)
{
	json_error_t at;

	if (text.n > JSON_BYTES_MAX)
		return fail(why, ERR_too_large, "JSON of %zu bytes", text.n);
	*ret = json_loadb((const char *)text.p, text.n, JSON_REJECT_DUPLICATES, &at);
	if (!*ret)
		return fail(why, ERR_invalid_value, "not JSON at line %d: %.80s", at.line, at.text);
	return OK;
}

void json_done(json_t **j)
{
	json_decref(*j);
}

const char *json_text(const json_t *o, const char *key)
{
	const json_t *v = json_object_get(o, key);

	return json_is_string(v) ? json_string_value(v) : NULL;
}

/* blobs/sha256/HEX of a digest. */
static enum err blob_name(const char *digest, struct arena *a, const char **ret, struct why *why)
{
	if (!digest || check_digest(digest, strlen(digest)))
		return fail(why, ERR_invalid_value, "a digest must be sha256: and 64 hex digits");
	*ret = arena_fmt(a, "blobs/sha256/%s", digest + 7);
	return *ret ? OK : fail(why, ERR_no_memory, "no memory for a manifest");
}

static enum err keep(struct arena *a, const char *s, const char **ret, struct why *why)
{
	if (!s || !*s)
		return fail(why, ERR_invalid_value, "a manifest without a name for a file");
	*ret = arena_str(a, s);
	return *ret ? OK : fail(why, ERR_no_memory, "no memory for a manifest");
}

/* "a, b, c": what the images of an archive are called. */
static void list_tags(const json_t *images, struct buf *out)
{
	for (size_t i = 0; i < json_array_size(images); i++) {
		const json_t *tags = json_object_get(json_array_get(images, i), "RepoTags");
		const char *tag = json_string_value(json_array_get(tags, 0));

		buf_fmt(out, "%s%.60s", i ? ", " : "", tag ? tag : "(untagged)");
	}
}

static enum err several(struct buf *names, size_t n, struct why *why)
{
	fail(why, ERR_invalid_value, "the archive holds %zu images: %.250s", n, buf_cstr(names));
	return fail_hint(why, "save one image by name");
}

enum err manifest_docker(struct bytes text, struct arena *a, struct manifest *ret, struct why *why)
{
	own_buf names = { .max = 8 * KiB };
	own_json json_t *root = NULL;
	const json_t *image, *layers;
	enum err e = json_open(text, &root, why);

	if (e)
		return e;
	if (!json_is_array(root) || json_array_size(root) == 0)
		return fail(why, ERR_invalid_value, "manifest.json lists no images");
	if (json_array_size(root) > 1) {
		list_tags(root, &names);
		return several(&names, json_array_size(root), why);
	}
	image = json_array_get(root, 0);
	layers = json_object_get(image, "Layers");
	ret->layers_n = 0;
	if (json_array_size(layers) == 0)
		return fail(why, ERR_invalid_value, "the image has no layers");
	if (json_array_size(layers) > LAYERS_MAX)
		return fail(why, ERR_too_large, "more than %d layers", LAYERS_MAX);
	e = keep(a, json_text(image, "Config"), &ret->config, why);
	for (size_t i = 0; i < json_array_size(layers) && !e; i++)
		e = keep(a, json_string_value(json_array_get(layers, i)),
			&ret->layers[ret->layers_n++], why);
	return e;
}

static bool is_attestation(const json_t *d)
{
	const json_t *platform = json_object_get(d, "platform");
	const char *os = json_text(platform, "os");

	return (os && str_eq(os, "unknown")) ||
		json_text(json_object_get(d, "annotations"), "vnd.docker.reference.type");
}

static bool is_for(const json_t *d, const char *arch)
{
	const json_t *platform = json_object_get(d, "platform");
	const char *its = json_text(platform, "architecture"), *os = json_text(platform, "os");

	return (!its || str_eq(its, arch)) && (!os || str_eq(os, "linux"));
}

static enum err check_kind(const json_t *root, bool *index, struct why *why)
{
	bool list = json_is_array(json_object_get(root, "manifests"));
	bool layers = json_object_get(root, "layers") || json_object_get(root, "config");

	if (json_integer_value(json_object_get(root, "schemaVersion")) == 1) {
		fail(why, ERR_unsupported, "a manifest of schema 1, which proves nothing of what "
					   "is in its layers");
		return fail_hint(why, "push the image again with a tool of today");
	}
	if (list && layers)
		return fail(why, ERR_invalid_value, "one document is index and manifest at once");
	if (!list && !layers)
		return fail(why, ERR_invalid_value, "neither an index nor a manifest");
	*index = list;
	return OK;
}

static uint64_t size_of(const json_t *d)
{
	json_int_t n = json_integer_value(json_object_get(d, "size"));

	return n > 0 ? (uint64_t)n : 0;
}

enum err manifest_index(struct bytes text, const char *arch, bool first, struct arena *a,
	const char **ret, uint64_t *ret_size, struct why *why)
{
	own_buf names = { .max = 8 * KiB };
	own_json json_t *root = NULL;
	const json_t *list, *found = NULL;
	size_t n = 0;
	bool index;
	enum err e = json_open(text, &root, why);

	if (!e)
		e = check_kind(root, &index, why);
	if (e)
		return e;
	list = json_object_get(root, "manifests");
	if (json_array_size(list) > DESCRIPTORS_MAX)
		return fail(why, ERR_too_large, "an index of more than %d images", DESCRIPTORS_MAX);
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *d = json_array_get(list, i);
		const char *name = json_text(json_object_get(d, "annotations"),
			"org.opencontainers.image.ref.name");

		if (is_attestation(d) || !is_for(d, arch))
			continue;
		if (first && n > 0)
			break;
		buf_fmt(&names, "%s%.60s", n++ ? ", " : "", name ? name : "(untagged)");
		found = d;
	}
	if (n == 0)
		return fail(why, ERR_invalid_value, "the index lists no image for linux/%s", arch);
	if (n > 1)
		return several(&names, n, why);
	*ret_size = size_of(found);
	return blob_name(json_text(found, "digest"), a, ret, why);
}

enum err manifest_is_index(struct bytes text, bool *ret, struct why *why)
{
	own_json json_t *root = NULL;
	enum err e = json_open(text, &root, why);

	return e ? e : check_kind(root, ret, why);
}

enum err manifest_oci(struct bytes text, struct arena *a, struct manifest *ret, struct why *why)
{
	own_json json_t *root = NULL;
	const json_t *layers;
	bool index;
	enum err e = json_open(text, &root, why);

	if (!e)
		e = check_kind(root, &index, why);
	if (e)
		return e;
	layers = json_object_get(root, "layers");
	ret->layers_n = 0;
	if (index || json_array_size(layers) == 0)
		return fail(why, ERR_invalid_value, "the image has no layers");
	if (json_array_size(layers) > LAYERS_MAX)
		return fail(why, ERR_too_large, "more than %d layers", LAYERS_MAX);
	e = blob_name(json_text(json_object_get(root, "config"), "digest"), a, &ret->config, why);
	ret->config_size = size_of(json_object_get(root, "config"));
	for (size_t i = 0; i < json_array_size(layers) && !e; i++) {
		ret->sizes[i] = size_of(json_array_get(layers, i));
		e = blob_name(json_text(json_array_get(layers, i), "digest"), a,
			&ret->layers[ret->layers_n++], why);
	}
	return e;
}
