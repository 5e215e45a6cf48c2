/*
 * dns/dns_zone.h - what is answered to whom: authority for `vm.` and for the reverse zones of the
 * machines' addresses, REFUSED for all else. Pure; what there is, the owner of the names tells.
 *
 * NAME.vm has an A record and nothing else, and its address a PTR back. A reverse zone begins at
 * the octet in which its prefix ends: 127.in-addr.arpa for a /8, one zone for each of the
 * sixteen /24 of a /20, so that no foreign address is ever spoken for.
 */
#ifndef DNS_DNS_ZONE_H
#define DNS_DNS_ZONE_H

#include "dns/dns_wire.h"

enum {
	DNS_TTL = 1, /* seconds, of every record */
	DNS_NETS_MAX = 4
};

struct dns_net {
	uint32_t address; /* host byte order */
	uint8_t prefix; /* 8 to 32 */
};

struct dns_zones {
	uint32_t serial; /* of the SOA: grows with every change */
	struct dns_net nets[DNS_NETS_MAX]; /* of reverse zones */
	unsigned nets_n;
	/* The address of a name in lower case. */
	bool (*address_of)(void *ctx, const char *name, size_t n, uint32_t *ret);
	/* The name at an address; NULL when there is none. */
	const char *(*name_at)(void *ctx, uint32_t address);
	/* Whether there is any address that begins with these octets (1 to 3). */
	bool (*any_below)(void *ctx, uint32_t address, unsigned octets);
	void *ctx;
};

/*
 * Answers a query: the length of what was written to `out`, 0 when it is to be dropped. A datagram
 * is kept to what its client takes; on a stream only `most` holds.
 */
size_t dns_respond(
	const struct dns_zones *z, struct bytes query, uint8_t *out, size_t most, bool stream);

#endif
