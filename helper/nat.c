/*
 * nat.c - priv.ensure_nat: binds a guest's address to its tap, and says whether it may go out.
 *
 * A tap has one address and an address one tap; the last word counts. Disabling takes away the way
 * out and leaves the address to the tap: the host still reaches the guest. Deleting the tap takes
 * both.
 */
#include "helper/net.h"
#include "helper/verbs.h"
#include "proto/check.h"

enum err nat_check(const struct helper *h, const void *body, struct why *why)
{
	const struct priv_nat *q = body;
	const struct subnet *s = &h->subnet;
	uint32_t addr;

	must(parse_ipv4(q->guest_ip, strlen(q->guest_ip), &addr));
	if ((addr & s->mask) != s->net)
		return fail_field(
			why, ERR_invalid_value, "guest_ip", "must be inside subnet %s", s->text);
	if (addr == s->net || addr == (s->net | ~s->mask))
		return fail_field(why, ERR_invalid_value, "guest_ip",
			"must be neither the network's nor the broadcast address of %s", s->text);
	return OK;
}

void nat_about(const void *body, char out[ABOUT_MAX])
{
	const struct priv_nat *q = body;

	snprintf(out, ABOUT_MAX, "tap %s", q->tap);
}

static void pin(struct helper *h, const struct tap_entry *t, uint32_t addr, bool on)
{
	uint8_t mac[MAC_BYTES];
	struct why why;

	guest_mac(addr, mac);
	/* without it a guest could draw another's frames, which the rules then drop: no reason to
	 * refuse; the tap may also have left the bridge by somebody's hand */
	(void)!nic_pin(h->net->nics, t->index, mac, on, &why);
}

/* Takes an address from a tap: out of the rules and out of both records. */
static enum err unbind(struct helper *h, struct nft_batch *b, struct tap_entry *t, struct why *why)
{
	struct nat_entry nat;
	uint32_t addr = t->addr;

	if (!addr)
		return OK;
	if (net_bound(h, addr, &nat) && str_eq(nat.tap, t->name)) {
		nft_put_element(b, false, NFT_OWN, t->name, addr);
		if (nat.out)
			nft_put_element(b, false, NFT_OUT, NULL, addr);
		net_forget_nat(h, addr);
	}
	pin(h, t, addr, false);
	t->addr = 0;
	return net_note_tap(h, t, why);
}

/* Whoever else has the address loses it. */
static enum err free_address(
	struct helper *h, struct nft_batch *b, uint32_t addr, const char *tap, struct why *why)
{
	const struct priv_entry *r;
	struct nat_entry nat;
	struct tap_entry other;

	if (!net_bound(h, addr, &nat) || str_eq(nat.tap, tap))
		return OK;
	r = ledger_find(h->ledger, priv_thing_tap, nat.tap);
	if (r && net_read_tap(r, &other) && other.addr == addr)
		return unbind(h, b, &other, why);
	net_forget_nat(h, addr);
	return OK;
}

static enum err bind(
	struct helper *h, struct tap_entry *t, uint32_t addr, bool out, struct why *why)
{
	struct nat_entry want = { .addr = addr, .out = out }, old = { .out = false };
	bool had = net_bound(h, addr, &old) && str_eq(old.tap, t->name) && t->addr == addr;
	struct nft_batch b;
	enum err e = OK;

	snprintf(want.tap, sizeof(want.tap), "%s", t->name);
	nft_batch_init(&b);
	if (!had) {
		e = free_address(h, &b, addr, t->name, why);
		if (!e)
			e = unbind(h, &b, t, why);
		t->addr = addr;
	}
	if (!e && (!had || old.out != out))
		e = net_note_nat(h, &want, why);
	if (!e && !had)
		e = net_note_tap(h, t, why);
	if (e) {
		nft_batch_done(&b);
		return e;
	}
	nft_put_element(&b, true, NFT_OWN, t->name, addr);
	if (out || (had && old.out))
		nft_put_element(&b, out, NFT_OUT, NULL, addr);
	e = net_change(h, &b, why);
	if (!e)
		pin(h, t, addr, true);
	return e;
}

static enum err not_the_bridges(
	const struct helper *h, const struct tap_entry *t, uint32_t addr, struct why *why)
{
	struct bridge_entry b;

	if (net_bridge(h, t->bridge, &b, NULL) == OK && b.addr == addr)
		return fail_field(why, ERR_invalid_value, "guest_ip",
			"%s is the address of bridge %s", ip_text(addr).s, t->bridge);
	return OK;
}

void nat_act(struct call *c, const void *body)
{
	const struct priv_nat *q = body;
	struct tap_entry t;
	struct why why;
	uint32_t addr = 0;
	enum err e = net_tap(c->h, q->tap, &t, &why);
	bool nothing = false;

	(void)!parse_ipv4(q->guest_ip, strlen(q->guest_ip), &addr);
	if (!e && t.index == 0 && q->enable)
		e = fail_field(&why, ERR_not_found, "tap",
			"the helper made no tap %s; priv.create_tap does", q->tap);
	/* gone, or another machine's by now: there is nothing to take away */
	nothing = !e && !q->enable && (t.index == 0 || (t.addr && t.addr != addr));
	if (!e && !nothing)
		e = not_the_bridges(c->h, &t, addr, &why);
	if (!e && !nothing)
		e = bind(c->h, &t, addr, q->enable, &why);
	if (e)
		call_fail(c, &why);
	else
		call_done(c, NULL);
}
