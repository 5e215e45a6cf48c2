/*
 * snapshot_undo.c - snapshots at the helper's start and at uninstall: what a crash left half made
 * goes, what is whole is noted in full.
 */
#include <unistd.h>

#include "base/log.h"
#include "base/text.h"
#include "helper/disks.h"
#include "helper/ledger.h"
#include "helper/undo.h"

struct known {
	char name[DM_NAME_BYTES + 1];
	char mark[MARK_MAX];
	char vm[16];
	uint64_t made;
	bool numbered;
};

struct all_known {
	struct known *v;
	unsigned n, cap;
};

static void collect(void *ctx, const struct priv_entry *r)
{
	struct all_known *all = ctx;
	struct known *k = &all->v[all->n];

	if (all->n < all->cap && r->detail && str_copy(k->name, sizeof(k->name), r->name) &&
		str_copy(k->mark, sizeof(k->mark), r->detail) &&
		str_copy(k->vm, sizeof(k->vm), r->vm ? r->vm : "")) {
		k->made = r->made;
		k->numbered = r->has_number;
		all->n++;
	}
}

/* A copy, since noting and forgetting change the ledger. */
static enum err list(struct helper *h, struct all_known *all, struct why *why)
{
	all->cap = ledger_count(h->ledger, priv_thing_dm);
	all->n = 0;
	all->v = calloc(all->cap + 1, sizeof(*all->v));
	if (!all->v)
		return fail(why, ERR_no_memory, "no memory for the list of snapshots");
	ledger_each(h->ledger, priv_thing_dm, collect, all);
	return OK;
}

static struct snapshot_job job_of(struct helper *h, const struct known *k)
{
	struct snapshot_job j = { .h = h, .name = k->name };

	(void)!str_copy(j.mark, sizeof(j.mark), k->mark);
	return j;
}

static enum err unmake(struct helper *h, const struct known *k, struct why *why)
{
	struct snapshot_job j = job_of(h, k);
	enum err e = snapshot_unmake(&j, why);

	if (!e)
		snapshot_forget(&j);
	return e;
}

/* It was made, and the helper died before it knew: it learns it now. */
static enum err adopt(
	struct helper *h, int control, const struct known *k, uint64_t dev, struct why *why)
{
	struct snapshot_job j = job_of(h, k);
	int loops[SNAPSHOT_LOOPS_MAX];
	unsigned n = 0;
	enum err e = snapshot_loops(control, k->name, loops, &n, why);

	for (unsigned i = 0; i < n && !e; i++)
		e = snapshot_note_loop(&j, k->vm, k->made, loops[i], why);
	return e ? e : snapshot_note(&j, k->vm, k->made, &dev, why);
}

static enum err mend(struct helper *h, int control, const struct known *k, struct why *why)
{
	struct snapshot_job j = job_of(h, k);
	struct dm_info info;
	enum err e = dm_find(control, k->name, &info, why);

	if (e == ERR_not_found || (!e && !str_eq(info.uuid, k->mark))) {
		/*
		 * Without a number it may yet be made: a child of the helper that died is dying
		 * itself, and ends the one system call that it is in.
		 */
		if (k->numbered)
			snapshot_forget(&j);
		return OK;
	}
	if (!e && !info.active)
		return unmake(h, k, why);
	return e || k->numbered ? e : adopt(h, control, k, info.dev, why);
}

enum err snapshots_mend(struct helper *h, struct why *why)
{
	struct all_known all;
	own_fd control = -1;
	enum err e = OK;

	if (ledger_count(h->ledger, priv_thing_dm) == 0)
		return OK;
	e = list(h, &all, why);
	if (!e)
		e = dm_control(&control, why);
	for (unsigned i = 0; i < all.n && !e; i++)
		e = mend(h, control, &all.v[i], why);
	free(all.v);
	return e;
}

enum err snapshots_undo(struct helper *h, struct why *why)
{
	struct all_known all;
	struct why other;
	enum err e = list(h, &all, why);

	for (unsigned i = 0; i < all.n; i++) {
		if (unmake(h, &all.v[i], &other) == OK)
			continue;
		log_line(LOG_WARN, "helper", "snapshot stays", "name", all.v[i].name, "why",
			other.text, NULL);
		e = fail(why, ERR_conflict, "a snapshot could not be removed");
	}
	free(all.v);
	return e;
}
