/*
 * space_base.c - what is sent, as a tree object: that is what the guest's changes are told against.
 *
 * New objects go to a store beside the machine's files, never to the repository. Filters do not
 * run: a file is what lies in the working tree, but for line ends, which git does by itself.
 */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "cli/space.h"

/* Names of files that the index does not know as they are. */
static enum err ask_changed(struct git *g, struct buf *names, struct why *why)
{
	return git_do(g,
		GIT_ARGS("diff-files", "-z", "--name-only", "--no-ext-diff",
			"--ignore-submodules=all"),
		NO_BYTES, names, why);
}

/* The same, told by what was sent before: cheaper. */
static void tell_changed(const struct space *s, const struct plan *p, struct buf *names)
{
	for (size_t i = 0; i < p->n; i++)
		if (!p->v[i].same)
			buf_add(names, p->v[i].path, strlen(p->v[i].path) + 1);
	for (size_t i = 0; i < s->base.n; i++) {
		const char *path = s->base.v[i].path;

		if (strncmp(path, ".git/", 5) != 0 && !plan_find(p, path))
			buf_add(names, path, strlen(path) + 1);
	}
}

/* Splits names by whether a file is there, reached through no link. */
static enum err sort_out(struct space *s, const struct buf *names, struct buf *add,
	struct buf *removed, struct why *why)
{
	own_fd top = open(s->git.work, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	static const char zeros[] =
		"0000000000000000000000000000000000000000000000000000000000000000";
	char name[AT_NAME_BYTES];
	struct stat st;
	const char *path;
	size_t at = 0;

	if (top < 0)
		return fail_errno(why, "cannot open %.200s", s->git.work);
	while ((path = next_item(names, &at)) != NULL) {
		own_fd dir = at_parent(top, path, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS, name);

		if (dir >= 0 && fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
			(S_ISREG(st.st_mode) || S_ISLNK(st.st_mode))) {
			buf_add(add, path, strlen(path) + 1);
		} else {
			buf_fmt(removed, "0 %.*s\t", s->repo.sha256 ? 64 : 40, zeros);
			buf_add(removed, path, strlen(path) + 1);
		}
	}
	return add->failed || removed->failed ?
		       fail(why, ERR_too_large, "too many files have changed") :
		       OK;
}

enum err space_put_changes(
	struct space *s, struct git *g, const struct buf *names, struct why *why)
{
	own_buf add = { .max = GIT_OUT_MAX };
	own_buf removed = { .max = GIT_OUT_MAX };
	enum err e = sort_out(s, names, &add, &removed, why);

	if (!e && removed.n)
		e = git_do(g, GIT_ARGS("update-index", "-z", "--index-info"), buf_bytes(&removed),
			NULL, why);
	if (!e && add.n)
		e = git_do(g, GIT_ARGS("update-index", "-z", "--add", "--replace", "--stdin"),
			buf_bytes(&add), NULL, why);
	return e;
}

enum err space_tree(struct git *g, char ret[72], struct why *why)
{
	own_buf said = { .max = 4 * KiB };
	enum err e = git_do(g, GIT_ARGS("write-tree", "--missing-ok"), NO_BYTES, &said, why);

	if (!e && said.n)
		said.n--;
	if (!e && (said.n < 40 || said.n > 64 || !str_copy(ret, 72, buf_cstr(&said))))
		e = fail(why, ERR_internal, "git wrote no tree");
	return e;
}

enum err space_base_make(
	struct space *s, const struct plan *p, bool whole, char tree[72], struct why *why)
{
	own_buf names = { .max = GIT_OUT_MAX };
	struct git g = s->git;
	char from[GIT_PATH_BYTES];
	bool there;
	enum err e = !whole     ? space_path(s, "base-index", from, why) :
		     g.index[0] ? repo_path(from, "/", g.index, why) :
				  repo_path(from, g.dir, "index", why);

	if (!e)
		e = space_path(s, "base-index.new", g.index, why);
	(void)unlink(g.index);
	if (!e)
		e = repo_copy_file(from, g.index, INDEX_BYTES_MAX, &there, why);
	if (!e && whole)
		e = ask_changed(&g, &names, why);
	for (uint32_t i = 0; !e && whole && i < p->untracked_n; i++)
		buf_add(&names, p->untracked[i], strlen(p->untracked[i]) + 1);
	if (!e && !whole)
		tell_changed(s, p, &names);
	if (!e && names.failed)
		e = fail(why, ERR_too_large, "too many files have changed");
	if (!e)
		e = space_put_changes(s, &g, &names, why);
	return e ? e : space_tree(&g, tree, why);
}

enum err space_base_keep(struct space *s, struct why *why)
{
	char from[GIT_PATH_BYTES], to[GIT_PATH_BYTES];
	enum err e = space_path(s, "base-index.new", from, why);

	if (!e)
		e = space_path(s, "base-index", to, why);
	/* an empty repository has no index */
	if (!e && rename(from, to) < 0 && errno != ENOENT)
		e = fail_errno(why, "cannot keep the index of what was sent");
	return e;
}
