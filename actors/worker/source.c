/*
 * source.c - counting, looking ahead, hashing; and libarchive's reading side on top.
 *
 * A failure inside libarchive's callback is kept in the source, because libarchive has only prose
 * of its own for it.
 */
#include "worker/source.h"

#include <archive_entry.h>
#include <openssl/evp.h>
#include <unistd.h>

#include "base/text.h"

enum { RATIO_MAX = 200 };

void source_init(struct source *s, source_next_fn *next, void *ctx, uint64_t max)
{
	memset(s, 0, sizeof(*s));
	s->next = next;
	s->ctx = ctx;
	s->max = max;
}

void source_done(struct source *s)
{
	EVP_MD_CTX_free(s->hash);
	s->hash = NULL;
}

enum err source_hash(struct source *s, struct why *why)
{
	must(s->total == 0);
	s->hash = EVP_MD_CTX_new();
	if (!s->hash || EVP_DigestInit_ex(s->hash, EVP_sha256(), NULL) != 1)
		return fail(why, ERR_no_memory, "no memory for a digest");
	return OK;
}

static enum err pull(struct source *s, const uint8_t **p, size_t *n, struct why *why)
{
	enum err e;

	*n = 0;
	if (s->ended)
		return OK;
	e = s->next(s, p, n, why);
	if (e)
		return e;
	s->ended = *n == 0;
	s->total += *n;
	if (s->max && s->total > s->max)
		return fail(why, ERR_too_large, "more than %llu bytes of input",
			(unsigned long long)s->max);
	if (s->hash && EVP_DigestUpdate(s->hash, *p, *n) != 1)
		return fail(why, ERR_internal, "cannot hash");
	return OK;
}

enum err source_next(struct source *s, const uint8_t **p, size_t *n, struct why *why)
{
	if (s->head_n > 0) {
		*p = s->head;
		*n = s->head_n;
		s->head_n = 0;
		return OK;
	}
	if (s->rest.n > 0) {
		*p = s->rest.p;
		*n = s->rest.n;
		s->rest.n = 0;
		return OK;
	}
	return pull(s, p, n, why);
}

enum err source_peek(struct source *s, size_t want, struct bytes *ret, struct why *why)
{
	must(want <= SOURCE_HEAD);
	while (s->head_n < want && s->rest.n == 0 && !s->ended) {
		const uint8_t *p = NULL;
		size_t n, part;
		enum err e = pull(s, &p, &n, why);

		if (e)
			return e;
		part = MIN(n, SOURCE_HEAD - s->head_n);
		if (part > 0)
			memcpy(s->head + s->head_n, p, part);
		s->head_n += part;
		if (part < n)
			s->rest = (struct bytes){ p + part, n - part };
	}
	*ret = (struct bytes){ s->head, s->head_n };
	return OK;
}

enum err source_drain(struct source *s, struct why *why)
{
	const uint8_t *p;
	size_t n;
	enum err e;

	do
		e = source_next(s, &p, &n, why);
	while (!e && n > 0);
	return e;
}

enum err source_digest(struct source *s, char out[DIGEST_CHARS + 1], struct why *why)
{
	uint8_t sum[SHA256_BYTES];

	must(s->ended && s->hash);
	if (EVP_DigestFinal_ex(s->hash, sum, NULL) != 1)
		return fail(why, ERR_internal, "cannot hash");
	memcpy(out, "sha256:", 7);
	hex_of(out + 7, sum, sizeof(sum));
	return OK;
}

enum err source_save(struct source *s, int fd, uint64_t *ret, struct why *why)
{
	uint64_t all = 0;

	for (;;) {
		const uint8_t *p = NULL;
		size_t n;
		enum err e = source_next(s, &p, &n, why);

		if (e)
			return e;
		if (n == 0)
			break;
		all += n;
		while (n > 0) {
			ssize_t got = write(fd, p, n);

			if (got < 0 && errno == EINTR)
				continue;
			if (got < 0)
				return fail_errno(why, "cannot write a temporary file");
			p += got;
			n -= (size_t)got;
		}
	}
	*ret = all;
	return OK;
}

static enum err file_next(struct source *s, const uint8_t **p, size_t *n, struct why *why)
{
	struct file_source *f = s->ctx;
	ssize_t got = 0;

	if (f->left > 0) {
		do
			got = pread(f->fd, f->buf, (size_t)MIN(f->left, sizeof(f->buf)),
				(off_t)f->at);
		while (got < 0 && errno == EINTR);
		if (got < 0)
			return fail_errno(why, "cannot read a file");
		if (got == 0)
			return fail(why, ERR_invalid_value, "a file ended early");
	}
	f->at += (uint64_t)got;
	f->left -= (uint64_t)got;
	*p = f->buf;
	*n = (size_t)got;
	return OK;
}

void file_source_init(struct file_source *f, int fd, uint64_t at, uint64_t n)
{
	source_init(&f->s, file_next, f, 0);
	f->fd = fd;
	f->at = at;
	f->left = n;
}

static enum err entry_next(struct source *s, const uint8_t **p, size_t *n, struct why *why)
{
	struct entry_source *e = s->ctx;
	const void *block;
	la_int64_t off;
	int got;

	do
		got = archive_read_data_block(e->a, &block, n, &off);
	while (got == ARCHIVE_RETRY || (got >= ARCHIVE_WARN && got != ARCHIVE_EOF && *n == 0));
	if (got == ARCHIVE_EOF) {
		*n = 0;
		return OK;
	}
	if (got < ARCHIVE_WARN)
		return archive_fail(e->a, e->under, why);
	if ((uint64_t)off != s->total)
		return fail(why, ERR_invalid_value, "a sparse file where none is expected");
	*p = block;
	return OK;
}

void entry_source_init(struct entry_source *e, struct archive *a, struct source *under,
	uint64_t max)
{
	source_init(&e->s, entry_next, e, max);
	e->a = a;
	e->under = under;
}

/* libarchive. */

static la_ssize_t on_read(struct archive *a, void *ctx, const void **buf)
{
	struct source *s = ctx;
	const uint8_t *p = NULL;
	size_t n;

	if (source_next(s, &p, &n, &s->why)) {
		archive_set_error(a, EIO, "%s", s->why.text);
		return ARCHIVE_FATAL;
	}
	*buf = p;
	return (la_ssize_t)n;
}

void archive_done(struct archive **a)
{
	if (*a)
		archive_read_free(*a);
	*a = NULL;
}

enum err archive_fail(struct archive *a, struct source *s, struct why *why)
{
	char text[200];

	if (s->why.code) {
		if (why)
			*why = s->why;
		return s->why.code;
	}
	if (archive_errno(a) == ENOMEM)
		return fail(why, ERR_no_memory, "no memory to unpack");
	snprintf(text, sizeof(text), "%s", archive_error_string(a) ? archive_error_string(a) : "?");
	return fail(why, ERR_invalid_value, "not a whole archive: %s", text);
}

static struct archive *new_reader(void)
{
	struct archive *a = archive_read_new();

	if (!a)
		return NULL;
	archive_read_support_filter_gzip(a);
	archive_read_support_filter_bzip2(a);
	archive_read_support_filter_xz(a);
	archive_read_support_filter_lzma(a);
	archive_read_support_filter_lz4(a);
	archive_read_support_filter_zstd(a);
	return a;
}

static enum err open_with(struct source *s, struct archive *fresh, struct archive **ret,
	struct why *why)
{
	own_archive a = fresh;

	if (!a)
		return fail(why, ERR_no_memory, "no memory to unpack");
	if (archive_read_open(a, s, NULL, on_read, NULL) < ARCHIVE_WARN)
		return archive_fail(a, s, why);
	*ret = take_ptr(&a);
	return OK;
}

enum err open_tar(struct source *s, struct archive **ret, struct why *why)
{
	struct archive *a = new_reader();

	if (a)
		archive_read_support_format_tar(a);
	return open_with(s, a, ret, why);
}

enum err open_plain_tar(struct source *s, struct archive **ret, struct why *why)
{
	struct archive *a = archive_read_new();

	if (a)
		archive_read_support_format_tar(a);
	return open_with(s, a, ret, why);
}

enum err open_any(struct source *s, struct archive **ret, struct why *why)
{
	struct archive *a = new_reader();

	if (a) {
		archive_read_support_format_tar(a);
		archive_read_support_format_ar(a);
		archive_read_support_format_cpio(a);
	}
	return open_with(s, a, ret, why);
}

enum err open_raw(struct source *s, struct archive **ret, struct why *why)
{
	struct archive *a = new_reader();

	if (a)
		archive_read_support_format_raw(a);
	return open_with(s, a, ret, why);
}

enum err next_entry(struct archive *a, struct source *s, struct archive_entry **ret,
	struct why *why)
{
	int got = archive_read_next_header(a, ret);

	if (got == ARCHIVE_EOF) {
		*ret = NULL;
		return OK;
	}
	/* a header that is damaged could be stepped over: then entries would be missing, unsaid */
	return got == ARCHIVE_RETRY || got < ARCHIVE_WARN ? archive_fail(a, s, why) : OK;
}

/* The end of a tar is a block of zeros, which libarchive has read where there was one. */
enum err check_end(struct archive *a, struct why *why)
{
	if (archive_filter_bytes(a, 0) > archive_read_header_position(a))
		return OK;
	return fail(why, ERR_invalid_value, "not a whole archive: it ends without its end mark");
}

enum err check_ratio(struct archive *a, uint64_t max, struct why *why)
{
	uint64_t out = (uint64_t)MAX(archive_filter_bytes(a, 0), 0);
	uint64_t in = (uint64_t)MAX(archive_filter_bytes(a, -1), 1);

	if (out > max)
		return fail(why, ERR_too_large, "unpacks to more than %llu bytes",
			(unsigned long long)max);
	if (out > GiB && out / RATIO_MAX > in)
		return fail(why, ERR_too_large, "unpacks to more than %d times its size",
			RATIO_MAX);
	return OK;
}
