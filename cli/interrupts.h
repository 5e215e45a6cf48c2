/*
 * cli/interrupts.h - signals that the user sends to a command which does more than ask once.
 */
#ifndef CLI_INTERRUPTS_H
#define CLI_INTERRUPTS_H

#include "cli/link.h"

enum { INTERRUPTS_MAX = 6, GIVE_UP_MS = 2000 };

struct interrupts {
	struct loop *loop;
	struct sigwatch watches[INTERRUPTS_MAX];
	void (*fn)(void *ctx, int signal); /* may be NULL: only noted */
	void *ctx;
	uint64_t before[2]; /* when the two latest Ctrl-C came */
	int first; /* the first signal of all; 0 while none came */
	bool gave_up; /* a third Ctrl-C within 2 s */
};

/* INT, TERM, HUP, QUIT, USR1, USR2; those that our caller had ignored stay ignored. */
void interrupts_start(struct interrupts *i, struct loop *l);
void interrupts_to(struct interrupts *i, void (*fn)(void *ctx, int signal), void *ctx);
void interrupts_stop(struct interrupts *i);
/* Asks, and waits for the answer or the first signal; answers the exit code, 0 when all is well. */
int interrupts_call(struct interrupts *i, struct cli *c, struct call *k);

#endif
