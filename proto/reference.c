/*
 * reference.c - host, path, tag and digest of a reference. The grammar is the registries' own:
 * a first part with a dot or a colon, or "localhost", is a host; a path without slash on Docker's
 * own registry lies in library/. A path is lower case, so nothing here can name a file elsewhere.
 */
#include "proto/reference.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "proto/check.h"

#define TOO_LONG "must have a name of at most 255 characters, its host included"

static bool is_lower(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_word(char c)
{
	return isalnum((unsigned char)c) || c == '_';
}

/* [a-z0-9]+ with one dot, one or two underscores, or hyphens between. */
static bool is_path_part(const char *s, size_t n)
{
	size_t i = 0;

	while (i < n && is_lower(s[i])) {
		size_t from;

		while (i < n && is_lower(s[i]))
			i++;
		if (i == n)
			return true;
		from = i;
		while (i < n && s[i] == s[from] && !is_lower(s[i]))
			i++;
		if (s[from] != '-' && !(s[from] == '.' && i - from == 1) &&
			!(s[from] == '_' && i - from <= 2))
			return false;
	}
	return false;
}

static bool is_path(const char *s, size_t n)
{
	for (;;) {
		const char *slash = memchr(s, '/', n);
		size_t part = slash ? (size_t)(slash - s) : n;

		if (!is_path_part(s, part))
			return false;
		if (!slash)
			return true;
		s += part + 1;
		n -= part + 1;
	}
}

static bool is_port(const char *s, size_t n)
{
	unsigned v = 0;

	for (size_t i = 0; i < n; i++) {
		if (!isdigit((unsigned char)s[i]))
			return false;
		v = v * 10 + (unsigned)(s[i] - '0');
		if (v > 65535)
			return false;
	}
	return n > 0 && v > 0;
}

static bool is_host_name(const char *s, size_t n)
{
	bool begin = true;

	for (size_t i = 0; i < n; i++) {
		bool last = i + 1 == n || s[i + 1] == '.';

		if (s[i] == '.' ? begin :
				  !isalnum((unsigned char)s[i]) && (s[i] != '-' || begin || last))
			return false;
		begin = s[i] == '.';
	}
	return n > 0 && !begin;
}

/* NAME[:PORT], or [IPV6][:PORT]. */
static bool is_host(const char *s, size_t n)
{
	const char *end = n && s[0] == '[' ? memchr(s, ']', n) : memchr(s, ':', n);
	size_t name = end ? (size_t)(end - s) + (s[0] == '[') : n;

	if (n && s[0] == '[') {
		if (!end || name < 4)
			return false;
		for (size_t i = 1; i + 1 < name; i++)
			if (!isxdigit((unsigned char)s[i]) && s[i] != ':' && s[i] != '.')
				return false;
	} else if (!is_host_name(s, name)) {
		return false;
	}
	return name == n || (s[name] == ':' && is_port(s + name + 1, n - name - 1));
}

/* Length of the host and its slash; 0 when the first part is one of the path. */
static size_t host_length(const char *s, size_t n)
{
	const char *slash = memchr(s, '/', n);
	size_t part = slash ? (size_t)(slash - s) : 0;
	bool host = part == 9 && memcmp(s, "localhost", 9) == 0;

	for (size_t i = 0; i < part; i++)
		host |= s[i] == '.' || s[i] == ':' || isupper((unsigned char)s[i]);
	return host ? part + 1 : 0;
}

static const char *read_tag(const char *s, size_t n, struct reference *r)
{
	if (n == 0 || n >= sizeof(r->tag) || !is_word(s[0]))
		return "must have a tag of [A-Za-z0-9_.-], at most 128, not begun by . or -";
	for (size_t i = 0; i < n; i++)
		if (!is_word(s[i]) && s[i] != '.' && s[i] != '-')
			return "must have a tag of [A-Za-z0-9_.-]";
	memcpy(r->tag, s, n);
	return NULL;
}

static const char *read_name(const char *s, size_t n, struct reference *r)
{
	size_t host = host_length(s, n);
	bool docker = host == 0;

	if (n >= REFERENCE_NAME_BYTES)
		return TOO_LONG;
	if (host && !is_host(s, host - 1))
		return "must name a host, with a port or without, before its first /";
	if (!is_path(s + host, n - host))
		return "must have a path of lower-case letters, digits and . _ - between them";
	if (docker && n == 64 && strspn(s, "0123456789abcdef") >= 64)
		return "must not be a bare id of 64 hex digits";
	if (host) {
		memcpy(r->host, s, host - 1);
		docker = str_eq(r->host, DOCKER_HOST) || str_eq(r->host, DOCKER_INDEX);
	}
	if (docker)
		memcpy(r->host, DOCKER_HOST, sizeof(DOCKER_HOST));
	snprintf(r->path, sizeof(r->path), "%s%.*s",
		docker && !memchr(s + host, '/', n - host) ? "library/" : "", (int)(n - host),
		s + host);
	return strlen(r->host) + 1 + strlen(r->path) < REFERENCE_NAME_BYTES ? NULL : TOO_LONG;
}

const char *reference_read(const char *s, size_t n, struct reference *ret)
{
	const char *at = memchr(s, '@', n), *slash, *colon, *wrong;

	memset(ret, 0, sizeof(*ret));
	if (memchr(s, '\0', n))
		return "must not hold a NUL";
	if (at) {
		const char *digest = at + 1;
		size_t left = n - (size_t)(digest - s);

		if (left != REFERENCE_DIGEST_BYTES - 1 || check_digest(digest, left))
			return "must have sha256: and 64 lower-case hex digits behind its @";
		memcpy(ret->digest, digest, left);
		n = (size_t)(at - s);
	}
	slash = memrchr(s, '/', n);
	colon = memrchr(s, ':', n);
	if (colon && (!slash || colon > slash)) {
		wrong = read_tag(colon + 1, n - (size_t)(colon + 1 - s), ret);
		if (wrong)
			return wrong;
		n = (size_t)(colon - s);
	} else if (!at) {
		memcpy(ret->tag, "latest", sizeof("latest"));
	}
	return n ? read_name(s, n, ret) : "must have a name";
}

void reference_text(const struct reference *r, char out[REFERENCE_BYTES])
{
	snprintf(out, REFERENCE_BYTES, "%s/%s%s%s%s%s", r->host, r->path, r->tag[0] ? ":" : "",
		r->tag, r->digest[0] ? "@" : "", r->digest);
}

const char *check_reference(const char *s, size_t n)
{
	struct reference r;

	return reference_read(s, n, &r);
}
