/*
 * cli/session.h - a program in a guest as if it ran here: bytes, signals, window size, exit code.
 */
#ifndef CLI_SESSION_H
#define CLI_SESSION_H

#include "cli/interrupts.h"
#include "cli/link.h"
#include "cli/stream.h"

struct session {
	struct cli *c;
	struct link *link;
	struct interrupts *interrupts;
	struct vm_exec exec; /* what to run: filled by the command, then session_terminal */
	struct pty pty;
	bool no_stdin;
	uint64_t timeout_ms; /* what is left of the run's; 0 = none */
	const char *timeout_text;

	struct stream_begun begun;
	struct stream stream;
	struct sigwatch winch, cont;
	struct timer deadline, last_word;
	uint64_t rows, cols;
	bool timed_out, over, pipe_told, on_terminal;
	int left_by; /* signal that ends us rather than the program */
};

/* -t, -T, and terminals decide; fails when -t and -T are both given. */
enum err session_terminal(struct session *s, bool t, bool no_t, struct why *why) MUST_CHECK;
/* argv within the caps of row A5. */
enum err session_command(struct session *s, const char **argv, unsigned n,
	struct why *why) MUST_CHECK;

/* Runs it; answers the exit code (row B1), after having said what failed. */
int session_run(struct session *s);

#endif
