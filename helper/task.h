/*
 * helper/task.h - work that would block, or that must not be done by root: a child of the helper,
 * with a deadline.
 *
 * The child runs one function on the memory that it was forked with and answers over a socket pair;
 * it dies with the helper. A plain one has another uid, no capability, no other descriptor than
 * those it is to keep, and a system call filter that opens, starts and connects nothing.
 */
#ifndef HELPER_TASK_H
#define HELPER_TASK_H

#include "base/buf.h"
#include "helper/helper.h"

enum { TASKS_MAX = 16, TASK_KEEP_MAX = 6, TASK_UID = 61108, TASK_ANSWER_MAX = 65536 };

/* In the child: fills result, and may leave a descriptor for the helper in *ret_fd (else -1). */
typedef enum err task_fn(void *arg, struct buf *result, int *ret_fd, struct why *why);

/* fd is the callee's to close when it is not -1. Called once, from the loop. */
typedef void task_done_fn(void *ctx, const struct why *why, struct bytes result, int fd);

struct task_spec;
/* In the child, first, still as root: opens what run() needs and adds it to what is kept. */
typedef enum err task_prepare_fn(void *arg, struct task_spec *mine, struct why *why);

struct task_spec {
	const char *what; /* for the log, and for the error when it is late */
	task_prepare_fn *prepare; /* may be NULL */
	task_fn *run;
	void *arg;
	uint64_t deadline_ms;
	bool plain;
	bool starts; /* plain, but for starting one program */
	int keep[TASK_KEEP_MAX]; /* plain: the descriptors that it needs */
	unsigned keep_n;
};

/* Refused as busy when TASKS_MAX run. */
enum err task_start(struct helper *h, const struct task_spec *spec, task_done_fn *done, void *ctx,
	struct why *why) MUST_CHECK;

/* confine.c: what a plain child gives up, in the child, after it was forked. */
enum err confine_plain(struct why *why) MUST_CHECK;
/* The same, but that it may open what all may read, and start a program. */
enum err confine_starter(struct why *why) MUST_CHECK;

#endif
