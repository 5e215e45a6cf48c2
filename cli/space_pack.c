/*
 * space_pack.c - the guest's .git, ready made: history as a pack with its index, refs, HEAD, the
 * index of files, and a configuration of its own. Nothing else of the user's is in it.
 *
 * Only what refs and index reach is packed: what was thrown away, stashed or is in a reflog stays.
 */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "cli/file.h"
#include "cli/space.h"

enum { TIPS_MAX = 65536 };

static enum err make_dirs(const char *dir, struct why *why)
{
	static const char *const names[] = { "", "objects", "objects/pack", "objects/info", "refs",
		"refs/heads", "refs/tags", "refs/remotes", "info" };
	char path[GIT_PATH_BYTES];
	enum err e = OK;

	for (size_t i = 0; !e && i < COUNT(names); i++) {
		e = repo_path(path, dir, names[i], why);
		if (!e && mkdir(path, 0755) < 0)
			e = fail_errno(why, "cannot make %.200s", path);
	}
	return e;
}

static enum err add_tip(struct space *s, struct guest_git *gg, const char *object, struct why *why)
{
	const char **more = gg->tips;

	if (gg->tips_n == TIPS_MAX)
		return fail(why, ERR_too_large,
			"the repository has more than %d refs and staged "
			"files",
			TIPS_MAX);
	if ((gg->tips_n & (gg->tips_n - 1)) == 0)
		more = realloc(more, (gg->tips_n ? 2 * (size_t)gg->tips_n : 1) * sizeof(*more));
	if (more)
		gg->tips = more;
	object = more ? arena_str(&s->c->mem, object) : NULL;
	if (!object)
		return fail(why, ERR_no_memory, "no memory for refs");
	gg->tips[gg->tips_n++] = object;
	return OK;
}

/* refs/remotes/NAME/HEAD and its like: a file of its own. */
static enum err write_symref(const char *dir, const char *ref, const char *to, struct why *why)
{
	own_buf text = { .max = 8 * KiB };
	char path[GIT_PATH_BYTES];
	char *slash;

	if (repo_path(path, dir, ref, why))
		return why->code;
	for (slash = path + strlen(dir) + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
		*slash = '\0';
		if (mkdir(path, 0755) < 0 && errno != EEXIST)
			return fail_errno(why, "cannot make %.200s", path);
		*slash = '/';
	}
	buf_fmt(&text, "ref: %s\n", to);
	return repo_write(dir, ref, buf_bytes(&text), why);
}

/* OBJECT SP REF SP TARGET, a line each; none of these holds a space. */
static enum err take_refs(
	struct space *s, struct guest_git *gg, struct buf *packed, struct why *why)
{
	own_buf said = { .max = REPO_FILE_MAX };
	char *line, *rest;
	enum err e = git_do(&s->git,
		GIT_ARGS("for-each-ref", "--format=%(objectname) %(refname) %(symref)",
			"refs/heads", "refs/tags", "refs/remotes"),
		NO_BYTES, &said, why);

	buf_add(&said, "", 1);
	for (rest = (char *)said.p; !e && rest && (line = strsep(&rest, "\n")) != NULL;) {
		const char *object = strsep(&line, " "), *ref = strsep(&line, " ");

		if (!object || !ref || !line)
			continue;
		e = add_tip(s, gg, object, why);
		if (!e && line[0])
			e = write_symref(gg->dir, ref, line, why);
		else if (!e)
			buf_fmt(packed, "%s %s\n", object, ref);
	}
	return e;
}

/* What a line of git's says of a file: its mode and its object. Submodules have none of ours. */
static enum err add_object(struct space *s, struct guest_git *gg, const char *mode,
	const char *object, struct why *why)
{
	size_t n = strspn(object, "0123456789abcdef");
	char copy[72];

	if (n < 40 || n > 64 || strspn(object, "0") >= n || strncmp(mode, "160000", 6) == 0)
		return OK;
	memcpy(copy, object, n);
	copy[n] = '\0';
	return add_tip(s, gg, copy, why);
}

/* What is staged and in no commit, and the sides of a merge. */
static enum err take_staged(
	struct space *s, struct guest_git *gg, const char *head, struct why *why)
{
	own_buf said = { .max = GIT_OUT_MAX };
	const char *const *args =
		head[0] ? GIT_ARGS("diff-index", "--cached", "--raw", "-z", "--no-renames",
				  "--no-abbrev", "--no-ext-diff", "--ignore-submodules=all", head) :
			  GIT_ARGS("ls-files", "-z", "--stage");
	const char *item;
	size_t at = 0;
	enum err e = git_do(&s->git, args, NO_BYTES, &said, why);

	/* :MODE MODE OBJECT OBJECT STATUS NUL PATH NUL, or MODE OBJECT STAGE TAB PATH NUL */
	while (!e && (item = next_item(&said, &at)) != NULL) {
		e = head[0] ? add_object(s, gg, git_word(item, 1), git_word(item, 3), why) :
			      add_object(s, gg, item, git_word(item, 1), why);
		if (head[0])
			(void)next_item(&said, &at);
	}
	said.n = at = 0;
	if (!e)
		e = git_do(&s->git, GIT_ARGS("ls-files", "-z", "--unmerged"), NO_BYTES, &said, why);
	while (!e && (item = next_item(&said, &at)) != NULL)
		e = add_object(s, gg, item, git_word(item, 1), why);
	return e;
}

static enum err write_config(struct space *s, const char *dir, struct why *why)
{
	own_buf text = { .max = 2 * MiB };

	/* the stamps of the index are the host's: of those, time and size hold in the guest */
	buf_fmt(&text,
		"[core]\n\trepositoryformatversion = %d\n\tbare = false\n"
		"\tlogallrefupdates = true\n",
		s->repo.sha256 ? 1 : 0);
	buf_add(&text, s->repo.settings.p, s->repo.settings.n);
	buf_str(&text, "[core]\n\ttrustctime = false\n\tcheckStat = minimal\n");
	buf_add(&text, s->repo.tracking.p, s->repo.tracking.n);
	return text.failed ? fail(why, ERR_no_memory, "no memory for a configuration") :
			     repo_write(dir, "config", buf_bytes(&text), why);
}

/* The repository's own ignored files, and the user's. */
static enum err write_exclude(struct space *s, const char *dir, struct why *why)
{
	own_buf text = { .max = FILE_BYTES_MAX };
	own_buf more = { .max = FILE_BYTES_MAX };
	char path[GIT_PATH_BYTES];
	bool there;
	enum err e = repo_path(path, s->git.dir, "info/exclude", why);

	if (!e)
		e = repo_read(path, &text, &there, why);
	if (!e && s->repo.excludes[0] && repo_read(s->repo.excludes, &more, &there, NULL) == OK &&
		there) {
		buf_str(&text, "\n");
		buf_add(&text, more.p, more.n);
	}
	return e ? e : repo_write(dir, "info/exclude", buf_bytes(&text), why);
}

/* Without what only this host's git knows of: a split index, lists of untracked files. */
static enum err write_index(struct space *s, const char *dir, struct why *why)
{
	struct git g = s->git;
	char from[GIT_PATH_BYTES];
	bool there;
	enum err e = g.index[0] ? repo_path(from, "/", g.index, why) :
				  repo_path(from, g.dir, "index", why);

	if (!e)
		e = repo_path(g.index, dir, "index", why);
	if (!e)
		e = repo_copy_file(from, g.index, INDEX_BYTES_MAX, &there, why);
	if (e || !there)
		return e;
	return git_do(&g,
		GIT_ARGS("update-index", "--no-split-index", "--no-untracked-cache",
			"--no-fsmonitor"),
		NO_BYTES, NULL, why);
}

static enum err copy_some(struct space *s, const char *dir, struct why *why)
{
	static const char *const names[] = { "HEAD", "shallow", "info/attributes",
		"info/sparse-checkout" };
	bool there;
	enum err e = OK;

	for (size_t i = 0; !e && i < COUNT(names); i++)
		e = repo_copy(s->git.dir, names[i], dir, REPO_FILE_MAX, &there, why);
	return e;
}

/* Which of the tips that the guest has are still here, to be told as known. */
static enum err known_tips(struct space *s, struct buf *wants, struct why *why)
{
	own_buf ask = { .max = REPO_FILE_MAX };
	own_buf said = { .max = REPO_FILE_MAX };
	char *line, *rest;
	enum err e;

	for (uint32_t i = 0; i < s->record.tips.n; i++)
		buf_fmt(&ask, "%s\n", s->record.tips.v[i]);
	e = git_do(&s->git, GIT_ARGS("cat-file", "--batch-check=%(objectname) %(objecttype)"),
		buf_bytes(&ask), &said, why);
	buf_add(&said, "", 1);
	for (rest = (char *)said.p; !e && rest && (line = strsep(&rest, "\n")) != NULL;)
		if (strstr(line, " commit") || strstr(line, " tag"))
			buf_fmt(wants, "^%.*s\n", (int)strcspn(line, " "), line);
	return e;
}

static bool is_known(const struct space *s, const char *tip)
{
	for (uint32_t i = 0; i < s->record.tips.n; i++)
		if (str_eq(s->record.tips.v[i], tip))
			return true;
	return false;
}

static enum err write_pack(struct space *s, struct guest_git *gg, bool fresh, struct why *why)
{
	own_buf wants = { .max = REPO_FILE_MAX };
	char path[GIT_PATH_BYTES];
	bool any = false;
	enum err e = repo_path(path, gg->dir, "objects/pack/pack", why);

	for (uint32_t i = 0; i < gg->tips_n; i++)
		if (fresh || !is_known(s, gg->tips[i])) {
			any = true;
			buf_fmt(&wants, "%s\n", gg->tips[i]);
		}
	if (e || !any)
		return e;
	if (!fresh)
		e = known_tips(s, &wants, why);
	if (!e)
		e = git_do(&s->git,
			GIT_ARGS("pack-objects", "--revs", "--delta-base-offset", "--non-empty",
				"-q", path),
			buf_bytes(&wants), NULL, why);
	if (!e || s->interrupts->first)
		return e;
	if (!s->repo.partial)
		return fail_hint(why, "`git fsck` tells whether objects are missing");
	fail(why, ERR_unsupported, "the repository is a partial clone, and lacks objects");
	return fail_hint(why, "`git fetch --refetch --no-filter` makes it whole");
}

/* Refs as text, compared with those that were sent. */
static enum err compare_refs(
	struct space *s, struct guest_git *gg, const struct buf *packed, struct why *why)
{
	own_buf before = { .max = REPO_FILE_MAX };
	char path[GIT_PATH_BYTES];
	bool there;
	enum err e = repo_path(path, gg->dir, "HEAD", why);

	if (!e)
		e = repo_read(path, &gg->refs, &there, why);
	buf_add(&gg->refs, packed->p, packed->n);
	if (!e)
		e = space_path(s, "refs", path, why);
	if (!e)
		e = repo_read(path, &before, &there, why);
	gg->same_refs = !e && there && before.n == gg->refs.n &&
			memcmp(before.p, gg->refs.p, before.n) == 0;
	return e;
}

enum err guest_git_make(struct space *s, struct guest_git *gg, bool fresh, struct why *why)
{
	own_buf packed = { .max = REPO_FILE_MAX };
	char head[72];
	enum err e;

	*gg = (struct guest_git){ .tips_n = 0 };
	buf_init(&gg->refs, REPO_FILE_MAX);
	e = repo_path(gg->dir, s->temp, "guest", why);
	if (!e)
		e = make_dirs(gg->dir, why);
	if (!e)
		e = space_object(&s->git, "HEAD^{commit}", head, why);
	if (!e)
		e = take_refs(s, gg, &packed, why);
	if (!e && head[0])
		e = add_tip(s, gg, head, why);
	if (!e)
		e = take_staged(s, gg, head, why);
	if (!e)
		e = repo_write(gg->dir, "packed-refs", buf_bytes(&packed), why);
	if (!e)
		e = copy_some(s, gg->dir, why);
	if (!e)
		e = compare_refs(s, gg, &packed, why);
	gg->same_index = s->prepared && !s->git.index[0] &&
			 s->record.index_ns == s->repo.index_ns &&
			 s->record.index_size == s->repo.index_size;
	if (!e && (fresh || !gg->same_index))
		e = write_index(s, gg->dir, why);
	if (!e && fresh)
		e = write_config(s, gg->dir, why);
	if (!e && fresh)
		e = write_exclude(s, gg->dir, why);
	return e ? e : write_pack(s, gg, fresh, why);
}

void guest_git_done(struct guest_git *gg)
{
	free(gg->tips);
	buf_done(&gg->refs);
}
