/*
 * agent/job.h - a program that runs for a stream: its pipes or terminal, its end.
 */
#ifndef AGENT_JOB_H
#define AGENT_JOB_H

#include "agent/session.h"
#include "agent/spawn.h"

/* How long a program whose session is gone may take to end after HUP. */
enum { JOB_HUP_MS = 5000 };

/*
 * Answers the request with a new stream and starts the program; launch->in, out and err are filled
 * here. pty: NULL for pipes. has_stdin: else the program reads nothing.
 */
enum err job_start(struct session *s, uint32_t msgid, struct launch *launch, bool has_stdin,
	const struct pty *pty, struct why *why) MUST_CHECK;

/* A child ended; true when it was a job. */
bool job_reaped(struct agent *a, pid_t pid, int status);

#endif
