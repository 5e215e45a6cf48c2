/*
 * net/addresses.h - the addresses of one subnet: which are taken, and which is next. Pure.
 */
#ifndef NET_ADDRESSES_H
#define NET_ADDRESSES_H

#include "base/base.h"

/* Host byte order throughout. The first address is the bridge's, the last one the broadcast's. */
struct addresses {
	uint32_t net;
	unsigned bits;
	uint32_t next; /* where the search for a free one begins: what was given back rests */
	uint32_t taken;
	uint8_t *map; /* a bit an address */
};

bool addresses_init(struct addresses *a, uint32_t net, unsigned bits); /* false: no memory */
void addresses_done(struct addresses *a);
uint32_t addresses_gateway(const struct addresses *a);
uint32_t addresses_most(const struct addresses *a); /* machines that can have one */
/* False: it is none of a machine's, or taken. */
bool addresses_take(struct addresses *a, uint32_t address);
bool addresses_find(
	struct addresses *a, uint32_t *ret); /* takes a free one; false: all are taken */
void addresses_give(struct addresses *a, uint32_t address); /* one that was taken */

#endif
