/*
 * base/home.h - what banger does to a user's home, in a guest and in a work-seed alike: its key in
 * authorized_keys, and a home that lies one level too deep. Pure.
 */
#ifndef BASE_HOME_H
#define BASE_HOME_H

#include "base/buf.h"

/* What stands behind the key that banger wrote; its line gives way to a newer key's. */
#define AUTHORIZED_MARK "banger-installed"

/*
 * The text of authorized_keys with the key in it. Answers whether it differs from what was there.
 */
bool authorized_edit(const char *text, const char *key, struct buf *out);

/*
 * A work disk may have been made as if it were a root: the home then lies in it under its own path,
 * "root" or "home/app", and a guest would show it one level too deep. That is so when nothing else
 * lies beside that path, and what lies there looks like a home.
 */
const char *nested_path(const char *home); /* beneath the disk's top; "" for none */
bool nested_beside(const char *name, const char *path); /* may lie at the top all the same */
bool nested_mark(const char *name); /* an entry that only a home has */

#endif
