/*
 * helper/scope.h - a systemd scope for each VMM, banger-vm-ID.scope in banger.slice: a machine is
 * counted, limited and seen as itself, and a restart of the helper finds no process of another's in
 * its own unit. A scope ends with its VMM. Hosts without systemd do without.
 */
#ifndef HELPER_SCOPE_H
#define HELPER_SCOPE_H

#include <sys/types.h>

#include "base/err.h"

enum { SCOPES_AT_ONCE = 32, SCOPES_MS = 30000 };

struct scopes {
	struct {
		char vm[11];
		pid_t pid;
		uint64_t start; /* of that process, ticks since boot */
	} v[SCOPES_AT_ONCE];
	unsigned n;
};

/*
 * In a task's child: moves each process that is still the one meant, and is in no scope, into its
 * own. ERR_unavailable: there is no systemd to ask. One that is refused does not stop the others.
 */
enum err scopes_make(const struct scopes *s, struct why *why) MUST_CHECK;

#endif
