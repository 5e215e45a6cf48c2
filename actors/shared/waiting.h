/*
 * actors/shared/waiting.h - letters that came too early: before their actor had read its records,
 * or before the agent of their machine answered.
 */
#ifndef ACTORS_SHARED_WAITING_H
#define ACTORS_SHARED_WAITING_H

#include <sys/queue.h>

#include "actors/roster.h"

struct waiting {
	struct actor *me;
	TAILQ_HEAD(, waiting_letter) list;
	uint32_t count;
	bool ready; /* the actor has what it needs */
	struct why why; /* it never will, when this is set */
};

void waiting_init(struct waiting *w, struct actor *me);
void waiting_done(struct waiting *w);

/*
 * True: the letter was kept for later (fn gets it then), or refused. Each handler begins with it.
 */
bool waiting_took(struct waiting *w, const struct letter *l, letter_fn *fn);

/* The actor is ready, or (why) cannot become so: what waits is handled, or refused, now. */
void waiting_end(struct waiting *w, void *state, const struct why *why);

/* What was ready is not any more: letters wait again. */
void waiting_again(struct waiting *w);

#endif
