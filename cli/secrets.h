/*
 * cli/secrets.h - files that are never sent because they look like secrets (row E1). Pure.
 *
 * Only untracked files are looked at: what is in a repository's history is no secret of its owner's
 * any more. Better one file too many stays: `banger vm cp` takes it along on purpose.
 */
#ifndef CLI_SECRETS_H
#define CLI_SECRETS_H

#include "base/base.h"

/* By its name, or that of a directory that it lies in. Case does not matter. */
bool secret_path(const char *path);
/* By how it begins: a private key. */
bool secret_content(const uint8_t *p, size_t n);

enum { SECRET_HEAD_BYTES = 4096 }; /* of a file that are worth a look */

#endif
