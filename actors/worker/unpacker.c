/*
 * unpacker.c - gzip by ISA-L, zstd by its own library, the rest by libarchive; a plain tar passes
 * through uncopied.
 *
 * gzip is what most layers are: ISA-L streams it several times faster than zlib, in a fixed buffer.
 * What unpacks to more than its ceiling, or past 1 GiB to 200 times its size, is refused while it
 * unpacks; so is a zstd window that would take more memory than a worker has. Members and frames
 * may follow each other; a stream that ends early is refused, whatever was read from it.
 */
#include <archive_entry.h>
#include <isa-l/igzip_lib.h>
#include <zstd.h>

#include "worker/layer.h"

enum { OUT_BYTES = 262144, RATIO_MAX = 200, WINDOW_LOG_MAX = 25 };

struct unpacker {
	struct source out;
	struct source *packed;
	uint64_t max;
	struct bytes in; /* not used up yet */
	bool over; /* a member or frame has ended, and nothing of another was seen */
	struct inflate_state *gzip;
	ZSTD_DStream *zstd;
	struct archive *raw; /* of another kind */
	struct entry_source data;
	uint8_t buf[OUT_BYTES];
};

/* ---- what is common ---- */

static enum err check_sizes(struct unpacker *u, struct why *why)
{
	uint64_t out = u->out.total, in = MAX(u->packed->total, 1u);

	if (out > u->max)
		return fail(why, ERR_too_large, "unpacks to more than %llu bytes",
			(unsigned long long)u->max);
	if (out > GiB && out / RATIO_MAX > in)
		return fail(why, ERR_too_large, "unpacks to more than %d times its size",
			RATIO_MAX);
	return OK;
}

/* More input; nothing is its end. */
static enum err refill(struct unpacker *u, struct why *why)
{
	return u->in.n > 0 ? OK : source_next(u->packed, &u->in.p, &u->in.n, why);
}

static void use(struct unpacker *u, size_t n)
{
	u->in.p += n;
	u->in.n -= n;
}

static enum err cut_off(struct why *why)
{
	return fail(why, ERR_invalid_value, "not a whole archive: it ends early");
}

/* ---- gzip ---- */

/* Zeros behind the last member are padding; anything else must be another member. */
static enum err next_member(struct unpacker *u, struct why *why)
{
	while (u->in.n > 0 && u->in.p[0] == 0)
		use(u, 1);
	if (u->in.n == 0)
		return OK;
	if (u->in.p[0] != 0x1f)
		return fail(why, ERR_invalid_value, "bytes behind the end of a gzip stream");
	isal_inflate_reset(u->gzip);
	u->gzip->crc_flag = ISAL_GZIP;
	u->over = false;
	return OK;
}

static enum err inflate_some(struct unpacker *u, size_t *made, struct why *why)
{
	struct inflate_state *z = u->gzip;
	int got;

	z->next_in = (uint8_t *)(uintptr_t)u->in.p;
	z->avail_in = (uint32_t)MIN(u->in.n, (size_t)UINT32_MAX);
	z->next_out = u->buf;
	z->avail_out = OUT_BYTES;
	got = isal_inflate(z);
	use(u, (size_t)(z->next_in - u->in.p));
	*made = OUT_BYTES - z->avail_out;
	if (got != ISAL_DECOMP_OK && got != ISAL_END_INPUT && got != ISAL_OUT_OVERFLOW)
		return fail(why, ERR_invalid_value, "not a good gzip stream");
	u->over = z->block_state == ISAL_BLOCK_FINISH;
	return OK;
}

static enum err gzip_next(struct source *s, const uint8_t **p, size_t *n, struct why *why)
{
	struct unpacker *u = s->ctx;
	bool ended;
	enum err e;

	*p = u->buf;
	*n = 0;
	do {
		e = refill(u, why);
		ended = u->in.n == 0;
		if (!e && u->over)
			e = next_member(u, why);
		if (!e && u->over && ended)
			return check_sizes(u, why);
		if (!e && !u->over)
			e = inflate_some(u, n, why);
		if (!e && *n == 0 && ended && !u->over)
			e = cut_off(why);
	} while (!e && *n == 0);
	return e ? e : check_sizes(u, why);
}

/* ---- zstd ---- */

static enum err zstd_next(struct source *s, const uint8_t **p, size_t *n, struct why *why)
{
	struct unpacker *u = s->ctx;

	*p = u->buf;
	*n = 0;
	do {
		ZSTD_outBuffer out = { u->buf, OUT_BYTES, 0 };
		enum err e = refill(u, why);
		ZSTD_inBuffer in = { u->in.p, u->in.n, 0 };
		size_t got;

		if (e)
			return e;
		if (in.size == 0 && u->over)
			break;
		got = ZSTD_decompressStream(u->zstd, &out, &in);
		if (ZSTD_isError(got))
			return fail(why, ERR_invalid_value, "not a good zstd stream: %.80s",
				ZSTD_getErrorName(got));
		u->over = got == 0;
		*n = out.pos;
		if (in.size == 0 && out.pos == 0 && !u->over)
			return cut_off(why);
		use(u, in.pos);
	} while (*n == 0);
	return check_sizes(u, why);
}

/* ---- others ---- */

static enum err plain_next(struct source *s, const uint8_t **p, size_t *n, struct why *why)
{
	struct unpacker *u = s->ctx;
	enum err e = source_next(u->packed, p, n, why);

	return e ? e : check_sizes(u, why);
}

static enum err raw_next(struct source *s, const uint8_t **p, size_t *n, struct why *why)
{
	struct unpacker *u = s->ctx;
	enum err e = source_next(&u->data.s, p, n, why);

	return e ? e : check_sizes(u, why);
}

static enum err open_other(struct unpacker *u, struct why *why)
{
	struct archive_entry *entry = NULL;
	enum err e = open_raw(u->packed, &u->raw, why);

	if (!e)
		e = next_entry(u->raw, u->packed, &entry, why);
	if (!e && !entry)
		e = fail(why, ERR_invalid_value, "an empty layer");
	if (!e)
		entry_source_init(&u->data, u->raw, u->packed, 0);
	return e;
}

/* ---- its life ---- */

static enum err choose(struct unpacker *u, struct bytes head, source_next_fn **ret, struct why *why)
{
	static const uint8_t gzip[] = { 0x1f, 0x8b }, zstd[] = { 0x28, 0xb5, 0x2f, 0xfd };
	static const uint8_t bzip[] = { 'B', 'Z', 'h' }, xz[] = { 0xfd, '7', 'z', 'X', 'Z' };
	static const uint8_t lz4[] = { 0x04, 0x22, 0x4d, 0x18 };
	bool skipped = head.n >= 4 && (head.p[0] & 0xf0) == 0x50 &&
		memcmp(head.p + 1, "*M\x18", 3) == 0;

#define BEGINS(magic) (head.n >= sizeof(magic) && memcmp(head.p, magic, sizeof(magic)) == 0)
	if (BEGINS(gzip)) {
		*ret = gzip_next;
		u->gzip = calloc(1, sizeof(*u->gzip));
		if (!u->gzip)
			return fail(why, ERR_no_memory, "no memory to unpack");
		isal_inflate_init(u->gzip);
		u->gzip->crc_flag = ISAL_GZIP;
	} else if (BEGINS(zstd) || skipped) {
		*ret = zstd_next;
		u->zstd = ZSTD_createDStream();
		if (!u->zstd || ZSTD_isError(ZSTD_DCtx_setParameter(u->zstd, ZSTD_d_windowLogMax,
					WINDOW_LOG_MAX)))
			return fail(why, ERR_no_memory, "no memory to unpack");
	} else if (BEGINS(bzip) || BEGINS(xz) || BEGINS(lz4)) {
		*ret = raw_next;
		return open_other(u, why);
	} else {
		*ret = plain_next;
	}
	return OK;
#undef BEGINS
}

enum err unpacker_new(struct source *packed, uint64_t max, struct unpacker **ret, struct why *why)
{
	struct unpacker *u = calloc(1, sizeof(*u));
	source_next_fn *next = NULL;
	struct bytes head;
	enum err e;

	if (!u)
		return fail(why, ERR_no_memory, "no memory to unpack");
	u->packed = packed;
	u->max = max;
	e = source_peek(packed, 8, &head, why);
	if (!e && head.n == 0)
		e = fail(why, ERR_invalid_value, "an empty layer");
	if (!e)
		e = choose(u, head, &next, why);
	if (e) {
		unpacker_free(u);
		return e;
	}
	source_init(&u->out, next, u, 0);
	*ret = u;
	return OK;
}

struct source *unpacker_source(struct unpacker *u)
{
	return &u->out;
}

void unpacker_free(struct unpacker *u)
{
	if (!u)
		return;
	source_done(&u->out);
	archive_done(&u->raw);
	ZSTD_freeDStream(u->zstd);
	free(u->gzip);
	free(u);
}
