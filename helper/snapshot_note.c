/*
 * snapshot_note.c - snapshots in the ledger: an entry for the dm device, which stands for its loop
 * devices by its mark until they have entries too.
 */
#include "helper/disks.h"
#include "helper/ledger.h"

static enum err note(const struct snapshot_job *j, enum priv_thing kind, const char *name,
	const char *vm, uint64_t made, const uint64_t *number, struct why *why)
{
	struct priv_entry r = {
		.kind = kind,
		.name = name,
		.made = made,
		.vm = vm[0] ? vm : NULL,
		.detail = j->mark,
		.has_number = number != NULL,
		.number = number ? *number : 0,
	};

	return ledger_note(j->h->ledger, &r, why);
}

enum err snapshot_note(const struct snapshot_job *j, const char *vm, uint64_t made,
	const uint64_t *dev, struct why *why)
{
	return note(j, priv_thing_dm, j->name, vm, made, dev, why);
}

enum err snapshot_note_loop(
	const struct snapshot_job *j, const char *vm, uint64_t made, int n, struct why *why)
{
	uint64_t number = (uint64_t)n;
	char name[16];

	snprintf(name, sizeof(name), "%d", n);
	return note(j, priv_thing_loop, name, vm, made, &number, why);
}

static void recall(void *ctx, const struct priv_entry *r)
{
	struct snapshot_job *j = ctx;

	if (r->detail && str_eq(r->detail, j->mark) && j->loops_n < COUNT(j->loops))
		j->loops[j->loops_n++] = (int)r->number;
}

void snapshot_recall_loops(struct snapshot_job *j)
{
	j->loops_n = 0;
	if (j->mark[0])
		ledger_each(j->h->ledger, priv_thing_loop, recall, j);
}

static void forget_loop(void *ctx, const struct priv_entry *r)
{
	const struct snapshot_job *j = ctx;

	if (r->detail && str_eq(r->detail, j->mark))
		ledger_forget(j->h->ledger, priv_thing_loop, r->name, NULL);
}

void snapshot_forget(const struct snapshot_job *j)
{
	struct snapshot_job copy = *j;

	ledger_each(j->h->ledger, priv_thing_loop, forget_loop, &copy);
	ledger_forget(j->h->ledger, priv_thing_dm, j->name, NULL);
}
