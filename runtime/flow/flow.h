/*
 * flow/flow.h - whatever takes several steps: a table of {name, act, undo}, and one engine.
 *
 * The engine journals before it acts, tells of each step, undoes in reverse on failure or cancel,
 * and after a restart goes back over what the journal says may have happened. No other code knows
 * of cancellation or crash recovery.
 *
 * act answers done, waiting (flow_done or flow_fail comes later) or failed (f->why filled). undo
 * needs only the subject's record and takes "not there" for done; one that fails is tried again,
 * ever more slowly, until it works.
 */
#ifndef FLOW_FLOW_H
#define FLOW_FLOW_H

#include "world/world.h"

enum { FLOW_STEPS_MAX = 16, FLOW_RETRY_MS = 500, FLOW_RETRY_MS_MAX = 60000 };

struct flow;

enum flow_said { FLOW_DONE, FLOW_WAIT, FLOW_FAILED };

typedef enum flow_said flow_fn(void *owner, struct flow *f);

struct flow_step {
	const char *name;
	flow_fn *act;
	flow_fn *undo; /* NULL: nothing to undo */
	/*
	 * How many steps from this one on one journal entry covers; 0 = 1. More than one where the
	 * undos of all of them are harmless when they never acted.
	 */
	unsigned covers;
};

struct flow_kind {
	const char *name;
	const struct flow_step *steps;
	unsigned count;
	/* Never goes back: a step that fails is tried again; cancel is ignored (stop, delete). */
	bool forward_only;
};

enum flow_news { FLOW_STEP_BEGUN, FLOW_STEP_DONE, FLOW_STEP_FAILED, FLOW_STEP_UNDONE };

struct flow_host {
	void *owner;
	struct world *w;
	/*
	 * Writes {kind, subject, at, undoing}, or removes it when over; calls flow_written later.
	 */
	void (*journal)(void *owner, struct flow *f, bool over);
	/* Step `index` moved on; ms since it began. */
	void (*news)(void *owner, struct flow *f, unsigned index, enum flow_news news, uint64_t ms);
	/* Over: why NULL when every step is done. The flow's memory may go in this call. */
	void (*ended)(void *owner, struct flow *f, const struct why *why);
};

enum flow_state {
	FLOW_IDLE, /* -> WRITING (flow_start), TURNING (flow_recover) */
	FLOW_WRITING, /* the journal, before a step -> ACTING, TURNING */
	FLOW_ACTING, /* -> WRITING, CLOSING, TURNING, RESTING (forward only) */
	FLOW_TURNING, /* the journal, before going back -> UNDOING */
	FLOW_UNDOING, /* -> RESTING, CLOSING */
	FLOW_RESTING, /* until an undo, or a step that only goes forward, is tried again */
	FLOW_CLOSING, /* removing the journal entry -> IDLE, TURNING, RESTING (forward only) */
	FLOW_STATE_COUNT
};

struct flow {
	const struct flow_kind *kind;
	const struct flow_host *host;
	void *subject;
	uint64_t op;
	enum flow_state state;
	unsigned at; /* the step that is next, acting, or being undone */
	unsigned journaled; /* steps 0 to journaled-1 may have acted */
	bool undoing;
	bool failed; /* why holds the reason */
	bool closing; /* its journal entry is being removed, or is to be */
	bool unclosed; /* it failed, and its journal entry could not be removed */
	struct why why;
	uint32_t ticket; /* of the act or undo that is waited for */
	unsigned tries;
	unsigned writing; /* journal writes that were not answered yet */
	uint64_t began_ms, step_began_ms;
	uint64_t step_ms[FLOW_STEPS_MAX];
	struct wtimer retry, deadline;
	uint64_t detach; /* the owner's own mark; the engine only keeps it */
};

/* timeout_ms 0: none. f is zeroed memory. */
void flow_start(struct flow *f, const struct flow_kind *kind, const struct flow_host *host,
	void *subject, uint64_t op, uint64_t timeout_ms);
/* From now it has another time-out, 0: none. */
void flow_deadline(struct flow *f, uint64_t timeout_ms);
/* After a restart: goes back over steps 0 to journaled-1 (or on, for a forward-only kind). */
void flow_recover(struct flow *f, const struct flow_kind *kind, const struct flow_host *host,
	void *subject, uint64_t op, unsigned journaled, const struct why *why);

/* The journal is on disk, or is not: why says the reason. */
void flow_written(struct flow *f, const struct why *why);

/* What a waiting step keeps to say that it is over; answers of older ones are ignored. */
static inline uint32_t flow_ticket(const struct flow *f)
{
	return f->ticket;
}
void flow_done(struct flow *f, uint32_t ticket);
void flow_fail(struct flow *f, uint32_t ticket, const struct why *why);

/* Turns a flow that goes forward; why becomes its reason. Ignored when it goes back already. */
void flow_cancel(struct flow *f, const struct why *why);
void flow_stop(struct flow *f); /* stops its timers, for a world that ends */

static inline bool flow_active(const struct flow *f)
{
	return f->state != FLOW_IDLE;
}
const char *flow_step_name(const struct flow *f); /* of `at`, "" behind the last */

#endif
