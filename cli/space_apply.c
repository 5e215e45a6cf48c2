/*
 * space_apply.c - the guest's changes, three ways, into the user's working tree.
 *
 * Three trees are compared: what was sent, what the guest has, and what lies here now. A file
 * that is here as it was sent becomes the guest's. One that was changed and committed here since
 * is merged. One with changes of its own that are in no commit is never touched: then, as with a
 * merge that does not come out even, nothing is written at all. Index and HEAD stay as they are.
 */
#include "cli/space_apply.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"

enum {
	STAY = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	NAMED_MAX = 8,
	LINK_BYTES_MAX = 4096
};

enum fate { TAKE, REMOVE, MERGE, LEAVE };

struct change {
	const char *path, *item; /* item: :MODE MODE OBJECT OBJECT STATUS */
	enum fate fate;
};

/* Names of git's, and how far they were gone through. */
struct walk {
	struct buf list;
	size_t at;
	const char *now;
};

struct apply {
	struct look *k;
	struct git ours; /* on the user's working tree, with an index of ours */
	int top, temp; /* that tree; where files are made ready */
	char temp_path[GIT_PATH_BYTES];
	struct buf raw; /* base to the guest's */
	struct walk from_base, from_guest, from_head; /* each to ours: paths that differ */
	struct change *v;
	size_t n;
	struct buf refused;
	unsigned refused_n;
};

static enum err differing(
	struct git *g, const char *from, const char *to, struct walk *ret, struct why *why)
{
	enum err e = git_do(g,
		GIT_ARGS("diff-tree", "-r", "-z", "--name-only", "--no-renames", "--no-ext-diff",
			from, to),
		NO_BYTES, &ret->list, why);

	ret->now = e ? NULL : next_item(&ret->list, &ret->at);
	return e;
}

/* git's lists are sorted by bytes, and asked for in that order. */
static bool is_among(struct walk *w, const char *path)
{
	while (w->now && strcmp(w->now, path) < 0)
		w->now = next_item(&w->list, &w->at);
	return w->now && str_eq(w->now, path);
}

static enum err list_changes(struct apply *a, struct why *why)
{
	const char *item, *path;
	size_t at = 0, n = 0;
	enum err e = git_do(&a->k->s->git,
		GIT_ARGS("diff-tree", "-r", "-z", "--raw", "--no-abbrev", "--no-renames",
			"--no-ext-diff", a->k->s->record.tree, a->k->tree),
		NO_BYTES, &a->raw, why);

	while (!e && next_item(&a->raw, &at))
		n++;
	a->v = calloc(n / 2 + 1, sizeof(*a->v));
	if (!e && !a->v)
		e = fail(why, ERR_no_memory, "no memory for a list of changes");
	at = 0;
	while (!e && (item = next_item(&a->raw, &at)) != NULL &&
		(path = next_item(&a->raw, &at)) != NULL)
		if (strncmp(git_word(item, 1), "160000", 6) != 0 && look_path_ok(path))
			a->v[a->n++] = (struct change){ path, item, TAKE };
	return e;
}

/* What lies here now, of the files that the guest changed. */
static enum err look_here(struct apply *a, struct why *why)
{
	own_buf names = { .max = GIT_OUT_MAX };
	struct space *s = a->k->s;
	char tree[72], head[72], from[GIT_PATH_BYTES];
	bool there;
	enum err e = repo_path(from, s->git.dir, "index", why);

	a->ours = s->git;
	if (!e)
		e = repo_path(a->ours.index, s->temp, "ours-index", why);
	if (!e)
		e = repo_copy_file(from, a->ours.index, INDEX_BYTES_MAX, &there, why);
	for (size_t i = 0; i < a->n; i++)
		buf_add(&names, a->v[i].path, strlen(a->v[i].path) + 1);
	if (!e)
		e = space_put_changes(s, &a->ours, &names, why);
	if (!e && space_tree(&a->ours, tree, why)) {
		fail(why, ERR_conflict, "the index of %.200s holds a merge that is not finished",
			s->repo.top);
		e = why->code;
	}
	if (!e)
		e = space_object(&s->git, "HEAD^{tree}", head, why);
	if (!e)
		e = differing(&s->git, s->record.tree, tree, &a->from_base, why);
	if (!e)
		e = differing(&s->git, a->k->tree, tree, &a->from_guest, why);
	if (!e && head[0])
		e = differing(&s->git, head, tree, &a->from_head, why);
	return e;
}

static void refuse_path(struct apply *a, const char *path, const char *reason)
{
	if (a->refused_n++ < NAMED_MAX)
		buf_fmt(&a->refused, "%s%.60s (%s)", a->refused.n ? ", " : "", path, reason);
}

/* What would be in the way: a file or link where a directory must be, a directory where a file. */
static bool is_blocked(const struct apply *a, const char *path)
{
	char name[AT_NAME_BYTES];
	own_fd dir = at_parent(a->top, path, STAY, name);
	struct stat st;

	if (dir < 0)
		return errno != ENOENT;
	return fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISREG(st.st_mode) &&
	       !S_ISLNK(st.st_mode);
}

static enum err read_object(struct git *g, const char *object, struct buf *ret, struct why *why)
{
	char id[72];
	size_t n = strspn(object, "0123456789abcdef");

	if (n < 40 || n > 64)
		return fail(why, ERR_internal, "git named no object");
	memcpy(id, object, n);
	id[n] = '\0';
	return git_do(g, GIT_ARGS("cat-file", "blob", id), NO_BYTES, ret, why);
}

static enum err decide(struct apply *a, struct change *c, struct why *why)
{
	own_buf text = { .max = LINK_BYTES_MAX };
	const char *mode = git_word(c->item, 1);
	bool gone = strncmp(mode, "000000", 6) == 0;
	enum err e = OK;

	c->fate = gone ? REMOVE : TAKE;
	if (!is_among(&a->from_guest, c->path)) {
		c->fate = LEAVE; /* it is so already */
	} else if (is_among(&a->from_base, c->path)) {
		if (is_among(&a->from_head, c->path))
			refuse_path(a, c->path, "uncommitted changes here");
		else if (gone || strncmp(c->item + 1, "100", 3) != 0 ||
			 strncmp(mode, "100", 3) != 0)
			refuse_path(a, c->path, "changed here as well");
		c->fate = MERGE;
	} else if (is_blocked(a, c->path)) {
		refuse_path(a, c->path, "something else is there");
	}
	if (strncmp(mode, "120000", 6) == 0 && c->fate == TAKE) {
		e = read_object(&a->k->s->git, git_word(c->item, 3), &text, why);
		if (!e && (strlen(buf_cstr(&text)) != text.n ||
				  !link_stays(c->path, buf_cstr(&text))))
			refuse_path(a, c->path, "a link that leads out of the repository");
	}
	return e;
}

static enum err write_temp(
	struct apply *a, const char *name, const struct buf *content, struct why *why)
{
	char path[GIT_PATH_BYTES];
	enum err e = repo_path(path, a->k->s->temp, name, why);

	(void)unlink(path);
	return e ? e : repo_write("/", path, buf_bytes(content), why);
}

/* Both sides changed it: line by line, or not at all. */
static enum err merge(struct apply *a, struct change *c, struct why *why)
{
	own_buf base = { .max = GIT_OUT_MAX };
	own_buf theirs = { .max = GIT_OUT_MAX };
	own_buf ours = { .max = GIT_OUT_MAX };
	own_buf merged = { .max = GIT_OUT_MAX };
	struct git *g = &a->k->s->git;
	const char *dir = a->k->s->temp;
	struct git_call call = { .out = &merged };
	char here[GIT_PATH_BYTES], paths[3][GIT_PATH_BYTES];
	bool there;
	enum err e = read_object(g, git_word(c->item, 2), &base, why);

	if (!e)
		e = read_object(g, git_word(c->item, 3), &theirs, why);
	if (!e)
		e = repo_path(here, g->work, c->path, why);
	if (!e)
		e = repo_read(here, &ours, &there, why);
	if (!e)
		e = write_temp(a, "ours", &ours, why);
	if (!e)
		e = write_temp(a, "base", &base, why);
	if (!e)
		e = write_temp(a, "theirs", &theirs, why);
	for (int i = 0; !e && i < 3; i++)
		e = repo_path(paths[i], dir, (const char *[]){ "ours", "base", "theirs" }[i], why);
	call.args = GIT_ARGS("merge-file", "-p", "-q", paths[0], paths[1], paths[2]);
	if (!e && git_call(g, &call, why))
		e = a->k->s->interrupts->first ? ERR_cancelled : OK;
	if (!e && call.code != 0)
		refuse_path(a, c->path, "both sides changed the same lines");
	else if (!e && tree_remove(a->temp, c->path, NULL) == OK)
		e = repo_path(here, a->temp_path, c->path, why);
	if (!e && call.code == 0)
		e = repo_write("/", here, buf_bytes(&merged), why);
	if (!e && call.code == 0 && strncmp(git_word(c->item, 1), "100755", 6) == 0 &&
		chmod(here, 0755) < 0)
		e = fail_errno(why, "cannot set the mode of %.200s", here);
	return e;
}

/* The guest's files as they shall lie here, in a directory of ours. */
static enum err make_ready(struct apply *a, struct why *why)
{
	own_buf names = { .max = GIT_OUT_MAX };
	struct git g = a->k->git;
	enum err e = repo_path(a->temp_path, a->k->s->temp, "apply", why);

	if (!e && mkdir(a->temp_path, 0755) < 0)
		e = fail_errno(why, "cannot make %.200s", a->temp_path);
	if (e)
		return e;
	a->temp = open(a->temp_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	str_copy(g.work, sizeof(g.work), a->temp_path);
	for (size_t i = 0; i < a->n; i++)
		if (a->v[i].fate == TAKE || a->v[i].fate == MERGE)
			buf_add(&names, a->v[i].path, strlen(a->v[i].path) + 1);
	if (names.n)
		e = git_do(&g, GIT_ARGS("checkout-index", "-q", "-f", "-z", "--stdin"),
			buf_bytes(&names), NULL, why);
	for (size_t i = 0; !e && i < a->n; i++)
		if (a->v[i].fate == MERGE && !a->refused_n)
			e = merge(a, &a->v[i], why);
	return e;
}

static int by_path(const void *a, const void *b)
{
	return tree_path_order(
		((const struct tree_choice *)a)->path, ((const struct tree_choice *)b)->path);
}

static enum err carry(struct apply *a, const struct tree_choice *v, size_t n, struct why *why)
{
	struct tree_rules rules = { .own = TREE_OWN_CALLER };
	struct tree_spot spot = { .dir = -1 };
	struct tree_picker *from = NULL;
	struct tree_maker *to = NULL;
	uint8_t chunk[16384];
	size_t got = 1;
	enum err e = tree_spot_find(a->top, ".", STAY, false, &rules, &spot, why);

	if (!e)
		e = tree_maker_new(&spot, &rules, &to, why);
	if (!e)
		e = tree_picker_new(a->temp, v, n, NULL, &from, why);
	while (!e && got > 0) {
		e = tree_pick(from, chunk, sizeof(chunk), &got, why);
		if (!e && got > 0)
			e = tree_feed(to, chunk, got, why);
	}
	tree_picker_free(from);
	tree_maker_free(to);
	tree_spot_done(&spot);
	return e;
}

static void remove_file(struct apply *a, const char *path)
{
	char head[AT_PATH_BYTES], name[AT_NAME_BYTES], *slash;
	own_fd dir = at_parent(a->top, path, STAY, name);

	if (dir < 0 || unlinkat(dir, name, 0) < 0 || !str_copy(head, sizeof(head), path))
		return;
	while ((slash = strrchr(head, '/')) != NULL) {
		own_fd above = -1;

		*slash = '\0';
		above = at_parent(a->top, head, STAY, name);
		if (above < 0 || unlinkat(above, name, AT_REMOVEDIR) < 0)
			break;
	}
}

static enum err put_in_place(struct apply *a, uint64_t *ret_files, struct why *why)
{
	own_mem struct tree_choice *v = calloc(a->n + 1, sizeof(*v));
	size_t n = 0;
	enum err e = OK;

	if (!v)
		return fail(why, ERR_no_memory, "no memory for a list of files");
	for (size_t i = 0; i < a->n; i++) {
		if (a->v[i].fate == REMOVE)
			remove_file(a, a->v[i].path);
		else if (a->v[i].fate != LEAVE)
			v[n++] = (struct tree_choice){ a->v[i].path, a->v[i].path, a->temp };
		*ret_files += a->v[i].fate != LEAVE;
	}
	qsort(v, n, sizeof(*v), by_path);
	if (n)
		e = carry(a, v, n, why);
	return e;
}

/* So that the next prepare knows that the guest's version of these is here. */
static enum err remember(struct apply *a, struct why *why)
{
	struct space *s = a->k->s;
	char path[GIT_PATH_BYTES];
	struct plan seen;
	enum err e = space_path(s, "seen", path, why);

	plan_init(&seen);
	for (size_t i = 0; !e && i < a->n; i++) {
		const struct plan_file *f = plan_find(&a->k->now, a->v[i].path);
		struct tree_entry m = { .path = a->v[i].path };

		if (!f)
			continue;
		m.kind = f->kind;
		m.mode = f->mode;
		m.mtime_ns = f->mtime_ns;
		m.size = f->size;
		e = plan_add(&seen, &m, why);
	}
	plan_sort(&seen);
	if (!e)
		e = plan_save(&seen, path, why);
	plan_done(&seen);
	return e;
}

static enum err refused(struct apply *a, struct why *why)
{
	fail_field(why, ERR_conflict, "path", "nothing was applied: %.300s%s",
		buf_cstr(&a->refused), a->refused_n > NAMED_MAX ? ", ..." : "");
	return fail_hint(why, "commit or stash first, or `banger workspace export --branch %s`",
		a->k->s->name);
}

enum err space_apply(struct look *k, uint64_t *ret_files, struct why *why)
{
	struct apply a = { .k = k, .top = -1, .temp = -1 };
	enum err e;

	a.raw.max = a.from_base.list.max = a.from_guest.list.max = GIT_OUT_MAX;
	a.from_head.list.max = GIT_OUT_MAX;
	*ret_files = 0;
	a.top = open(k->s->repo.top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	e = a.top < 0 ? fail_errno(why, "cannot open %.200s", k->s->repo.top) :
			list_changes(&a, why);
	if (!e)
		e = look_here(&a, why);
	for (size_t i = 0; !e && i < a.n; i++)
		e = decide(&a, &a.v[i], why);
	if (!e && !a.refused_n)
		e = make_ready(&a, why);
	if (!e && a.refused_n)
		e = refused(&a, why);
	if (!e)
		e = space_interrupted(k->s, why);
	if (!e)
		e = put_in_place(&a, ret_files, why);
	if (!e)
		e = remember(&a, why);
	free(a.v);
	buf_done(&a.raw);
	buf_done(&a.from_base.list);
	buf_done(&a.from_guest.list);
	buf_done(&a.from_head.list);
	buf_done(&a.refused);
	fd_done(&a.top);
	fd_done(&a.temp);
	return e;
}
