/*
 * sim/helper.h - the simulated root helper's own state: what it made on the host, who is connected,
 * and what it was asked for.
 */
#ifndef SIM_HELPER_H
#define SIM_HELPER_H

#include "tests/sim/sim.h"

struct thing { /* a tap or a snapshot */
	TAILQ_ENTRY(thing) entry;
	char name[48];
	char address[16]; /* of a tap */
	char base[NODE_PATH_BYTES], cow[NODE_PATH_BYTES]; /* of a snapshot */
};

TAILQ_HEAD(things, thing);

struct conn {
	TAILQ_ENTRY(conn) entry;
	struct helper *h;
	struct rpc *rpc;
	struct world *world; /* whose daemon is at the other end */
	struct sim_parcel came[128]; /* with answers that are on their way, in their order */
	unsigned came_n;
};

struct request {
	TAILQ_ENTRY(request) entry;
	struct helper *h;
	struct conn *conn; /* NULL: gone */
	uint32_t msgid;
	enum letter_id kind;
	struct arena mem;
	void *body;
	struct sim_parcel brings; /* its answer, a process or a connection */
};

struct helper {
	struct sim *sim;
	bool up;
	bool bridge;
	uint64_t last_due, stalled_until;
	struct things taps, snapshots, jails;
	TAILQ_HEAD(, conn) conns;
	TAILQ_HEAD(, request) requests;
};

/* helper_acts.c */
struct thing *thing_find(struct things *list, const char *name);
struct thing *thing_make(struct things *list, const char *name);
void thing_drop(struct things *list, struct thing *t);
void things_drop(struct things *list);
unsigned things_count(const struct things *list);
void tap_drop(struct helper *h, struct thing *t); /* and the host tells of it */
struct proc *helper_vmm(struct sim *s, const char *id); /* NULL: none lives */
void helper_act(struct request *r, struct why *why); /* why->code OK: it was done */
void helper_answer(struct request *r);

#endif
