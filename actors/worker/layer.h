/*
 * worker/layer.h - a layer's bytes, unpacked, on their way into the tree.
 */
#ifndef WORKER_LAYER_H
#define WORKER_LAYER_H

#include "worker/image.h"

/*
 * Applies one layer over those before it: a tar, plain or packed by gzip, zstd or what libarchive
 * knows. packed is at its beginning and is read to its end. The tar must have the digest diff_id
 * (NULL: any).
 */
enum err layer_apply(struct image *im, uint32_t number, struct source *packed, const char *diff_id,
	struct why *why) MUST_CHECK;

/* Bytes that were packed, unpacked, as a source: its kind is told by its first bytes. */
struct unpacker;
enum err unpacker_new(struct source *packed, uint64_t max, struct unpacker **ret,
	struct why *why) MUST_CHECK;
struct source *unpacker_source(struct unpacker *u);
void unpacker_free(struct unpacker *u); /* NULL is fine */

#endif
