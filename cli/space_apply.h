/*
 * cli/space_apply.h - the guest's work, brought back (row E2).
 */
#ifndef CLI_SPACE_APPLY_H
#define CLI_SPACE_APPLY_H

#include "cli/space_look.h"

/* As a patch on a descriptor; binary files whole. */
enum err space_patch(struct look *k, int fd, struct why *why) MUST_CHECK;
/* Makes or moves on the branch banger/NAME; *ret_commit "" when there is nothing to bring back. */
enum err space_branch(struct look *k, bool force, char branch[128], char ret_commit[72],
	struct why *why) MUST_CHECK;
/* Into the working tree; all of it or nothing. */
enum err space_apply(struct look *k, uint64_t *ret_files, struct why *why) MUST_CHECK;

#endif
