/*
 * cli/git.h - the host's git, run so that nothing of the repository is run by it.
 *
 * A repository is data that somebody else wrote. git is never pointed at it: it works on a
 * directory of ours (HEAD, refs and index are copies, the configuration is written by us, there
 * are no hooks), and reads only the repository's objects and its files. So no configuration,
 * hook, filter, alias, credential helper or remote of the repository is ever seen by git.
 */
#ifndef CLI_GIT_H
#define CLI_GIT_H

#include "base/buf.h"
#include "cli/interrupts.h"

enum { GIT_PATH_BYTES = 4096, GIT_OUT_MAX = 512 * 1048576 };

struct git {
	struct cli *c;
	struct interrupts *interrupts; /* a signal ends the child; may be NULL */
	char program[GIT_PATH_BYTES];
	char dir[GIT_PATH_BYTES]; /* GIT_DIR: ours */
	char work[GIT_PATH_BYTES]; /* GIT_WORK_TREE; "": none */
	char index[GIT_PATH_BYTES]; /* GIT_INDEX_FILE; "": the one of dir */
	char objects[GIT_PATH_BYTES]; /* GIT_OBJECT_DIRECTORY: where new ones go */
};

/* Finds git. */
enum err git_init(struct git *g, struct cli *c, struct interrupts *i, struct why *why) MUST_CHECK;

struct git_call {
	const char *const *args; /* behind "git", NULL at the end */
	struct bytes in;
	struct buf *out; /* NULL: nothing is kept */
	int out_fd; /* instead: where its output goes; 0: none */
	int in_fd; /* instead of in; 0: none */
	bool own_config; /* the user's own configuration counts, and no repository is there */
	int code; /* its exit code */
};

/* Runs it to its end; fails when it could not run, or was ended by a signal. */
enum err git_call(struct git *g, struct git_call *k, struct why *why) MUST_CHECK;
/* The same for a call that must succeed: what git said is the failure. */
enum err git_do(struct git *g, const char *const *args, struct bytes in, struct buf *out,
	struct why *why) MUST_CHECK;
/* One child's output is the other's input. */
enum err git_pipe(struct git *from, const char *const *from_args, struct bytes in,
	struct git *to, const char *const *to_args, struct buf *out, struct why *why) MUST_CHECK;

#define GIT_ARGS(...) ((const char *const[]){ __VA_ARGS__, NULL })
#define NO_BYTES ((struct bytes){ NULL, 0 })

static inline struct bytes buf_bytes(const struct buf *b)
{
	return (struct bytes){ b->p, b->n };
}

/* Word n of a line of git's, from 0, with all behind it; words have one space between them. */
const char *git_word(const char *line, unsigned n);

#endif
