/*
 * session.c - vm.exec and what belongs to it at this end.
 *
 * Without a terminal signals are forwarded to the program; with one their keys reach it as bytes,
 * and TERM and HUP end this side (the daemon then hangs up on the program). A reader of our output
 * that goes away is passed on as SIGPIPE. Nothing waits for ever: a third Ctrl-C within two
 * seconds, or two seconds after a broken pipe, and we leave.
 */
#include "cli/session.h"

#include <signal.h>
#include <unistd.h>

#include "base/text.h"
#include "cli/report.h"
#include "cli/tty.h"

enum { ARGS_MAX = 4096, COMMAND_BYTES_MAX = 524288, KILL_MS = 5000, LAST_MS = 2000 };

enum err session_terminal(struct session *s, bool t, bool no_t, struct why *why)
{
	bool shell = s->exec.argv.n == 0;

	if (t && no_t)
		return fail_field(why, ERR_invalid_value, "t", "-t and -T exclude each other");
	if (!t && (no_t || !shell || !isatty(0) || !isatty(1)))
		return OK;
	tty_describe(isatty(0) ? 0 : 1, &s->pty);
	s->exec.pty = &s->pty;
	return OK;
}

enum err session_command(struct session *s, const char **argv, unsigned n, struct why *why)
{
	size_t bytes = 0;

	for (unsigned i = 0; i < n; i++)
		bytes += strlen(argv[i]) + 1;
	for (unsigned i = 0; i < s->exec.env.n; i++)
		bytes += strlen(s->exec.env.v[i]) + 1;
	if (n > ARGS_MAX)
		return fail_field(why, ERR_too_large, "argv",
			"the command has %u arguments; at most %d", n, ARGS_MAX);
	if (bytes > COMMAND_BYTES_MAX)
		return fail_field(why, ERR_too_large, "argv",
			"command and environment have %zu bytes; at most %d", bytes,
			COMMAND_BYTES_MAX);
	s->exec.argv.v = argv;
	s->exec.argv.n = n;
	return OK;
}

static void start_terminal(struct session *s);

static void on_note(void *ctx, enum letter_id letter, struct bytes params)
{
	struct session *s = ctx;

	if (s->begun.stream)
		start_terminal(s);
	stream_note(&s->stream, letter, params);
}

static void on_signal(void *ctx, int signal)
{
	struct session *s = ctx;

	/* it has ended, and only our own reader is slow */
	if (s->stream.ended || (s->exec.pty && (signal == SIGTERM || signal == SIGHUP)))
		s->left_by = signal;
	else if (s->interrupts->gave_up)
		s->left_by = SIGINT;
	else
		stream_signal(&s->stream, signal);
}

static void on_winch(void *ctx, int signal)
{
	struct session *s = ctx;
	struct pty now;

	if (signal == SIGCONT)
		tty_again();
	tty_describe(isatty(0) ? 0 : 1, &now);
	if (now.rows != s->rows || now.cols != s->cols)
		stream_resize(&s->stream, now.rows, now.cols);
	s->rows = now.rows;
	s->cols = now.cols;
}

static void on_last_word(void *ctx)
{
	struct session *s = ctx;

	s->over = true;
}

static void on_kill(void *ctx)
{
	struct session *s = ctx;

	stream_signal(&s->stream, SIGKILL);
	timer_start(s->c->loop, &s->last_word, LAST_MS, on_last_word, s);
}

static void on_deadline(void *ctx)
{
	struct session *s = ctx;

	s->timed_out = true;
	if (s->begun.stream == 0) {
		s->over = true;
		return;
	}
	stream_signal(&s->stream, SIGTERM);
	timer_start(s->c->loop, &s->last_word, KILL_MS, on_kill, s);
}

/* Somebody read a part of the output and went: the program learns it as a local one would. */
static void pass_on_broken_pipe(struct session *s)
{
	if (s->stream.out[0].error == 0 || s->pipe_told)
		return;
	s->pipe_told = true;
	stream_signal(&s->stream, SIGPIPE);
	if (!s->timed_out)
		timer_start(s->c->loop, &s->last_word, LAST_MS, on_last_word, s);
}

/* Before a byte of the program is shown: its first ones may come with the answer. */
static void start_terminal(struct session *s)
{
	if (!s->exec.pty || s->on_terminal)
		return;
	s->on_terminal = true;
	s->rows = s->pty.rows;
	s->cols = s->pty.cols;
	sigwatch_start(s->c->loop, &s->winch, SIGWINCH, on_winch, s);
	sigwatch_start(s->c->loop, &s->cont, SIGCONT, on_winch, s);
	if (isatty(0) && !s->no_stdin)
		tty_raw(0);
	on_winch(s, SIGWINCH); /* it may have changed since it was described */
}

static void pump(struct session *s)
{
	interrupts_to(s->interrupts, on_signal, s);
	start_terminal(s);
	if (s->exec.stdin)
		stream_input(&s->stream, 0);
	while (!s->stream.ended && !s->link->gone && !s->over && !s->left_by) {
		loop_turn(s->c->loop, true);
		pass_on_broken_pipe(s);
	}
	/* the reader of our output may be slow, or impatient */
	while (!stream_flushed(&s->stream) && !s->left_by && !s->over)
		loop_turn(s->c->loop, true);
}

static void stop(struct session *s)
{
	interrupts_to(s->interrupts, NULL, NULL);
	sigwatch_stop(&s->winch);
	sigwatch_stop(&s->cont);
	timer_stop(&s->deadline);
	timer_stop(&s->last_word);
	tty_restore();
	s->link->note = NULL;
	stream_close(&s->stream);
}

/* What became of it, as an exit code; says what was banger's own failure. */
static int verdict(struct session *s)
{
	const struct stream *st = &s->stream;
	struct why why = { .code = OK };
	char time[24];

	if (s->left_by)
		return EXIT_SIGNAL + s->left_by;
	if (st->out[0].error == EPIPE)
		return EXIT_SIGNAL + SIGPIPE;
	if (s->timed_out) {
		show_duration(time, sizeof(time), s->timeout_ms);
		fail(&why, ERR_timeout, "timed out after %s",
			s->timeout_text ? s->timeout_text : time);
	} else if (st->out[0].error) {
		errno = st->out[0].error;
		fail_errno(&why, "cannot write the program's output");
	} else if (st->in.error) {
		errno = st->in.error;
		fail_errno(&why, "cannot read the program's input");
	} else if (st->why.code) {
		why = st->why;
	} else if (!st->ended) {
		why = s->link->gone_why;
	} else if (st->signal) {
		return EXIT_SIGNAL + st->signal;
	} else {
		return st->has_code ? (int)st->code : EXIT_OWN;
	}
	return report(s->c, &why);
}

/* Until the program began; a signal before that, or the deadline, ends the wait. */
static enum err begin(struct session *s, struct why *why)
{
	struct call k = { .letter = LETTER_vm_exec, .body = &s->exec, .result = &s->begun };

	call_send(s->link, &k);
	while (!k.done && !s->link->gone && !s->over && !s->interrupts->first)
		loop_turn(s->c->loop, true);
	rpc_forget(s->link->rpc, &k);
	if (k.done) {
		*why = k.why;
		return k.why.code;
	}
	if (s->link->gone) {
		*why = s->link->gone_why;
		return why->code;
	}
	s->left_by = s->over ? 0 : s->interrupts->first;
	return fail(why, ERR_cancelled, "cancelled before the program began");
}

int session_run(struct session *s)
{
	struct why why;

	s->link = s->c->link;
	s->exec.stdin = !s->no_stdin;
	stream_init(&s->stream, s->link, &s->begun.stream);
	stream_output(&s->stream, 1, 1);
	if (!s->exec.pty)
		stream_output(&s->stream, 2, 2);
	s->link->note = on_note;
	s->link->note_ctx = s;
	fflush(stdout);
	if (s->timeout_ms)
		timer_start(s->c->loop, &s->deadline, s->timeout_ms, on_deadline, s);
	if (begin(s, &why)) {
		stop(s);
		return s->left_by || s->timed_out ? verdict(s) : report(s->c, &why);
	}
	s->c->spoke = true;
	pump(s);
	stop(s);
	return verdict(s);
}
