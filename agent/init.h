/*
 * agent/init.h - the image's own first process: whether there is one, and giving it the machine.
 */
#ifndef AGENT_INIT_H
#define AGENT_INIT_H

#include "proto/proto.h"

/* What the image would start as process 1, and its path; none when it has nothing of the kind. */
enum init_kind init_find(int root, const char **ret_path);

/* Process 1 moves to the image at `at` (absolute, mounted) and becomes that program. Returns only
 * on failure, with errno set. */
void init_become(const char *at, const char *path);

#endif
