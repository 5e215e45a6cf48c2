/*
 * loop/loop.h - one thread, one libev loop: descriptors, timers, signals, and turns.
 *
 * A turn is: wait, handle what came, run the turn hooks, flush what was written. Nothing here
 * blocks and nothing wakes an idle loop. Times are milliseconds of CLOCK_MONOTONIC unless said.
 */
#ifndef LOOP_LOOP_H
#define LOOP_LOOP_H

#include <ev.h>

#include "base/err.h"

struct loop;

enum err loop_new(struct loop **ret, struct why *why) MUST_CHECK;
void loop_free(struct loop *l);
void loop_run(struct loop *l); /* until loop_stop */
void loop_stop(struct loop *l);
void loop_turn(struct loop *l, bool wait); /* one turn, for tests and benches */
uint64_t loop_now_ms(struct loop *l); /* monotonic, of this turn */

/* Intrusive: the caller embeds it, zeroed, and stops it before the memory goes. */
struct timer {
	ev_timer ev;
	void (*fn)(void *ctx);
	void *ctx;
	struct loop *loop;
};
/* Starts, or starts anew; fires once. */
void timer_start(struct loop *l, struct timer *t, uint64_t ms, void (*fn)(void *), void *ctx);
void timer_stop(struct timer *t); /* not started is fine */

enum { WATCH_READ = EV_READ, WATCH_WRITE = EV_WRITE };

struct watch {
	ev_io ev;
	void (*fn)(void *ctx, int events);
	void *ctx;
	struct loop *loop;
};
void watch_start(struct loop *l, struct watch *w, int fd, int events, void (*fn)(void *, int),
	void *ctx);
void watch_stop(struct watch *w);

struct sigwatch {
	ev_signal ev;
	void (*fn)(void *ctx, int signal);
	void *ctx;
	struct loop *loop;
};
void sigwatch_start(struct loop *l, struct sigwatch *w, int signal, void (*fn)(void *, int),
	void *ctx);
void sigwatch_stop(struct sigwatch *w);

/* Called once a turn before the loop waits, in order of addition; true: turn again, do not wait. */
struct turn_hook {
	bool (*fn)(void *ctx);
	void *ctx;
	struct turn_hook *next;
	struct loop *loop;
};
void turn_hook_add(struct loop *l, struct turn_hook *h, bool (*fn)(void *), void *ctx);
void turn_hook_del(struct turn_hook *h);

/* A call from another thread that wakes the loop; start and stop on the loop's own thread. */
struct bell {
	ev_async ev;
	void (*fn)(void *ctx);
	void *ctx;
	struct loop *loop;
};
void bell_start(struct loop *l, struct bell *b, void (*fn)(void *), void *ctx);
void bell_ring(struct bell *b); /* any thread */
void bell_stop(struct bell *b);

#endif
