/*
 * cmd_vm_logs.c - `banger vm logs`: what a machine's console printed, byte for byte.
 */
#include <signal.h>

#include "cli/report.h"
#include "cli/stream.h"

static const struct flag flags[] = {
	{ .name = "follow", .letter = 'f',
		.doc = "go on with what it prints from now, until Ctrl-C" },
	{ .name = "tail", .type = &type_size, .value = "SIZE",
		.doc = "at most so many bytes from the end, like 16K" },
	{ .name = NULL },
};

static void on_note(void *ctx, enum letter_id letter, struct bytes params)
{
	stream_note(ctx, letter, params);
}

static int verdict(struct cli *c, struct stream *s)
{
	struct why why = s->why;

	if (s->out[0].error == EPIPE)
		return EXIT_SIGNAL + SIGPIPE;
	if (s->out[0].error) {
		errno = s->out[0].error;
		fail_errno(&why, "cannot write the log");
	} else if (!s->ended) {
		why = c->link->gone_why;
	}
	return why.code ? report(c, &why) : EXIT_DONE;
}

static int logs(struct cli *c)
{
	struct vm_logs which = { .vm = c->args[0] };
	struct stream_begun begun = { 0 };
	struct stream s;
	struct why why;
	enum err e = type_ok(&type_vm_ref, "vm", c->args[0], &why);
	int code;

	if (!e)
		e = flags_fill(c, &shape_vm_logs, &which, &why);
	if (e)
		return report_usage(c, &why);
	if (link_open(c, &why))
		return report(c, &why);
	stream_init(&s, c->link, &begun.stream);
	stream_output(&s, 1, 1);
	c->link->note = on_note;
	c->link->note_ctx = &s;
	e = ask(c, LETTER_vm_logs, &which, &begun, &why);
	if (e) {
		stream_close(&s);
		return report(c, &why);
	}
	c->spoke = true;
	while ((!s.ended && !c->link->gone && !s.out[0].error) || !stream_flushed(&s))
		loop_turn(c->loop, true);
	code = verdict(c, &s);
	c->link->note = NULL;
	stream_close(&s);
	return code;
}

const struct command cmd_vm_logs = {
	.words = "vm logs",
	.args = "NAME",
	.least = 1,
	.most = 1,
	.offer = OFFER_VMS,
	.flags = flags,
	.doc = "what a machine's console printed",
	.example = "banger vm logs web\nbanger vm logs -f --tail 4K web",
	.run = logs,
};
