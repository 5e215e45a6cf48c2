/*
 * agent/authorized.h - authorized_keys of the image's users: banger's key in it, all others as they
 * were.
 */
#ifndef AGENT_AUTHORIZED_H
#define AGENT_AUTHORIZED_H

#include "agent/account.h"
#include "base/home.h"

/*
 * Puts a key (base/home.h) into the file in the account's home. All access to files is with the
 * account's own rights.
 */
enum err authorized_install(
	int root, const struct account *who, const char *key, struct why *why) MUST_CHECK;

#endif
