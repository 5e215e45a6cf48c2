/*
 * agent/exec.h - from words, user and environment to a program that can be started.
 */
#ifndef AGENT_EXEC_H
#define AGENT_EXEC_H

#include "agent/spawn.h"
#include "proto/proto.h"

/* Fills all but the descriptors; what ret points to lives in who and in the arena. */
enum err exec_prepare(int root, const struct agent_exec *x, struct arena *a, struct account *who,
	struct launch *ret, struct why *why) MUST_CHECK;

#endif
