/*
 * worker/bundle.h - bundles: an image as one .tar.zst file. Its first entry is a manifest, which
 * says of each file that follows what it is, how long, and its digest.
 */
#ifndef WORKER_BUNDLE_H
#define WORKER_BUNDLE_H

#include "proto/proto.h"
#include "worker/job.h"

enum { BUNDLE_VERSION = 1, BUNDLE_JSON_MAX = 1048576 };
#define BUNDLE_MANIFEST "banger-image.json"

/* "root.ext4", "work.ext4": by bundle_role. */
extern const char *const bundle_names[2];

/* The manifest as JSON, both ways. What is read is whole and fits together. Pure. */
enum err bundle_write(const struct bundle *b, struct buf *out, struct why *why) MUST_CHECK;
enum err bundle_read(struct bytes json, const char *arch, struct arena *a, struct bundle *ret,
	struct why *why) MUST_CHECK;
bool is_bundle_name(const char *path); /* of an archive's first entry */

/* Makes root.ext4 and work.ext4 of a bundle; s is at its beginning. */
enum err bundle_unpack(struct job *j, const struct work_image *ask, struct source *s,
	struct image_made *ret, struct why *why) MUST_CHECK;

/*
 * A file's content as its digest sees it (bundle_file.digest): blocks that are not all zero, with
 * their places. So holes cost nothing, and it is all the same how they are told. The content comes
 * in order; gaps in it are zeros. `run` gets what is not: stretches of whole blocks, in order, the
 * last one cut at the file's end.
 */
typedef enum err content_run_fn(
	void *ctx, uint64_t off, const uint8_t *p, size_t n, struct why *why);

enum { CONTENT_BLOCK = 4096, CONTENT_WINDOW = 64 * CONTENT_BLOCK };

struct content {
	void *hash; /* EVP_MD_CTX */
	uint8_t *window; /* the bytes from base on */
	uint64_t base, at, size; /* at: where the next may begin */
	content_run_fn *run;
	void *ctx;
};

enum err content_begin(struct content *c, uint64_t size, content_run_fn *run, void *ctx,
	struct why *why) MUST_CHECK;
enum err content_put(
	struct content *c, uint64_t off, const void *p, size_t n, struct why *why) MUST_CHECK;
enum err content_end(struct content *c, char digest[DIGEST_CHARS + 1], struct why *why) MUST_CHECK;
void content_done(struct content *c);

#endif
