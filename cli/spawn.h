/*
 * cli/spawn.h - companions of this program (row A7), programs of the host, and the on-demand daemon
 * (row G2).
 */
#ifndef CLI_SPAWN_H
#define CLI_SPAWN_H

#include <sys/types.h>

#include "base/err.h"

enum { START_TIMEOUT_MS = 10000 };

/* The file of a companion: beside this program, else in ../libexec/banger. */
enum err companion_path(const char *name, char *ret, size_t size, struct why *why) MUST_CHECK;

/*
 * Starts bangerd in a session of its own and waits until it, or another one that was quicker,
 * listens: the process that serves is the one that called listen().
 */
enum err start_daemon(struct why *why) MUST_CHECK;

/* The file that a daemon started here writes to. */
enum err daemon_log(char *ret, size_t size, struct why *why) MUST_CHECK;

/* A program of the host: the first of that name in PATH. */
enum err program_path(const char *name, char *ret, size_t size, struct why *why) MUST_CHECK;

/* Runs a program with this one's descriptors and signals. */
enum err spawn_attached(
	const char *path, const char *const argv[], pid_t *pid, struct why *why) MUST_CHECK;

/* The same as spawn_piped for a program at a path; argv[0] is what it is called. */
enum err spawn_piped_at(const char *path, const char *const argv[], pid_t *pid, int *out,
	struct why *why) MUST_CHECK;

/* The same, with its input from a descriptor; -1: none. */
enum err spawn_fed_at(const char *path, const char *const argv[], int in, pid_t *pid, int *out,
	struct why *why) MUST_CHECK;

/* Runs a companion with its output on a pipe: *out to read from. argv[0] is its name. */
enum err spawn_piped(const char *const argv[], pid_t *pid, int *out, struct why *why) MUST_CHECK;

/* Waits for it; OK when it ended with 0. */
enum err spawn_wait(pid_t pid, const char *what, struct why *why) MUST_CHECK;

#endif
