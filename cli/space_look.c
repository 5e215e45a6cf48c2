/*
 * space_look.c - what the guest made of a workspace: its files and its commits, brought here as
 * objects of a store of our own.
 *
 * The guest is hostile. Its list of files is compared with what was sent; what differs is fetched
 * into a directory of ours, where git makes objects of it under a configuration of ours. Names that
 * git would not take (.git in any spelling, dots) are passed over. Its commits are copied as files
 * whose names say what they are, packed anew and checked, object by object, before anything is told
 * to be there.
 */
#include "cli/space_look.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"

enum { FILE_BYTES_MAX_GIB = 4, ALL_BYTES_MAX_GIB = 16, REF_BYTES = 256 };

void look_init(struct look *k, struct space *s)
{
	*k = (struct look){ .s = s, .dir = -1 };
	plan_init(&k->now);
	buf_init(&k->names, GIT_OUT_MAX);
	buf_init(&k->removed, GIT_OUT_MAX);
	buf_init(&k->modules, GIT_OUT_MAX);
}

void look_done(struct look *k)
{
	plan_done(&k->now);
	buf_done(&k->names);
	buf_done(&k->removed);
	buf_done(&k->modules);
	fd_done(&k->dir);
}

static enum err add_name(struct buf *b, const char *path, struct why *why)
{
	buf_add(b, path, strlen(path) + 1);
	return b->failed ? fail(why, ERR_too_large, "too many files have changed") : OK;
}

/* New files that the repository ignores (in the guest's own words) are not the guest's work. */
static enum err drop_ignored(struct look *k, struct git *g, struct buf *fresh, struct why *why)
{
	own_buf said = { .max = GIT_OUT_MAX };
	own_buf asked = { .max = GIT_OUT_MAX };
	struct git_call call = { .args = GIT_ARGS("check-ignore", "-z", "--stdin", "--no-index"),
		.out = &said };
	const char *path, *ignored;
	size_t at = 0, said_at = 0;
	enum err e;

	/* with ./ no name is taken for a pattern */
	while ((path = next_item(fresh, &at)) != NULL) {
		buf_str(&asked, "./");
		buf_add(&asked, path, strlen(path) + 1);
	}
	if (asked.failed)
		return fail(why, ERR_too_large, "too many files have changed");
	if (asked.n == 0)
		return OK;
	call.in = buf_bytes(&asked);
	e = git_call(g, &call, why);
	/* both lists are in one order */
	ignored = next_item(&said, &said_at);
	for (at = 0; !e && (path = next_item(fresh, &at)) != NULL;) {
		if (ignored && str_eq(path, ignored + 2))
			ignored = next_item(&said, &said_at);
		else
			e = add_name(&k->names, path, why);
	}
	return e;
}

/* Beneath a submodule, whose files are its own repository's. */
static bool in_module(const struct look *k, const char *path)
{
	const char *module;
	size_t at = 0;

	while ((module = next_item(&k->modules, &at)) != NULL) {
		size_t n = strlen(module);

		if (strncmp(path, module, n) == 0 && (path[n] == '/' || !path[n]))
			return true;
	}
	return false;
}

/* Every file that is not as it was sent; and of those that are new, which are rules themselves. */
static enum err compare(struct look *k, struct buf *fresh, struct buf *rules, struct why *why)
{
	uint64_t bytes = 0;
	enum err e = OK;

	for (size_t i = 0; !e && i < k->now.n; i++) {
		const struct plan_file *f = &k->now.v[i], *was = plan_find(&k->s->base, f->path);
		const char *name = strrchr(f->path, '/');

		if (f->kind == tree_kind_dir || !look_path_ok(f->path) || in_module(k, f->path) ||
			(was && plan_same(f, was)))
			continue;
		name = name ? name + 1 : f->path;
		bytes += f->size;
		if (f->size > FILE_BYTES_MAX_GIB * GiB || bytes > ALL_BYTES_MAX_GIB * GiB)
			return fail_field(
				why, ERR_too_large, "path", "%.200s is too large", f->path);
		e = add_name(was ? &k->names : fresh, f->path, why);
		if (!e && (str_eq(name, ".gitignore") || str_eq(name, ".gitattributes")))
			e = add_name(rules, f->path, why);
	}
	for (size_t i = 0; !e && i < k->s->base.n; i++) {
		const struct plan_file *was = &k->s->base.v[i];
		const struct plan_file *f = plan_find(&k->now, was->path);

		if (look_path_ok(was->path) && (!f || f->kind == tree_kind_dir))
			e = add_name(&k->removed, was->path, why);
	}
	return e;
}

static int by_path(const void *a, const void *b)
{
	return tree_path_order(*(const char *const *)a, *(const char *const *)b);
}

/* Fetches what the names say into k->work. */
static enum err fetch(
	struct look *k, const struct buf *names, const char *prefix, int to, struct why *why)
{
	own_mem const char **v = NULL;
	const char *path;
	size_t at = 0, n = 0;
	char dest[GIT_PATH_BYTES];
	enum err e;

	while (next_item(names, &at))
		n++;
	if (n == 0)
		return OK;
	v = calloc(n, sizeof(*v));
	if (!v)
		return fail(why, ERR_no_memory, "no memory for a list of files");
	at = n = 0;
	while ((path = next_item(names, &at)) != NULL)
		v[n++] = path;
	qsort(v, n, sizeof(*v), by_path);
	e = repo_path(dest, k->s->record.dest, prefix, why);
	if (!prefix[0])
		str_copy(dest, sizeof(dest), k->s->record.dest);
	return e ? e : space_fetch(k->s, dest, v, n, to, why);
}

static enum err make_work(struct look *k, struct why *why)
{
	enum err e = repo_path(k->work, k->s->temp, "look", why);

	if (e)
		return e;
	if (mkdir(k->work, 0755) < 0)
		return fail_errno(why, "cannot make %.200s", k->work);
	k->dir = open(k->work, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return k->dir < 0 ? fail_errno(why, "cannot open %.200s", k->work) : OK;
}

/* The rules of the base: what is ignored, which line ends are whose; and its submodules. */
static enum err check_out_rules(struct look *k, struct git *g, struct why *why)
{
	own_buf all = { .max = GIT_OUT_MAX };
	own_buf rules = { .max = GIT_OUT_MAX };
	const char *item, *path, *name;
	size_t at = 0;
	enum err e = git_do(g, GIT_ARGS("ls-files", "-z", "--stage"), NO_BYTES, &all, why);

	while (!e && (item = next_item(&all, &at)) != NULL) {
		path = strchr(item, '\t');
		path = path ? path + 1 : item;
		name = strrchr(path, '/');
		name = name ? name + 1 : path;
		if (strncmp(item, "160000", 6) == 0)
			e = add_name(&k->modules, path, why);
		else if (str_eq(name, ".gitignore") || str_eq(name, ".gitattributes"))
			e = add_name(&rules, path, why);
	}
	if (e || rules.n == 0)
		return e;
	return git_do(
		g, GIT_ARGS("checkout-index", "-q", "-z", "--stdin"), buf_bytes(&rules), NULL, why);
}

static enum err put_files(struct look *k, struct git *g, struct why *why)
{
	own_buf gone = { .max = GIT_OUT_MAX };
	static const char zeros[] =
		"0000000000000000000000000000000000000000000000000000000000000000";
	const char *path;
	size_t at = 0;
	enum err e = OK;

	while ((path = next_item(&k->removed, &at)) != NULL) {
		buf_fmt(&gone, "0 %.*s\t", k->s->repo.sha256 ? 64 : 40, zeros);
		buf_add(&gone, path, strlen(path) + 1);
	}
	if (gone.n)
		e = git_do(g, GIT_ARGS("update-index", "-z", "--index-info"), buf_bytes(&gone),
			NULL, why);
	if (!e && k->names.n)
		e = git_do(g,
			GIT_ARGS("update-index", "-z", "--add", "--remove", "--replace", "--stdin"),
			buf_bytes(&k->names), NULL, why);
	return e;
}

enum err look_files(struct look *k, struct why *why)
{
	own_buf fresh = { .max = GIT_OUT_MAX };
	own_buf rules = { .max = GIT_OUT_MAX };
	struct git *g = &k->git;
	char from[GIT_PATH_BYTES];
	bool there;
	enum err e = make_work(k, why);

	*g = k->s->git;
	if (!e)
		e = space_path(k->s, "base-index", from, why);
	if (!e)
		e = repo_path(g->index, k->s->temp, "look-index", why);
	if (!e)
		e = repo_copy_file(from, g->index, INDEX_BYTES_MAX, &there, why);
	str_copy(g->work, sizeof(g->work), k->work);
	if (!e)
		e = check_out_rules(k, g, why);
	if (!e)
		e = space_survey(k->s, k->s->record.dest, &k->now, why);
	if (!e)
		e = compare(k, &fresh, &rules, why);
	if (!e)
		e = fetch(k, &rules, "", k->dir, why);
	if (!e)
		e = drop_ignored(k, g, &fresh, why);
	if (!e)
		e = fetch(k, &k->names, "", k->dir, why);
	if (!e)
		e = put_files(k, g, why);
	return e ? e : space_tree(g, k->tree, why);
}

/* ---- commits ---- */

/* xx/38 or 62 hex digits, or pack/pack-HEX.pack: a file of objects. */
static bool is_objects(const char *p)
{
	size_t hex = strspn(p, "0123456789abcdef");

	if (hex == 2 && p[2] == '/') {
		size_t n = strspn(p + 3, "0123456789abcdef");

		return (n == 38 || n == 62) && !p[3 + n];
	}
	if (strncmp(p, "pack/pack-", 10) != 0)
		return false;
	hex = strspn(p + 10, "0123456789abcdef");
	return (hex == 40 || hex == 64) && str_eq(p + 10 + hex, ".pack");
}

static enum err wanted_objects(struct look *k, struct buf *names, struct why *why)
{
	enum err e = OK;

	for (size_t i = 0; !e && i < k->now.n; i++) {
		const struct plan_file *f = &k->now.v[i];

		if (strncmp(f->path, ".git/", 5) != 0 || f->kind != tree_kind_file ||
			plan_find(&k->s->base, f->path))
			continue;
		if (strncmp(f->path + 5, "objects/", 8) == 0 && is_objects(f->path + 13))
			e = add_name(names, f->path + 5, why);
	}
	return e;
}

static bool is_object(const char *s)
{
	size_t n = strspn(s, "0123456789abcdef");

	return (n == 40 || n == 64) && !s[n];
}

/* A line of a small file that was fetched. */
static bool read_ref(int dir, const char *name, char ret[REF_BYTES])
{
	own_fd fd = at_open(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK,
		RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
	ssize_t n = fd < 0 ? -1 : read(fd, ret, REF_BYTES - 1);

	if (n <= 0)
		return false;
	ret[n] = '\0';
	ret[strcspn(ret, "\n")] = '\0';
	return true;
}

static bool ref_in_packed(const char *dir, const char *ref, char ret[72])
{
	own_buf text = { .max = REPO_FILE_MAX };
	char path[GIT_PATH_BYTES], *line, *rest;
	bool there, found = false;

	if (repo_path(path, dir, "packed-refs", NULL) || repo_read(path, &text, &there, NULL))
		return false;
	buf_add(&text, "", 1);
	for (rest = (char *)text.p; rest && (line = strsep(&rest, "\n")) != NULL && !found;) {
		char *name = strchr(line, ' ');

		if (!name || line[0] == '#' || line[0] == '^')
			continue;
		*name++ = '\0';
		found = str_eq(name, ref) && is_object(line) && str_copy(ret, 72, line);
	}
	return found;
}

/* What the guest's HEAD names; "" when it names nothing. */
static enum err find_head(struct look *k, const char *dir, int fd, struct why *why)
{
	own_buf names = { .max = 64 * KiB };
	char text[REF_BYTES], object[REF_BYTES];
	enum err e = add_name(&names, "HEAD", why);

	buf_add(&names, "packed-refs", 12);
	if (!e)
		e = fetch(k, &names, ".git", fd, why);
	if (e || !read_ref(fd, "HEAD", text))
		return e;
	if (is_object(text)) {
		str_copy(k->head, sizeof(k->head), text);
		return OK;
	}
	if (strncmp(text, "ref: refs/heads/", 16) != 0 || !look_path_ok(text + 5) ||
		type_ok(&type_rel_path, "ref", text + 5, NULL))
		return OK;
	names.n = 0;
	buf_add(&names, text + 5, strlen(text + 5) + 1);
	e = fetch(k, &names, ".git", fd, why);
	if (!e && read_ref(fd, text + 5, object) && is_object(object))
		str_copy(k->head, sizeof(k->head), object);
	else if (!e)
		ref_in_packed(dir, text + 5, k->head);
	return e;
}

/* Packs and loose objects of the guest become objects of ours, checked one by one. */
static enum err take_objects(struct look *k, const char *dir, struct why *why)
{
	struct git from = k->s->git;
	own_buf wants = { .max = 64 * KiB };
	own_buf said = { .max = 64 * KiB };
	char path[GIT_PATH_BYTES];
	bool there;
	enum err e = repo_path(from.objects, dir, "objects", why);

	(void)mkdir(from.objects, 0755);
	if (!e)
		e = repo_path(path, dir, "objects/info", why);
	(void)mkdir(path, 0755);
	/* what was sent is taken from here, not from the guest */
	if (!e)
		e = space_path(k->s, "objects/info/alternates", path, why);
	if (!e)
		e = repo_copy_file(path,
			arena_fmt(&k->s->c->mem, "%s/info/alternates", from.objects), 65536, &there,
			why);
	from.index[0] = '\0';
	buf_fmt(&wants, "%s\n", k->head);
	if (k->s->record.head)
		buf_fmt(&wants, "^%s\n", k->s->record.head);
	if (e)
		return e;
	return git_pipe(&from,
		GIT_ARGS("pack-objects", "--revs", "--stdout", "--delta-base-offset", "-q"),
		buf_bytes(&wants), &k->s->git,
		GIT_ARGS("index-pack", "--stdin", "--strict", "--fix-thin"), &said, why);
}

/* Packs that the guest made have no index that could be trusted. */
static enum err index_packs(
	struct look *k, const struct buf *names, const char *dir, struct why *why)
{
	struct git g = k->s->git;
	const char *name;
	size_t at = 0;
	enum err e = repo_path(g.objects, dir, "objects", why);

	while (!e && (name = next_item(names, &at)) != NULL) {
		char path[GIT_PATH_BYTES];

		if (!strstr(name, ".pack"))
			continue;
		e = repo_path(path, dir, name, why);
		if (!e)
			e = git_do(&g, GIT_ARGS("index-pack", path), NO_BYTES, NULL, why);
	}
	return e;
}

enum err look_commits(struct look *k, struct why *why)
{
	own_buf names = { .max = GIT_OUT_MAX };
	char dir[GIT_PATH_BYTES], kind[72];
	own_fd fd = -1;
	enum err e = repo_path(dir, k->s->temp, "guest-git", why);

	if (!e && mkdir(dir, 0755) < 0)
		e = fail_errno(why, "cannot make %.200s", dir);
	if (e)
		return e;
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return fail_errno(why, "cannot open %.200s", dir);
	e = find_head(k, dir, fd, why);
	if (e || !k->head[0] || (k->s->record.head && str_eq(k->head, k->s->record.head)))
		return e;
	e = wanted_objects(k, &names, why);
	if (!e)
		e = fetch(k, &names, ".git", fd, why);
	if (!e)
		e = index_packs(k, &names, dir, why);
	if (!e)
		e = take_objects(k, dir, why);
	if (e && e != ERR_cancelled)
		fail_hint(why, "the guest's history is broken, or lies");
	if (!e)
		e = space_object(
			&k->s->git, arena_fmt(&k->s->c->mem, "%s^{commit}", k->head), kind, why);
	if (!e && !str_eq(kind, k->head))
		e = fail(why, ERR_guest_failed, "the guest's HEAD names no commit");
	k->has_commits = !e;
	return e;
}

enum err look_count(struct look *k, uint64_t *ret, struct why *why)
{
	own_buf said = { .max = 4 * KiB };
	const char *range = k->s->record.head ?
				    arena_fmt(&k->s->c->mem, "%s..%s", k->s->record.head, k->head) :
				    k->head;
	enum err e;

	*ret = 0;
	if (!k->has_commits)
		return OK;
	e = git_do(&k->s->git, GIT_ARGS("rev-list", "--count", range), NO_BYTES, &said, why);
	if (!e && said.n)
		said.n--;
	return e ? e : parse_u64(buf_cstr(&said), ret, why);
}
