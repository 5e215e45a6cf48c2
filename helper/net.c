/*
 * net.c - the network's part of the ledger, read and written, and the nft tables made from it.
 */
#include "helper/net.h"

#include "base/log.h"
#include "base/text.h"
#include "proto/check.h"

static const char tables_entry[] = "tables";

enum err net_open(struct helper *h, struct why *why)
{
	struct network *n = calloc(1, sizeof(*n));
	enum err e;

	if (!n)
		return fail(why, ERR_no_memory, "no memory for the network");
	h->net = n;
	e = nics_open(&n->nics, why);
	if (!e)
		e = nft_open(&n->nft, why);
	if (e)
		net_close(h);
	return e;
}

void net_close(struct helper *h)
{
	struct network *n = h->net;

	h->net = NULL;
	if (!n)
		return;
	nics_close(n->nics);
	nft_close(n->nft);
	free(n);
}

/* ---- records ---- */

/* The next word of *at, at most NIC_NAME - 1 bytes; "" at the end. */
static void next_word(const char **at, char *out, size_t size)
{
	size_t n = strcspn(*at, " ");

	snprintf(out, size, "%.*s", (int)n, *at);
	*at += n + ((*at)[n] == ' ');
}

static bool read_mac(const char *s, uint8_t mac[MAC_BYTES])
{
	int end = 0;

	return sscanf(s, "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx%n", &mac[0], &mac[1], &mac[2],
		       &mac[3], &mac[4], &mac[5], &end) == MAC_BYTES &&
	       s[end] == '\0';
}

bool net_read_bridge(const struct priv_entry *r, struct bridge_entry *ret)
{
	const char *at = r->detail ? r->detail : "";
	char mac[24], address[24];

	memset(ret, 0, sizeof(*ret));
	next_word(&at, mac, sizeof(mac));
	next_word(&at, address, sizeof(address));
	ret->index = r->has_number ? (int)r->number : 0;
	return str_copy(ret->name, sizeof(ret->name), r->name) && read_mac(mac, ret->mac) &&
	       parse_cidr(address, strlen(address), &ret->addr, &ret->bits);
}

bool net_read_tap(const struct priv_entry *r, struct tap_entry *ret)
{
	const char *at = r->detail ? r->detail : "";
	char address[24];

	memset(ret, 0, sizeof(*ret));
	next_word(&at, ret->bridge, sizeof(ret->bridge));
	next_word(&at, address, sizeof(address));
	ret->index = (int)r->number;
	return str_copy(ret->name, sizeof(ret->name), r->name) && r->has_number &&
	       (!address[0] || parse_ipv4(address, strlen(address), &ret->addr));
}

bool net_read_nat(const struct priv_entry *r, struct nat_entry *ret)
{
	const char *at = r->detail ? r->detail : "";
	char way[8];

	memset(ret, 0, sizeof(*ret));
	next_word(&at, ret->tap, sizeof(ret->tap));
	next_word(&at, way, sizeof(way));
	ret->out = str_eq(way, "out");
	return parse_ipv4(r->name, strlen(r->name), &ret->addr) && ret->tap[0];
}

static enum err note(struct helper *h, enum priv_thing kind, const char *name, int number,
	const char *detail, struct why *why)
{
	const struct priv_entry *old = ledger_find(h->ledger, kind, name);
	struct priv_entry r = { .kind = kind,
		.name = name,
		.made = old ? old->made : ledger_now(),
		.number = (uint64_t)number,
		.has_number = number > 0,
		.detail = detail };

	return ledger_note(h->ledger, &r, why);
}

enum err net_note_bridge(struct helper *h, const struct bridge_entry *b, struct why *why)
{
	char detail[64];

	snprintf(detail, sizeof(detail), "%02x:%02x:%02x:%02x:%02x:%02x %s/%u", b->mac[0],
		b->mac[1], b->mac[2], b->mac[3], b->mac[4], b->mac[5], ip_text(b->addr).s, b->bits);
	return note(h, priv_thing_bridge, b->name, b->index, detail, why);
}

enum err net_note_tap(struct helper *h, const struct tap_entry *t, struct why *why)
{
	char detail[48];

	snprintf(detail, sizeof(detail), "%s%s%s", t->bridge, t->addr ? " " : "",
		t->addr ? ip_text(t->addr).s : "");
	return note(h, priv_thing_tap, t->name, t->index, detail, why);
}

enum err net_note_nat(struct helper *h, const struct nat_entry *n, struct why *why)
{
	char detail[32];

	snprintf(detail, sizeof(detail), "%s %s", n->tap, n->out ? "out" : "in");
	return note(h, priv_thing_nat, ip_text(n->addr).s, 0, detail, why);
}

void net_forget_nat(struct helper *h, uint32_t addr)
{
	(void)ledger_forget(h->ledger, priv_thing_nat, ip_text(addr).s, NULL);
}

enum err net_bridge(
	const struct helper *h, const char *name, struct bridge_entry *ret, struct why *why)
{
	const struct priv_entry *r = ledger_find(h->ledger, priv_thing_bridge, name);

	if (r && net_read_bridge(r, ret) && ret->index > 0)
		return OK;
	return fail_field(why, ERR_not_found, "bridge",
		"the helper made no bridge %s; priv.ensure_bridge does", name);
}

bool net_bound(const struct helper *h, uint32_t addr, struct nat_entry *ret)
{
	const struct priv_entry *r = ledger_find(h->ledger, priv_thing_nat, ip_text(addr).s);

	return r && net_read_nat(r, ret);
}

/* The link that the ledger names must be the very one: its index is never used twice. */
enum err net_tap(struct helper *h, const char *name, struct tap_entry *ret, struct why *why)
{
	const struct priv_entry *r = ledger_find(h->ledger, priv_thing_tap, name);
	bool known = r && net_read_tap(r, ret);
	struct nic nic;
	enum err e = nic_find(h->net->nics, name, 0, &nic, why);

	if (e && e != ERR_not_found)
		return e;
	if (!e && known && nic.index == ret->index && str_eq(nic.kind, "tun"))
		return OK;
	if (r) { /* it is gone, whoever took it */
		if (known && ret->addr)
			net_forget_nat(h, ret->addr);
		(void)ledger_forget(h->ledger, priv_thing_tap, name, NULL);
	}
	memset(ret, 0, sizeof(*ret));
	if (e)
		return OK;
	return fail_field(why, ERR_not_owned, "tap", "link %s was not made by the helper", name);
}

/* ---- rules ---- */

static void put_bridge(void *ctx, const struct priv_entry *r)
{
	nft_put_element(ctx, true, NFT_BRIDGES, r->name, 0);
}

static void put_tap(void *ctx, const struct priv_entry *r)
{
	nft_put_element(ctx, true, NFT_TAPS, r->name, 0);
}

static void put_nat(void *ctx, const struct priv_entry *r)
{
	struct nat_entry n;

	if (!net_read_nat(r, &n))
		return;
	nft_put_element(ctx, true, NFT_OWN, n.tap, n.addr);
	if (n.out)
		nft_put_element(ctx, true, NFT_OUT, NULL, n.addr);
}

/* A table of our name that the ledger does not know is somebody else's. */
static enum err claim_tables(struct helper *h, struct why *why)
{
	bool there = false;
	enum err e;

	if (ledger_find(h->ledger, priv_thing_nat, tables_entry))
		return OK;
	e = nft_present(h->net->nft, &there, why);
	if (e)
		return e;
	if (there) {
		fail(why, ERR_conflict,
			"an nft table `banger` is there that the helper did not make");
		return fail_hint(
			why, "nft delete table inet banger; nft delete table bridge banger");
	}
	return note(h, priv_thing_nat, tables_entry, 0, NULL, why);
}

enum err net_rules(struct helper *h, struct why *why)
{
	struct nft_batch b;
	enum err e = claim_tables(h, why);

	if (e)
		return e;
	nft_batch_init(&b);
	nft_put_tables(&b);
	ledger_each(h->ledger, priv_thing_bridge, put_bridge, &b);
	ledger_each(h->ledger, priv_thing_tap, put_tap, &b);
	ledger_each(h->ledger, priv_thing_nat, put_nat, &b);
	e = nft_run(h->net->nft, &b, why);
	nft_batch_done(&b);
	return e;
}

enum err net_change(struct helper *h, struct nft_batch *b, struct why *why)
{
	enum err e = nft_run(h->net->nft, b, why);

	nft_batch_done(b);
	if (!e)
		return OK;
	log_line(LOG_WARN, "helper", "rules made anew", "why", why->text, NULL);
	return net_rules(h, why);
}
