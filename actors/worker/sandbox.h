/*
 * worker/sandbox.h - what the worker gives up before it reads a byte of input (row C8).
 */
#ifndef WORKER_SANDBOX_H
#define WORKER_SANDBOX_H

#include "base/err.h"

struct identity {
	bool set; /* --uid and --gid were given */
	uint32_t uid, gid;
};

/* Before the request: identity, privileges, limits that every job shares. */
enum err sandbox_begin(const struct identity *who, struct why *why) MUST_CHECK;
/* For every job but fetch: no files but the job's directory, no programs, no network. */
enum err sandbox_close(struct why *why) MUST_CHECK;
/* For fetch: writes beneath the job's directory only; may start the host's apt. */
enum err sandbox_fetch(struct why *why) MUST_CHECK;

/*
 * For registry: the network, and of the file system its own directory and what name resolution and
 * TLS read; no programs.
 */
enum err sandbox_registry(struct why *why) MUST_CHECK;

/* The filters; sandbox.c calls them last. */
enum err filter_parser(struct why *why) MUST_CHECK;
enum err filter_fetch(struct why *why) MUST_CHECK;
enum err filter_registry(struct why *why) MUST_CHECK;
/* Landlock: writes beneath descriptor `dir`; reads there, or everywhere. Best effort. */
void landlock_close(int dir, bool read_all);
/* The same, with reads beneath some paths of the host; those that are not there are left out. */
void landlock_reads(int dir, const char *const *paths, size_t n);

#endif
