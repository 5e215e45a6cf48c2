/*
 * tree/at.h - opening and making paths beneath a held directory (openat2).
 *
 * `resolve` is a set of RESOLVE_* bits: RESOLVE_IN_ROOT for paths of an image (its links are
 * resolved inside it), RESOLVE_BENEATH and RESOLVE_NO_SYMLINKS for names a peer chose, 0 for a
 * user's own paths. Each answers -1 and sets errno.
 */
#ifndef TREE_AT_H
#define TREE_AT_H

#include <linux/openat2.h>
#include <sys/types.h>

#include "base/base.h"

enum { AT_NAME_BYTES = 256, AT_PATH_BYTES = 4096 };

/* O_CLOEXEC is added. */
int at_open(int dir, const char *path, int flags, uint64_t resolve);

/*
 * The directory (O_PATH) that holds path's last component, whose name is copied; the component
 * need not exist. EINVAL when the path has no last name ("/", "a/..").
 */
int at_parent(int dir, const char *path, uint64_t resolve, char name[AT_NAME_BYTES]);

/*
 * Opens the directory (O_PATH), after making what is missing of it with mode 0755. What is made
 * belongs to uid and gid, (uid_t)-1 for the caller.
 */
int at_mkdirs(int dir, const char *path, uint64_t resolve, uid_t uid, gid_t gid);

#endif
