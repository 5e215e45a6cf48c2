/*
 * import.c - opens the source, begins the import, pours the source into its stream, waits.
 *
 * The source is opened before anything is asked, so a wrong path costs nothing. A packer that fails
 * after it wrote half an archive cancels the import: half a tree is no tree.
 */
#include "cli/import.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/interrupts.h"
#include "cli/op.h"
#include "cli/report.h"
#include "cli/spawn.h"
#include "cli/stream.h"

struct pour {
	struct import *in;
	struct cli *c;
	struct interrupts interrupts;
	struct import_begun begun;
	struct op op;
	struct stream stream;
	int fd;
	pid_t packer; /* 0: none, or waited for */
	struct why why; /* what went wrong at this end */
};

static enum err open_source(struct pour *p, struct why *why)
{
	const char *source = p->in->source;
	struct stat st;

	if (p->in->pack)
		return spawn_piped(p->in->pack, &p->packer, &p->fd, why);
	if (str_eq(source, "-")) {
		p->fd = fcntl(0, F_DUPFD_CLOEXEC, 3);
		return p->fd < 0 ? fail_errno(why, "cannot read standard input") : OK;
	}
	p->fd = open(source, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (p->fd < 0 || fstat(p->fd, &st) < 0)
		return fail_errno(why, "cannot open %.200s", source);
	if (S_ISDIR(st.st_mode))
		return fail(why, ERR_invalid_type, "%.200s is a directory", source);
	return OK;
}

static void on_note(void *ctx, enum letter_id letter, struct bytes params)
{
	struct pour *p = ctx;

	if (!stream_note(&p->stream, letter, params))
		op_note(&p->op, letter, params);
}

static void on_signal(void *ctx, int signal UNUSED)
{
	struct pour *p = ctx;

	op_cancel(&p->op);
}

/* The end of the source: whether it was a good one. */
static void check_source(struct pour *p)
{
	int e = p->stream.in.error;

	if (e && !p->why.code) {
		errno = e;
		fail_errno(&p->why, "cannot read %.200s", p->in->source);
		op_cancel(&p->op);
	}
}

/* Its exit code decides whether the end of its output is the end of the archive. */
static bool packer_done(struct pour *p)
{
	pid_t pid = p->packer;

	p->packer = 0;
	if (spawn_wait(pid, p->in->pack[0], &p->why) == OK)
		return true;
	fail_hint(&p->why, "%.200s could not be packed; see above", p->in->source);
	op_cancel(&p->op);
	return false;
}

static bool on_end(void *ctx)
{
	struct pour *p = ctx;

	return p->packer == 0 || packer_done(p);
}

static void turn(struct pour *p)
{
	loop_turn(p->c->loop, true);
	check_source(p);
}

/* Until the daemon said how it went. */
static int wait_end(struct pour *p)
{
	struct interrupts *i = &p->interrupts;
	struct why why;

	while (!p->op.done && !p->stream.ended && !p->c->link->gone && !i->gave_up)
		turn(p);
	op_close(&p->op);
	if (i->first)
		return EXIT_SIGNAL + i->first;
	if (p->why.code)
		return report(p->c, &p->why);
	if (p->c->link->gone && !p->op.done && !p->stream.ended)
		return report(p->c, &p->c->link->gone_why);
	why = p->stream.ended ? p->stream.why : p->op.why;
	if (why.code == OK)
		return 0;
	op_blame(&p->op, &why);
	return report(p->c, &why);
}

static int begin(struct pour *p)
{
	struct call k = { .letter = p->in->letter, .body = p->in->body, .result = &p->begun };

	return interrupts_call(&p->interrupts, p->c, &k);
}

static int run(struct pour *p)
{
	int code;

	op_init(&p->op, p->c, &p->begun.op);
	stream_init(&p->stream, p->c->link, &p->begun.stream);
	p->stream.in.may_end = on_end;
	p->stream.in.may_end_ctx = p;
	p->op.bytes = &p->stream.in.sent;
	p->c->link->note = on_note;
	p->c->link->note_ctx = p;
	interrupts_start(&p->interrupts, p->c->loop);
	interrupts_to(&p->interrupts, on_signal, p);
	code = begin(p);
	if (!code) {
		stream_input(&p->stream, p->fd);
		code = wait_end(p);
	}
	op_close(&p->op);
	stream_close(&p->stream);
	interrupts_stop(&p->interrupts);
	p->c->link->note = NULL;
	return code;
}

int import(struct import *in)
{
	struct pour p = { .in = in, .c = in->c, .fd = -1 };
	struct why why;
	int code;

	if (link_open(in->c, &why))
		return report(in->c, &why);
	code = open_source(&p, &why) ? report(in->c, &why) : run(&p);
	if (p.fd >= 0)
		close(p.fd);
	if (p.packer) {
		kill(p.packer, SIGTERM);
		(void)!spawn_wait(p.packer, in->pack[0], NULL);
	}
	return code;
}
