/*
 * agent/account.h - users of the image, read from its own /etc/passwd and /etc/group.
 */
#ifndef AGENT_ACCOUNT_H
#define AGENT_ACCOUNT_H

#include <sys/types.h>

#include "base/arena.h"
#include "base/err.h"

enum { ACCOUNT_GROUPS_MAX = 256 };

struct account {
	uid_t uid;
	gid_t gid;
	gid_t groups[ACCOUNT_GROUPS_MAX]; /* supplementary */
	unsigned groups_n;
	const char *name, *home, *shell;
};

/*
 * user: NAME or UID, optionally :GROUP (name or gid); NULL is root. A uid needs no passwd entry.
 * Strings live in the arena.
 */
enum err account_find(int root, const char *user, struct arena *a, struct account *ret,
	struct why *why) MUST_CHECK;

/* The same over the two files' text; pure. */
enum err account_read(const char *passwd, const char *group, const char *user, struct arena *a,
	struct account *ret, struct why *why) MUST_CHECK;

#endif
