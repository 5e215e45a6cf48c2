/*
 * layer.c - one layer over the ones before it: unpacked, hashed, read as a tar, all in one pass.
 */
#include "worker/layer.h"

static enum err apply(struct image *im, struct source *tar, const char *diff_id, struct why *why)
{
	own_archive a = NULL;
	char digest[DIGEST_CHARS + 1];
	enum err e = source_hash(tar, why);

	if (!e)
		e = open_plain_tar(tar, &a, why);
	if (!e)
		e = unpack_tar(&im->unpack, a, tar, why);
	if (!e)
		e = source_drain(tar, why);
	if (!e)
		e = source_digest(tar, digest, why);
	if (!e && diff_id && !str_eq(digest, diff_id))
		e = fail(why, ERR_invalid_value, "its content does not have the digest that the "
						 "image's config declares");
	return e;
}

enum err layer_apply(struct image *im, uint32_t number, struct source *packed, const char *diff_id,
	struct why *why)
{
	uint64_t max = im->ask.content_max + im->ask.content_max / 4 + GiB;
	struct unpacker *u;
	enum err e = unpacker_new(packed, max, &u, why);

	if (e)
		return e;
	im->tree.layer = number;
	e = apply(im, unpacker_source(u), diff_id, why);
	if (!e)
		e = source_drain(packed, why);
	unpacker_free(u);
	return e;
}
