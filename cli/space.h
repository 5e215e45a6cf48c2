/*
 * cli/space.h - workspaces (rows E1, E2): a repository of this host in a guest, and back.
 *
 * What was prepared is remembered beside the machine's files, so it goes with the machine: the
 * record, the list of what was sent, an index and a tree object of it. All that git makes lies
 * there.
 */
#ifndef CLI_SPACE_H
#define CLI_SPACE_H

#include "cli/op.h"
#include "cli/plan.h"

/* What one command works with. */
struct space {
	struct cli *c;
	struct interrupts *interrupts;
	const char *vm, *name; /* id and name of the machine */
	char home[GIT_PATH_BYTES]; /* banger's own files about it */
	char temp[GIT_PATH_BYTES]; /* beneath home; removed at the end */
	int lock;
	struct space_record record;
	bool prepared; /* there is a record */
	struct plan base; /* what was sent; loaded with the record */
	struct plan seen; /* of the guest's changes, those that were applied here since */
	struct repo repo;
	struct git git;
	struct op op; /* shows what is being done */
	uint64_t step_began;
};

/* Finds the machine, and what is known of its workspace: nobody else's until space_close. */
enum err space_open(struct space *s, struct cli *c, struct interrupts *i, const char *vm,
	struct why *why) MUST_CHECK;
void space_close(struct space *s); /* fine after a failed space_open */
/* Reads the repository and makes git ready to work on it. */
enum err space_repo(struct space *s, const char *path, bool alternates, struct why *why) MUST_CHECK;
enum err space_path(const struct space *s, const char *name, char ret[GIT_PATH_BYTES],
	struct why *why) MUST_CHECK;
enum err space_save(struct space *s, struct why *why) MUST_CHECK; /* the record */
void space_step(struct space *s, const char *stage, enum stage_state state);
enum err space_interrupted(struct space *s, struct why *why);

/* The object that a name stands for; "" when there is none. */
enum err space_object(struct git *g, const char *name, char ret[72], struct why *why) MUST_CHECK;

/* space_pack.c: the guest's .git, made in `dir`. */
struct guest_git {
	char dir[GIT_PATH_BYTES];
	struct buf refs; /* HEAD and packed-refs, as one text: whether anything moved */
	const char **tips; /* objects whose history goes along */
	uint32_t tips_n;
	bool same_refs, same_index; /* as they were sent */
};
enum err guest_git_make(struct space *s, struct guest_git *gg, bool fresh, struct why *why)
	MUST_CHECK;
void guest_git_done(struct guest_git *gg);

/*
 * space_base.c: an index and a tree object of what is sent; the index has a new name until kept.
 * Unless `whole` the index that was kept before is changed by what differs from what was sent.
 */
enum err space_base_make(struct space *s, const struct plan *p, bool whole, char tree[72],
	struct why *why) MUST_CHECK;
/* Brings g's index to what lies in its working tree, of the NUL-ended names. */
enum err space_put_changes(struct space *s, struct git *g, const struct buf *names,
	struct why *why) MUST_CHECK;
enum err space_tree(struct git *g, char ret[72], struct why *why) MUST_CHECK; /* of its index */
enum err space_base_keep(struct space *s, struct why *why) MUST_CHECK;

/* space_stream.c */
enum err space_send(struct space *s, const char *path, bool fresh, struct plan *sent,
	const struct tree_choice *v, size_t n, int top, struct buf *head,
	struct why *why) MUST_CHECK;
/* One file that is open, under the name that the place tells. Takes over *fd. */
enum err space_put_file(struct cli *c, struct interrupts *i, const char *vm,
	const struct space_place *place, int *fd, struct why *why) MUST_CHECK;
/* What is there now. */
enum err space_survey(struct space *s, const char *path, struct plan *ret,
	struct why *why) MUST_CHECK;
/* Some files, made beneath the directory `to` of this host. */
enum err space_fetch(struct space *s, const char *path, const char *const *paths, size_t n, int to,
	struct why *why) MUST_CHECK;

/* space_prepare.c */
struct prepare {
	struct cli *c;
	struct interrupts *interrupts;
	const char *vm, *path, *dest;
	bool clean, dry_run, force, alternates;
	bool told; /* untracked files were shown already, or shall not be */
	struct space_prepared said;
	char where[GIT_PATH_BYTES]; /* the guest's directory */
};
enum err space_prepare(struct prepare *p, struct why *why) MUST_CHECK;

#endif
