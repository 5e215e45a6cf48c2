/*
 * remind.c - one question to the machine that was just left, and not for long.
 */
#include "cli/remind.h"

#include "cli/link.h"
#include "cli/report.h"

enum { HEALTH_MS = 1000 };

static void on_patience(void *ctx)
{
	*(bool *)ctx = true;
}

void remind(struct cli *c, const char *vm, const char *name)
{
	struct vm_only which = { vm };
	struct vm_health health = { .ok = false };
	struct call k = { .letter = LETTER_vm_health, .body = &which, .result = &health };
	struct timer patience = { .fn = NULL };
	bool over = false;

	if (!c->err_live || c->quiet || !c->link || c->link->gone)
		return;
	call_send(c->link, &k);
	timer_start(c->loop, &patience, HEALTH_MS, on_patience, &over);
	while (!k.done && !c->link->gone && !over)
		loop_turn(c->loop, true);
	timer_stop(&patience);
	rpc_forget(c->link->rpc, &k);
	if (k.done && k.why.code == OK && health.ok)
		note(c, "%s is still running; `banger vm delete %s` ends it", name, name);
}
