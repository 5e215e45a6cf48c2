/*
 * actors/shared/notes.h - what clients are told of an operation: to its owner, and to watchers.
 *
 * A client of 0 is nobody: the connection went, or there never was one. A note that finds no room
 * is lost; nothing waits for one.
 */
#ifndef ACTORS_SHARED_NOTES_H
#define ACTORS_SHARED_NOTES_H

#include "actors/roster.h"

/* op.stage and op.done, to the operation's owner. detail and subject may be NULL. */
void note_stage(struct actor *me, uint64_t client, uint64_t op, const char *stage,
	enum stage_state state, uint64_t ms, const char *detail);
/* The same with all that a stage can say. */
void note_progress(struct actor *me, uint64_t client, const struct op_stage *stage);
void note_done(struct actor *me, uint64_t client, uint64_t op, enum op_state state, uint64_t ms,
	const char *subject, const struct why *why);

/* An event for whoever watches; its time is filled in. */
void note_event(struct actor *me, struct world *w, const struct event *event);

/* The last word about a stream: over well with an exit code, or broken off (why). */
void note_stream_end(struct actor *me, uint64_t client, uint64_t stream, uint64_t code,
	const struct why *why);

#endif
