/*
 * cpio.c - a thin layer over libarchive's newc writer.
 */
#include "worker/cpio.h"

#include <archive_entry.h>
#include <sys/stat.h>
#include <unistd.h>

static enum err cpio_fail(struct cpio *c, const char *doing, struct why *why)
{
	if (c->error) {
		errno = c->error;
		return fail_errno(why, "cannot %s", doing);
	}
	return fail(why, ERR_internal, "cannot %s: %.100s", doing,
		archive_error_string(c->a) ? archive_error_string(c->a) : "?");
}

static la_ssize_t on_write(struct archive *a, void *ctx, const void *p, size_t n)
{
	struct cpio *c = ctx;
	ssize_t got;

	do
		got = write(c->fd, p, n);
	while (got < 0 && errno == EINTR);
	if (got < 0) {
		c->error = errno;
		archive_set_error(a, errno, "write");
	}
	return got;
}

enum err cpio_open(struct cpio *c, int fd, struct why *why)
{
	*c = (struct cpio){ .fd = fd };
	c->a = archive_write_new();
	if (!c->a)
		return fail(why, ERR_no_memory, "no memory for an archive");
	archive_write_set_format_cpio_newc(c->a);
	archive_write_set_bytes_per_block(c->a, 65536);
	archive_write_set_bytes_in_last_block(c->a, 4);
	if (archive_write_open(c->a, c, NULL, on_write, NULL) < ARCHIVE_WARN)
		return cpio_fail(c, "begin an archive", why);
	return OK;
}

static enum err put(struct cpio *c, const char *path, mode_t mode, unsigned major, unsigned minor,
	uint64_t size, struct why *why)
{
	struct archive_entry *e = archive_entry_new();
	int got;

	if (!e)
		return fail(why, ERR_no_memory, "no memory for an archive");
	archive_entry_set_pathname(e, path);
	archive_entry_set_mode(e, mode);
	archive_entry_set_ino64(e, (la_int64_t)++c->inodes);
	archive_entry_set_nlink(e, 1);
	archive_entry_set_size(e, (la_int64_t)size);
	archive_entry_set_mtime(e, 0, 0);
	archive_entry_set_rdevmajor(e, major);
	archive_entry_set_rdevminor(e, minor);
	got = archive_write_header(c->a, e);
	archive_entry_free(e);
	return got < ARCHIVE_WARN ? cpio_fail(c, "write an archive", why) : OK;
}

enum err cpio_dir(struct cpio *c, const char *path, struct why *why)
{
	return put(c, path, S_IFDIR | 0755, 0, 0, 0, why);
}

enum err cpio_device(struct cpio *c, const char *path, mode_t mode, unsigned major, unsigned minor,
	struct why *why)
{
	return put(c, path, mode, major, minor, 0, why);
}

enum err cpio_begin_file(struct cpio *c, const char *path, mode_t mode, uint64_t size,
	struct why *why)
{
	return put(c, path, S_IFREG | mode, 0, 0, size, why);
}

enum err cpio_data(struct cpio *c, const void *p, size_t n, struct why *why)
{
	if (n > 0 && archive_write_data(c->a, p, n) != (la_ssize_t)n)
		return cpio_fail(c, "write an archive", why);
	return OK;
}

enum err cpio_file(struct cpio *c, const char *path, mode_t mode, struct bytes content,
	struct why *why)
{
	enum err e = cpio_begin_file(c, path, mode, content.n, why);

	return e ? e : cpio_data(c, content.p, content.n, why);
}

enum err cpio_close(struct cpio *c, struct why *why)
{
	if (archive_write_close(c->a) < ARCHIVE_WARN)
		return cpio_fail(c, "complete an archive", why);
	if (fsync(c->fd) < 0)
		return fail_errno(why, "cannot flush an archive");
	return OK;
}

void cpio_done(struct cpio *c)
{
	if (c->a)
		archive_write_free(c->a);
	c->a = NULL;
}
