/*
 * cmd_prune.c - `banger vm prune` and `banger prune`: what nobody uses, with its bytes.
 *
 * Machines go one by one, and the daemon deletes only those that are still stopped when their turn
 * comes; then images, so that those of the machines that went can go too.
 */
#include <time.h>

#include "base/text.h"
#include "cli/link.h"
#include "cli/pruned.h"
#include "cli/report.h"

enum { ITEMS_MAX = 1000 };

static const struct flag vm_flags[] = {
	{ .name = "older",
		.type = &type_ms,
		.value = "DURATION",
		.doc = "only those that were started (or made) longer ago, like 48h" },
	{ .name = "dry-run", .letter = 'n', .doc = "only show what would go" },
	{ .name = NULL },
};

static const struct flag all_flags[] = {
	{ .name = "all",
		.letter = 'a',
		.doc = "stopped machines and images without machines, too" },
	{ .name = "older",
		.type = &type_ms,
		.value = "DURATION",
		.doc = "of machines: only those that were started longer ago, like 48h" },
	{ .name = "dry-run", .letter = 'n', .doc = "only show what would go" },
	{ .name = NULL },
};

struct pruning {
	struct cli *c;
	struct pruned_item items[2 * ITEMS_MAX];
	struct image_pruned said;
	uint64_t since; /* machines that were started later stay */
	int code;
};

void print_pruned(struct cli *c, const struct image_pruned *said)
{
	char text[32];

	if (c->json) {
		print_document(c, &shape_image_pruned, said);
		return;
	}
	for (uint32_t i = 0; i < said->items.n; i++) {
		const struct pruned_item *item = &said->items.v[i];

		if (c->quiet) {
			printf("%s\n", item->name);
			continue;
		}
		show_size(text, sizeof(text), item->bytes);
		printf("%s %s, %s\n", item->kind, item->name, text);
	}
	if (c->quiet)
		return;
	show_size(text, sizeof(text), said->bytes);
	printf(said->dry_run ? "would free %s\n" : "freed %s\n", text);
}

static void add(struct pruning *p, const struct pruned_item *item)
{
	if (p->said.items.n == COUNT(p->items)) {
		p->said.more = true;
		return;
	}
	p->items[p->said.items.n++] = *item;
	p->said.bytes += item->bytes;
}

/* The host bytes of its disks, then its end. */
static enum err prune_machine(struct pruning *p, const struct vm_info *vm, struct why *why)
{
	struct vm_only which = { vm->id };
	struct vm_delete gone = { vm->id, true, true };
	struct vm_stats stats;
	enum err e = ask(p->c, LETTER_vm_stats, &which, &stats, why);

	if (!e && !p->said.dry_run)
		e = ask(p->c, LETTER_vm_delete, &gone, &(struct nothing){}, why);
	if (!e)
		add(p, &(struct pruned_item){ "machine", vm->name, stats.vm.disk_used });
	/* it was started or deleted meanwhile */
	return e == ERR_conflict || e == ERR_not_found ? OK : e;
}

static enum err prune_machines(struct pruning *p, struct why *why)
{
	struct vm_list which = { 0 };
	struct vm_listed page;
	enum err e;

	do {
		e = ask(p->c, LETTER_vm_list, &which, &page, why);
		for (uint32_t i = 0; !e && i < page.vms.n; i++) {
			const struct vm_info *vm = &page.vms.v[i];
			uint64_t last = vm->has_started ? vm->started : vm->created;

			which.after = vm->id;
			if (vm->state != vm_state_stopped || last > p->since)
				continue;
			if (prune_machine(p, vm, why))
				p->code = report(p->c, why);
		}
	} while (!e && page.more && page.vms.n > 0);
	return e;
}

static enum err prune_images(struct pruning *p, bool all, struct why *why)
{
	struct image_prune body = { all, true, p->said.dry_run, true };
	struct image_pruned *said = arena_take(&p->c->mem, sizeof(*said));
	enum err e = said ? ask(p->c, LETTER_image_prune, &body, said, why) :
			    fail(why, ERR_no_memory, "no memory for what was pruned");

	for (uint32_t i = 0; !e && i < said->items.n; i++)
		add(p, &said->items.v[i]);
	if (!e)
		p->said.more |= said->more;
	return e;
}

static int prune(struct cli *c, bool machines, bool images, bool all)
{
	struct pruning *p = arena_take(&c->mem, sizeof(*p));
	const struct given *older = flag_given(c, "older");
	uint64_t now = (uint64_t)time(NULL) * 1000;
	struct why why = { .code = OK };

	if (!p) {
		fail(&why, ERR_no_memory, "no memory to prune");
		return report(c, &why);
	}
	*p = (struct pruning){ .c = c };
	p->said.items.v = p->items;
	p->said.dry_run = flag_on(c, "dry-run");
	p->since = older->set ? now - MIN(now, older->number) : UINT64_MAX;
	if ((machines && prune_machines(p, &why)) || (images && prune_images(p, all, &why)))
		return report(c, &why);
	print_pruned(c, &p->said);
	return p->code;
}

static int prune_vms(struct cli *c)
{
	return prune(c, true, false, false);
}

static int prune_all(struct cli *c)
{
	bool all = flag_on(c, "all");

	return prune(c, all, true, all);
}

const struct command cmd_vm_prune = {
	.words = "vm prune",
	.args = "",
	.flags = vm_flags,
	.doc = "delete all machines that are stopped, and tell how many bytes that were",
	.more = "What they hold is lost: look with --dry-run first. Machines that run are left "
		"alone.",
	.example = "banger vm prune --dry-run\nbanger vm prune --older 48h",
	.run = prune_vms,
};

const struct command cmd_prune = {
	.words = "prune",
	.args = "",
	.flags = all_flags,
	.doc = "remove what nobody uses: leftovers, layers of pulls; with --all more",
	.more = "With --all stopped machines go, and then images that no machine stands on, except "
		"the default one\nand what you registered.",
	.example = "banger prune --dry-run --all\nbanger prune",
	.run = prune_all,
};
