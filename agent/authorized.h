/*
 * agent/authorized.h - authorized_keys of the image's users: banger's key in it, all others as they
 * were.
 */
#ifndef AGENT_AUTHORIZED_H
#define AGENT_AUTHORIZED_H

#include "agent/account.h"
#include "base/buf.h"

/* What stands behind the key that banger wrote; its line gives way to a newer key's. */
#define AUTHORIZED_MARK "banger-installed"

/* Pure: the file's text with the key in it. Answers whether it differs from what was there. */
bool authorized_edit(const char *text, const char *key, struct buf *out);

/* Does it in the account's home. All access to files is with the account's own rights. */
enum err authorized_install(
	int root, const struct account *who, const char *key, struct why *why) MUST_CHECK;

#endif
