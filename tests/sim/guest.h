/*
 * sim/guest.h - a simulated guest inside a simulated VMM, and what its agent serves.
 */
#ifndef SIM_GUEST_H
#define SIM_GUEST_H

#include "tests/sim/sim.h"

/* One stream that the agent serves. */
struct guest_stream {
	TAILQ_ENTRY(guest_stream) entry;
	struct guest *g;
	uint64_t id;
	uint64_t due[2]; /* bytes to come on channels 1 and 2 */
	bool shut[2];
	struct window in, out[2];
	bool reads, echoes; /* waits for the end of channel 0; sends it back */
	bool stays; /* runs until it is signalled */
	bool deaf; /* to HUP */
	uint64_t code;
};

struct guest {
	struct proc *p;
	struct sim *sim;
	struct chan *chan; /* until the opening was answered */
	struct rpc *rpc; /* after it */
	struct mark_finder finder;
	TAILQ_HEAD(, guest_stream) streams;
	uint64_t next_stream;
	bool up; /* the agent runs */
	bool hung; /* and does nothing any more */
	bool forgot; /* it was started again: it knows nothing of this connection */
	uint32_t openings; /* links that were opened, counted */
};

bool guest_is_connected(const struct guest *g);
bool guest_is_up(const struct guest *g); /* its agent runs */
void vmm_agent_free(struct proc *p); /* the port's connection has gone */

/* programs.c */
void programs_begin(struct guest *g, enum letter_id id, uint32_t msgid, struct bytes params);
void programs_note(struct guest *g, enum letter_id id, struct bytes params);
void programs_end(struct guest *g);

#endif
