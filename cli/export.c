/*
 * export.c - begins the export, lets its stream flow into the target, and names the target at its
 * end.
 *
 * A file grows under a name of its own beside the one that was asked for, and takes that name when
 * it is whole and on disk; so nobody finds half a file, whatever ends us. Ctrl-C removes it.
 */
#include "cli/export.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/file.h"
#include "cli/interrupts.h"
#include "cli/op.h"
#include "cli/report.h"
#include "cli/stream.h"

enum { PATH_BYTES = 4096 };

struct fill {
	struct exporting *ex;
	struct cli *c;
	struct interrupts interrupts;
	struct import_begun begun;
	struct op op;
	struct stream stream;
	int fd;
	char temp[PATH_BYTES]; /* "": standard output, or nothing is there */
	struct why why; /* what went wrong at this end */
};

/* ---- the target ---- */

static enum err is_there(const char *path, struct why *why)
{
	fail(why, ERR_exists, "%.250s is there already", path);
	return fail_hint(why, "--force replaces it");
}

static enum err open_target(struct fill *f, struct why *why)
{
	const char *target = f->ex->target;
	struct stat st;

	if (str_eq(target, "-")) {
		if (isatty(1))
			return fail(
				why, ERR_invalid_value, "a bundle is not written to a terminal");
		f->fd = fcntl(1, F_DUPFD_CLOEXEC, 3);
		return f->fd < 0 ? fail_errno(why, "cannot write standard output") : OK;
	}
	if (lstat(target, &st) == 0 && !f->ex->force)
		return is_there(target, why);
	if (stat(target, &st) == 0 && !S_ISREG(st.st_mode))
		return fail(why, ERR_invalid_value, "%.250s is no regular file", target);
	if ((size_t)snprintf(f->temp, sizeof(f->temp), "%s.banger-XXXXXX", target) >=
		sizeof(f->temp)) {
		f->temp[0] = '\0';
		return fail(why, ERR_too_large, "the path %.60s... is too long", target);
	}
	f->fd = mkostemp(f->temp, O_CLOEXEC);
	if (f->fd >= 0)
		return OK;
	f->temp[0] = '\0';
	return fail_errno(why, "cannot write beside %.250s", target);
}

static mode_t usual_mode(void)
{
	mode_t mask = umask(0);

	umask(mask);
	return 0666 & ~mask;
}

/* Somebody else's file that came meanwhile is not replaced. */
static enum err name_target(struct fill *f, struct why *why)
{
	const char *target = f->ex->target;
	unsigned how = f->ex->force ? 0 : RENAME_NOREPLACE;
	int got;

	if (!f->temp[0])
		return OK;
	if (fchmod(f->fd, usual_mode()) < 0 || fsync(f->fd) < 0)
		return fail_errno(why, "cannot write %.250s", target);
	got = renameat2(AT_FDCWD, f->temp, AT_FDCWD, target, how);
	if (got < 0 && errno == EINVAL && how) { /* a file system that does not know it */
		got = link(f->temp, target);
		if (got == 0)
			(void)unlink(f->temp);
	}
	if (got < 0)
		return errno == EEXIST ? is_there(target, why) :
					 fail_errno(why, "cannot name %.250s", target);
	f->temp[0] = '\0';
	return file_sync(target, why);
}

/* ---- the stream ---- */

static void on_note(void *ctx, enum letter_id letter, struct bytes params)
{
	struct fill *f = ctx;

	if (!stream_note(&f->stream, letter, params))
		op_note(&f->op, letter, params);
}

static void on_signal(void *ctx, int signal UNUSED)
{
	struct fill *f = ctx;

	op_cancel(&f->op);
}

static bool flows(const struct fill *f)
{
	return (!f->stream.ended && !f->c->link->gone) ||
	       (!stream_flushed(&f->stream) && !f->interrupts.first);
}

static void check_target(struct fill *f)
{
	int e = f->stream.out[0].error;

	if (!e || f->why.code)
		return;
	errno = e;
	fail_errno(&f->why, "cannot write %.250s", f->ex->target);
	op_cancel(&f->op);
}

/* Until the daemon said how it went, and all that it sent is written. */
static int wait_end(struct fill *f)
{
	struct interrupts *i = &f->interrupts;
	struct why why;

	while (flows(f) && !i->gave_up) {
		loop_turn(f->c->loop, true);
		check_target(f);
	}
	op_close(&f->op);
	if (i->first)
		return EXIT_SIGNAL + i->first;
	if (f->stream.out[0].error == EPIPE)
		return EXIT_SIGNAL + SIGPIPE;
	if (f->why.code)
		return report(f->c, &f->why);
	why = f->stream.ended ? f->stream.why : f->c->link->gone_why;
	if (why.code == OK && name_target(f, &why) == OK)
		return EXIT_DONE;
	op_blame(&f->op, &why);
	return report(f->c, &why);
}

static int begin(struct fill *f)
{
	struct image_only body = { f->ex->image };
	struct call k = { .letter = LETTER_image_export, .body = &body, .result = &f->begun };

	return interrupts_call(&f->interrupts, f->c, &k);
}

static int run(struct fill *f)
{
	int code;

	op_init(&f->op, f->c, &f->begun.op);
	stream_init(&f->stream, f->c->link, &f->begun.stream);
	stream_output(&f->stream, 1, f->fd);
	f->c->link->note = on_note;
	f->c->link->note_ctx = f;
	interrupts_start(&f->interrupts, f->c->loop);
	interrupts_to(&f->interrupts, on_signal, f);
	code = begin(f);
	if (!code)
		code = wait_end(f);
	op_close(&f->op);
	stream_close(&f->stream);
	interrupts_stop(&f->interrupts);
	f->c->link->note = NULL;
	return code;
}

int export_image(struct exporting *ex)
{
	struct fill f = { .ex = ex, .c = ex->c, .fd = -1 };
	struct why why;
	int code;

	if (link_open(ex->c, &why))
		return report(ex->c, &why);
	code = open_target(&f, &why) ? report(ex->c, &why) : run(&f);
	if (f.temp[0])
		(void)unlink(f.temp);
	fd_done(&f.fd);
	return code;
}
