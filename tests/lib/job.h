/*
 * lib/job.h - a worker's job without its daemon: in a directory of its own, with all its input
 * there already. Descriptors 3 and 4 are where the daemon puts the directories: they are taken at
 * the start of the program and kept.
 */
#ifndef LIB_JOB_H
#define LIB_JOB_H

#include "worker/job.h"

struct job_rig {
	struct job job;
	char path[40];
	int top;
};

void job_rig_hold(void); /* once, before anything else is opened */
void job_rig_begin(struct job_rig *r, enum letter_id kind, const void *body, struct bytes input);
void job_rig_end(struct job_rig *r);

#endif
