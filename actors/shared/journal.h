/*
 * actors/shared/journal.h - a flow's entry in the store: what is looked at after a restart.
 */
#ifndef ACTORS_SHARED_JOURNAL_H
#define ACTORS_SHARED_JOURNAL_H

#include "actors/shared/records.h"
#include "flow/flow.h"

enum { JOURNAL_KEY_BYTES = 24 };

/* The entry's key in table flow: the operation in decimal. */
void journal_key(char out[JOURNAL_KEY_BYTES], uint64_t op);

/* What a flow_host's journal does. `subject` is the id that the flow works on. */
void journal_flow(struct actor *me, struct flow *f, const char *subject, bool over);

#endif
