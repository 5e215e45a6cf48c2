/*
 * pull.c - the job work.pull: an image of a registry, read by a worker that has no network.
 *
 * It tells what it wants, another worker (work.registry) fetches that into the directory on
 * descriptor 4, and this one reads it there: manifests when they are whole, layers while they still
 * grow, in their order. What it reads it checks itself: manifest and config against their digests,
 * each layer, unpacked, against the digest that the config gives it. So neither the network nor the
 * other worker is believed.
 */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "proto/reference.h"
#include "worker/bundle.h"
#include "worker/layer.h"
#include "worker/manifest.h"

enum { INDEX_DEPTH_MAX = 4, PIECE_BYTES = 262144, BLOBS_AT = 6 /* of "blobs/sha256/HEX" */ };

struct blob { /* what was wanted, and how much of it is here */
	struct link link; /* by digest */
	char digest[DIGEST_CHARS + 1];
	uint64_t size;
	uint64_t ready; /* may be read */
	bool whole;
};

struct pull {
	struct job *job;
	struct work_pull ask;
	struct reference ref;
	struct arena arena;
	struct table blobs;
	char tagged[DIGEST_CHARS + 1]; /* what the tag turned out to be */
	struct manifest manifest;
	struct manifest_config config;
};

struct blob_source {
	struct source s;
	struct pull *p;
	struct blob *b;
	int fd;
	uint64_t at;
	uint8_t buf[PIECE_BYTES];
};

/* ---- what is wanted, and what has come ---- */

static struct blob *find(struct pull *p, const char *digest)
{
	struct link *l = table_get(&p->blobs, digest, DIGEST_CHARS);

	return l ? CONTAINER_OF(l, struct blob, link) : NULL;
}

static struct blob *note(struct pull *p, const char *digest, struct why *why)
{
	struct blob *b = find(p, digest);

	if (b)
		return b;
	b = arena_take(&p->arena, sizeof(*b));
	if (b && str_copy(b->digest, sizeof(b->digest), digest) &&
		table_add(&p->blobs, &b->link, b->digest, DIGEST_CHARS))
		return b;
	fail(why, ERR_no_memory, "no memory for a blob");
	return NULL;
}

static void on_told(void *ctx, enum letter_id id, const void *body)
{
	const struct work_have *have = body;
	struct pull *p = ctx;
	struct blob *b;

	if (id != LETTER_work_have)
		return;
	b = find(p, have->digest);
	if (have->tag && !p->tagged[0] && str_eq(have->tag, p->ref.tag)) {
		str_copy(p->tagged, sizeof(p->tagged), have->digest);
		b = note(p, have->digest, NULL);
	}
	if (!b)
		return;
	b->ready = MAX(b->ready, have->whole ? have->bytes : have->ready);
	b->whole |= have->whole;
}

/* Until something is told. Who waits for a slow network says that it is alive. */
static void wait(struct pull *p)
{
	loop_turn(p->job->loop, true);
	job_tick(p->job, 0, NULL);
}

static enum err want(struct pull *p, const char *digest, uint64_t size, bool manifest, bool layer,
	struct why *why)
{
	struct work_want w = { .manifest = manifest, .has_manifest = manifest, .digest = digest,
		.size = size, .has_size = size > 0, .layer = layer, .has_layer = layer };
	struct blob *b = find(p, digest);

	if (b)
		return OK; /* the same layer twice is fetched once */
	b = note(p, digest, why);
	if (!b)
		return why->code;
	b->size = size;
	return job_tell(p->job, LETTER_work_want, &w, why);
}

/* ---- reading ---- */

/* A file that was growing a moment ago may have got its name meanwhile. */
static enum err open_blob(const struct blob *b, int *ret, struct why *why)
{
	char path[96];

	for (int i = 0; i < 3; i++) {
		snprintf(path, sizeof(path), "sha256/%s%s", b->digest + 7, i == 1 ? ".part" : "");
		*ret = openat(FD_EXTRA, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
		if (*ret >= 0 || errno != ENOENT)
			break;
	}
	return *ret >= 0 ? OK : fail_errno(why, "cannot open what was fetched");
}

/*
 * A part that was told of and has gone was bad: who fetched it says so, and that is what counts.
 * The daemon ends us then.
 */
static enum err open_when_there(struct blob_source *f, struct why *why)
{
	enum err e = open_blob(f->b, &f->fd, why);

	while (e == ERR_not_found && !f->b->whole) {
		wait(f->p);
		e = open_blob(f->b, &f->fd, why);
	}
	return e;
}

static enum err blob_next(struct source *s, const uint8_t **p, size_t *n, struct why *why)
{
	struct blob_source *f = s->ctx;
	struct blob *b = f->b;
	ssize_t got = 0;
	enum err e;

	while (f->at >= b->ready && !b->whole)
		wait(f->p);
	e = f->fd < 0 ? open_when_there(f, why) : OK;
	if (e)
		return e;
	do
		got = pread(f->fd, f->buf,
			f->at < b->ready ? MIN(b->ready - f->at, (uint64_t)PIECE_BYTES) : 0,
			(off_t)f->at);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return fail_errno(why, "cannot read what was fetched");
	if (got == 0 && f->at < b->ready)
		return fail(why, ERR_invalid_value, "what was fetched ended early");
	f->at += (uint64_t)got;
	*p = f->buf;
	*n = (size_t)got;
	return OK;
}

static enum err blob_open(struct pull *p, const char *digest, struct blob_source **ret,
	struct why *why)
{
	struct blob_source *f = calloc(1, sizeof(*f));

	if (!f)
		return fail(why, ERR_no_memory, "no memory to read what was fetched");
	source_init(&f->s, blob_next, f, 0);
	f->p = p;
	f->fd = -1;
	f->b = find(p, digest);
	must(f->b);
	*ret = f;
	return OK;
}

static void blob_close(struct blob_source *f)
{
	source_done(&f->s);
	fd_done(&f->fd);
	free(f);
}

static enum err read_whole(struct pull *p, struct source *s, struct bytes *ret, struct why *why)
{
	own_buf text = { .max = JSON_BYTES_MAX };
	const uint8_t *piece = NULL;
	uint8_t *copy;
	size_t n = 0;
	enum err e;

	do {
		e = source_next(s, &piece, &n, why);
		if (!e)
			buf_add(&text, piece, n);
	} while (!e && n > 0 && !text.failed);
	if (e)
		return e;
	copy = text.failed ? NULL : arena_take(&p->arena, text.n + 1);
	if (!copy)
		return fail(why, ERR_too_large, "a document of more than %d MiB",
			JSON_BYTES_MAX / (1024 * 1024));
	memcpy(copy, text.p, text.n);
	*ret = (struct bytes){ copy, text.n };
	return OK;
}

/* A document of that digest; what was fetched under it is not believed. */
static enum err load(struct pull *p, const char *digest, uint64_t size, struct bytes *ret,
	struct why *why)
{
	char is[DIGEST_CHARS + 1];
	struct blob_source *f;
	enum err e = blob_open(p, digest, &f, why);

	if (e)
		return e;
	e = source_hash(&f->s, why);
	if (!e)
		e = read_whole(p, &f->s, ret, why);
	if (!e)
		e = source_digest(&f->s, is, why);
	if (!e && !str_eq(is, digest))
		e = fail(why, ERR_invalid_value, "a document that has not the digest of its name");
	if (!e && size > 0 && ret->n != size)
		e = fail(why, ERR_invalid_value, "a document that is not as long as declared");
	blob_close(f);
	return e;
}

/* ---- documents ---- */

/* "sha256:HEX" of "blobs/sha256/HEX". */
static const char *digest_of(struct pull *p, const char *name, struct why *why)
{
	char *digest = arena_str(&p->arena, name + BLOBS_AT);

	if (digest)
		digest[6] = ':';
	else
		fail(why, ERR_no_memory, "no memory for a digest");
	return digest;
}

/* The document that the reference leads to, and its digest. */
static enum err first(struct pull *p, const char **ret_digest, struct why *why)
{
	struct work_want w = { .manifest = true, .has_manifest = true, .tag = p->ref.tag };
	enum err e;

	if (p->ref.digest[0]) {
		*ret_digest = p->ref.digest;
		return want(p, p->ref.digest, 0, true, false, why);
	}
	e = job_tell(p->job, LETTER_work_want, &w, why);
	while (!e && !p->tagged[0])
		wait(p);
	*ret_digest = p->tagged;
	return e || note(p, p->tagged, why) ? e : ERR_no_memory;
}

/* From the reference down to the manifest of one image. */
static enum err find_manifest(struct image *im, struct pull *p, struct bytes *ret, struct why *why)
{
	const char *digest = NULL, *name = NULL;
	uint64_t size = 0;
	bool index = true;
	char text[REFERENCE_BYTES];
	enum err e = first(p, &digest, why);

	if (e)
		return e;
	for (int i = 0;; i++) {
		e = load(p, digest, size, ret, why);
		if (!e)
			e = manifest_is_index(*ret, &index, why);
		if (e || !index)
			break;
		if (i == INDEX_DEPTH_MAX)
			return fail(why, ERR_too_large, "an index in an index, %d deep", i);
		e = manifest_index(*ret, host_arch(), true, &p->arena, &name, &size, why);
		digest = e ? NULL : digest_of(p, name, why);
		e = digest ? want(p, digest, size, true, false, why) : why->code;
		if (e)
			return e;
	}
	if (!p->ref.digest[0])
		str_copy(p->ref.digest, sizeof(p->ref.digest), p->tagged);
	reference_text(&p->ref, text);
	im->reference = arena_str(&p->job->arena, text);
	return e || im->reference ? e : fail(why, ERR_no_memory, "no memory for a reference");
}

static enum err check_parts(struct pull *p, struct why *why)
{
	const struct manifest *m = &p->manifest;
	uint64_t all = 0, max = p->ask.image.content_max;

	for (uint32_t i = 0; i < m->layers_n; i++) {
		if (m->sizes[i] == 0)
			return fail(why, ERR_invalid_value, "layer %u declares no size", i + 1);
		if (m->sizes[i] > max - all)
			return fail(why, ERR_too_large, "layers of more than %llu bytes",
				(unsigned long long)max);
		all += m->sizes[i];
	}
	if (m->config_size > JSON_BYTES_MAX)
		return fail(why, ERR_too_large, "a config of %llu bytes",
			(unsigned long long)m->config_size);
	return OK;
}

/* All layers are wanted before the first is unpacked. */
static enum err want_parts(struct pull *p, const char *config, const char **layers, struct why *why)
{
	const struct manifest *m = &p->manifest;
	enum err e = want(p, config, m->config_size, false, false, why);

	for (uint32_t i = 0; i < m->layers_n && !e; i++) {
		layers[i] = digest_of(p, m->layers[i], why);
		e = layers[i] ? want(p, layers[i], m->sizes[i], false, true, why) : why->code;
	}
	return e;
}

static enum err read_config(struct image *im, struct pull *p, const char *digest, struct why *why)
{
	struct bytes text;
	enum err e = load(p, digest, p->manifest.config_size, &text, why);

	if (!e)
		e = manifest_config(text, host_arch(), &p->job->arena, &p->config, why);
	if (!e && p->config.diff_ids_n != p->manifest.layers_n) {
		fail(why, ERR_invalid_value, "%u layers, but digests of %u: no container image",
			p->manifest.layers_n, p->config.diff_ids_n);
		e = why->code;
	}
	im->config = p->config.run;
	return e || str_copy(im->digest, sizeof(im->digest), digest) ? e : ERR_internal;
}

/* ---- layers ---- */

static enum err apply_layer(struct image *im, struct pull *p, uint32_t i, const char *digest,
	struct why *why)
{
	struct blob_source *f;
	enum err e = blob_open(p, digest, &f, why);

	if (e)
		return e;
	e = layer_apply(im, i + 1, &f->s, p->config.diff_ids[i], why);
	blob_close(f);
	return e;
}

static enum err apply_all(struct image *im, struct pull *p, const char **layers, struct why *why)
{
	struct why inner = { .code = OK };
	enum err e = OK;

	im->unpack.layered = true;
	for (uint32_t i = 0; i < p->manifest.layers_n && !e; i++) {
		e = apply_layer(im, p, i, layers[i], &inner);
		if (!e)
			continue;
		*why = inner;
		snprintf(why->text, sizeof(why->text), "layer %u of %u: %.300s", i + 1,
			p->manifest.layers_n, inner.text);
	}
	return e;
}

static enum err fill(struct image *im, void *ctx, struct why *why)
{
	const char *config = NULL, **layers;
	struct pull *p = ctx;
	struct bytes text;
	enum err e = find_manifest(im, p, &text, why);

	if (!e)
		e = manifest_oci(text, &p->arena, &p->manifest, why);
	if (!e)
		e = check_parts(p, why);
	if (e)
		return e;
	config = digest_of(p, p->manifest.config, why);
	layers = arena_take(&p->arena, LAYERS_MAX * sizeof(*layers));
	if (!config || !layers)
		return fail(why, ERR_no_memory, "no memory for a manifest");
	e = want_parts(p, config, layers, why);
	if (!e)
		e = read_config(im, p, config, why);
	return e ? e : apply_all(im, p, layers, why);
}

/* A bundle, read while it grows; what was fetched under its digest is not believed. */
static enum err fill_bundle(struct pull *p, struct image_made *ret, struct why *why)
{
	char is[DIGEST_CHARS + 1];
	struct blob_source *f;
	enum err e = want(p, p->ask.bundle, 0, false, true, why);

	if (!e)
		e = blob_open(p, p->ask.bundle, &f, why);
	if (e)
		return e;
	e = source_hash(&f->s, why);
	if (!e)
		e = bundle_unpack(p->job, &p->ask.image, &f->s, ret, why);
	if (!e)
		e = source_digest(&f->s, is, why);
	if (!e && !str_eq(is, p->ask.bundle))
		e = fail(why, ERR_invalid_value, "the bundle has not its sha256");
	blob_close(f);
	return e;
}

enum err run_pull(struct job *j, struct image_made *ret, struct why *why)
{
	struct pull *p = calloc(1, sizeof(*p));
	const char *wrong;
	enum err e;

	*ret = (struct image_made){ .kernel = NULL };
	if (!p)
		return fail(why, ERR_no_memory, "no memory for a pull");
	p->job = j;
	arena_init(&p->arena, 64 * MiB);
	table_init(&p->blobs, (uint64_t)(uintptr_t)p);
	e = job_read(j, &p->ask, why);
	if (!e && !p->ask.reference == !p->ask.bundle)
		e = fail(why, ERR_invalid_value, "one of reference and bundle is wanted");
	wrong = e || p->ask.bundle ? NULL :
				     reference_read(p->ask.reference,
					     strlen(p->ask.reference), &p->ref);
	if (wrong)
		e = fail_field(why, ERR_invalid_value, "reference", "%s", wrong);
	job_listen(j, on_told, p);
	if (!e && p->ask.bundle)
		e = fill_bundle(p, ret, why);
	else if (!e)
		e = image_make(j, &p->ask.image, fill, p, &ret->facts, why);
	j->told = NULL;
	table_done(&p->blobs);
	arena_done(&p->arena);
	free(p);
	return e;
}
