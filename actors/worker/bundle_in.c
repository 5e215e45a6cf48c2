/*
 * bundle_in.c - root.ext4 and work.ext4 out of a bundle.
 *
 * Nothing is believed: the manifest says what comes, and only that comes, each file once, at the
 * length and with the content that it says. What is not zero is written, so no map of holes makes a
 * file larger on disk than its content.
 */
#include <archive_entry.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>

#include "worker/bundle.h"
#include "worker/image.h"

struct in {
	struct job *j;
	const struct work_image *ask;
	struct source *s;
	struct archive *a;
	struct bundle manifest;
	int fds[2]; /* by bundle_role; -1: it has not come */
	uint64_t content; /* bytes of data so far */
	int fd; /* that is being written */
};

/* ---- the manifest ---- */

static enum err read_whole(struct in *in, uint64_t size, struct buf *out, struct why *why)
{
	struct entry_source *data = calloc(1, sizeof(*data));
	enum err e = OK;

	if (!data)
		return fail(why, ERR_no_memory, "no memory for a manifest");
	entry_source_init(data, in->a, in->s, size);
	while (!e) {
		const uint8_t *p = NULL;
		size_t n;

		e = source_next(&data->s, &p, &n, why);
		if (e || n == 0)
			break;
		buf_add(out, p, n);
	}
	source_done(&data->s);
	free(data);
	if (!e && out->failed)
		e = fail(why, ERR_no_memory, "no memory for a manifest");
	return e;
}

static enum err read_manifest(struct in *in, struct archive_entry *e, struct why *why)
{
	own_buf text = { .max = BUNDLE_JSON_MAX + 1 };
	const char *path = e ? archive_entry_pathname(e) : NULL;
	la_int64_t size = e ? archive_entry_size(e) : 0;
	enum err err;

	if (!path || !is_bundle_name(path) || archive_entry_filetype(e) != AE_IFREG ||
		archive_entry_hardlink(e))
		return fail(why, ERR_invalid_value,
			"it is no bundle: its first file is not " BUNDLE_MANIFEST);
	if (size <= 0 || size > BUNDLE_JSON_MAX)
		return fail(why, ERR_too_large, "a manifest of %lld bytes", (long long)size);
	err = read_whole(in, (uint64_t)size, &text, why);
	return err ? err :
		     bundle_read((struct bytes){ text.p, text.n }, host_arch(), &in->j->arena,
			     &in->manifest, why);
}

/* ---- files ---- */

static enum err write_run(void *ctx, uint64_t off, const uint8_t *p, size_t n, struct why *why)
{
	struct in *in = ctx;

	while (n > 0) {
		ssize_t did = pwrite(in->fd, p, n, (off_t)off);

		if (did < 0 && errno == EINTR)
			continue;
		if (did < 0)
			return fail_errno(why, "cannot write the image");
		p += did;
		off += (uint64_t)did;
		n -= (size_t)did;
	}
	return OK;
}

static enum err copy_blocks(struct in *in, struct content *c, struct why *why)
{
	uint64_t max = in->ask->content_max;
	const void *block = NULL;
	enum err e = OK;
	la_int64_t off;
	size_t n = 0;
	int got;

	while (!e && (got = archive_read_data_block(in->a, &block, &n, &off)) != ARCHIVE_EOF) {
		if (got == ARCHIVE_RETRY)
			continue;
		if (got < ARCHIVE_WARN)
			return archive_fail(in->a, in->s, why);
		if (n == 0)
			continue;
		if (n > max || in->content > max - n)
			return fail(
				why, ERR_too_large, "files of more than %" PRIu64 " bytes", max);
		in->content += n;
		e = off < 0 ? fail(why, ERR_invalid_value, "a negative offset") :
			      content_put(c, (uint64_t)off, block, n, why);
		if (!e)
			e = check_ratio(in->a, max + max / 4 + GiB, why);
		job_tick(in->j, in->content, NULL);
	}
	return e;
}

static enum err copy(struct in *in, const struct bundle_file *f, struct why *why)
{
	char digest[DIGEST_CHARS + 1];
	struct content c;
	enum err e = content_begin(&c, f->size, write_run, in, why);

	if (e)
		return e;
	e = copy_blocks(in, &c, why);
	if (!e)
		e = content_end(&c, digest, why);
	content_done(&c);
	if (!e && !str_eq(digest, f->digest))
		e = fail(why, ERR_invalid_value,
			"its content has not the digest that the manifest declares");
	if (!e && ftruncate(in->fd, (off_t)f->size) < 0)
		e = fail_errno(why, "cannot size the file");
	if (!e && fsync(in->fd) < 0)
		e = fail_errno(why, "cannot flush the file");
	return e;
}

/* Which of the two it is; NULL: none that the manifest names. */
static const struct bundle_file *named(const struct in *in, const char *path)
{
	while (path[0] == '.' && path[1] == '/')
		path += 2;
	for (uint32_t i = 0; i < in->manifest.files.n; i++)
		if (str_eq(path, bundle_names[in->manifest.files.v[i].role]))
			return &in->manifest.files.v[i];
	return NULL;
}

static enum err take(struct in *in, struct archive_entry *e, const char *path, struct why *why)
{
	const struct bundle_file *f = named(in, path);
	enum err err;

	if (!f)
		return fail(why, ERR_invalid_value, "the manifest names no such file");
	if (archive_entry_filetype(e) != AE_IFREG || archive_entry_hardlink(e))
		return fail(why, ERR_invalid_value, "it is no regular file");
	if (in->fds[f->role] >= 0)
		return fail(why, ERR_invalid_value, "it is there twice");
	if ((uint64_t)archive_entry_size(e) != f->size)
		return fail(why, ERR_invalid_value,
			"it has %lld bytes, and the manifest declares %" PRIu64,
			(long long)archive_entry_size(e), f->size);
	err = job_create(in->j, bundle_names[f->role], &in->fds[f->role], why);
	in->fd = in->fds[f->role];
	return err ? err : copy(in, f, why);
}

static enum err take_all(struct in *in, struct why *why)
{
	struct archive_entry *e = NULL;
	enum err err = next_entry(in->a, in->s, &e, why);

	if (!err)
		err = read_manifest(in, e, why);
	while (!err && e) {
		const char *path;

		err = next_entry(in->a, in->s, &e, why);
		if (err || !e)
			break;
		path = archive_entry_pathname(e);
		if (!path)
			err = fail(why, ERR_invalid_value, "an entry with an unreadable name");
		else if (take(in, e, path, why))
			err = fail_entry(why, path);
	}
	return err ? err : check_end(in->a, why);
}

/* ---- what came ---- */

static enum err check_file(struct in *in, enum bundle_role role, uint64_t *used, struct why *why)
{
	struct ext4 *fs = NULL;
	uint64_t bytes = 0;
	int fd;
	enum err e;

	if (in->fds[role] < 0)
		return fail(why, ERR_invalid_value, "the bundle has no %s", bundle_names[role]);
	e = used_bytes(in->fds[role], &bytes, why);
	*used += bytes;
	if (e)
		return e;
	fd = fcntl(in->fds[role], F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return fail_errno(why, "cannot hold a file");
	e = ext4_open(fd, &fs, why);
	if (e)
		return fail_entry(why, bundle_names[role]);
	for (uint32_t i = 0; i < in->manifest.files.n && !e; i++)
		if (in->manifest.files.v[i].role == role &&
			ext4_bytes(fs) > in->manifest.files.v[i].size)
			e = fail(why, ERR_invalid_value,
				"%s is cut off: its file system has %" PRIu64 " bytes",
				bundle_names[role], ext4_bytes(fs));
	ext4_free(fs);
	return e;
}

static enum err tell_made(struct in *in, struct image_made *ret, struct why *why)
{
	const struct bundle_image *im = &in->manifest.image;
	uint64_t used = 0;
	enum err e = check_file(in, bundle_role_root, &used, why);

	if (!e)
		e = check_file(in, bundle_role_work, &used, why);
	*ret = (struct image_made){ .facts = im->facts,
		.kernel = im->kernel,
		.ssh_key = im->ssh_key,
		.seed = im->seed,
		.has_seed = im->has_seed };
	ret->facts.used = used;
	if (in->ask->services.n > 0) {
		ret->facts.config.services.v = in->ask->services.v;
		ret->facts.config.services.n = in->ask->services.n;
	}
	return e;
}

/* What the file systems were made with stands in them. */
static enum err check_ask(const struct work_image *ask, struct why *why)
{
	if (ask->has_size)
		return fail_field(why, ERR_unsupported, "size", "a bundle has its size already");
	if (ask->user)
		return fail_field(why, ERR_unsupported, "user", "a bundle has its user already");
	return OK;
}

enum err bundle_unpack(struct job *j, const struct work_image *ask, struct source *s,
	struct image_made *ret, struct why *why)
{
	struct in in = { .j = j, .ask = ask, .s = s, .fds = { -1, -1 } };
	enum err e = check_ask(ask, why);

	if (!e)
		e = open_tar(s, &in.a, why);
	if (!e)
		e = take_all(&in, why);
	if (!e)
		e = source_drain(s, why);
	if (!e)
		e = tell_made(&in, ret, why);
	archive_done(&in.a);
	for (int role = 0; role < 2; role++) {
		fd_done(&in.fds[role]);
		if (e)
			job_remove(j, bundle_names[role]);
	}
	return e;
}
