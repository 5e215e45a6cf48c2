/*
 * bundle_out.c - the job work.export: the image on descriptor 4 as a bundle, to channel 1.
 *
 * Each file is read twice: once for its digest, which stands in the manifest before it, and for the
 * map of its data; then for its bytes. Holes, and blocks of zeros, are told by the map alone, in
 * the form that GNU tar knows (--sparse-version=1.0).
 */
#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "worker/bundle.h"
#include "worker/image.h"
#include "worker/stretch.h"

enum { STEP = 262144, GAP_KEPT = 65536, RUNS_MAX = 1048576 };

struct run {
	uint64_t off, n;
};

struct part { /* a file */
	int fd;
	uint64_t size;
	struct run *runs; /* its data; gaps of less than GAP_KEPT count as such */
	uint32_t runs_n, room;
};

struct out {
	struct job *j;
	struct work_export ask;
	struct part parts[2]; /* by bundle_role */
	struct archive *a;
	struct why why; /* what went wrong in libarchive's callback */
	uint64_t bytes; /* written */
	uint8_t buf[STEP];
};

static const uint8_t zeros[STEP];

/* ---- first reading ---- */

static enum err note_run(
	void *ctx, uint64_t off, const uint8_t *p UNUSED, size_t n, struct why *why)
{
	struct part *part = ctx;
	struct run *last = part->runs_n > 0 ? &part->runs[part->runs_n - 1] : NULL;

	if (last && off - (last->off + last->n) < GAP_KEPT) {
		last->n = off + n - last->off;
		return OK;
	}
	if (part->runs_n == part->room) {
		uint32_t room = part->room ? 2 * part->room : 256;
		struct run *more =
			room <= RUNS_MAX ? realloc(part->runs, room * sizeof(struct run)) : NULL;

		if (room > RUNS_MAX)
			return fail(
				why, ERR_too_large, "a file of more than %d stretches", RUNS_MAX);
		if (!more)
			return fail(why, ERR_no_memory, "no memory for the map of a file");
		part->runs = more;
		part->room = room;
	}
	part->runs[part->runs_n++] = (struct run){ off, n };
	return OK;
}

static enum err read_some(
	struct out *o, int fd, uint64_t off, size_t want, size_t *n, struct why *why)
{
	ssize_t got;

	do
		got = pread(fd, o->buf, want, (off_t)off);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return fail_errno(why, "cannot read the image");
	if (got == 0)
		return fail(why, ERR_conflict, "a file shrank while it was read");
	*n = (size_t)got;
	return OK;
}

static enum err read_stretch(struct out *o, const struct part *p, struct content *c, uint64_t at,
	uint64_t end, struct why *why)
{
	enum err e = OK;
	size_t n;

	while (at < end && !e) {
		e = read_some(o, p->fd, at, (size_t)MIN(end - at, (uint64_t)STEP), &n, why);
		if (e)
			break;
		e = content_put(c, at, o->buf, n, why);
		at += n;
		job_tick(o->j, at, "reading");
	}
	return e;
}

static enum err read_data(struct out *o, const struct part *p, struct content *c, struct why *why)
{
	struct stretch s = { 0, 0 };
	enum err e = stretch_next(p->fd, (off_t)p->size, &s, why);

	while (!e && s.at < s.end) {
		e = read_stretch(o, p, c, (uint64_t)s.at, (uint64_t)s.end, why);
		if (!e)
			e = stretch_next(p->fd, (off_t)p->size, &s, why);
	}
	return e;
}

static enum err survey(struct out *o, struct part *p, struct bundle_file *ret, struct why *why)
{
	char *digest = arena_take(&o->j->arena, DIGEST_CHARS + 1);
	struct content c;
	enum err e = digest ? content_begin(&c, p->size, note_run, p, why) :
			      fail(why, ERR_no_memory, "no memory for a manifest");

	if (e)
		return e;
	e = read_data(o, p, &c, why);
	if (!e)
		e = content_end(&c, digest, why);
	content_done(&c);
	ret->size = p->size;
	ret->digest = digest;
	return e;
}

/* ---- second reading ---- */

static la_ssize_t on_write(struct archive *a, void *ctx, const void *p, size_t n)
{
	struct out *o = ctx;

	if (job_put(o->j, p, n, &o->why)) {
		archive_set_error(a, EIO, "%s", o->why.text);
		return -1;
	}
	o->bytes += n;
	job_tick(o->j, o->bytes, NULL);
	return (la_ssize_t)n;
}

static enum err tar_fail(struct out *o, struct why *why)
{
	if (!o->why.code)
		return fail(why, ERR_internal, "cannot write the bundle: %.200s",
			archive_error_string(o->a) ? archive_error_string(o->a) : "?");
	*why = o->why;
	return why->code;
}

static enum err open_out(struct out *o, struct why *why)
{
	o->a = archive_write_new();
	if (!o->a)
		return fail(why, ERR_no_memory, "no memory for a bundle");
	if (archive_write_set_format_pax(o->a) != ARCHIVE_OK ||
		archive_write_add_filter_zstd(o->a) != ARCHIVE_OK ||
		archive_write_set_bytes_per_block(o->a, CHUNK_BYTES) != ARCHIVE_OK ||
		archive_write_set_bytes_in_last_block(o->a, 1) != ARCHIVE_OK ||
		archive_write_open(o->a, o, NULL, on_write, NULL) != ARCHIVE_OK)
		return tar_fail(o, why);
	return OK;
}

static enum err put_data(struct out *o, const void *p, size_t n, struct why *why)
{
	return archive_write_data(o->a, p, n) == (la_ssize_t)n ? OK : tar_fail(o, why);
}

static enum err put_zeros(struct out *o, uint64_t n, struct why *why)
{
	enum err e = OK;

	for (size_t part; n > 0 && !e; n -= part) {
		part = (size_t)MIN(n, sizeof(zeros));
		e = put_data(o, zeros, part, why);
	}
	return e;
}

static enum err put_run(struct out *o, const struct part *p, struct run r, struct why *why)
{
	enum err e = OK;
	size_t n;

	while (r.n > 0 && !e) {
		e = read_some(o, p->fd, r.off, (size_t)MIN(r.n, (uint64_t)STEP), &n, why);
		if (e)
			break;
		e = put_data(o, o->buf, n, why);
		r.off += n;
		r.n -= n;
	}
	return e;
}

static enum err put_head(
	struct out *o, const char *name, uint64_t size, const struct part *p, struct why *why)
{
	struct archive_entry *e = archive_entry_new();
	uint64_t ms = o->ask.image.created;
	int got;

	if (!e)
		return fail(why, ERR_no_memory, "no memory for a bundle");
	archive_entry_set_pathname(e, name);
	archive_entry_set_mode(e, S_IFREG | 0644);
	archive_entry_set_size(e, (la_int64_t)size);
	archive_entry_set_mtime(e, (time_t)(ms / 1000), 0);
	for (uint32_t i = 0; p && i < p->runs_n; i++)
		archive_entry_sparse_add_entry(
			e, (la_int64_t)p->runs[i].off, (la_int64_t)p->runs[i].n);
	got = archive_write_header(o->a, e);
	archive_entry_free(e);
	return got == ARCHIVE_OK ? OK : tar_fail(o, why);
}

static enum err put_file(struct out *o, enum bundle_role role, struct why *why)
{
	const struct part *p = &o->parts[role];
	uint64_t at = 0;
	enum err e = put_head(o, bundle_names[role], p->size, p, why);

	for (uint32_t i = 0; i < p->runs_n && !e; i++) {
		e = put_zeros(o, p->runs[i].off - at, why);
		if (!e)
			e = put_run(o, p, p->runs[i], why);
		at = p->runs[i].off + p->runs[i].n;
	}
	return e ? e : put_zeros(o, p->size - at, why);
}

/* ---- the job ---- */

static enum err open_part(struct out *o, enum bundle_role role, const char *name, struct why *why)
{
	struct open_how how = { .flags = O_RDONLY | O_NONBLOCK | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS };
	struct part *p = &o->parts[role];
	struct stat st;

	p->fd = (int)syscall(SYS_openat2, FD_EXTRA, name, &how, sizeof(how));
	if (p->fd < 0 || fstat(p->fd, &st) < 0)
		return fail_errno(why, "cannot open %.200s of the image", name);
	if (!S_ISREG(st.st_mode))
		return fail(why, ERR_invalid_value, "%.200s is no regular file", name);
	p->size = (uint64_t)st.st_size;
	return OK;
}

static enum err put_manifest(struct out *o, struct bundle_file files[2], struct why *why)
{
	struct bundle b = { .version = BUNDLE_VERSION,
		.arch = host_arch(),
		.image = o->ask.image,
		.files = { files, 2 } };
	own_buf text = { .max = 2 * BUNDLE_JSON_MAX };
	enum err e = bundle_write(&b, &text, why);

	if (!e)
		e = open_out(o, why);
	if (!e)
		e = put_head(o, BUNDLE_MANIFEST, text.n, NULL, why);
	return e ? e : put_data(o, text.p, text.n, why);
}

static enum err write_all(struct out *o, struct why *why)
{
	const char *const names[2] = { [bundle_role_root] = bundle_names[bundle_role_root],
		[bundle_role_work] = o->ask.work };
	struct bundle_file files[2] = { { .role = bundle_role_root },
		{ .role = bundle_role_work } };
	enum err e = OK;

	for (int role = 0; role < 2 && !e; role++) {
		e = open_part(o, (enum bundle_role)role, names[role], why);
		if (!e)
			e = survey(o, &o->parts[role], &files[role], why);
	}
	if (!e)
		e = put_manifest(o, files, why);
	for (int role = 0; role < 2 && !e; role++)
		e = put_file(o, (enum bundle_role)role, why);
	if (!e && archive_write_close(o->a) != ARCHIVE_OK)
		e = tar_fail(o, why);
	return e;
}

enum err run_export(struct job *j, struct work_exported *ret, struct why *why)
{
	struct out *o = calloc(1, sizeof(*o));
	enum err e;

	*ret = (struct work_exported){ .bytes = 0 };
	if (!o)
		return fail(why, ERR_no_memory, "no memory to export");
	o->j = j;
	o->parts[0].fd = o->parts[1].fd = -1;
	e = job_read(j, &o->ask, why);
	if (!e)
		e = write_all(o, why);
	ret->bytes = o->bytes;
	if (o->a)
		archive_write_free(o->a);
	for (int i = 0; i < 2; i++) {
		fd_done(&o->parts[i].fd);
		free(o->parts[i].runs);
	}
	free(o);
	return e;
}
