/*
 * agent/spawn.h - starting a program inside the image.
 */
#ifndef AGENT_SPAWN_H
#define AGENT_SPAWN_H

#include "agent/account.h"

#define DEFAULT_PATH "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

struct launch {
	int root; /* the image, O_PATH */
	const char *file; /* looked up in the PATH of env unless it has a slash */
	char *const *argv, *const *env;
	const struct account *account;
	const char *cwd; /* NULL: home, or / when there is no home */
	int in, out, err; /* become 0, 1 and 2 */
	bool terminal; /* `in` is a terminal and becomes the controlling one */
};

/* The child's pid, leader of a session and group of its own; -1 and errno when fork failed. What
 * fails later is said on the child's descriptor 2, and it ends with 127 (not found) or 126. */
pid_t spawn(const struct launch *l);

/* A program of the image as root, with nothing to read and nowhere to write. */
pid_t spawn_tool(int root, const char *const *argv);

#endif
