/*
 * things.c - priv.list_things: what the ledger says that the helper made, and whether the host has
 * it now. Only reads.
 */
#include <fcntl.h>
#include <unistd.h>

#include "base/text.h"
#include "helper/net.h"
#include "helper/verbs.h"
#include "helper/vmms.h"
#include "sys/beneath.h"

enum { THINGS_MAX = 128 };

struct list {
	const struct helper *h;
	const struct priv_things *q;
	const struct priv_entry *v[THINGS_MAX]; /* by name, the first of them */
	unsigned n, from; /* from: where the kind at hand begins */
	bool more;
};

enum err things_check(const struct helper *h UNUSED, const void *body, struct why *why)
{
	const struct priv_things *q = body;

	if (q->after && !q->has_kind)
		return fail_field(
			why, ERR_invalid_value, "after", "says nothing without `kind` beside it");
	return OK;
}

/* ---- which ---- */

/* Taps and addresses do not say whose they are, but for the machine in the tap's name. */
static bool is_of(const struct priv_entry *r, const char *vm)
{
	static const char prefix[] = "bngr-";
	struct nat_entry nat;

	if (r->vm)
		return str_eq(r->vm, vm);
	if (r->kind == priv_thing_tap)
		return strncmp(r->name, prefix, sizeof(prefix) - 1) == 0 &&
		       str_eq(r->name + sizeof(prefix) - 1, vm);
	return r->kind == priv_thing_nat && net_read_nat(r, &nat) &&
	       strncmp(nat.tap, prefix, sizeof(prefix) - 1) == 0 &&
	       str_eq(nat.tap + sizeof(prefix) - 1, vm);
}

static void take(void *ctx, const struct priv_entry *r)
{
	struct list *l = ctx;
	unsigned at = l->n;

	if ((l->q->vm && !is_of(r, l->q->vm)) || (l->q->after && strcmp(r->name, l->q->after) <= 0))
		return;
	while (at > l->from && strcmp(l->v[at - 1]->name, r->name) > 0)
		at--;
	l->more |= l->n == THINGS_MAX;
	if (at == THINGS_MAX)
		return;
	l->n -= l->n == THINGS_MAX;
	memmove(&l->v[at + 1], &l->v[at], (l->n - at) * sizeof(l->v[0]));
	l->v[at] = r;
	l->n++;
}

/* ---- whether they are there ---- */

static bool link_there(const struct helper *h, const struct priv_entry *r)
{
	struct nic nic;

	return nic_find(h->net->nics, r->name, 0, &nic, NULL) == OK &&
	       (uint64_t)nic.index == r->number;
}

static bool sys_says(const char *path, const char *name)
{
	own_fd sys = openat(AT_FDCWD, "/sys/block", O_PATH | O_DIRECTORY | O_CLOEXEC);
	own_buf text = { .max = 4 * KiB };

	if (sys < 0 || read_file(sys, path, 4 * KiB, &text, NULL))
		return false;
	return !name || (text.n > strlen(name) && memcmp(text.p, name, strlen(name)) == 0 &&
				text.p[strlen(name)] == '\n');
}

static bool block_there(const struct priv_entry *r)
{
	char path[64];

	snprintf(path, sizeof(path),
		r->kind == priv_thing_dm ? "dm-%llu/dm/name" : "loop%llu/loop/backing_file",
		(unsigned long long)r->number);
	return sys_says(path, r->kind == priv_thing_dm ? r->name : NULL);
}

static bool jail_there(const struct helper *h, const char *name)
{
	own_fd dir = open_beneath(h->jails, name, O_PATH | O_DIRECTORY | O_NOFOLLOW, 0);

	return dir >= 0;
}

static bool is_there(const struct helper *h, const struct priv_entry *r, bool tables)
{
	enum vmm driver;

	switch (r->kind) {
	case priv_thing_bridge:
	case priv_thing_tap:
		return link_there(h, r);
	case priv_thing_nat:
		return tables;
	case priv_thing_loop:
	case priv_thing_dm:
		return block_there(r);
	case priv_thing_jail:
		return jail_there(h, r->name);
	case priv_thing_vmm:
		return r->vm && vmms_of(h->vmms, r->vm, &driver) >= 0;
	case priv_thing_resolver:
	case priv_thing_forward:
		return true; /* what they were is noted; what they are is everybody's */
	case priv_thing_COUNT:
		break;
	}
	must(false);
}

void things_act(struct call *c, const void *body)
{
	struct list l = { .h = c->h, .q = body };
	struct priv_listed result = { .more = false };
	bool tables = false;
	struct why why;

	for (int kind = 0; kind < priv_thing_COUNT; kind++) {
		l.from = l.n;
		if (!l.q->has_kind || (int)l.q->kind == kind)
			ledger_each(c->h->ledger, (enum priv_thing)kind, take, &l);
	}
	result.things.v = call_memory(c, (l.n + 1) * sizeof(*result.things.v));
	if (!result.things.v)
		return;
	if (nft_present(c->h->net->nft, &tables, &why))
		tables = false;
	for (unsigned i = 0; i < l.n; i++)
		result.things.v[result.things.n++] =
			(struct priv_held){ *l.v[i], is_there(c->h, l.v[i], tables) };
	result.more = l.more;
	call_done(c, &result);
}
