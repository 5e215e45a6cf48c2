/*
 * challenge.c - the grammar of RFC 9110, 11.6.1: schemes with parameters, commas between both. A
 * word with a value behind it belongs to the scheme before it; any other word is a scheme.
 */
#include "worker/challenge.h"

#include <strings.h>

enum { VALUE_BYTES = 1024 };

struct cursor {
	const char *p, *end;
};

static bool is_token(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c && strchr("!#$%&'*+-.^_`|~", c));
}

static void skip(struct cursor *c, const char *what)
{
	while (c->p < c->end && *c->p && strchr(what, *c->p))
		c->p++;
}

static struct bytes word(struct cursor *c)
{
	const char *from = c->p;

	while (c->p < c->end && is_token(*c->p))
		c->p++;
	return (struct bytes){ (const uint8_t *)from, (size_t)(c->p - from) };
}

static bool is(struct bytes word, const char *name)
{
	return word.n == strlen(name) && strncasecmp((const char *)word.p, name, word.n) == 0;
}

/* "text with \" in it", or a token. */
static bool value(struct cursor *c, char out[VALUE_BYTES])
{
	struct bytes plain;
	size_t n = 0;

	if (c->p == c->end || *c->p != '"') {
		plain = word(c);
		if (plain.n == 0 || plain.n >= VALUE_BYTES)
			return false;
		memcpy(out, plain.p, plain.n);
		out[plain.n] = '\0';
		return true;
	}
	for (c->p++; c->p < c->end && *c->p != '"'; c->p++) {
		if (*c->p == '\\' && ++c->p == c->end)
			return false;
		if ((unsigned char)*c->p < ' ' || *c->p == 0x7f || n + 1 >= VALUE_BYTES)
			return false;
		out[n++] = *c->p;
	}
	if (c->p == c->end)
		return false;
	c->p++;
	out[n] = '\0';
	return true;
}

static bool keep(char *to, size_t size, const char *from)
{
	size_t n = strlen(from);

	if (n >= size)
		return false;
	memcpy(to, from, n + 1);
	return true;
}

static bool parameter(struct bytes name, const char *text, struct challenge *c)
{
	if (is(name, "realm"))
		return keep(c->realm, sizeof(c->realm), text);
	if (is(name, "service"))
		return keep(c->service, sizeof(c->service), text);
	if (is(name, "scope"))
		return keep(c->scope, sizeof(c->scope), text);
	return true;
}

/* One word, and what follows it. *ours: the scheme at hand is bearer. */
static bool step(struct cursor *at, struct challenge *c, bool *ours)
{
	struct bytes name = word(at);
	char text[VALUE_BYTES];

	if (name.n == 0)
		return false;
	skip(at, " \t");
	if (at->p < at->end && *at->p == '=') {
		at->p++;
		skip(at, " \t");
		if (!value(at, text))
			return false;
		return !*ours || parameter(name, text, c);
	}
	*ours = is(name, "Bearer");
	c->bearer |= *ours;
	c->basic |= is(name, "Basic");
	return true;
}

bool challenge_read(const char *text, size_t n, struct challenge *c)
{
	struct cursor at = { text, text + n };
	bool ours = false;

	skip(&at, " \t,");
	if (at.p == at.end)
		return false;
	while (at.p < at.end) {
		if (!step(&at, c, &ours))
			return false;
		skip(&at, " \t,");
	}
	return true;
}

bool content_range_from(const char *text, size_t n, uint64_t *ret)
{
	struct cursor at = { text, text + n };
	uint64_t v = 0;
	const char *from;

	skip(&at, " \t");
	if (!is(word(&at), "bytes"))
		return false;
	skip(&at, " \t");
	from = at.p;
	for (; at.p < at.end && *at.p >= '0' && *at.p <= '9'; at.p++) {
		if (v > UINT64_MAX / 10 - 9)
			return false;
		v = v * 10 + (uint64_t)(*at.p - '0');
	}
	if (at.p == from || at.p == at.end || *at.p != '-')
		return false;
	*ret = v;
	return true;
}
