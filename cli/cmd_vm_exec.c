/*
 * cmd_vm_exec.c - `banger vm exec`: a program in a machine that runs.
 */
#include "cli/remind.h"
#include "cli/report.h"
#include "cli/session.h"

static const struct flag flags[] = {
	{ .name = "user", .letter = 'u', .type = &type_user, .value = "USER",
		.doc = "run as this user; the image's, else root" },
	{ .name = "workdir", .letter = 'w', .type = &type_abs_path, .value = "DIR", .field = "cwd",
		.doc = "run in this directory; the image's, else the user's home" },
	{ .name = "env", .letter = 'e', .type = &type_env, .value = "NAME=VALUE", .many = true,
		.doc = "add to the environment" },
	{ .name = "tty", .letter = 't', .doc = "run on a terminal" },
	{ .name = "no-tty", .letter = 'T', .doc = "never run on a terminal" },
	{ .name = "no-stdin", .letter = 'n', .doc = "give it /dev/null as standard input" },
	{ .name = "interactive", .letter = 'i', .doc = "implied; for habit's sake" },
	{ .name = "early", .doc = "do not wait for the image's init to mount its filesystems" },
	{ .name = "timeout", .type = &type_ms, .value = "DURATION",
		.doc = "end the program after this long, like 90s or 10m" },
	{ .name = NULL },
};

static int run(struct cli *c)
{
	struct interrupts interrupts;
	struct session s = { .c = c, .interrupts = &interrupts };
	struct why why;
	enum err e;
	int code;

	s.exec.vm = c->args[0];
	e = type_ok(&type_vm_ref, "vm", c->args[0], &why);
	if (!e)
		e = flags_fill(c, &shape_vm_exec, &s.exec, &why);
	if (!e)
		e = session_command(&s, c->tail, c->tail_n, &why);
	if (!e)
		e = session_terminal(&s, flag_on(c, "tty"), flag_on(c, "no-tty"), &why);
	if (e)
		return report_usage(c, &why);
	s.no_stdin = flag_on(c, "no-stdin");
	s.timeout_ms = flag_given(c, "timeout")->number;
	s.timeout_text = flag_text(c, "timeout");
	c->silent_version = c->has_tail && !c->err_live && !c->progress;
	if (link_open(c, &why))
		return report(c, &why);
	interrupts_start(&interrupts, c->loop);
	code = session_run(&s);
	if (s.exec.pty && !s.left_by)
		remind(c, s.exec.vm, s.exec.vm);
	interrupts_stop(&interrupts);
	return code;
}

const struct command cmd_vm_exec = {
	.words = "vm exec",
	.args = "NAME [-- CMD...]",
	.least = 1,
	.most = 1,
	.traits = SESSION | TAIL,
	.offer = OFFER_VMS,
	.flags = flags,
	.doc = "run a program or a shell in a running machine",
	.more = "Input, output, signals and window size pass through unchanged, and the exit code "
		"is the\nprogram's (128+n for a signal; 125 when banger itself failed). Without "
		"CMD it is a login shell.",
	.example = "banger vm exec calm-otter -- ps aux\n"
		   "banger vm exec -t calm-otter -- top\n"
		   "banger vm exec calm-otter -- sh -c 'cat > notes' < notes",
	.run = run,
};
