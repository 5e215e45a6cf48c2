/*
 * cmd_vm.c - the life of machines: create, start, stop, kill, restart, delete, wait.
 */
#include "cli/create.h"
#include "cli/each.h"
#include "cli/preflight.h"
#include "cli/report.h"
#include "cli/sync.h"

static const struct flag create_flags[] = {
	CREATE_FLAGS,
	{ .name = "detach", .letter = 'd', .doc = "return at once; the machine is made meanwhile" },
	{ .name = "no-start", .doc = "make it, do not boot it" },
	{ .name = "timeout", .type = &type_ms, .value = "DURATION",
		.doc = "give up after this long, like 90s or 10m" },
	{ .name = NULL },
};

static int print_created(struct create *k)
{
	struct vm_only which = { k->begun.vm };
	struct vm_shown shown;
	struct why why;

	if (!k->c->json) {
		printf("%s\n", k->begun.name);
	} else if (k->body.detach) {
		print_document(k->c, &shape_vm_begun, &k->begun);
	} else {
		if (ask(k->c, LETTER_vm_show, &which, &shown, &why))
			return report(k->c, &why);
		print_document(k->c, &shape_vm_info, &shown.vm);
	}
	return EXIT_DONE;
}

static int create(struct cli *c)
{
	struct interrupts interrupts;
	struct create k = { .c = c, .interrupts = &interrupts };
	struct sync sync;
	struct why why;
	int code;

	if (flags_fill(c, &shape_vm_create, &k.body, &why))
		return report_usage(c, &why);
	if (flag_on(c, "no-start")) {
		k.body.has_start = true;
		k.body.start = false;
	}
	if (sync_open(&sync, c, &why) || link_open(c, &why))
		return report(c, &why);
	interrupts_start(&interrupts, c->loop);
	code = create_begin(&k);
	if (!code && !k.body.detach)
		code = create_wait(&k);
	if (!code && (k.body.detach || k.body.has_start))
		sync_skip(&sync, c);
	if (!code && sync_send(&sync, c, &interrupts, k.begun.vm, &why))
		code = report(c, &why);
	sync_close(&sync);
	interrupts_stop(&interrupts);
	op_close(&k.op);
	return code ? code : print_created(&k);
}

const struct command cmd_vm_create = {
	.words = "vm create",
	.args = "",
	.flags = create_flags,
	.doc = "make a machine and wait until it is ready",
	.more = "Prints the machine's name when its agent answers. Ctrl-C undoes what was begun. "
		"With -d the\noperation goes on by itself: `banger vm wait NAME` waits for it.",
	.example = "banger vm create --name web --memory 2G --vcpus 4\n"
		   "name=$(banger vm create --image debian)",
	.run = create,
};

static const struct flag start_flags[] = {
	{ .name = "no-services", .doc = "do not wait for the image's required services" },
	{ .name = "detach", .letter = 'd', .doc = "goes on when this command is interrupted" },
	{ .name = "timeout", .type = &type_ms, .value = "DURATION",
		.doc = "give up after this long, like 90s or 10m" },
	{ .name = NULL },
};

static int start(struct cli *c)
{
	struct each s;
	int code = each_ask(&s, c, LETTER_vm_start, "vm");

	if (!code && s.n == 1 && !each_good(&s, 0))
		return report_with_all(
			c, &s.calls[0].why, &(struct vm_preflight){ .start = s.names[0] });
	return code ? code : each_names(&s);
}

const struct command cmd_vm_start = {
	.words = "vm start",
	.args = "NAME...",
	.least = 1,
	.most = UINT32_MAX,
	.offer = OFFER_VMS,
	.flags = start_flags,
	.doc = "boot stopped machines",
	.example = "banger vm start web db",
	.run = start,
};

static const struct flag stop_flags[] = {
	{ .name = "timeout", .type = &type_ms, .value = "DURATION",
		.doc = "force it after this long, like 30s; 0 = at once" },
	{ .name = NULL },
};

static int stop(struct cli *c)
{
	return act_on_names(c, LETTER_vm_stop, "vm");
}

const struct command cmd_vm_stop = {
	.words = "vm stop",
	.args = "NAME...",
	.least = 1,
	.most = UINT32_MAX,
	.offer = OFFER_VMS,
	.flags = stop_flags,
	.doc = "shut machines down, by force when they take too long",
	.more = "Done when the machine's process is gone. Its disks stay: `banger vm start` boots "
		"it again.",
	.example = "banger vm stop web db\nbanger vm stop --timeout 1m db",
	.run = stop,
};

static int kill_now(struct cli *c)
{
	return act_on_names(c, LETTER_vm_kill, "vm");
}

const struct command cmd_vm_kill = {
	.words = "vm kill",
	.args = "NAME...",
	.least = 1,
	.most = UINT32_MAX,
	.offer = OFFER_VMS,
	.doc = "end machines at once, as if the power failed",
	.example = "banger vm kill stuck",
	.run = kill_now,
};

static int restart(struct cli *c)
{
	return act_on_names(c, LETTER_vm_restart, "vm");
}

const struct command cmd_vm_restart = {
	.words = "vm restart",
	.args = "NAME...",
	.least = 1,
	.most = UINT32_MAX,
	.offer = OFFER_VMS,
	.flags = stop_flags,
	.doc = "stop machines and boot them again",
	.example = "banger vm restart web",
	.run = restart,
};

static int delete(struct cli *c)
{
	return act_on_names(c, LETTER_vm_delete, "vm");
}

const struct command cmd_vm_delete = {
	.words = "vm delete",
	.args = "NAME...",
	.least = 1,
	.most = UINT32_MAX,
	.offer = OFFER_VMS,
	.doc = "end machines and remove all that they own",
	.example = "banger vm delete web db",
	.run = delete,
};

static const struct flag wait_flags[] = {
	{ .name = "for", .type = &type_wait_for, .value = "STATE", .field = "until",
		.offer = OFFER_WORDS, .doc = "running (which is the default), stopped or deleted" },
	{ .name = "timeout", .type = &type_ms, .value = "DURATION",
		.doc = "give up after this long; 10 minutes when absent" },
	{ .name = NULL },
};

static int wait_for(struct cli *c)
{
	return act_on_names(c, LETTER_vm_wait, "vm");
}

const struct command cmd_vm_wait = {
	.words = "vm wait",
	.args = "NAME...",
	.least = 1,
	.most = UINT32_MAX,
	.offer = OFFER_VMS,
	.flags = wait_flags,
	.doc = "wait until machines are in a state",
	.example = "banger vm wait web\nbanger vm wait --for stopped --timeout 5m web",
	.run = wait_for,
};
