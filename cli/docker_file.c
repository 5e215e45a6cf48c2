/*
 * docker_file.c - docker's config.json and podman's auth.json, and what a credential helper says.
 * Pure.
 *
 * A key names a host, with a scheme and "/v1/" around it or without, or (podman) a host and the
 * beginning of a path; the longest that fits counts. Docker's own registry has an old name there.
 */
#include <jansson.h>

#include "base/text.h"
#include "cli/docker.h"

enum { SECRET_BYTES_MAX = 16384 };

static void json_done(json_t **j)
{
	json_decref(*j);
}
#define own_json __attribute__((cleanup(json_done))) json_t *

static const char *text_of(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s && *s && strlen(s) <= SECRET_BYTES_MAX ? s : NULL;
}

static enum err keep(struct arena *a, const char *s, const char **ret, struct why *why)
{
	*ret = s ? arena_str(a, s) : NULL;
	return !s || *ret ? OK : fail(why, ERR_no_memory, "no memory for a password");
}

static bool is_name(const char *key, size_t n, const char *name)
{
	return n == strlen(name) && memcmp(key, name, n) == 0;
}

/* How much of HOST/PATH a key covers; 0 when it is about another. */
static size_t covers(const char *key, const struct reference *ref)
{
	char name[2 * REFERENCE_NAME_BYTES + 8];
	const char *scheme = strstr(key, "://");
	size_t n;

	key = scheme ? scheme + 3 : key;
	n = strlen(key);
	while (n > 0 && key[n - 1] == '/')
		n--;
	if (n > 3 && (memcmp(key + n - 3, "/v1", 3) == 0 || memcmp(key + n - 3, "/v2", 3) == 0))
		n -= 3;
	if (str_eq(ref->host, DOCKER_HOST) &&
		(is_name(key, n, DOCKER_INDEX) || is_name(key, n, DOCKER_REGISTRY)))
		return strlen(ref->host);
	snprintf(name, sizeof(name), "%s/%s/", ref->host, ref->path);
	return n > 0 && strncmp(name, key, n) == 0 && name[n] == '/' ? n : 0;
}

static const char *best(const json_t *o, const struct reference *ref)
{
	json_t *all = (json_t *)(uintptr_t)o, *value;
	const char *key, *found = NULL;
	size_t most = 0;

	json_object_foreach(all, key, value)
	{
		size_t n = covers(key, ref);

		if (n > most)
			found = key;
		most = MAX(most, n);
	}
	return found;
}

static int digit_of(char c)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *at = c ? strchr(digits, c) : NULL;

	return at ? (int)(at - digits) : -1;
}

/* Text that was written as base64; NULL when it was not. */
static char *decoded(struct arena *a, const char *s)
{
	char *out = arena_take(a, strlen(s) + 1);
	unsigned bits = 0, have = 0;
	size_t n = 0;

	for (; out && *s && *s != '='; s++) {
		int d = digit_of(*s);

		if (d < 0)
			return NULL;
		bits = bits << 6 | (unsigned)d;
		have += 6;
		if (have < 8)
			continue;
		have -= 8;
		out[n++] = (char)(bits >> have);
		bits &= (1u << have) - 1;
	}
	return out;
}

static enum err take_auth(
	const json_t *o, struct arena *a, struct docker_login *ret, struct why *why)
{
	const char *auth = text_of(o, "auth");
	char *pair, *colon;
	enum err e = keep(a, text_of(o, "identitytoken"), &ret->token, why);

	if (!e && !auth)
		e = keep(a, text_of(o, "username"), &ret->username, why);
	if (!e && !auth)
		e = keep(a, text_of(o, "password"), &ret->password, why);
	if (e || !auth)
		return e;
	pair = decoded(a, auth);
	colon = pair ? strchr(pair, ':') : NULL;
	if (!colon || colon == pair || !utf8_valid(pair, strlen(pair)))
		return fail(why, ERR_invalid_value, "an 'auth' that is no base64 of NAME:PASSWORD");
	*colon = '\0';
	ret->username = pair;
	ret->password = colon[1] ? colon + 1 : NULL;
	return OK;
}

enum err docker_file(struct bytes text, const struct reference *ref, struct arena *a,
	struct docker_login *ret, const char **helper, struct why *why)
{
	json_error_t at;
	own_json root = json_loadb((const char *)text.p, text.n, 0, &at);
	const json_t *auths = json_object_get(root, "auths");
	const json_t *helpers = json_object_get(root, "credHelpers");
	const char *key;

	*ret = (struct docker_login){ .username = NULL };
	*helper = NULL;
	if (!json_is_object(root))
		return fail(why, ERR_invalid_value, "not JSON at line %d: %.80s", at.line, at.text);
	key = best(helpers, ref);
	key = key ? text_of(helpers, key) : text_of(root, "credsStore");
	if (key) {
		if (strchr(key, '/') || strlen(key) > 64)
			return fail(
				why, ERR_invalid_value, "'%.64s' names no credential helper", key);
		return keep(a, key, helper, why);
	}
	key = best(auths, ref);
	return key ? take_auth(json_object_get(auths, key), a, ret, why) : OK;
}

enum err docker_helped(
	struct bytes text, struct arena *a, struct docker_login *ret, struct why *why)
{
	json_error_t at;
	own_json root = json_loadb((const char *)text.p, text.n, 0, &at);
	const char *name = text_of(root, "Username"), *secret = text_of(root, "Secret");

	*ret = (struct docker_login){ .username = NULL };
	if (!name || !secret)
		return fail(why, ERR_invalid_value, "it prints no Username and Secret");
	if (str_eq(name, "<token>"))
		return keep(a, secret, &ret->token, why);
	if (keep(a, name, &ret->username, why))
		return why->code;
	return keep(a, secret, &ret->password, why);
}
