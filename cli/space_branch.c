/*
 * space_branch.c - the guest's work as a patch, or as a branch of the user's repository.
 *
 * Commits and trees are made in a store of ours. Into the repository they come as one pack, whose
 * objects are checked on the way; then the branch's file is written, and nothing else of it.
 */
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "cli/space_apply.h"

enum { REF_BYTES = 256 };

enum err space_patch(struct look *k, int fd, struct why *why)
{
	struct git_call call = { .args = GIT_ARGS("diff-tree", "-p", "-r", "--binary",
					 "--full-index", "--no-renames", "--no-ext-diff",
					 "--no-textconv", k->s->record.tree, k->tree),
		.out_fd = fd };
	enum err e = git_call(&k->s->git, &call, why);

	return e || call.code == 0 ? e : fail(why, ERR_internal, "git made no patch");
}

static enum err commit(
	struct look *k, const char *tree, char parent[72], const char *message, struct why *why)
{
	own_buf said = { .max = 4 * KiB };
	struct git *g = &k->s->git;
	enum err e = parent[0] ?
			     git_do(g, GIT_ARGS("commit-tree", tree, "-p", parent, "-m", message),
				     NO_BYTES, &said, why) :
			     git_do(g, GIT_ARGS("commit-tree", tree, "-m", message), NO_BYTES,
				     &said, why);

	if (!e && said.n)
		said.n--;
	if (!e && (said.n < 40 || !str_copy(parent, 72, buf_cstr(&said))))
		e = fail(why, ERR_internal, "git made no commit");
	return e;
}

static enum err tree_of(struct look *k, const char *commit_id, char ret[72], struct why *why)
{
	ret[0] = '\0';
	return commit_id[0] ? space_object(&k->s->git,
				      arena_fmt(&k->s->c->mem, "%s^{tree}", commit_id), ret, why) :
			      OK;
}

/* The guest's commits, and one more for what it did not commit. */
static enum err make_tip(struct look *k, char tip[72], struct why *why)
{
	const struct space_record *r = &k->s->record;
	char tree[72], message[256];
	enum err e;

	str_copy(tip, 72, k->has_commits ? k->head : r->head ? r->head : "");
	e = tree_of(k, tip, tree, why);
	if (!e && !k->has_commits && !str_eq(tree, r->tree) && !str_eq(k->tree, r->tree)) {
		snprintf(
			message, sizeof(message), "Uncommitted work, as it went to %s", k->s->name);
		e = commit(k, r->tree, tip, message, why);
		str_copy(tree, sizeof(tree), r->tree);
	}
	if (!e && !k->has_commits && str_eq(k->tree, r->tree)) {
		tip[0] = '\0'; /* it did nothing */
	} else if (!e && !str_eq(tree, k->tree)) {
		snprintf(message, sizeof(message), "Work of %s", k->s->name);
		e = commit(k, k->tree, tip, message, why);
	}
	return e;
}

static enum err move_objects(struct look *k, const char *tip, struct why *why)
{
	struct git to = k->s->git;
	own_buf wants = { .max = 4 * KiB };
	own_buf said = { .max = 64 * KiB };
	enum err e = repo_path(to.objects, k->s->repo.common, "objects", why);

	buf_fmt(&wants, "%s\n", tip);
	if (k->s->record.head)
		buf_fmt(&wants, "^%s\n", k->s->record.head);
	if (e)
		return e;
	return git_pipe(&k->s->git,
		GIT_ARGS("pack-objects", "--revs", "--stdout", "--delta-base-offset", "-q"),
		buf_bytes(&wants), &to, GIT_ARGS("index-pack", "--stdin", "--strict", "--fix-thin"),
		&said, why);
}

static bool head_is(const char *dir, const char *ref)
{
	own_buf text = { .max = 64 * KiB };
	char path[GIT_PATH_BYTES], want[REF_BYTES];
	bool there;

	snprintf(want, sizeof(want), "ref: %s\n", ref);
	return !repo_path(path, dir, "HEAD", NULL) && !repo_read(path, &text, &there, NULL) &&
	       str_eq(buf_cstr(&text), want);
}

/* In the main working tree, or in another one. */
static bool is_checked_out(const struct repo *r, const char *ref)
{
	char path[GIT_PATH_BYTES], dir[GIT_PATH_BYTES];
	bool found = head_is(r->common, ref) || head_is(r->dir, ref);
	struct dirent *e;

	if (!found && !repo_path(path, r->common, "worktrees", NULL)) {
		own_dir d = opendir(path);

		while (d && !found && (e = readdir(d)) != NULL)
			found = e->d_name[0] != '.' && !repo_path(dir, path, e->d_name, NULL) &&
				head_is(dir, ref);
	}
	return found;
}

static enum err may_move(
	struct look *k, const char *ref, const char *tip, bool force, char old[72], struct why *why)
{
	struct git_call call = { .args = GIT_ARGS("merge-base", "--is-ancestor", old, tip) };
	enum err e = space_object(&k->s->git, ref, old, why);

	if (!e && is_checked_out(&k->s->repo, ref))
		return fail_field(why, ERR_conflict, "branch", "%s is checked out", ref + 11);
	if (e || !old[0] || force || str_eq(old, tip))
		return e;
	e = git_call(&k->s->git, &call, why);
	if (e || call.code == 0)
		return e;
	fail_field(why, ERR_exists, "branch", "%s is there, and is no part of this", ref + 11);
	return fail_hint(why, "--force writes over it");
}

static int enter(int dir, const char *name)
{
	if (mkdirat(dir, name, 0755) < 0 && errno != EEXIST)
		return -1;
	return openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* As git does it: a lock that only one can make, renamed over the old one. */
static enum err write_ref(const struct repo *r, const char *name, const char *tip, struct why *why)
{
	own_fd top = open(r->common, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	own_fd refs = enter(top, "refs");
	own_fd heads = enter(refs, "heads");
	own_fd ours = enter(heads, "banger");
	char lock[REF_BYTES], line[REF_BYTES];
	own_fd fd = -1;
	int n = snprintf(line, sizeof(line), "%s\n", tip);

	if (ours < 0)
		return fail_errno(why, "cannot make refs/heads/banger");
	snprintf(lock, sizeof(lock), "%s.lock", name);
	fd = openat(ours, lock, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0)
		return fail_errno(why, "cannot lock the branch");
	if (write(fd, line, (size_t)n) == n && fsync(fd) == 0 &&
		renameat(ours, lock, ours, name) == 0)
		return OK;
	fail_errno(why, "cannot write the branch");
	(void)unlinkat(ours, lock, 0);
	return why ? why->code : ERR_internal;
}

enum err space_branch(
	struct look *k, bool force, char branch[128], char ret_commit[72], struct why *why)
{
	char ref[160], old[72];
	enum err e = make_tip(k, ret_commit, why);

	snprintf(branch, 128, "banger/%s", k->s->name);
	snprintf(ref, sizeof(ref), "refs/heads/%s", branch);
	if (e || !ret_commit[0])
		return e;
	e = may_move(k, ref, ret_commit, force, old, why);
	if (!e)
		e = move_objects(k, ret_commit, why);
	return e ? e : write_ref(&k->s->repo, k->s->name, ret_commit, why);
}
