/*
 * agent/agent.h - the agent while it serves: one loop, its links, its sessions and what they run.
 */
#ifndef AGENT_AGENT_H
#define AGENT_AGENT_H

#include <sys/queue.h>

#include "agent/conf.h"
#include "agent/mounted.h"
#include "agent/warn.h"
#include "loop/loop.h"
#include "proto/proto.h"

enum { SESSIONS_MAX = 16, STREAMS_MAX = 256, HTTPS_MAX = 16 };

struct job;
struct session;
LIST_HEAD(job_list, job);
LIST_HEAD(session_list, session);

struct agent {
	struct loop *loop;
	int root; /* the image's root directory, O_PATH */
	struct conf conf;
	enum init_kind init;
	struct warnings warnings;
	uint64_t ready_ms; /* guest uptime when everything was in place */
	struct mounted mounted;
	struct session_list sessions;
	unsigned sessions_n, https_n;
	struct job_list jobs; /* programs that run, also those whose session is gone */
	unsigned jobs_n, streams_n, dials_n;
	uint32_t next_stream;
	struct {
		bool begun, ended;
		pid_t pid;
		int status; /* when ended */
	} serving; /* the image's command, where there is no init */
	struct sigwatch on_child;
	struct {
		bool now, reboot, killed;
		pid_t tool; /* the image's own poweroff, while it runs */
		struct timer deadline;
	} down; /* the way to the guest's end */
};

/* Serves for ever. argv: what boot passed on: root descriptor, kind of init, warnings. */
void agent_run(int argc, char **argv);

/* The image's command ended; true when it was that. */
bool serving_reaped(struct agent *a, pid_t pid, int status);

/* Children ended; true when pid was part of going down. */
bool down_reaped(struct agent *a, pid_t pid, int status);
/* No child is left. */
void down_alone(struct agent *a);

/* The guest's uptime, sleep included. */
uint64_t uptime_ms(void);

#endif
