/*
 * registry_blob.c - what was fetched, on disk: sha256/HEX when it is whole and verified,
 * sha256/HEX.part while it grows. A part outlives the worker, and is gone on with by the next one.
 *
 * Whoever works in the directory holds a shared lock on it; who is alone may sweep.
 */
#include <dirent.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "worker/registry.h"

enum { TELL_MS = 20, PIECE_BYTES = 65536, FILES_MAX = 65536 };

static const char *name_of_blob(const struct fetch *f, bool part, char out[BLOB_NAME_BYTES])
{
	snprintf(out, BLOB_NAME_BYTES, "sha256/%.64s%s", f->digest + 7, part ? ".part" : "");
	return out;
}

/* A bundle's length is not known before it has come. */
static uint64_t most_of(const struct fetch *f)
{
	return f->size ? f->size : f->r->ask.blob_max;
}

enum err fetch_tell(struct fetch *f, bool whole, bool cached, struct why *why)
{
	struct work_have have = { .digest = f->digest, .bytes = f->done, .whole = whole,
		.ready = whole || !f->resumed ? f->done : 0, .cached = cached,
		.has_cached = cached, .tag = f->tag[0] ? f->tag : NULL };

	f->told_ms = loop_now_ms(f->r->job->loop);
	return job_tell(f->r->job, LETTER_work_have, &have, why);
}

/* ---- digests ---- */

static enum err hash_begin(struct fetch *f, struct why *why)
{
	EVP_MD_CTX_free(f->hash);
	f->hash = EVP_MD_CTX_new();
	if (!f->hash || EVP_DigestInit_ex(f->hash, EVP_sha256(), NULL) != 1)
		return fail(why, ERR_no_memory, "no memory for a digest");
	return OK;
}

/* Adds the first n bytes of a file. */
static enum err hash_file(struct fetch *f, int fd, uint64_t n, struct why *why)
{
	uint8_t piece[PIECE_BYTES];
	uint64_t at = 0;
	enum err e = hash_begin(f, why);

	while (!e && at < n) {
		ssize_t got = pread(fd, piece, (size_t)MIN(n - at, sizeof(piece)), (off_t)at);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return fail_errno(why, "cannot read what was fetched");
		if (EVP_DigestUpdate(f->hash, piece, (size_t)got) != 1)
			return fail(why, ERR_internal, "cannot hash");
		at += (uint64_t)got;
	}
	return e;
}

static bool hash_is(struct fetch *f, char out[REFERENCE_DIGEST_BYTES])
{
	uint8_t sum[SHA256_BYTES];

	if (EVP_DigestFinal_ex(f->hash, sum, NULL) != 1)
		return false;
	memcpy(out, "sha256:", 7);
	hex_of(out + 7, sum, sizeof(sum));
	return str_eq(out, f->digest);
}

/* ---- what is there ---- */

enum err blobs_open(struct why *why)
{
	while (flock(FD_DIR, LOCK_SH) < 0)
		if (errno != EINTR)
			return fail_errno(why, "cannot lock the layers");
	if (mkdirat(FD_DIR, "sha256", 0700) < 0 && errno != EEXIST)
		return fail_errno(why, "cannot make a directory for layers");
	return OK;
}

/* A document is small: it is looked at. A layer is checked when it is unpacked. */
static enum err is_good(struct fetch *f, int fd, const struct stat *st, bool *ret, struct why *why)
{
	char is[REFERENCE_DIGEST_BYTES];
	enum err e;

	*ret = S_ISREG(st->st_mode) && (f->size == 0 || (uint64_t)st->st_size == f->size);
	if (!*ret || st->st_size > DOCUMENT_BYTES_MAX)
		return OK;
	e = hash_file(f, fd, (uint64_t)st->st_size, why);
	*ret = !e && hash_is(f, is);
	return e;
}

enum err blob_cached(struct fetch *f, bool *ret, struct why *why)
{
	char name[BLOB_NAME_BYTES];
	own_fd fd = -1;
	struct stat st;
	enum err e;

	*ret = false;
	if (!f->digest[0])
		return OK;
	fd = openat(FD_DIR, name_of_blob(f, false, name), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return errno == ENOENT ? OK : fail_errno(why, "cannot open a layer");
	if (fstat(fd, &st) < 0)
		return fail_errno(why, "cannot look at a layer");
	e = is_good(f, fd, &st, ret, why);
	if (e)
		return e;
	if (!*ret) {
		(void)!unlinkat(FD_DIR, name, 0);
		return OK;
	}
	(void)!utimensat(FD_DIR, name, NULL, 0); /* used today */
	f->done = (uint64_t)st.st_size;
	return fetch_tell(f, true, true, why);
}

enum err blob_begin(struct fetch *f, struct why *why)
{
	char name[BLOB_NAME_BYTES];
	struct stat st;

	f->ranged = false;
	f->skip = 0;
	if (f->fd >= 0)
		return OK; /* tried again: its hash goes on where it stopped */
	f->fd = openat(FD_DIR, name_of_blob(f, true, name),
		O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (f->fd < 0 || fstat(f->fd, &st) < 0)
		return fail_errno(why, "cannot keep a layer");
	if ((uint64_t)st.st_size > most_of(f)) {
		if (ftruncate(f->fd, 0) < 0)
			return fail_errno(why, "cannot keep a layer");
		st.st_size = 0;
	}
	f->done = (uint64_t)st.st_size;
	f->resumed = f->done > 0;
	return hash_file(f, f->fd, f->done, why);
}

/* ---- bytes ---- */

/* Where this answer begins: at our place, or, from a server that knows no ranges, at its own. */
static bool place(struct fetch *f)
{
	struct request *q = &f->q;
	long status = 0;

	f->ranged = true;
	curl_easy_getinfo(q->easy, CURLINFO_RESPONSE_CODE, &status);
	if (status != 206) {
		f->skip = f->done;
		return true;
	}
	if (q->has_range && q->range_from <= f->done) {
		f->skip = f->done - q->range_from;
		return true;
	}
	fail(&q->why, ERR_invalid_value, "the registry sends another range than was asked for");
	return false;
}

static bool write_part(struct fetch *f, const uint8_t *p, size_t n)
{
	while (n > 0) {
		ssize_t got = pwrite(f->fd, p, n, (off_t)f->done);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0) {
			fail_errno(&f->q.why, "cannot keep a layer");
			return false;
		}
		if (EVP_DigestUpdate(f->hash, p, (size_t)got) != 1) {
			fail(&f->q.why, ERR_internal, "cannot hash");
			return false;
		}
		p += got;
		n -= (size_t)got;
		f->done += (uint64_t)got;
	}
	return true;
}

bool blob_take(struct request *q, const uint8_t *p, size_t n)
{
	struct fetch *f = CONTAINER_OF(q, struct fetch, q);
	size_t part;

	if (!f->ranged && !place(f))
		return false;
	part = (size_t)MIN(f->skip, n);
	f->skip -= part;
	if (n - part > most_of(f) - f->done) {
		fail(&q->why, ERR_invalid_value, "the registry sends more than the %llu bytes that "
						 "were declared", (unsigned long long)most_of(f));
		return false;
	}
	if (!write_part(f, p + part, n - part))
		return false;
	if (loop_now_ms(f->r->job->loop) < f->told_ms + TELL_MS)
		return true;
	return fetch_tell(f, false, false, &q->why) == OK;
}

enum err blob_end(struct fetch *f, bool *again, struct why *why)
{
	char name[BLOB_NAME_BYTES], part[BLOB_NAME_BYTES], is[REFERENCE_DIGEST_BYTES];
	bool good = hash_is(f, is);

	name_of_blob(f, true, part);
	*again = !good && f->resumed;
	if (!good) {
		(void)!unlinkat(FD_DIR, part, 0);
		blob_done(f);
		f->done = 0;
		return *again ? OK : fail(why, ERR_invalid_value, "the registry's bytes for "
				"%.19s... have not that digest", f->digest);
	}
	if (renameat(FD_DIR, part, FD_DIR, name_of_blob(f, false, name)) < 0)
		return fail_errno(why, "cannot keep a layer");
	return fetch_tell(f, true, false, why);
}

static enum err learn_digest(struct fetch *f, struct bytes text, struct why *why)
{
	char is[REFERENCE_DIGEST_BYTES];
	enum err e = hash_begin(f, why);

	if (e)
		return e;
	if (EVP_DigestUpdate(f->hash, text.p, text.n) != 1)
		return fail(why, ERR_internal, "cannot hash");
	if (hash_is(f, is))
		return OK;
	if (f->digest[0])
		return fail(why, ERR_invalid_value, "the registry's manifest for %.19s... has not "
						    "that digest", f->digest);
	str_copy(f->digest, sizeof(f->digest), is);
	return OK;
}

enum err blob_keep(struct fetch *f, struct why *why)
{
	struct bytes text = { f->q.body.p, f->q.body.n };
	char name[BLOB_NAME_BYTES], part[BLOB_NAME_BYTES];
	own_fd fd = -1;
	enum err e = learn_digest(f, text, why);

	if (e)
		return e;
	name_of_blob(f, true, part);
	fd = openat(FD_DIR, part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0 || write(fd, text.p, text.n) != (ssize_t)text.n ||
		renameat(FD_DIR, part, FD_DIR, name_of_blob(f, false, name)) < 0)
		return fail_errno(why, "cannot keep a manifest");
	f->done = text.n;
	return fetch_tell(f, true, false, why);
}

void blob_done(struct fetch *f)
{
	fd_done(&f->fd);
	f->fd = -1;
	EVP_MD_CTX_free(f->hash);
	f->hash = NULL;
}

/* ---- sweeping ---- */

struct kept {
	struct timespec used;
	uint64_t bytes;
	char name[BLOB_NAME_BYTES];
};

static int by_age(const void *a, const void *b)
{
	const struct kept *x = a, *y = b;

	if (x->used.tv_sec != y->used.tv_sec)
		return x->used.tv_sec < y->used.tv_sec ? -1 : 1;
	return (x->used.tv_nsec > y->used.tv_nsec) - (x->used.tv_nsec < y->used.tv_nsec);
}

static size_t list_kept(DIR *d, struct kept *v, uint64_t *sum)
{
	struct dirent *e;
	struct stat st;
	size_t n = 0;

	while (n < FILES_MAX && (e = readdir(d)) != NULL) {
		if (e->d_name[0] == '.' || strlen(e->d_name) >= BLOB_NAME_BYTES - 7 ||
			fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		v[n] = (struct kept){ .used = st.st_mtim, .bytes = (uint64_t)st.st_blocks * 512 };
		str_copy(v[n].name, sizeof(v[n].name), e->d_name);
		*sum += v[n++].bytes;
	}
	return n;
}

void blobs_sweep(uint64_t max)
{
	own_fd fd = openat(FD_DIR, "sha256", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	own_mem struct kept *v = calloc(FILES_MAX, sizeof(*v));
	own_dir d = NULL;
	uint64_t sum = 0;
	size_t n;

	if (fd < 0 || !v || flock(FD_DIR, LOCK_EX | LOCK_NB) < 0)
		return;
	d = fdopendir(fd);
	if (!d)
		return;
	take_fd(&fd);
	n = list_kept(d, v, &sum);
	qsort(v, n, sizeof(*v), by_age);
	for (size_t i = 0; i < n && sum > max; i++)
		if (unlinkat(dirfd(d), v[i].name, 0) == 0)
			sum -= v[i].bytes;
}
