/*
 * cli/remind.h - after a session: the machine is still there (row B12).
 */
#ifndef CLI_REMIND_H
#define CLI_REMIND_H

#include "cli/cli.h"

/*
 * Says so on stderr when that is a terminal and the machine answers in time that it is well. name
 * is what the user calls it.
 */
void remind(struct cli *c, const char *vm, const char *name);

#endif
