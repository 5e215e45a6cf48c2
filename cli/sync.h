/*
 * cli/sync.h - file_sync of the configuration (row E3): files of the user's in each new machine.
 */
#ifndef CLI_SYNC_H
#define CLI_SYNC_H

#include "cli/interrupts.h"

enum { SYNC_MAX = 64 };

struct sync_file {
	int fd; /* held since it was checked */
	const char *to; /* in the guest */
};

struct sync {
	struct sync_file files[SYNC_MAX];
	unsigned n;
};

/*
 * Opens them, before a machine is made: each must lie in the caller's home once links are followed.
 * One that is not there is told of, and left out.
 */
enum err sync_open(struct sync *s, struct cli *c, struct why *why) MUST_CHECK;
/* Sends them; owners are the guest's user, modes are kept. */
enum err sync_send(struct sync *s, struct cli *c, struct interrupts *i, const char *vm,
	struct why *why) MUST_CHECK;
/* The machine is not waited for: says that they stay here. */
void sync_skip(struct sync *s, struct cli *c);
void sync_close(struct sync *s);

#endif
