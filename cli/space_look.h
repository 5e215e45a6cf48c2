/*
 * cli/space_look.h - the guest's side of a workspace, as objects that were checked.
 */
#ifndef CLI_SPACE_LOOK_H
#define CLI_SPACE_LOOK_H

#include "cli/space.h"
#include "cli/space_paths.h"

struct look {
	struct space *s;
	struct git git; /* works on `work` with the guest's index */
	char work[GIT_PATH_BYTES]; /* the guest's changed files */
	int dir; /* the same */
	struct plan now; /* what the guest has */
	struct buf names, removed; /* NUL-ended: new or changed, and gone */
	struct buf modules; /* submodules of what was sent */
	char tree[72]; /* of all its files */
	char head[72]; /* what its HEAD names, "" when nothing */
	bool has_commits; /* that is not what was sent */
};

void look_init(struct look *k, struct space *s);
void look_done(struct look *k);
enum err look_files(struct look *k, struct why *why) MUST_CHECK;
enum err look_commits(struct look *k, struct why *why) MUST_CHECK; /* after look_files */
enum err look_count(struct look *k, uint64_t *ret, struct why *why) MUST_CHECK;

#endif
