/*
 * actors/shared/job.h - one worker process and the one job that it does.
 *
 * The worker is another program, unprivileged and not to be trusted: what it says is checked like
 * any peer's, and it has ended before its end is told, so that nothing writes in its directory
 * any more.
 */
#ifndef ACTORS_SHARED_JOB_H
#define ACTORS_SHARED_JOB_H

#include "actors/roster.h"

struct job;

struct job_user {
	/* How far it is, at most a few times a second. May be NULL. */
	void (*progress)(void *ctx, const struct work_progress *p);
	/* The worker takes so many bytes more of the stream. NULL: the job has no stream. */
	void (*credit)(void *ctx, uint64_t bytes);
	/* work.want and work.have, which workers say to each other. NULL: it may say neither. */
	void (*told)(void *ctx, enum letter_id id, const void *body);
	/* Bytes that it writes to channel 1, no more than were granted. NULL: it writes none. */
	void (*bytes)(void *ctx, struct bytes data);
	/*
	 * Once: its answer (the struct of the letter's out shape, ends with the call), or why there
	 * is none. The process is gone and the job's memory goes after this call.
	 */
	void (*ended)(void *ctx, const struct why *why, const void *result);
};

struct job_spec {
	struct world *world;
	enum letter_id kind; /* LETTER_work_* */
	const void *body;
	const char *dir; /* beneath STATE: the one directory that it can write */
	const struct child_file *extra; /* what it reads besides; NULL for none */
};

enum err job_start(const struct job_spec *spec, const struct job_user *user, void *ctx,
	struct job **ret, struct why *why) MUST_CHECK;

/*
 * Bytes of the stream, in order; none is its end. Refused when there are more than were granted, or
 * when the end has come already. After the worker's answer they go nowhere.
 */
enum err job_feed(struct job *j, struct bytes data, struct why *why) MUST_CHECK;

/* So much more of channel 1 may come. Refused when that makes no sense. */
enum err job_grant(struct job *j, const struct stream_credit *c, struct why *why) MUST_CHECK;
/* Tells the worker something. After its answer that goes nowhere. */
enum err job_tell(struct job *j, enum letter_id id, const void *body, struct why *why) MUST_CHECK;

/* Ends the process; `ended` comes when it is gone, with `why`. */
void job_stop(struct job *j, const struct why *why);
/* Ends it and forgets it at once, for a world that ends. NULL is fine. */
void job_free(struct job *j);

#endif
