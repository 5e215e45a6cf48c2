/*
 * helper/net.h - bridge, taps and rules: what the files of the network share.
 *
 * In the ledger:	kind	name		number		detail
 *			bridge	its name	its index	MAC, address and prefix
 *			tap	its name	its index	its bridge, the address bound to it
 *			nat	an address	-		its tap; `out`: it may go out
 *			nat	tables		-		banger's nft tables were made
 *			forward	ip_forward	-		what it was
 * The nft tables can be made anew from it at any time, and are, whenever one change fails.
 */
#ifndef HELPER_NET_H
#define HELPER_NET_H

#include "helper/call.h"
#include "helper/ledger.h"
#include "helper/nft.h"
#include "helper/nic.h"

enum {
	TAPS_MAX = 1000, /* row D1: a bridge takes 1,023 ports */
	BRIDGES_MAX = 8,
	NET_DEADLINE_MS = 10000
};

struct network {
	struct nics *nics;
	struct nft *nft;
	/* Taps whose deletion was asked for and has not begun. */
	struct call *waiting[CALLS_MAX];
	unsigned waiting_n;
	bool removing;
};

struct bridge_entry {
	char name[NIC_NAME];
	int index; /* 0: not made yet */
	uint8_t mac[MAC_BYTES];
	uint32_t addr; /* host byte order */
	unsigned bits;
};

struct tap_entry {
	char name[NIC_NAME], bridge[NIC_NAME];
	int index;
	uint32_t addr; /* 0: none is bound */
};

struct nat_entry {
	uint32_t addr;
	char tap[NIC_NAME];
	bool out;
};

/* net.c */
enum err net_open(struct helper *h, struct why *why) MUST_CHECK;
void net_close(struct helper *h);
/* What a record says; false when it says nothing sensible. */
bool net_read_bridge(const struct priv_entry *r, struct bridge_entry *ret);
bool net_read_tap(const struct priv_entry *r, struct tap_entry *ret);
bool net_read_nat(const struct priv_entry *r, struct nat_entry *ret);
/* ERR_not_found when the ledger has none. */
enum err net_bridge(const struct helper *h, const char *name, struct bridge_entry *ret,
	struct why *why) MUST_CHECK;
/* OK with ret->index 0: nobody's. ERR_not_owned: there is such a link, and it is not ours. */
enum err net_tap(
	struct helper *h, const char *name, struct tap_entry *ret, struct why *why) MUST_CHECK;
bool net_bound(const struct helper *h, uint32_t addr, struct nat_entry *ret);
enum err net_note_bridge(
	struct helper *h, const struct bridge_entry *b, struct why *why) MUST_CHECK;
enum err net_note_tap(struct helper *h, const struct tap_entry *t, struct why *why) MUST_CHECK;
enum err net_note_nat(struct helper *h, const struct nat_entry *n, struct why *why) MUST_CHECK;
void net_forget_nat(struct helper *h, uint32_t addr);
/* Both tables anew, as the ledger says. */
enum err net_rules(struct helper *h, struct why *why) MUST_CHECK;
/* The batch, or when it fails, both tables anew. */
enum err net_change(struct helper *h, struct nft_batch *b, struct why *why) MUST_CHECK;

/*
 * nft_watch.c: banger's tables are made anew when somebody else changes them. Needs the loop.
 */
struct nft_watch;
enum err nft_watch_open(struct helper *h, struct nft_watch **ret, struct why *why) MUST_CHECK;
void nft_watch_close(struct nft_watch *w); /* NULL is fine */

/* forward.c: the host forwards packets, and what it did before is in the ledger. */
enum err forward_on(struct helper *h, struct why *why) MUST_CHECK;
enum err forward_restore(struct helper *h, struct why *why) MUST_CHECK;

#endif
