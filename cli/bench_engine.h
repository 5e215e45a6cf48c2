/*
 * cli/bench_engine.h - machines in flight: shared by bench_run.c, which makes and deletes them,
 * and bench_soak.c, which works with them in between.
 */
#ifndef CLI_BENCH_ENGINE_H
#define CLI_BENCH_ENGINE_H

#include <sys/queue.h>

#include "cli/bench.h"

enum todo { DO_NOTHING, DO_BEGIN, DO_SHOW, DO_EXEC, DO_HEALTH, DO_KILL, DO_START, DO_DELETE };

enum slot_state {
	SLOT_FREE,
	SLOT_MAKES, /* its creation is under way */
	SLOT_ASKS, /* an answer is waited for, or its turn to ask */
	SLOT_RUNS, /* a program runs in it, until stream.end */
	SLOT_HELD,
	SLOT_GOES
};

struct engine;

struct slot { /* a machine from its begin until it is deleted */
	struct engine *e;
	TAILQ_ENTRY(slot) waits; /* for its turn to ask */
	struct slot *next_free;
	enum slot_state state;
	enum todo todo;
	uint64_t op, stream;
	double began; /* the creation, or what is done now */
	bool stopped, cancelled;
	char id[11], stage[40];
};

struct engine {
	struct bench *b;
	struct bench_run *r;
	struct cli *c;
	struct slot *slots, *free;
	uint32_t slots_n, active, making, asking, looks;
	uint64_t begun;
	double first, last; /* begin and end of creations, ms */
	bool over; /* nothing new is begun */
	bool counted; /* the daemon was asked what it takes with all machines there */
	bool refused; /* the first machine of all: why it is the command's own failure */
	struct why why;
	TAILQ_HEAD(, slot) queue;
	struct timer tick, end, look;
	bool line_open;
	uint64_t random;
};

void slot_want(struct slot *s, enum todo todo);
void slot_settle(struct slot *s); /* what it did is done: on with it */
void slot_failed(struct slot *s, const char *what, const struct why *why); /* it is deleted */

/* bench_soak.c */
const char *soak_word(enum todo todo);
void soak_choose(struct slot *s); /* what is done with a machine next */
void soak_answered(struct slot *s, enum todo todo, struct bytes result);
/* False: none of a stream's letters. */
bool soak_note(struct engine *e, enum letter_id letter, struct bytes params);
enum err soak_send(struct slot *s, rpc_answer_fn *fn, struct why *why);
void soak_look(void *engine); /* at the daemon, now and then */

#endif
