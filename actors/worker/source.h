/*
 * worker/source.h - bytes to be read once, wherever they come from: the daemon's stream, a stretch
 * of a file, or an entry of an archive. Each counts what passes, has a ceiling, and can hash.
 */
#ifndef WORKER_SOURCE_H
#define WORKER_SOURCE_H

#include <archive.h>

#include "base/err.h"

enum { SOURCE_HEAD = 4096, SHA256_BYTES = 32, DIGEST_CHARS = 7 + 2 * SHA256_BYTES };

struct source;

/* Answers the next bytes, which hold until the next call; n is 0 at the end. */
typedef enum err source_next_fn(struct source *s, const uint8_t **p, size_t *n, struct why *why);

struct source {
	source_next_fn *next;
	void *ctx;
	uint64_t total, max; /* bytes so far; ceiling, 0 for none */
	void *hash; /* EVP_MD_CTX, NULL when nobody asked */
	bool ended;
	struct why why; /* what went wrong inside libarchive's callback */
	uint8_t head[SOURCE_HEAD]; /* looked at before it was read */
	size_t head_n;
	struct bytes rest; /* of the piece whose beginning is in head */
};

void source_init(struct source *s, source_next_fn *next, void *ctx, uint64_t max);
void source_done(struct source *s);
enum err source_hash(struct source *s, struct why *why) MUST_CHECK; /* before the first byte */
enum err source_next(struct source *s, const uint8_t **p, size_t *n, struct why *why) MUST_CHECK;
/* The first bytes, at most SOURCE_HEAD, without using them up; fewer only when it is shorter. */
enum err source_peek(struct source *s, size_t want, struct bytes *ret, struct why *why) MUST_CHECK;
enum err source_drain(struct source *s, struct why *why) MUST_CHECK; /* reads to the end */
/* "sha256:" and hex; only after the end, once. */
enum err source_digest(struct source *s, char out[DIGEST_CHARS + 1], struct why *why) MUST_CHECK;
/* Writes all that is left to fd at its position; answers how much that was. */
enum err source_save(struct source *s, int fd, uint64_t *ret, struct why *why) MUST_CHECK;

/* A stretch of a file. */
struct file_source {
	struct source s;
	int fd; /* the caller's */
	uint64_t at, left;
	uint8_t buf[65536];
};
void file_source_init(struct file_source *f, int fd, uint64_t at, uint64_t n);

/*
 * libarchive over a source. The first opens a tar, compressed or not; the second a tar as it is;
 * the third an ar, cpio or tar; the fourth anything compressed as one run of bytes. Only decoders
 * that are libraries are allowed: libarchive would start programs for others.
 */
enum err open_tar(struct source *s, struct archive **ret, struct why *why) MUST_CHECK;
enum err open_plain_tar(struct source *s, struct archive **ret, struct why *why) MUST_CHECK;
enum err open_any(struct source *s, struct archive **ret, struct why *why) MUST_CHECK;
enum err open_raw(struct source *s, struct archive **ret, struct why *why) MUST_CHECK;
void archive_done(struct archive **a);
#define own_archive __attribute__((cleanup(archive_done))) struct archive *

/* The data of the entry that an archive stands at. */
struct entry_source {
	struct source s;
	struct archive *a;
	struct source *under; /* whose failure is told first */
};
void entry_source_init(struct entry_source *e, struct archive *a, struct source *under,
	uint64_t max);

struct archive_entry;
/* The next entry; *ret is NULL at the end. A warning is no failure. */
enum err next_entry(struct archive *a, struct source *s, struct archive_entry **ret,
	struct why *why) MUST_CHECK;
/* After the last entry of a tar: refuses one that was cut off between two entries. */
enum err check_end(struct archive *a, struct why *why) MUST_CHECK;
/* What libarchive or the source beneath it had to say. */
enum err archive_fail(struct archive *a, struct source *s, struct why *why);

/*
 * Refuses what unpacks to more than `max` bytes, or, past 1 GiB, to 200 times its packed size:
 * unpacked counts what came out of the outermost filter.
 */
enum err check_ratio(struct archive *a, uint64_t max, struct why *why) MUST_CHECK;

#endif
