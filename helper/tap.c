/*
 * tap.c - priv.create_tap and priv.delete_tap.
 *
 * A tap is known to the rules before it is joined to the bridge and until it is gone, so no frame
 * passes that they do not judge. Deleting makes the kernel wait, once for a whole group as for one:
 * what is asked for while a child deletes is deleted by the next child, all at once.
 */
#include <unistd.h>

#include "base/log.h"
#include "helper/net.h"
#include "helper/task.h"
#include "helper/verbs.h"

void create_tap_about(const void *body, char out[ABOUT_MAX])
{
	const struct priv_create_tap *q = body;

	snprintf(out, ABOUT_MAX, "tap %s", q->tap);
}

void tap_about(const void *body, char out[ABOUT_MAX])
{
	const struct priv_tap *q = body;

	snprintf(out, ABOUT_MAX, "tap %s", q->tap);
}

/* ---- making ---- */

static enum err join(
	struct helper *h, const struct tap_entry *t, const struct bridge_entry *b, struct why *why)
{
	struct nics *n = h->net->nics;
	struct nft_batch batch;
	struct nic nic;
	enum err e;

	nft_batch_init(&batch);
	nft_put_element(&batch, true, NFT_TAPS, t->name, 0);
	e = net_change(h, &batch, why);
	if (!e)
		e = nic_join(n, t->index, b->index, why);
	if (!e)
		e = nic_up(n, t->index, why);
	if (e && nic_find(n, NULL, b->index, &nic, NULL) == ERR_not_found)
		e = fail_field(why, ERR_conflict, "bridge",
			"bridge %s is gone; priv.ensure_bridge makes it anew", b->name);
	return e;
}

static void take_back(struct helper *h, const struct tap_entry *t)
{
	struct nft_batch batch;
	struct why why;

	nft_batch_init(&batch);
	nft_put_element(&batch, false, NFT_TAPS, t->name, 0);
	(void)ledger_forget(h->ledger, priv_thing_tap, t->name, NULL);
	if (net_change(h, &batch, &why))
		log_line(LOG_WARN, "helper", "rules not changed", "why", why.text, NULL);
}

static enum err make(
	struct helper *h, struct tap_entry *t, const struct bridge_entry *b, struct why *why)
{
	struct tap_made made = { .fd = -1 };
	enum err e = tap_make(h->net->nics, t->name, &made, why);
	own_fd fd = made.fd;

	if (e)
		return e;
	t->index = made.index;
	e = net_note_tap(h, t, why);
	if (e)
		return e; /* closing takes it away */
	e = join(h, t, b, why);
	if (!e)
		e = tap_keep(fd, why);
	if (!e)
		return OK;
	fd_done(&fd);
	take_back(h, t);
	return e;
}

void create_tap_act(struct call *c, const void *body)
{
	const struct priv_create_tap *q = body;
	struct bridge_entry b;
	struct tap_entry t;
	struct why why;
	enum err e = net_bridge(c->h, q->bridge, &b, &why);

	if (!e)
		e = net_tap(c->h, q->tap, &t, &why);
	if (!e && t.index && !str_eq(t.bridge, q->bridge))
		e = fail_field(&why, ERR_conflict, "bridge", "tap %s belongs to bridge %s", q->tap,
			t.bridge);
	if (!e && t.index) {
		e = join(c->h, &t, &b, &why);
	} else if (!e && ledger_count(c->h->ledger, priv_thing_tap) >= TAPS_MAX) {
		e = fail(&why, ERR_busy, "%d taps are there, one more is refused", TAPS_MAX);
	} else if (!e) {
		snprintf(t.name, sizeof(t.name), "%s", q->tap);
		snprintf(t.bridge, sizeof(t.bridge), "%s", q->bridge);
		e = make(c->h, &t, &b, &why);
	}
	if (e)
		call_fail(c, &why);
	else
		call_done(c, NULL);
}

/* ---- deleting ---- */

/*
 * While a group goes the kernel holds the lock of all links, and whoever makes one waits: 60 ms for
 * a hundred, 110 ms for 250.
 */
enum { GROUP_MAX = 100 };

struct removal {
	struct helper *h;
	unsigned n;
	struct call *calls[GROUP_MAX];
	struct tap_entry taps[GROUP_MAX];
	int indexes[GROUP_MAX];
};

static enum err remove_all(
	void *arg, struct buf *result UNUSED, int *ret_fd UNUSED, struct why *why)
{
	const struct removal *r = arg;
	struct nics *n = NULL;
	enum err e = nics_open(&n, why);

	if (!e)
		e = nic_delete_all(n, r->indexes, r->n, why);
	nics_close(n);
	return e;
}

static void start_removal(struct helper *h);

/* The links are gone; then their rules, and last the ledger's word for them. */
static enum err forget_all(struct removal *r, struct why *why)
{
	struct nft_batch batch;
	struct nat_entry nat;

	nft_batch_init(&batch);
	for (unsigned i = 0; i < r->n; i++) {
		const struct tap_entry *t = &r->taps[i];

		nft_put_element(&batch, false, NFT_TAPS, t->name, 0);
		if (t->addr && net_bound(r->h, t->addr, &nat) && str_eq(nat.tap, t->name)) {
			nft_put_element(&batch, false, NFT_OWN, t->name, t->addr);
			if (nat.out)
				nft_put_element(&batch, false, NFT_OUT, NULL, t->addr);
			net_forget_nat(r->h, t->addr);
		}
		(void)ledger_forget(r->h->ledger, priv_thing_tap, t->name, NULL);
	}
	return net_change(r->h, &batch, why);
}

static void removed(void *ctx, const struct why *failure, struct bytes result UNUSED, int fd UNUSED)
{
	struct removal *r = ctx;
	struct helper *h = r->h;
	struct why why;

	if (failure)
		why = *failure;
	else if (forget_all(r, &why))
		failure = &why;
	h->net->removing = false;
	for (unsigned i = 0; i < r->n; i++) {
		if (failure)
			call_fail(r->calls[i], &why);
		else
			call_done(r->calls[i], NULL);
	}
	free(r);
	if (!h->net->removing)
		start_removal(h);
}

/* These were not begun; those behind them get their own try. */
static void fail_group(
	struct helper *h, struct call *const *calls, unsigned n, const struct why *why)
{
	for (unsigned i = 0; i < n; i++)
		call_fail(calls[i], why);
	if (!h->net->removing)
		start_removal(h);
}

/* The first that wait; off the list before any is answered, which may bring new ones. */
static void start_removal(struct helper *h)
{
	struct network *net = h->net;
	struct call *first[GROUP_MAX];
	unsigned n = MIN(net->waiting_n, (unsigned)GROUP_MAX);
	struct removal *r = n ? calloc(1, sizeof(*r)) : NULL;
	struct task_spec spec = {
		.what = "deleting taps", .run = remove_all, .arg = r, .deadline_ms = NET_DEADLINE_MS
	};
	struct why why;

	if (n == 0)
		return;
	memcpy(first, net->waiting, n * sizeof(first[0]));
	net->waiting_n -= n;
	memmove(net->waiting, net->waiting + n, net->waiting_n * sizeof(first[0]));
	if (!r) {
		fail(&why, ERR_no_memory, "no memory to delete taps");
		fail_group(h, first, n, &why);
		return;
	}
	*r = (struct removal){ .h = h, .n = n };
	memcpy(r->calls, first, n * sizeof(first[0]));
	for (unsigned i = 0; i < n; i++) {
		const struct priv_tap *q = first[i]->body;
		const struct priv_entry *known = ledger_find(h->ledger, priv_thing_tap, q->tap);

		/* nothing else is done with it meanwhile */
		must(known && net_read_tap(known, &r->taps[i]));
		r->indexes[i] = r->taps[i].index;
	}
	net->removing = true;
	if (task_start(h, &spec, removed, r, &why)) {
		net->removing = false;
		free(r);
		fail_group(h, first, n, &why);
	}
}

void delete_tap_act(struct call *c, const void *body)
{
	const struct priv_tap *q = body;
	struct network *net = c->h->net;
	struct tap_entry t;
	struct why why;

	if (net_tap(c->h, q->tap, &t, &why)) {
		call_fail(c, &why);
		return;
	}
	if (t.index == 0) { /* gone already: whoever asks again shall hear so */
		call_done(c, NULL);
		return;
	}
	must(net->waiting_n < CALLS_MAX);
	net->waiting[net->waiting_n++] = c;
	if (!net->removing)
		start_removal(c->h);
}
