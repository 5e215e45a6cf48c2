/*
 * bundle_content.c - the digest of a sparse file, and where its data lies.
 */
#include <endian.h>
#include <openssl/evp.h>

#include "base/text.h"
#include "worker/bundle.h"

enum err content_begin(
	struct content *c, uint64_t size, content_run_fn *run, void *ctx, struct why *why)
{
	*c = (struct content){ .size = size, .run = run, .ctx = ctx };
	c->window = calloc(1, CONTENT_WINDOW);
	c->hash = EVP_MD_CTX_new();
	if (c->window && c->hash && EVP_DigestInit_ex(c->hash, EVP_sha256(), NULL))
		return OK;
	content_done(c);
	return fail(why, ERR_no_memory, "no memory to hash");
}

void content_done(struct content *c)
{
	EVP_MD_CTX_free(c->hash);
	free(c->window);
	c->hash = NULL;
	c->window = NULL;
}

static bool is_zero(const uint8_t *p)
{
	return p[0] == 0 && memcmp(p, p + 1, CONTENT_BLOCK - 1) == 0;
}

static enum err hash_u64(struct content *c, uint64_t v, struct why *why)
{
	uint64_t le = htole64(v);

	return EVP_DigestUpdate(c->hash, &le, sizeof(le)) ? OK :
							    fail(why, ERR_internal, "cannot hash");
}

static enum err emit(struct content *c, size_t from, size_t to, struct why *why)
{
	uint64_t off = c->base + from;

	if (from == to)
		return OK;
	return c->run(c->ctx, off, c->window + from, (size_t)MIN(to - from, c->size - off), why);
}

/* What is in the window is whole. */
static enum err flush(struct content *c, struct why *why)
{
	size_t end = (size_t)MIN(c->at - c->base, (uint64_t)CONTENT_WINDOW), from = 0, i;
	enum err e = OK;

	for (i = 0; i < end && !e; i += CONTENT_BLOCK) {
		if (is_zero(c->window + i)) {
			e = emit(c, from, i, why);
			from = i + CONTENT_BLOCK;
			continue;
		}
		e = hash_u64(c, (c->base + i) / CONTENT_BLOCK, why);
		if (!e && !EVP_DigestUpdate(c->hash, c->window + i, CONTENT_BLOCK))
			e = fail(why, ERR_internal, "cannot hash");
	}
	if (!e && from < i)
		e = emit(c, from, i, why);
	memset(c->window, 0, end);
	return e;
}

enum err content_put(struct content *c, uint64_t off, const void *p, size_t n, struct why *why)
{
	const uint8_t *from = p;

	if (off < c->at || off > c->size || n > c->size - off)
		return fail(why, ERR_invalid_value, "data that goes back, or past the file's end");
	while (n > 0) {
		uint64_t base = off - off % CONTENT_WINDOW;
		size_t part = (size_t)MIN(n, base + CONTENT_WINDOW - off);

		if (base != c->base && flush(c, why))
			return why ? why->code : ERR_internal;
		c->base = base;
		memcpy(c->window + (off - base), from, part);
		off += part;
		from += part;
		n -= part;
		c->at = off;
	}
	return OK;
}

enum err content_end(struct content *c, char digest[DIGEST_CHARS + 1], struct why *why)
{
	uint8_t sum[SHA256_BYTES];
	enum err e = flush(c, why);

	if (!e)
		e = hash_u64(c, c->size, why);
	if (e)
		return e;
	if (!EVP_DigestFinal_ex(c->hash, sum, NULL))
		return fail(why, ERR_internal, "cannot hash");
	memcpy(digest, "sha256:", 7);
	hex_of(digest + 7, sum, sizeof(sum));
	return OK;
}
