/*
 * registry.c - the job work.registry: fetches what is wanted of one repository into the directory
 * of blobs, some at once, and tells how much of it is there.
 *
 * It has the network and reads nothing of what it carries: a size and a digest are all it knows of
 * it. What ends early is gone on with where it ended; what does not have its digest is thrown away.
 * The job is over when its stream ends: nobody wants anything any more.
 */
#include "worker/registry.h"

#include "base/text.h"

enum { TRIES = 6 };

#define ACCEPT \
	"Accept: application/vnd.oci.image.index.v1+json, " \
	"application/vnd.docker.distribution.manifest.list.v2+json, " \
	"application/vnd.oci.image.manifest.v1+json, " \
	"application/vnd.docker.distribution.manifest.v2+json"

/* ---- wants ---- */

static void fetch_free(struct fetch *f)
{
	TAILQ_REMOVE(&f->r->fetches, f, entry);
	http_stop(&f->q);
	blob_done(f);
	free(f);
}

static void refuse(struct registry *r, enum err code, const char *text)
{
	if (!r->why.code)
		fail(&r->why, code, "%s", text);
}

static void on_told(void *ctx, enum letter_id id, const void *body)
{
	const struct work_want *w = body;
	struct registry *r = ctx;
	struct fetch *f;

	if (id != LETTER_work_want)
		return;
	if ((!w->digest && !(w->tag && w->manifest)) || r->wants++ == WANTS_MAX ||
		(r->ask.url && (w->manifest || w->size > 0)) ||
		(!r->ask.url && !w->manifest && (w->size == 0 || w->size > r->ask.blob_max))) {
		refuse(r, ERR_invalid_value, "something is wanted that no image has");
		return;
	}
	f = calloc(1, sizeof(*f));
	if (!f) {
		refuse(r, ERR_no_memory, "no memory for a download");
		return;
	}
	*f = (struct fetch){ .r = r, .q = { .r = r }, .fd = -1, .manifest = w->manifest,
		.size = w->size };
	str_copy(f->digest, sizeof(f->digest), w->digest ? w->digest : "");
	str_copy(f->tag, sizeof(f->tag), w->tag ? w->tag : "");
	TAILQ_INSERT_TAIL(&r->fetches, f, entry);
}

/* ---- downloads ---- */

static void describe(const struct fetch *f, char *out, size_t size)
{
	const struct reference *ref = &f->r->ref;

	if (f->r->ask.url)
		snprintf(out, size, "%.350s", f->r->ask.url);
	else if (f->tag[0])
		snprintf(out, size, "%.200s:%.128s", ref->path, f->tag);
	else
		snprintf(out, size, "%s %.19s... of %.200s", f->manifest ? "manifest" : "layer",
			f->digest, ref->path);
}

static enum err finish(struct fetch *f, bool *over, struct why *why);

/* *over: nothing was missing, and it is told of. */
static enum err start(struct fetch *f, bool *over, struct why *why)
{
	struct registry *r = f->r;
	const char *headers[4] = { NULL };
	char range[64];
	size_t n = 0;
	enum err e = OK;

	f->q.follow = true;
	if (r->ask.url)
		snprintf(f->q.url, sizeof(f->q.url), "%s", r->ask.url);
	else
		snprintf(f->q.url, sizeof(f->q.url), "%s/v2/%s/%s/%s", r->base, r->ref.path,
			f->manifest ? "manifests" : "blobs", f->tag[0] ? f->tag : f->digest);
	if (r->authorization)
		headers[n++] = r->authorization;
	if (f->manifest) {
		headers[n++] = ACCEPT;
	} else {
		f->q.sink = blob_take;
		e = blob_begin(f, why);
		if (!e && f->size > 0 && f->done == f->size)
			return finish(f, over, why); /* an earlier worker ended just before this */
		if (f->done > 0) {
			snprintf(range, sizeof(range), "Range: bytes=%llu-",
				(unsigned long long)f->done);
			headers[n++] = range;
		}
	}
	return e ? e : http_start(&f->q, headers, NULL, why);
}

/* Begins one that waits: from the cache, or from the registry. */
static enum err begin(struct fetch *f, bool *over, struct why *why)
{
	struct registry *r = f->r;
	char what[360];
	enum err e = blob_cached(f, over, why);

	if (e || *over)
		return e;
	if (r->ask.offline) {
		describe(f, what, sizeof(what));
		fail(why, ERR_not_found, "%s is not cached", what);
		return fail_hint(why, "without --offline it is fetched from %s", r->ref.host);
	}
	if (!r->reached)
		e = registry_reach(r, why);
	f->begun = true;
	return e ? e : start(f, over, why);
}

/* The bytes have come to an end. */
static enum err finish(struct fetch *f, bool *over, struct why *why)
{
	bool again = false;
	enum err e;

	if (f->manifest) {
		e = blob_keep(f, why);
	} else if (f->done < f->size) {
		if (f->q.in_vain < TRIES && f->q.attempts < 2 * TRIES)
			return start(f, over, why); /* an end before the end */
		e = fail(why, ERR_invalid_value, "the registry sends only %llu of the %llu bytes "
						 "of %.19s...", (unsigned long long)f->done,
			(unsigned long long)f->size, f->digest);
	} else {
		e = blob_end(f, &again, why);
	}
	*over = !e && !again;
	return e || *over ? e : start(f, over, why);
}

/* What an ended request means for its fetch. */
static enum err follow(struct fetch *f, bool *over, struct why *why)
{
	char what[360];
	enum err e;

	describe(f, what, sizeof(what));
	if (!f->q.code && f->q.status == 416 && f->size == 0 && f->done > 0)
		f->q.status = 206; /* nothing of a bundle was missing but the check */
	switch (http_judge(&f->q, TRIES, what, why)) {
	case ANSWERED:
		return finish(f, over, why);
	case SIGN_IN:
		f->q.signed_in++;
		e = registry_sign_in(f->r, &f->q.challenge, why);
		return e ? e : start(f, over, why);
	case TRY_AGAIN:
		return OK;
	case REFUSED:
		break;
	}
	return why->code;
}

static bool is_due(const struct fetch *f, uint64_t now)
{
	return !f->q.running && f->q.again_ms <= now && f->r->active < ACTIVE_MAX;
}

/* One thing for each fetch that stands still. */
static enum err advance(struct registry *r, struct why *why)
{
	struct fetch *f, *next;

	for (f = TAILQ_FIRST(&r->fetches); f; f = next) {
		bool over = false;
		enum err e = OK;

		if (f->q.easy && !f->q.running && f->q.again_ms == 0)
			e = follow(f, &over, why);
		else if (is_due(f, loop_now_ms(r->job->loop))) {
			f->q.again_ms = 0;
			e = f->begun ? start(f, &over, why) : begin(f, &over, why);
		}
		if (e)
			return e;
		next = TAILQ_NEXT(f, entry); /* signing in may have brought more */
		if (over)
			fetch_free(f);
	}
	return OK;
}

/* ---- the job ---- */

static enum err serve(struct registry *r, struct why *why)
{
	enum err e = OK;

	while (!e && !r->job->ended) {
		if (r->why.code) {
			*why = r->why;
			return why->code;
		}
		e = advance(r, why);
		if (e)
			break;
		if (TAILQ_EMPTY(&r->fetches))
			loop_turn(r->job->loop, true);
		else
			http_turn(r);
	}
	return e;
}

/* A URL leads to one thing; nobody signs in for that. */
static enum err read_source(struct registry *r, struct why *why)
{
	static const char https[] = "https://";
	const char *wrong, *host;

	if (r->ask.url) {
		host = r->ask.url + strlen(https); /* its type says that it begins so */
		r->reached = true;
		snprintf(r->ref.host, sizeof(r->ref.host), "%.*s", (int)strcspn(host, "/"), host);
		snprintf(r->base, sizeof(r->base), "%s%s", https, r->ref.host);
		return OK;
	}
	if (!r->ask.reference)
		return fail_field(why, ERR_missing_field, "reference", "nothing to fetch from");
	wrong = reference_read(r->ask.reference, strlen(r->ask.reference), &r->ref);
	return wrong ? fail_field(why, ERR_invalid_value, "reference", "%s", wrong) : OK;
}

static enum err prepare(struct registry *r, struct why *why)
{
	enum err e = job_read(r->job, &r->ask, why);

	if (!e)
		e = read_source(r, why);
	if (e)
		return e;
	e = blobs_open(why);
	return e ? e : http_open(r, why);
}

enum err run_registry(struct job *j, struct why *why)
{
	struct registry r = { .job = j };
	enum err e;

	TAILQ_INIT(&r.fetches);
	job_listen(j, on_told, &r);
	e = prepare(&r, why);
	if (!e)
		e = serve(&r, why);
	j->told = NULL;
	while (!TAILQ_EMPTY(&r.fetches))
		fetch_free(TAILQ_FIRST(&r.fetches));
	if (!e)
		blobs_sweep(r.ask.cache_max);
	free(r.authorization);
	http_close(&r);
	return e;
}
