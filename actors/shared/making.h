/*
 * actors/shared/making.h - making an image or a kernel: a flow whose steps are workers' jobs.
 *
 * What is made grows in a directory `.new-<id>` and becomes visible in two moves: the directory
 * gets its name `<id>`, then the record is written, in one commit with the removal of the flow's
 * journal entry. The record is the point of no return: what the journal names after a restart and
 * no record does is removed. A deletion is the same backwards: the record goes and an entry
 * comes, in one commit; then the files go, then the entry.
 *
 * An owner (the image or the kernel actor) embeds struct making first in its own, and lends the
 * steps here to its flow kinds.
 */
#ifndef ACTORS_SHARED_MAKING_H
#define ACTORS_SHARED_MAKING_H

#include <sys/queue.h>

#include "actors/shared/job.h"
#include "actors/shared/journal.h"

enum { MAKINGS_MAX = 4, MAKING_ID_BYTES = 11, MAKING_PATH_BYTES = 96, RECORD_CEILING = 262144 };

struct making;

struct makings { /* of one actor */
	struct actor *me;
	struct world *world;
	void *state; /* the actor's */
	const char *area; /* "image": the directory, and what events begin with */
	unsigned mark; /* of its ids */
	uint64_t next; /* counts ids */
	struct flow_host host;
	TAILQ_HEAD(, making) list;
	uint32_t count;
	bool closing; /* nobody can be told anything any more */
	/* It is over, well or not (why); the owner's answers, then its memory. */
	void (*ended)(void *state, struct making *m, const struct why *why);
	/* Whether a record names the directory. */
	bool (*known)(void *state, const char *id);
	/* Recovery. */
	struct record_scan rows;
	struct buf open; /* names, each with its NUL */
	void (*recovered)(void *state, const struct why *why);
};

struct making {
	TAILQ_ENTRY(making) entry;
	struct makings *of;
	struct flow flow;
	struct job *job;
	uint32_t ticket; /* of the step or undo that waits for the job */
	/* Keeps what the job found; its memory ends with the call. NULL: nothing to keep. */
	enum err (*take)(struct making *m, const void *result, struct why *why);
	uint64_t client; /* who is told; 0 = nobody (any more) */
	uint64_t op, stream; /* stream 0: none, or not opened yet */
	struct reply_to reply; /* of the request that a stream answers; serial 0 when answered */
	bool quiet; /* the client does not know the operation yet */
	bool final; /* the record is being written: too late to cancel */
	unsigned reached; /* steps that began */
	char id[MAKING_ID_BYTES];
	char name[129];
};

/* `area`, `mark` and the calls back are the owner's to set. */
void makings_init(struct makings *ms, struct actor *me, struct world *w, void *state);
void makings_done(struct makings *ms); /* ends jobs; each making is handed to `ended` */
/* Undoes what an earlier daemon left; `recovered` is called when that is done. */
void makings_recover(struct makings *ms);

/* Deletions: the entry to write with the record's removal; then, when that is on disk, the rest. */
enum err makings_note_deletion(struct makings *ms, uint64_t op, const char *id,
	struct store_put *ret, struct arena *a, struct why *why) MUST_CHECK;
void makings_remove(struct makings *ms, uint64_t op, const char *id);
uint64_t making_fresh(struct makings *ms); /* an id for an operation or a stream */

/* Room for one more of that name? */
enum err making_admit(struct makings *ms, const char *name, struct why *why) MUST_CHECK;
struct making *making_by_name(struct makings *ms, const char *name);
void making_begin(struct makings *ms, struct making *m, const struct flow_kind *kind,
	const char *name, uint64_t client);
void making_cancel(struct making *m, const struct why *why);

/* Letters of clients about a making; false: it is about none of these. */
bool makings_data(struct makings *ms, uint64_t client, const struct stream_data *d);
void makings_credit(struct makings *ms, uint64_t client, const struct stream_credit *c);
void makings_cancel(struct makings *ms, const struct letter *l, const struct op_cancel *q);
/* Cancels what works for that client. */
void makings_client_gone(struct makings *ms, uint64_t client);

/* Paths beneath STATE: in the directory that grows, and in the one that is published. */
const char *making_new_path(const struct making *m, const char *file, char out[MAKING_PATH_BYTES]);
const char *making_path(const char *area, const char *id, const char *file,
	char out[MAKING_PATH_BYTES]);
void making_id(struct makings *ms, char out[MAKING_ID_BYTES]); /* a fresh one */
/* How many bytes a job may unpack: at most `most`, and the host's disk is never filled. */
enum err making_room(const struct making *m, uint64_t most, uint64_t *ret,
	struct why *why) MUST_CHECK;
/* That a job has made this file, and not an empty one. */
enum err making_has(const struct making *m, const char *file, struct why *why) MUST_CHECK;

/* Steps. */
flow_fn making_prepare, making_undo_prepare, making_undo_work, making_publish,
	making_undo_publish;

/*
 * What an act answers that gives the step to a worker. With `stream`, the client's bytes go
 * there.
 */
enum flow_said making_work(struct making *m, enum letter_id kind, const void *body, bool stream,
	const struct child_file *extra,
	enum err (*take)(struct making *m, const void *result, struct why *why));
/* The same for a worker whose bytes go to the client's stream; nothing else of it is kept. */
enum flow_said making_read(
	struct making *m, enum letter_id kind, const void *body, const struct child_file *extra);
/*
 * What an act (or undo) answers that writes records; fn is the actor's, and calls making_written.
 */
enum flow_said making_write(struct making *m, struct store_put *puts, uint32_t n, answer_fn *fn);
void making_written(struct makings *ms, uint64_t ctx, const struct why *why);

void makings_verify(const struct makings *ms);

/* Between making.c and making_steps.c. */
void making_tell(struct making *m, const char *stage, enum stage_state state, uint64_t ms,
	const char *detail);

#endif
