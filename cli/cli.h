/*
 * cli/cli.h - what every part of the command line shares: a command's row, and one run of it.
 *
 * The list of commands (commands.c) is the one place from which parser, help, shell completion and
 * manual pages come. A handler gets a struct cli whose flags and operands were already checked
 * against its row, and answers the process's exit code.
 */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include "base/arena.h"
#include "base/err.h"
#include "loop/loop.h"
#include "proto/proto.h"

/* Row G8. In session commands (run, exec) banger's own failures are EXIT_OWN. */
enum exit_code {
	EXIT_DONE = 0,
	EXIT_REFUSED = 1,
	EXIT_USAGE = 2,
	EXIT_UNREACHABLE = 3,
	EXIT_OWN = 125,
	EXIT_SIGNAL = 128 /* plus the signal's number */
};

enum { FLAGS_MAX = 40 };

/* What shell completion offers. */
enum offer { OFFER_NOTHING, OFFER_VMS, OFFER_IMAGES, OFFER_KERNELS, OFFER_FILES, OFFER_WORDS };

struct flag {
	const char *name; /* without --; NULL ends a list */
	char letter; /* 0 = none */
	const struct type *type; /* of its value; NULL: it takes none */
	const char *value; /* what help calls the value */
	const char *field; /* of the letter that it fills; NULL: the one of its name */
	const char *doc;
	enum offer offer;
	bool many; /* may be given several times */
};

struct cli;

enum command_traits {
	SESSION = 1, /* its exit code is the guest's; banger's own failure is EXIT_OWN */
	HIDDEN = 2, /* not in help: for completion, and for the install */
	TAIL = 4 /* takes -- CMD... */
};

struct command {
	const char *words; /* "vm run" */
	const char *args; /* operands as help shows them, "" when none */
	unsigned least, most; /* operands */
	unsigned traits;
	enum offer offer; /* operands */
	const struct flag *flags; /* may be NULL */
	const char *doc; /* one line, small first letter, no full stop */
	const char *more; /* paragraphs, may be NULL */
	const char *example; /* lines, each a command */
	int (*run)(struct cli *c);
};

/* A flag as it was given. */
struct given {
	bool set;
	const char *text; /* the last one */
	uint64_t number; /* numbers, sizes in bytes, durations in ms, words by index */
	const char **all; /* flags that may be given several times */
	uint32_t all_n;
};

struct link;

struct cli {
	const struct command *command;
	const char **args; /* operands */
	unsigned args_n;
	const char **tail; /* behind -- */
	unsigned tail_n;
	bool has_tail;
	struct given given[FLAGS_MAX];
	bool json, quiet, progress, help, version;
	bool out_color, err_color, err_live; /* live: a terminal whose lines can be rewritten */
	const char *socket; /* --socket */
	struct arena mem; /* as long as the process */
	struct loop *loop;
	struct link *link;
	bool unreachable; /* the daemon could not be reached: exit 3 */
	bool silent_version; /* the command's own rule keeps stderr quiet */
	bool no_memory; /* a document could not be made: said in its place */
	bool spoke; /* stdout belongs to the guest's program now */
	const char *ssh_key; /* the user's public key, once it was looked for */
	bool ssh_tried;
};

/* commands.c */
extern const struct command *const all_commands[]; /* ends with NULL */
const char *group_doc(const char *word); /* "machines" for "vm"; NULL when no group */

/* Flags of this command by name. */
bool flag_on(const struct cli *c, const char *name);
const char *flag_text(const struct cli *c, const char *name); /* NULL when absent */
const struct given *flag_given(const struct cli *c, const char *name);

/*
 * Sets the fields of obj that are named like a given flag (with _ for -), and checks their range.
 * obj is of shape s.
 */
enum err flags_fill(struct cli *c, const struct shape *s, void *obj, struct why *why) MUST_CHECK;

#endif
