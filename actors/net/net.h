/*
 * net/net.h - the net actor's own state, shared by the files of actors/net/ and by nobody else.
 *
 * A lease is a machine's address and tap. Its record is on disk before anything is made of it, and
 * is gone before its tap goes; so a tap that no lease names is nobody's, after any crash.
 */
#ifndef NET_NET_H
#define NET_NET_H

#include <sys/queue.h>

#include "actors/net/addresses.h"
#include "actors/roster.h"
#include "actors/shared/records.h"
#include "actors/shared/waiting.h"
#include "base/table.h"

#define BRIDGE "br-bngr"
#define TAP_PREFIX "bngr-"

enum {
	TAPS_MAX = 1000, /* row D1: a Linux bridge takes 1,023 ports */
	WORKING_MAX = 64, /* leases that the helper works on at once */
	DELETING_MAX = 256, /* taps the same; it deletes those that wait together */
	HELPER_MS = 60000, /* longer than the priv actor lets any of these verbs take */
	TAP_BYTES = 16,
	MISSING_MAX = 8
};

enum lease_state {
	LEASE_QUIET, /* nothing is under way -> QUEUED, LEAVING */
	LEASE_WRITING, /* its record -> QUEUED, or gone */
	LEASE_QUEUED, /* for the bridge, and for its turn -> TAP, LEAVING */
	LEASE_TAP, /* -> NAT, QUEUED, QUIET, LEAVING */
	LEASE_NAT, /* -> QUIET, LEAVING */
	LEASE_LEAVING /* the end of its record -> gone, QUIET */
};

struct lease {
	struct link by_vm, by_serial;
	TAILQ_ENTRY(lease) entry; /* of the queue, while QUEUED */
	struct netd *n;
	char vm[11], tap[TAP_BYTES];
	uint32_t serial; /* what late answers name it by */
	uint32_t address;
	uint64_t made;
	enum lease_state state;
	bool out; /* it may reach outside */
	bool runs; /* the asker's machine does: its network is mended until it is there */
	bool up; /* tap and rules were made in this life of the daemon, or must be: it runs */
	bool again; /* the bridge was found missing once already */
	struct reply_to asker, leaver; /* serial 0: nobody waits */
};

/* A tap without a lease, until the helper has deleted it. */
struct leaving {
	TAILQ_ENTRY(leaving) entry;
	struct link by_serial;
	struct netd *n;
	char tap[TAP_BYTES];
	uint32_t serial;
	bool asked;
	unsigned tries;
	struct wtimer again;
};

struct netd {
	struct actor *me;
	struct env *env;
	struct world *world;
	struct addresses addresses;
	struct table by_vm, by_serial, leaving_by_serial;
	TAILQ_HEAD(, lease) queue;
	TAILQ_HEAD(, leaving) leaving;
	uint32_t next_serial, working, leaving_n, deleting;
	struct record_scan scan;
	struct waiting early; /* letters that came before the leases were read */
	bool settled; /* the vm actor has told which machines there are */
	struct links_watch *links;
	struct wtimer mend;
	bool mend_due; /* many failed at once: that counts as one */
	unsigned mend_tries; /* that failed, since the last one that did not */
	enum { BRIDGE_UNKNOWN, BRIDGE_ASKED, BRIDGE_UP } bridge;
	struct why why; /* why the bridge is not up; code OK: not tried yet */
	struct why names_why; /* why the resolver was not told */
	char *missing[MISSING_MAX]; /* rules of another firewall that are missing */
	unsigned missing_n;
};

/* An address as text. */
struct address_text {
	char s[19];
};
struct address_text address_text(uint32_t address);

/* lease.c */
letter_fn net_on_lease, net_on_release;
struct lease *lease_new(
	struct netd *n, const char *vm, uint32_t address, uint64_t made, struct why *why);
struct lease *lease_find(struct netd *n, const char *vm);
void lease_leave(struct lease *l); /* it ends: now, or when what is under way has ended */
void leases_go_on(struct netd *n); /* those that wait for the bridge, or for their turn */
void leases_fail(struct netd *n, const struct why *why); /* the same: there is no bridge */
void leases_mend(struct netd *n); /* every tap that should be there is made sure of */
void leases_free(struct netd *n);

/* taps.c */
void tap_leave(struct netd *n, const char *tap);
bool tap_is_leaving(const struct netd *n, const char *tap);
void taps_sweep(struct netd *n); /* those of the host that no lease has */
void tap_appeared(struct netd *n, const char *name); /* or another link, of any name */
void taps_free(struct netd *n);

/* bridge.c */
void bridge_ensure(struct netd *n);
void bridge_doubt(struct netd *n); /* it may not be there any more */
void bridge_mend_later(struct netd *n); /* it failed: again, ever more slowly */
void bridge_watch(struct netd *n);
void bridge_free(struct netd *n);

#endif
