/*
 * cli/args.h - a line of words into a command with checked flags and operands.
 */
#ifndef CLI_ARGS_H
#define CLI_ARGS_H

#include "cli/cli.h"

/*
 * argv[0] is the program. On success c->command is set, or c->help or c->version is. A failure is a
 * usage error; c->command may then still be set.
 */
enum err args_parse(struct cli *c, int argc, char **argv, struct why *why) MUST_CHECK;

/* Flags that every command takes. */
extern const struct flag global_flags[];

/* The command of these words; NULL when there is none. n is at most 2. */
const struct command *command_by_words(const char *const *words, unsigned n);

/* Whether the type's values are numbers, and reads one as the command line writes it. */
enum err value_parse(const struct type *t, const char *name, const char *s, uint64_t *number,
	struct why *why) MUST_CHECK;

#endif
