/*
 * bridge.c - priv.ensure_bridge: the bridge with its address, banger's nft tables, and forwarding,
 * in that order, so that nothing is forwarded that the tables do not judge.
 *
 * Looking at the host (its routes, somebody else's rules) takes as long as the host is big, so it
 * is done in a child, and with it all that the bridge itself needs. A bridge is ours by the ledger:
 * by its index, or, when a crash came before that was noted, by the hardware address that was
 * chosen for it. It keeps that address: else it would take those of its ports, and guests would
 * lose it.
 */
#include <sys/random.h>

#include "helper/net.h"
#include "helper/task.h"
#include "helper/verbs.h"
#include "proto/check.h"

enum { MISSING_MAX = 8 };

struct job {
	struct helper *h;
	struct call *call;
	struct bridge_entry want;
	uint32_t old_addr; /* 0: as wanted, or none */
	unsigned old_bits;
	bool fresh; /* the ledger did not know it */
};

static bool in_subnet(const struct subnet *s, uint32_t addr)
{
	return (addr & s->mask) == s->net && addr != s->net && addr != (s->net | ~s->mask);
}

enum err bridge_check(const struct helper *h, const void *body, struct why *why)
{
	const struct priv_bridge *q = body;
	unsigned bits;
	uint32_t addr;

	must(parse_cidr(q->address, strlen(q->address), &addr, &bits));
	if (bits != h->subnet.bits)
		return fail_field(why, ERR_invalid_value, "address",
			"must have the prefix of subnet %s", h->subnet.text);
	if (!in_subnet(&h->subnet, addr))
		return fail_field(why, ERR_invalid_value, "address",
			"must be a host's address inside %s", h->subnet.text);
	return OK;
}

void bridge_about(const void *body, char out[ABOUT_MAX])
{
	const struct priv_bridge *q = body;

	snprintf(out, ABOUT_MAX, "bridge %s", q->bridge);
}

/* ---- in the child ---- */

struct overlap {
	const struct helper *h;
	struct nic_reach found;
	bool any;
};

struct known {
	int index;
	bool is;
};

static void is_ours(void *ctx, const struct priv_entry *r)
{
	struct known *k = ctx;

	k->is |= r->has_number && (int)r->number == k->index;
}

/* What is as wide as half the internet is a way out and no network of somebody's. */
static void look(void *ctx, const struct nic_reach *r)
{
	struct overlap *o = ctx;
	uint32_t mask = r->bits ? ~0u << (32 - r->bits) : 0;
	struct known k = { r->index, false };

	if (o->any || r->bits < 2 || ((r->net ^ o->h->subnet.net) & mask & o->h->subnet.mask))
		return;
	ledger_each(o->h->ledger, priv_thing_bridge, is_ours, &k);
	if (k.is)
		return;
	o->found = *r;
	o->any = true;
}

static enum err refuse_overlap(const struct job *j, struct nics *n, struct why *why)
{
	struct overlap o = { .h = j->h };
	struct nic nic = { .name = "no link" };
	enum err e = nic_reaches(n, look, &o, why);

	if (e || !o.any)
		return e;
	if (o.found.index && nic_find(n, NULL, o.found.index, &nic, NULL))
		snprintf(nic.name, sizeof(nic.name), "%d", o.found.index);
	fail_field(why, ERR_conflict, "address", "subnet %s overlaps the %s %s/%u of %s",
		j->h->subnet.text, o.found.is_route ? "route" : "address", ip_text(o.found.net).s,
		o.found.bits, nic.name);
	return fail_hint(why, "give banger a subnet that nothing else on this host uses");
}

static bool is_the_one(const struct job *j, const struct nic *nic)
{
	if (j->fresh || !str_eq(nic->kind, "bridge"))
		return false;
	return j->want.index ? nic->index == j->want.index :
			       memcmp(nic->mac, j->want.mac, MAC_BYTES) == 0;
}

/* Finds ours, or makes it; *made: it was not there. */
static enum err get_bridge(
	const struct job *j, struct nics *n, struct nic *ret, bool *made, struct why *why)
{
	const char *name = j->want.name;
	enum err e = nic_find(n, name, 0, ret, why);

	*made = e == ERR_not_found;
	if (*made) {
		e = nic_make_bridge(n, name, j->want.mac, why);
		return e ? e : nic_find(n, name, 0, ret, why);
	}
	if (!e && !is_the_one(j, ret))
		e = fail_field(why, ERR_not_owned, "bridge",
			"link %s is there and was not made by the helper", name);
	return e;
}

static void add_sentence(void *ctx, const char *sentence)
{
	buf_add(ctx, sentence, strlen(sentence) + 1);
}

static enum err work(void *arg, struct buf *result, int *ret_fd UNUSED, struct why *why)
{
	const struct job *j = arg;
	const struct bridge_entry *w = &j->want;
	struct nics *n = NULL;
	struct nft *nft = NULL;
	struct nic nic;
	bool made = false;
	enum err e = nics_open(&n, why);

	if (!e)
		e = refuse_overlap(j, n, why);
	if (!e)
		e = get_bridge(j, n, &nic, &made, why);
	if (e)
		return e;
	if (j->old_addr)
		e = nic_address(n, nic.index, j->old_addr, j->old_bits, false, why);
	if (!e)
		e = nic_address(n, nic.index, w->addr, w->bits, true, why);
	if (!e)
		e = nic_up(n, nic.index, why);
	if (e && made)
		(void)!nic_delete(n, nic.index, NULL);
	if (e)
		return e;
	buf_add(result, &nic.index, sizeof(nic.index));
	/* advice only: a host whose rules cannot be read has its bridge all the same */
	if (nft_open(&nft, NULL) == OK)
		(void)!nft_foreign(nft, w->name, add_sentence, result, NULL);
	return OK;
}

/* ---- in the helper ---- */

/* The child's sentences, NUL-terminated one behind the other. */
static void answer(struct call *c, struct bytes text)
{
	const char *list[MISSING_MAX];
	struct priv_bridged r = { .missing = { list, 0 } };

	while (text.n > 0 && r.missing.n < MISSING_MAX) {
		size_t n = strnlen((const char *)text.p, text.n) + 1;

		if (n > text.n)
			break;
		list[r.missing.n++] = (const char *)text.p;
		text.p += n;
		text.n -= n;
	}
	call_done(c, &r);
}

/*
 * A child that failed has taken away what it made. One that was ended has not: then the entry
 * stays, and the next request, or start, goes on from there.
 */
static void forget_fresh(const struct job *j)
{
	struct nic nic;

	if (j->fresh && nic_find(j->h->net->nics, j->want.name, 0, &nic, NULL) == ERR_not_found)
		(void)ledger_forget(j->h->ledger, priv_thing_bridge, j->want.name, NULL);
}

static void done(void *ctx, const struct why *failure, struct bytes result, int fd UNUSED)
{
	struct job *j = ctx;
	struct helper *h = j->h;
	struct why why;
	enum err e = OK;

	if (failure) {
		why = *failure;
		e = why.code;
		forget_fresh(j);
	} else if (result.n < sizeof(j->want.index)) {
		e = fail(&why, ERR_internal, "the bridge's child told nothing");
	} else {
		memcpy(&j->want.index, result.p, sizeof(j->want.index));
		result.p += sizeof(j->want.index);
		result.n -= sizeof(j->want.index);
		e = net_note_bridge(h, &j->want, &why);
	}
	if (!e)
		e = net_rules(h, &why);
	if (!e)
		e = forward_on(h, &why);
	if (e)
		call_fail(j->call, &why);
	else
		answer(j->call, result);
	free(j);
}

/* What the ledger knows of it, else a new entry; the number stays only while it is that link's. */
static enum err plan(struct job *j, const struct priv_bridge *q, struct why *why)
{
	const struct priv_entry *r = ledger_find(j->h->ledger, priv_thing_bridge, q->bridge);
	struct bridge_entry old;
	struct nic nic;
	enum err e = OK;

	snprintf(j->want.name, sizeof(j->want.name), "%s", q->bridge);
	(void)!parse_cidr(q->address, strlen(q->address), &j->want.addr, &j->want.bits);
	j->fresh = !r || !net_read_bridge(r, &old);
	if (j->fresh && ledger_count(j->h->ledger, priv_thing_bridge) >= BRIDGES_MAX)
		return fail(
			why, ERR_busy, "%d bridges are there, one more is refused", BRIDGES_MAX);
	if (j->fresh) {
		if (getrandom(j->want.mac, MAC_BYTES, 0) != MAC_BYTES)
			return fail_errno(why, "cannot choose a hardware address");
		j->want.mac[0] = (j->want.mac[0] & 0xfc) | 0x02; /* one station's, of our making */
		/* one that is there is somebody else's; the child tells, and no entry is made */
		e = nic_find(j->h->net->nics, q->bridge, 0, &nic, why);
		if (e == OK)
			return fail_field(why, ERR_not_owned, "bridge",
				"link %s is there and was not made by the helper", q->bridge);
		return e == ERR_not_found ? net_note_bridge(j->h, &j->want, why) : e;
	}
	memcpy(j->want.mac, old.mac, MAC_BYTES);
	j->want.index = old.index;
	if (old.addr != j->want.addr || old.bits != j->want.bits) {
		j->old_addr = old.addr;
		j->old_bits = old.bits;
	}
	if (nic_find(j->h->net->nics, q->bridge, 0, &nic, NULL) == ERR_not_found)
		j->want.index = 0; /* somebody deleted it: it is made anew */
	return OK;
}

void bridge_act(struct call *c, const void *body)
{
	struct job *j = calloc(1, sizeof(*j));
	struct task_spec spec = {
		.what = "making the bridge", .run = work, .arg = j, .deadline_ms = NET_DEADLINE_MS
	};
	struct why why;
	enum err e;

	if (!j) {
		fail(&why, ERR_no_memory, "no memory for a bridge");
		call_fail(c, &why);
		return;
	}
	j->h = c->h;
	j->call = c;
	e = plan(j, body, &why);
	if (!e) {
		e = task_start(c->h, &spec, done, j, &why);
		if (e)
			forget_fresh(j);
	}
	if (e) {
		call_fail(c, &why);
		free(j);
	}
}
