/*
 * pack.c - the local mode: a pax tar of a directory, or of a kernel and its modules, on stdout.
 *
 * No link is followed. Owners stay numbers, hard links stay links, holes stay holes, attributes are
 * kept where they can be read. What cannot be read is named, the rest goes on, and the exit code
 * tells.
 */
#include "worker/pack.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <limits.h>
#include <locale.h>
#include <stdio.h>
#include <unistd.h>

#include "base/base.h"
#include "base/log.h"
#include "base/text.h"

enum { COMPLAINTS_MAX = 50 };

struct pack {
	struct archive *disk, *out;
	struct archive_entry_linkresolver *links;
	const char *root; /* path on disk that `as` stands for */
	const char *as; /* in the archive */
	bool modules; /* leave out the links to a build tree */
	int result;
	unsigned complaints;
};

static void complain(struct pack *p, const char *path, const char *what)
{
	char shown[512];

	p->result = 1;
	if (++p->complaints > COMPLAINTS_MAX)
		return;
	log_escape(shown, sizeof(shown), path, strlen(path));
	fprintf(stderr, "banger-worker: %s: %s\n", shown, what ? what : "unknown error");
}

/* The entry's name in the archive: what is behind the root, behind `as`. */
static bool rename_entry(struct pack *p, struct archive_entry *e, const char *path)
{
	const char *rest = path + strlen(p->root);
	char name[2 * PATH_MAX];

	while (*rest == '/')
		rest++;
	if (snprintf(name, sizeof(name), "%s%s%s", p->as, *rest ? "/" : "", rest) >=
		(int)sizeof(name))
		return false;
	archive_entry_copy_pathname(e, name);
	return true;
}

/* The writer wants holes as zeros; it leaves them out of the archive itself. */
static bool fill_gap(struct pack *p, la_int64_t n)
{
	static const uint8_t zeros[65536];

	while (n > 0) {
		la_ssize_t put = archive_write_data(p->out, zeros,
			(size_t)MIN(n, (la_int64_t)sizeof(zeros)));

		if (put <= 0)
			return false;
		n -= put;
	}
	return true;
}

static void copy_data(struct pack *p, const char *path, la_int64_t size)
{
	la_int64_t off = 0, done = 0;
	const void *block;
	size_t n;
	int got;

	while ((got = archive_read_data_block(p->disk, &block, &n, &off)) >= ARCHIVE_WARN &&
		got != ARCHIVE_EOF) {
		if (n == 0)
			continue;
		if (!fill_gap(p, off - done) ||
			archive_write_data(p->out, block, n) != (la_ssize_t)n) {
			complain(p, path, archive_error_string(p->out));
			return;
		}
		done = off + (la_int64_t)n;
	}
	if (got != ARCHIVE_EOF)
		complain(p, path, archive_error_string(p->disk));
	else if (!fill_gap(p, size - done))
		complain(p, path, archive_error_string(p->out));
}

static bool is_left_out(struct pack *p, const char *path)
{
	const char *base = path + strlen(p->root);

	return p->modules && (str_eq(base, "/build") || str_eq(base, "/source"));
}

static void put(struct pack *p, struct archive_entry *e, const char *path)
{
	struct archive_entry *spare = NULL;
	int got;

	if (archive_entry_filetype(e) == AE_IFSOCK || is_left_out(p, path))
		return;
	archive_entry_set_uname(e, NULL);
	archive_entry_set_gname(e, NULL);
	archive_entry_set_fflags(e, 0, 0);
	if (!rename_entry(p, e, path)) {
		complain(p, path, "path too long");
		return;
	}
	archive_entry_linkify(p->links, &e, &spare);
	got = archive_write_header(p->out, e);
	/* It warns of a name that is not UTF-8, and keeps it as it is. */
	if (got < ARCHIVE_WARN || (got < ARCHIVE_OK && utf8_valid(path, strlen(path))))
		complain(p, path, archive_error_string(p->out));
	if (got >= ARCHIVE_WARN && archive_entry_filetype(e) == AE_IFREG &&
		!archive_entry_hardlink(e) && archive_entry_size(e) > 0)
		copy_data(p, path, archive_entry_size(e));
}

/* False when nothing more can be read or written. */
static bool walk(struct pack *p)
{
	char path[PATH_MAX];

	for (;;) {
		struct archive_entry *e = archive_entry_new();
		int got;

		if (!e)
			return false;
		got = archive_read_next_header2(p->disk, e);
		if (got == ARCHIVE_EOF || got == ARCHIVE_FATAL) {
			if (got == ARCHIVE_FATAL)
				complain(p, p->root, archive_error_string(p->disk));
			archive_entry_free(e);
			return got == ARCHIVE_EOF;
		}
		snprintf(path, sizeof(path), "%s",
			archive_entry_pathname(e) ? archive_entry_pathname(e) : p->root);
		archive_read_disk_descend(p->disk);
		if (got < ARCHIVE_OK)
			complain(p, path, archive_error_string(p->disk));
		if (got >= ARCHIVE_WARN)
			put(p, e, path);
		archive_entry_free(e);
	}
}

static bool add_tree(struct pack *p, const char *root, const char *as, bool modules)
{
	bool ok;

	p->root = root;
	p->as = as;
	p->modules = modules;
	p->disk = archive_read_disk_new();
	if (!p->disk)
		return false;
	archive_read_disk_set_symlink_physical(p->disk);
	archive_read_disk_set_behavior(p->disk, ARCHIVE_READDISK_NO_FFLAGS);
	if (archive_read_disk_open(p->disk, root) < ARCHIVE_WARN) {
		complain(p, root, archive_error_string(p->disk));
		ok = false;
	} else {
		ok = walk(p);
	}
	archive_read_free(p->disk);
	p->disk = NULL;
	return ok;
}

static bool open_out(struct pack *p)
{
	if (!setlocale(LC_CTYPE, "C.UTF-8"))
		setlocale(LC_CTYPE, "");
	p->out = archive_write_new();
	p->links = archive_entry_linkresolver_new();
	if (!p->out || !p->links)
		return false;
	archive_entry_linkresolver_set_strategy(p->links, ARCHIVE_FORMAT_TAR_PAX_RESTRICTED);
	archive_write_set_format_pax(p->out);
	archive_write_set_bytes_per_block(p->out, 65536);
	archive_write_set_bytes_in_last_block(p->out, 1);
	return archive_write_open_fd(p->out, STDOUT_FILENO) >= ARCHIVE_WARN;
}

static int finish(struct pack *p, bool ok)
{
	if (p->out && archive_write_close(p->out) < ARCHIVE_OK) {
		complain(p, "stdout", archive_error_string(p->out));
		ok = false;
	}
	if (!ok && p->result == 0)
		complain(p, "stdout", "cannot write the archive");
	if (p->complaints > COMPLAINTS_MAX)
		fprintf(stderr, "banger-worker: and %u more\n", p->complaints - COMPLAINTS_MAX);
	if (p->links)
		archive_entry_linkresolver_free(p->links);
	if (p->out)
		archive_write_free(p->out);
	return p->result;
}

/* The path without slashes at its end, so that names can be cut off behind it. */
static char *plain(const char *path)
{
	char *s = strdup(path);
	size_t n = s ? strlen(s) : 0;

	while (n > 1 && s[n - 1] == '/')
		s[--n] = '\0';
	return s;
}

int pack_tree(const char *dir)
{
	own_mem char *root = plain(dir);
	struct pack p = { .result = 0 };

	return finish(&p, root && open_out(&p) && add_tree(&p, root, ".", false));
}

int pack_kernel(const char *kernel, const char *modules)
{
	own_mem char *image = realpath(kernel, NULL), *root = realpath(modules, NULL);
	char as[PATH_MAX];
	struct pack p = { .result = 0 };

	if (!image || !root) {
		complain(&p, image ? modules : kernel, strerror(errno));
		return p.result;
	}
	snprintf(as, sizeof(as), "lib/modules/%s", strrchr(root, '/') + 1);
	return finish(&p, open_out(&p) && add_tree(&p, image, "vmlinuz", false) &&
			add_tree(&p, root, as, true));
}
