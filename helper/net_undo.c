/*
 * net_undo.c - the network at the helper's start, and at its end.
 *
 * Only a link that is the ledger's very one is touched: same index, same kind; a bridge whose index
 * was not noted yet is known by its hardware address. A tap that a crash left half made ended with
 * the process, because it is told to persist last of all.
 */
#include "base/log.h"
#include "helper/net.h"
#include "helper/undo.h"

static bool is_ours_bridge(const struct bridge_entry *b, const struct nic *nic)
{
	return str_eq(nic->kind, "bridge") &&
	       (b->index ? nic->index == b->index : memcmp(nic->mac, b->mac, MAC_BYTES) == 0);
}

static void forget(struct helper *h, const struct priv_entry *r)
{
	(void)ledger_forget(h->ledger, r->kind, r->name, NULL);
}

/* ---- at start ---- */

static void mend_bridge(void *ctx, const struct priv_entry *r)
{
	struct helper *h = ctx;
	struct bridge_entry b;
	struct nic nic;
	bool ours = net_read_bridge(r, &b) &&
		    nic_find(h->net->nics, r->name, 0, &nic, NULL) == OK &&
		    is_ours_bridge(&b, &nic);

	if (ours && b.index)
		return;
	if (!ours || nic_delete(h->net->nics, nic.index, NULL) == OK)
		forget(h, r);
}

static void mend_tap(void *ctx, const struct priv_entry *r)
{
	struct helper *h = ctx;
	struct tap_entry t;
	struct nic nic;

	if (!net_read_tap(r, &t) || nic_find(h->net->nics, r->name, 0, &nic, NULL) ||
		nic.index != t.index || !str_eq(nic.kind, "tun"))
		forget(h, r);
}

static void mend_nat(void *ctx, const struct priv_entry *r)
{
	struct helper *h = ctx;
	const struct priv_entry *tap;
	struct nat_entry n;
	struct tap_entry t;

	if (!net_read_nat(r, &n))
		return; /* the tables' own */
	tap = ledger_find(h->ledger, priv_thing_tap, n.tap);
	if (!tap || !net_read_tap(tap, &t) || t.addr != n.addr)
		forget(h, r);
}

static enum err drop_tables(struct helper *h, struct why *why)
{
	struct nft_batch b;
	enum err e;

	if (ledger_find(h->ledger, priv_thing_nat, "tables") == NULL)
		return OK;
	nft_batch_init(&b);
	nft_put_no_tables(&b);
	e = nft_run(h->net->nft, &b, why);
	nft_batch_done(&b);
	return e ? e : ledger_forget(h->ledger, priv_thing_nat, "tables", why);
}

enum err net_mend(struct helper *h, struct why *why)
{
	enum err e;

	ledger_each(h->ledger, priv_thing_bridge, mend_bridge, h);
	ledger_each(h->ledger, priv_thing_tap, mend_tap, h);
	ledger_each(h->ledger, priv_thing_nat, mend_nat, h);
	if (ledger_count(h->ledger, priv_thing_bridge) || ledger_count(h->ledger, priv_thing_tap))
		return net_rules(h, why);
	e = drop_tables(h, why);
	return e ? e : forward_restore(h, why);
}

/* ---- at the end ---- */

struct doomed {
	struct helper *h;
	int *indexes;
	unsigned n;
};

static void collect_tap(void *ctx, const struct priv_entry *r)
{
	struct doomed *d = ctx;
	struct tap_entry t;

	if (net_read_tap(r, &t))
		d->indexes[d->n++] = t.index;
}

static void forget_it(void *ctx, const struct priv_entry *r)
{
	forget(ctx, r);
}

static void forget_address(void *ctx, const struct priv_entry *r)
{
	struct nat_entry n;

	if (net_read_nat(r, &n))
		forget(ctx, r);
}

static void undo_bridge(void *ctx, const struct priv_entry *r)
{
	struct helper *h = ctx;
	struct bridge_entry b;
	struct why why;

	must(net_read_bridge(r, &b) && b.index);
	if (nic_delete(h->net->nics, b.index, &why) == OK)
		forget(h, r);
	else
		log_line(
			LOG_WARN, "helper", "bridge stays", "name", r->name, "why", why.text, NULL);
}

enum err net_undo(struct helper *h, struct why *why)
{
	struct doomed d = { .h = h };
	enum err e = net_mend(h, why); /* what is left is ours, each by its number */

	if (e)
		return e;
	d.indexes = calloc(ledger_count(h->ledger, priv_thing_tap) + 1, sizeof(*d.indexes));
	if (!d.indexes)
		return fail(why, ERR_no_memory, "no memory to delete taps");
	ledger_each(h->ledger, priv_thing_tap, collect_tap, &d);
	e = d.n ? nic_delete_all(h->net->nics, d.indexes, d.n, why) : OK;
	free(d.indexes);
	if (e)
		return e;
	ledger_each(h->ledger, priv_thing_tap, forget_it, h);
	ledger_each(h->ledger, priv_thing_nat, forget_address, h);
	ledger_each(h->ledger, priv_thing_bridge, undo_bridge, h);
	if (ledger_count(h->ledger, priv_thing_bridge))
		return fail(why, ERR_conflict, "a bridge could not be deleted");
	e = drop_tables(h, why);
	return e ? e : forward_restore(h, why);
}
