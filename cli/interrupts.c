/*
 * interrupts.c - deadly signals as events on the loop, and the count of impatient Ctrl-C.
 */
#include "cli/interrupts.h"

#include <signal.h>

#include "cli/report.h"

static const int wanted[INTERRUPTS_MAX] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2 };

static void on_signal(void *ctx, int signal)
{
	struct interrupts *i = ctx;
	uint64_t now = loop_now_ms(i->loop);

	if (!i->first)
		i->first = signal;
	if (signal == SIGINT) {
		if (i->before[0] && now - i->before[0] < GIVE_UP_MS)
			i->gave_up = true;
		i->before[0] = i->before[1];
		i->before[1] = now;
	}
	if (i->fn)
		i->fn(i->ctx, signal);
}

void interrupts_start(struct interrupts *i, struct loop *l)
{
	struct sigaction old;

	*i = (struct interrupts){ .loop = l };
	for (unsigned k = 0; k < COUNT(wanted); k++)
		if (sigaction(wanted[k], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
			sigwatch_start(l, &i->watches[k], wanted[k], on_signal, i);
}

void interrupts_to(struct interrupts *i, void (*fn)(void *ctx, int signal), void *ctx)
{
	i->fn = fn;
	i->ctx = ctx;
}

void interrupts_stop(struct interrupts *i)
{
	for (unsigned k = 0; k < COUNT(wanted); k++)
		sigwatch_stop(&i->watches[k]);
}

int interrupts_call(struct interrupts *i, struct cli *c, struct call *k)
{
	call_send(c->link, k);
	while (!k->done && !c->link->gone && !i->first)
		loop_turn(c->loop, true);
	rpc_forget(c->link->rpc, k);
	if (!k->done && i->first)
		return EXIT_SIGNAL + i->first;
	if (!k->done)
		k->why = c->link->gone_why;
	return k->why.code ? report(c, &k->why) : EXIT_DONE;
}
