/*
 * worker/job.h - one job: the request, the bytes that come with it, and the answer.
 *
 * The job runs on the main thread and pulls: where it needs bytes it turns the loop until some are
 * there. When descriptor 0 closes, the process ends at once, whatever it is doing.
 */
#ifndef WORKER_JOB_H
#define WORKER_JOB_H

#include "proto/proto.h"
#include "wire/rpc.h"
#include "wire/window.h"
#include "worker/source.h"

enum {
	FD_LETTERS = 0,
	FD_DIR = 3, /* the job's directory */
	FD_EXTRA = 4 /* read-only, where the job says so */
};

struct job {
	struct loop *loop;
	struct rpc *rpc;
	enum letter_id kind; /* LETTER_COUNT before the request */
	uint32_t msgid;
	struct buf params; /* of the request, packed */
	struct arena arena;
	/* The stream. */
	struct window window;
	struct buf coming, handed; /* arrived; given to the job */
	bool ended; /* its end has come */
	struct window out; /* of channel 1, which the job writes */
	/* Other letters that a job is told, as they come. */
	void (*told)(void *ctx, enum letter_id id, const void *body);
	void *told_ctx;
	bool held; /* they may have come behind the request, and nobody listens yet */
	/* Its end. */
	bool answered; /* the answer is on its way */
	bool over; /* and the daemon hung up */
	/* Progress. */
	uint64_t told_ms;
	char detail[128];
};

enum err job_open(struct job *j, struct why *why) MUST_CHECK;
void job_close(struct job *j);
/* Waits for the request. */
enum err job_wait(struct job *j, struct why *why) MUST_CHECK;
/* Its fields; obj is of the letter's own shape. */
enum err job_read(struct job *j, void *obj, struct why *why) MUST_CHECK;
/* The stream as a source with a digest. */
enum err job_source(struct job *j, struct source *s, uint64_t max, struct why *why) MUST_CHECK;
/* Bytes for channel 1; waits until they are granted. */
enum err job_put(struct job *j, const void *p, size_t n, struct why *why) MUST_CHECK;
/* Lets letters through and tells how far it is, at most ten times a second. */
void job_tick(struct job *j, uint64_t done, const char *detail);
/* From now on fn gets work.want and work.have, also those that have come already. */
void job_listen(struct job *j, void (*fn)(void *ctx, enum letter_id id, const void *body),
	void *ctx);
/* Tells the daemon something; it leaves with the next turn. */
enum err job_tell(struct job *j, enum letter_id id, const void *body, struct why *why) MUST_CHECK;
void job_answer(struct job *j, enum err e, const void *result, struct why *why);

/* A file of the job's directory that has no name: gone with the process. */
enum err job_temp(struct job *j, int *ret_fd, struct why *why) MUST_CHECK;
/* A new file of that name; what had the name is removed before. */
enum err job_create(struct job *j, const char *name, int *ret_fd, struct why *why) MUST_CHECK;
void job_remove(struct job *j, const char *name);

/* The jobs. Each fills its result, whose strings live in the job's arena. */
enum err run_image(struct job *j, struct image_made *ret, struct why *why) MUST_CHECK;
enum err run_inspect(struct job *j, struct image_facts *ret, struct why *why) MUST_CHECK;
enum err run_seed(struct job *j, struct why *why) MUST_CHECK;
enum err run_kernel(struct job *j, struct kernel_facts *ret, struct why *why) MUST_CHECK;
enum err run_initramfs(struct job *j, struct why *why) MUST_CHECK;
enum err run_fetch(struct job *j, struct work_fetched *ret, struct why *why) MUST_CHECK;
enum err run_export(struct job *j, struct work_exported *ret, struct why *why) MUST_CHECK;
enum err run_pull(struct job *j, struct image_made *ret, struct why *why) MUST_CHECK;
enum err run_registry(struct job *j, struct why *why) MUST_CHECK;
enum err run_copy(struct job *j, struct work_copied *ret, struct why *why) MUST_CHECK;

#endif
