/*
 * manifest_config.c - how an image says that its programs run. Pure.
 *
 * What banger cannot use (an env entry without '=', a UDP port) is left out; what would make the
 * image run as something else than it says (its user, its architecture, the services that it is
 * ready with) is refused.
 */
#include <ctype.h>

#include "base/text.h"
#include "worker/json.h"
#include "worker/manifest.h"

#define SERVICES_LABEL "banger.services"

enum { ENV_MAX = 1024, ARGS_MAX = 256, PORTS_MAX = 256, SERVICES_MAX = 16 };

static enum err no_memory(struct why *why)
{
	return fail(why, ERR_no_memory, "no memory for an image's config");
}

/* The texts of a list that its type accepts. */
static enum err texts(const json_t *list, const struct type *type, uint32_t max, struct arena *a,
	const char ***ret, uint32_t *ret_n, struct why *why)
{
	size_t n = json_array_size(list);
	const char **v;
	uint32_t used = 0;

	*ret_n = 0;
	if (n == 0)
		return OK;
	if (n > max)
		return fail(why, ERR_too_large, "more than %u %s entries", max, type->name);
	v = arena_take(a, n * sizeof(*v));
	if (!v)
		return no_memory(why);
	for (size_t i = 0; i < n; i++) {
		const char *s = json_string_value(json_array_get(list, i));

		if (!s || type_ok(type, type->name, s, NULL))
			continue;
		v[used] = arena_str(a, s);
		if (!v[used++])
			return no_memory(why);
	}
	*ret = v;
	*ret_n = used;
	return OK;
}

static enum err ports(const json_t *exposed, struct arena *a, struct image_config *c,
	struct why *why)
{
	const char *key;
	json_t *o = json_incref((json_t *)(uintptr_t)exposed), *value;
	enum err e = OK;

	if (!json_is_object(o) || json_object_size(o) == 0) {
		json_decref(o);
		return OK;
	}
	c->ports.v = arena_take(a, PORTS_MAX * sizeof(*c->ports.v));
	if (!c->ports.v)
		e = no_memory(why);
	json_object_foreach(o, key, value) {
		size_t n = strcspn(key, "/");
		char number[8];
		uint64_t port;

		if (e || c->ports.n == PORTS_MAX)
			break;
		if (n >= sizeof(number) || (key[n] && !str_eq(key + n, "/tcp")))
			continue;
		memcpy(number, key, n);
		number[n] = '\0';
		if (!parse_u64(number, &port, NULL) && port >= 1 && port <= 65535)
			c->ports.v[c->ports.n++] = port;
	}
	json_decref(o);
	return e;
}

/* "/app/" and "//app/./x" are the same places as "/app" and "/app/x". */
static enum err workdir(const char *s, struct arena *a, struct image_config *c, struct why *why)
{
	own_buf out = { .max = 8 * KiB };

	while (s && *s) {
		size_t n = strcspn(s, "/");

		if (n == 2 && s[0] == '.' && s[1] == '.')
			return fail(why, ERR_invalid_value, "the image's WorkingDir holds '..'");
		if (n > 0 && !(n == 1 && s[0] == '.')) {
			buf_str(&out, "/");
			buf_add(&out, s, n);
		}
		s += n + (s[n] == '/');
	}
	if (out.n == 0 && !out.failed)
		return OK;
	c->workdir = out.failed ? NULL : arena_str(a, buf_cstr(&out));
	if (!c->workdir)
		return no_memory(why);
	return type_ok(&type_abs_path, "WorkingDir", c->workdir, why);
}

static enum err user(const char *s, struct arena *a, struct image_config *c, struct why *why)
{
	enum err e;

	if (!s || !*s)
		return OK;
	e = type_ok(&type_user, "User", s, why);
	if (e)
		return e;
	c->user = arena_str(a, s);
	return c->user ? OK : no_memory(why);
}

/* "sshd:22,opencode:4096", spaces around the commas; none when empty. */
enum err manifest_services(const char *s, struct arena *a, struct image_config *c, struct why *why)
{
	const char **v = arena_take(a, SERVICES_MAX * sizeof(*v));
	enum err e = v ? OK : no_memory(why);

	c->services.n = 0;
	for (s += strspn(s, ", "); !e && *s; s += strspn(s, ", ")) {
		size_t n = strcspn(s, ", ");

		if (c->services.n == SERVICES_MAX)
			return fail(why, ERR_too_large, "the image's label " SERVICES_LABEL
							" names more than %d services",
				SERVICES_MAX);
		v[c->services.n] = arena_strn(a, s, n);
		e = v[c->services.n] ? type_ok(&type_service, SERVICES_LABEL, v[c->services.n],
					       why) :
				       no_memory(why);
		c->services.n++;
		s += n;
	}
	c->services.v = v;
	return e;
}

static enum err services(const json_t *labels, struct arena *a, struct image_config *c,
	struct why *why)
{
	const char *s = json_text(labels, SERVICES_LABEL);

	return s ? manifest_services(s, a, c, why) : OK;
}

static enum err how_to_run(const json_t *o, struct arena *a, struct image_config *c,
	struct why *why)
{
	enum err e;

	e = texts(json_object_get(o, "Env"), &type_env, ENV_MAX, a, (const char ***)&c->env.v,
		&c->env.n, why);
	if (!e)
		e = texts(json_object_get(o, "Entrypoint"), &type_arg, ARGS_MAX, a,
			(const char ***)&c->entrypoint.v, &c->entrypoint.n, why);
	if (!e)
		e = texts(json_object_get(o, "Cmd"), &type_arg, ARGS_MAX, a,
			(const char ***)&c->cmd.v, &c->cmd.n, why);
	if (!e)
		e = workdir(json_text(o, "WorkingDir"), a, c, why);
	if (!e)
		e = user(json_text(o, "User"), a, c, why);
	if (!e)
		e = ports(json_object_get(o, "ExposedPorts"), a, c, why);
	if (!e)
		e = services(json_object_get(o, "Labels"), a, c, why);
	return e;
}

static enum err check_platform(const json_t *root, const char *arch, struct why *why)
{
	const char *its = json_text(root, "architecture"), *os = json_text(root, "os");

	if (its && *its && !str_eq(its, arch))
		return fail(why, ERR_unsupported, "the image is for %.30s, this host is %s", its,
			arch);
	if (os && *os && !str_eq(os, "linux"))
		return fail(why, ERR_unsupported, "the image is for %.30s, not for linux", os);
	return OK;
}

enum err manifest_config(struct bytes text, const char *arch, struct arena *a,
	struct manifest_config *ret, struct why *why)
{
	own_json json_t *root = NULL;
	const json_t *ids;
	const char **v = NULL;
	enum err e = json_open(text, &root, why);

	memset(ret, 0, sizeof(*ret));
	if (!e)
		e = check_platform(root, arch, why);
	if (e)
		return e;
	ids = json_object_get(json_object_get(root, "rootfs"), "diff_ids");
	e = texts(ids, &type_digest, LAYERS_MAX, a, &v, &ret->diff_ids_n, why);
	if (!e && ret->diff_ids_n != json_array_size(ids))
		e = fail(why, ERR_invalid_value, "a digest in the image's config that is none");
	for (uint32_t i = 0; i < ret->diff_ids_n && !e; i++)
		ret->diff_ids[i] = v[i];
	return e ? e : how_to_run(json_object_get(root, "config"), a, &ret->run, why);
}
