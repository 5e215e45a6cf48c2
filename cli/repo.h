/*
 * cli/repo.h - a git repository of the user's, found and read as data.
 *
 * Its files are opened without following links, and are never more than copied; what is made of
 * them is a directory of ours for git to work on (cli/git.h).
 */
#ifndef CLI_REPO_H
#define CLI_REPO_H

#include "cli/git.h"

enum { REPO_FILE_MAX = 64 * 1048576, INDEX_BYTES_MAX = 512 * 1048576, REFS_MAX = 65536 };

struct repo {
	char top[GIT_PATH_BYTES]; /* of its working tree, real */
	char dir[GIT_PATH_BYTES]; /* HEAD and index; of a worktree or submodule its own */
	char common[GIT_PATH_BYTES]; /* objects and refs */
	int64_t index_ns; /* last change of its index; 0: it has none */
	uint64_t index_size;
	char excludes[GIT_PATH_BYTES]; /* the user's own list of ignored files; "": none */
	struct buf settings; /* lines of configuration that matter for what files are */
	struct buf tracking; /* which branch follows which; URLs without passwords */
	bool sha256, partial; /* partial: objects may be missing, and are not fetched */
};

/* The repository that path lies in. Touches nothing. */
enum err repo_find(struct repo *r, const char *path, bool alternates, struct why *why) MUST_CHECK;
void repo_done(struct repo *r);

/*
 * Makes `dir` (which must not exist) and points g at it: a git directory with copies of what the
 * repository says of itself, a configuration of ours, and no objects of its own. New objects go to
 * `objects`, which borrows the repository's.
 */
enum err repo_shadow(struct repo *r, struct git *g, const char *dir, const char *objects,
	struct why *why) MUST_CHECK;

/* Copies a regular file of at most max bytes; *there tells whether there was one. */
enum err repo_copy(const char *from_dir, const char *name, const char *to_dir, uint64_t max,
	bool *there, struct why *why) MUST_CHECK;

/* Appends a regular file's bytes, as many as ret takes. */
enum err repo_read(const char *path, struct buf *ret, bool *there, struct why *why) MUST_CHECK;
enum err repo_copy_file(const char *from, const char *to, uint64_t max, bool *there,
	struct why *why) MUST_CHECK;

/* dir/name. */
enum err repo_path(char ret[GIT_PATH_BYTES], const char *dir, const char *name,
	struct why *why) MUST_CHECK;
enum err repo_write(const char *dir, const char *name, struct bytes content,
	struct why *why) MUST_CHECK;

#endif
