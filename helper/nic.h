/*
 * helper/nic.h - network links, addresses and routes by rtnetlink (libnl-3), in binary: no name or
 * address of a request is ever text to somebody else's parser.
 *
 * Only what the kernel itself sent is read. Deleting a link waits for grace periods of the kernel
 * (tens of milliseconds): never on the helper's loop.
 */
#ifndef HELPER_NIC_H
#define HELPER_NIC_H

#include "base/err.h"

enum { NIC_NAME = 16, MAC_BYTES = 6 };

struct nic {
	int index;
	int master; /* 0: none */
	bool up;
	char name[NIC_NAME];
	char kind[NIC_NAME]; /* "bridge", "tun"; "" when the kernel names none */
	uint8_t mac[MAC_BYTES];
};

struct nics; /* a netlink socket */

/* From here on a netlink socket takes nothing that another process sends to it. */
bool nic_only_kernel(int fd) MUST_CHECK;

enum err nics_open(struct nics **ret, struct why *why) MUST_CHECK;
void nics_close(struct nics *n);

/* By name, or by index when name is NULL. ERR_not_found when there is none. */
enum err nic_find(
	struct nics *n, const char *name, int index, struct nic *ret, struct why *why) MUST_CHECK;

/* A bridge with that hardware address, which stays; it is down. ERR_exists: the name is taken. */
enum err nic_make_bridge(
	struct nics *n, const char *name, const uint8_t mac[MAC_BYTES], struct why *why) MUST_CHECK;
/* Up, without an IPv6 address of its own making. */
enum err nic_up(struct nics *n, int index, struct why *why) MUST_CHECK;
/* Joined to a bridge, isolated from its other isolated ports. */
enum err nic_join(struct nics *n, int index, int bridge, struct why *why) MUST_CHECK;
/* The bridge sends frames for this hardware address to that port, whatever others claim. */
enum err nic_pin(struct nics *n, int index, const uint8_t mac[MAC_BYTES], bool on,
	struct why *why) MUST_CHECK;
enum err nic_delete(struct nics *n, int index, struct why *why) MUST_CHECK;
/* Deletes all of them as one group, those that are gone left out. */
enum err nic_delete_all(
	struct nics *n, const int *indexes, unsigned count, struct why *why) MUST_CHECK;

/* Host byte order. Adding one that is there is fine, and so is removing one that is not. */
enum err nic_address(struct nics *n, int index, uint32_t addr, unsigned bits, bool on,
	struct why *why) MUST_CHECK;

/* One address of a link, or one route that leads through it. */
struct nic_reach {
	int index; /* 0: through no link, or several */
	bool is_route;
	uint32_t net; /* host byte order */
	unsigned bits;
};
/* Every IPv4 address, then every unicast route of the main table. */
enum err nic_reaches(struct nics *n, void (*fn)(void *ctx, const struct nic_reach *r), void *ctx,
	struct why *why) MUST_CHECK;

/* A persistent tap of that name, root's alone, which must not exist yet. */
struct tap_made {
	int fd; /* it lasts without the descriptor only after tap_keep */
	int index;
};
enum err tap_make(
	struct nics *n, const char *name, struct tap_made *ret, struct why *why) MUST_CHECK;
enum err tap_keep(int fd, struct why *why) MUST_CHECK;

#endif
