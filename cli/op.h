/*
 * cli/op.h - an operation of the daemon as its owner sees it: stages on stderr, end, cancel.
 */
#ifndef CLI_OP_H
#define CLI_OP_H

#include "cli/link.h"

enum { OP_STAGES_MAX = 600 }; /* each layer of a pull is one */

enum op_show {
	OP_QUIET,
	OP_LIVE, /* a line per stage, rewritten while it lasts; of layers there may be several */
	OP_LINES, /* a line per finished stage */
	OP_JSON /* every notification as a line of JSON */
};

struct op_step {
	char name[40];
	char detail[64];
	uint64_t ms;
	uint64_t began; /* as the loop counts */
	enum stage_state state;
	bool measured; /* a layer: it waits until bytes come, and its bytes are told at its end */
};

struct op {
	struct cli *c;
	struct link *link;
	const uint64_t *id; /* filled by the answer that begins it; NULL: whatever comes is ours */
	enum op_show show;
	struct op_step steps[OP_STAGES_MAX];
	unsigned steps_n;
	const uint64_t *bytes; /* sent so far, shown beside the stage; may be NULL */
	struct timer tick;
	unsigned lines_open; /* of the terminal that are ours */
	bool done;
	enum op_state state;
	char subject[130]; /* what op.done names, "" when nothing */
	bool cancelled; /* by us */
	struct why why; /* of a failed one */
};

/* How stages are shown is decided here: by terminal, --progress, --quiet and --json. */
void op_init(struct op *o, struct cli *c, const uint64_t *id);
/* The link's notifications go to it, until op_unheard. */
void op_hear(struct op *o);
void op_unheard(struct op *o);
/* Gives a notification; false when it is none of this operation's. */
bool op_note(struct op *o, enum letter_id letter, struct bytes params);
/* Asks the daemon to cancel it, once; before it is known, it does nothing. */
void op_cancel(struct op *o);
void op_close(struct op *o); /* gives the terminal's line back */

/* Adds to the failure the stage that failed, or, for a deadline, the one that took longest. */
void op_blame(const struct op *o, struct why *why);

/* One ask that takes a while, connected first if need be; stages are shown, a failure is blamed. */
enum err op_ask(struct cli *c, enum letter_id letter, const void *body, void *result,
	struct why *why) MUST_CHECK;

#endif
