/*
 * worker/registry.h - what the files of the downloader (work.registry) share: one registry, and the
 * requests that are under way to it.
 */
#ifndef WORKER_REGISTRY_H
#define WORKER_REGISTRY_H

#include <curl/curl.h>
#include <sys/queue.h>

#include "proto/reference.h"
#include "worker/challenge.h"
#include "worker/job.h"

enum {
	ACTIVE_MAX = 4, /* downloads at once */
	WANTS_MAX = 1024,
	DOCUMENT_BYTES_MAX = 4194304,
	URL_BYTES = 2560,
	BLOB_NAME_BYTES = 80 /* sha256/HEX.part */
};

struct registry;

/* One request, as often as it takes. Its owner keeps it until it does not run any more. */
struct request {
	struct registry *r;
	CURL *easy;
	struct curl_slist *headers;
	char url[URL_BYTES];
	bool follow; /* redirects, as blobs have them */
	/* Takes bytes of a good answer; false ends the request, why set. NULL: they are kept. */
	bool (*sink)(struct request *q, const uint8_t *p, size_t n);
	bool running;
	struct buf body; /* of a good answer without a sink */
	/* How it went. */
	CURLcode code;
	long status;
	uint64_t retry_after_ms;
	struct challenge challenge;
	bool has_range;
	uint64_t range_from;
	struct why why; /* of a sink */
	/* How often it was tried. */
	unsigned attempts, in_vain; /* in_vain: since bytes came last */
	unsigned signed_in;
	uint64_t again_ms; /* not before */
};

struct fetch { /* something that is wanted */
	TAILQ_ENTRY(fetch) entry;
	struct request q;
	struct registry *r;
	bool manifest, begun;
	char tag[REFERENCE_TAG_BYTES];
	char digest[REFERENCE_DIGEST_BYTES]; /* "" until a tag's is known */
	uint64_t size; /* 0: not known */
	/* The file that grows, and what is in it. */
	int fd;
	uint64_t done;
	uint64_t skip; /* bytes that the registry sends again */
	bool ranged; /* this answer was looked at */
	bool resumed; /* its beginning is an earlier worker's: read by nobody till it is whole */
	void *hash; /* EVP_MD_CTX of the first `done` bytes */
	uint64_t told_ms;
};

TAILQ_HEAD(fetches, fetch);

struct registry {
	struct job *job;
	struct work_registry ask;
	struct reference ref;
	CURLM *multi;
	char base[REFERENCE_NAME_BYTES + 16]; /* https://HOST */
	bool reached; /* base is right, and we are signed in if need be */
	char *authorization; /* a header, or NULL */
	struct fetches fetches;
	unsigned wants, active;
	struct why why; /* why it cannot go on */
};

/* registry_http.c */
enum err http_open(struct registry *r, struct why *why) MUST_CHECK;
void http_close(struct registry *r);
/* Starts a request to q->url; headers are NULL-terminated. `post` may be NULL. */
enum err http_start(struct request *q, const char *const *headers, const char *post,
	struct why *why) MUST_CHECK;
void http_stop(struct request *q); /* not running is fine; the body goes too */
void http_turn(struct registry *r); /* waits a little for anything to happen */
/* Runs one that was started to its end. */
void http_wait(struct request *q);

enum verdict { ANSWERED, TRY_AGAIN, SIGN_IN, REFUSED };
/* What an ended request means; REFUSED fills why. TRY_AGAIN sets when. `what` is for people. */
enum verdict http_judge(struct request *q, unsigned tries, const char *what, struct why *why);

/* registry_auth.c */
/* Finds out how the registry is spoken to, and signs in. */
enum err registry_reach(struct registry *r, struct why *why) MUST_CHECK;
enum err registry_sign_in(struct registry *r, const struct challenge *c,
	struct why *why) MUST_CHECK;

/* registry_blob.c */
enum err blobs_open(struct why *why) MUST_CHECK; /* nobody sweeps from here on */
/* Whether it is here already: then it was told of. */
enum err blob_cached(struct fetch *f, bool *ret, struct why *why) MUST_CHECK;
enum err blob_begin(struct fetch *f, struct why *why) MUST_CHECK; /* opens what there is of it */
bool blob_take(struct request *q, const uint8_t *p, size_t n); /* a sink */
/* All bytes have come. *again: what was there before was bad, and has gone. */
enum err blob_end(struct fetch *f, bool *again, struct why *why) MUST_CHECK;
/* A document in q->body is kept under its digest, which a tag learns here. */
enum err blob_keep(struct fetch *f, struct why *why) MUST_CHECK;
void blob_done(struct fetch *f);
void blobs_sweep(uint64_t max); /* the oldest go, unless others are at work */
enum err fetch_tell(struct fetch *f, bool whole, bool cached, struct why *why) MUST_CHECK;

#endif
