/*
 * create.c - vm.create.begin and the wait for its end; a signal cancels and waits for the undoing.
 */
#include "cli/create.h"

#include "cli/preflight.h"
#include "cli/report.h"
#include "cli/ssh.h"

static void on_note(void *ctx, enum letter_id letter, struct bytes params)
{
	struct create *k = ctx;

	op_note(&k->op, letter, params);
}

static void on_signal(void *ctx, int signal UNUSED)
{
	struct create *k = ctx;

	op_cancel(&k->op);
}

int create_begin(struct create *k)
{
	struct cli *c = k->c;
	struct call ask = { .letter = LETTER_vm_create_begin, .body = &k->body,
		.result = &k->begun };
	struct interrupts *i = k->interrupts;

	k->body.ssh_key = ssh_key_for_letters(c);
	op_init(&k->op, c, &k->begun.op);
	c->link->note = on_note;
	c->link->note_ctx = k;
	interrupts_to(i, on_signal, k);
	call_send(c->link, &ask);
	while (!ask.done && !c->link->gone && !i->gave_up)
		loop_turn(c->loop, true);
	rpc_forget(c->link->rpc, &ask);
	if (!ask.done && i->gave_up)
		return EXIT_SIGNAL + i->first;
	if (!ask.done)
		ask.why = c->link->gone_why;
	if (ask.why.code == OK)
		return 0;
	op_close(&k->op);
	interrupts_to(i, NULL, NULL);
	c->link->note = NULL;
	return report_with_all(c, &ask.why, &(struct vm_preflight){ .create = &k->body });
}

int create_wait(struct create *k)
{
	struct cli *c = k->c;
	struct interrupts *i = k->interrupts;
	struct why why;

	if (i->first) /* it came before the operation was known */
		op_cancel(&k->op);
	while (!k->op.done && !c->link->gone && !i->gave_up)
		loop_turn(c->loop, true);
	op_close(&k->op);
	interrupts_to(i, NULL, NULL);
	c->link->note = NULL;
	if (!k->op.done && i->gave_up)
		return EXIT_SIGNAL + i->first;
	if (!k->op.done)
		return report(c, &c->link->gone_why);
	if (i->first) {
		if (k->op.state == op_state_done && !k->body.rm)
			note(c, "%s was ready before it could be cancelled, and stays",
				k->begun.name);
		else
			note(c, "cancelled");
		return EXIT_SIGNAL + i->first;
	}
	if (k->op.state == op_state_done)
		return 0;
	why = k->op.why;
	op_blame(&k->op, &why);
	return report(c, &why);
}
