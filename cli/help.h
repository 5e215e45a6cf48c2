/*
 * cli/help.h - help, made from the list of commands.
 */
#ifndef CLI_HELP_H
#define CLI_HELP_H

#include "cli/cli.h"

/* About everything, a group ("vm") or a command; false when the words name neither. */
bool help_print(FILE *f, const char *const *words, unsigned n);

#endif
