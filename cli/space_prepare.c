/*
 * space_prepare.c - puts a repository into a guest, or into one that has it what has changed since.
 *
 * All is decided and packed before the first byte is sent, and takes effect in the guest at once:
 * so whatever stops us half-way, the guest has the repository as it was, or does not have it. A
 * change of the guest's own is never written over: each file is sent with what it must look like
 * there.
 */
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/text.h"
#include "cli/file.h"
#include "cli/report.h"
#include "cli/space.h"
#include "tree/frame.h"

enum { SHOWN_MAX = 50, HEAD_BYTES_MAX = 256 * 1048576 };

#define LISTED_MAX 65536u /* as the shape has it */

struct sending {
	struct prepare *p;
	struct space s;
	struct plan plan, sent; /* what is there; what went, as it went */
	struct guest_git gg;
	struct tree_choice *v;
	size_t n, cap;
	struct buf head; /* what must hold, and what goes */
	bool fresh;
	int top, git; /* directories of the files, and of the guest's .git */
	char tree[72];
};

/* ---- what goes ---- */

static enum err choose(
	struct sending *x, const char *path, const char *at, int dir, struct why *why)
{
	if (x->n == x->cap) {
		size_t cap = x->cap ? 2 * x->cap : 1024;
		struct tree_choice *more = realloc(x->v, cap * sizeof(*more));

		if (!more)
			return fail(why, ERR_no_memory, "no memory for a list of files");
		x->v = more;
		x->cap = cap;
	}
	x->v[x->n++] = (struct tree_choice){ path, at, dir };
	return OK;
}

static int by_path(const void *a, const void *b)
{
	return tree_path_order(
		((const struct tree_choice *)a)->path, ((const struct tree_choice *)b)->path);
}

static enum err expect(
	struct sending *x, const char *path, const struct plan_file *was, struct why *why)
{
	struct tree_expect m = { .path = path };
	const struct plan_file *seen = plan_find(&x->s.seen, path);

	if (x->p->force)
		return OK;
	was = seen ? seen : was;
	if (was) {
		m.has_mtime_ns = true;
		m.mtime_ns = was->mtime_ns;
		m.has_size = was->kind == tree_kind_file;
		m.size = was->size;
	}
	return tree_frame_pack(&x->head, LETTER_tree_expect, &m, why);
}

static enum err drop(struct sending *x, const char *path, struct why *why)
{
	struct tree_drop m = { path };

	return tree_frame_pack(&x->head, LETTER_tree_drop, &m, why);
}

/* Files that are new, or not as they were sent. */
static enum err choose_files(struct sending *x, struct why *why)
{
	struct prepare *p = x->p;
	enum err e = OK;

	for (size_t i = 0; !e && i < x->plan.n; i++) {
		struct plan_file *f = &x->plan.v[i];
		const struct plan_file *was = x->fresh ? NULL : plan_find(&x->s.base, f->path);

		f->same = was && f->there && plan_same(f, was);
		if (f->same || !f->there)
			continue;
		e = choose(x, f->path, f->path, x->top, why);
		if (!e && !x->fresh)
			e = expect(x, f->path, was, why);
		p->said.files++;
		p->said.bytes += f->size;
	}
	for (size_t i = 0; !e && !x->fresh && i < x->s.base.n; i++) {
		struct plan_file *was = &x->s.base.v[i];
		const struct plan_file *f = plan_find(&x->plan, was->path);

		if (strncmp(was->path, ".git/", 5) == 0 || (f && f->there))
			continue;
		e = expect(x, was->path, was, why);
		if (!e)
			e = drop(x, was->path, why);
		was->there = false;
		p->said.removed++;
	}
	return e;
}

static enum err choose_git(struct sending *x, const char *name, struct why *why)
{
	const char *path = arena_fmt(&x->s.c->mem, ".git/%s", name);
	struct stat st;

	if (fstatat(x->git, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return OK;
	if (!path)
		return fail(why, ERR_no_memory, "no memory for a list of files");
	return choose(x, path, path + 5, x->git, why);
}

/* Every file of the guest's .git that was made here. */
static enum err on_made(void *ctx, const struct tree_entry *e, struct why *why)
{
	struct sending *x = ctx;
	bool refs = strncmp(e->path, "refs", 4) == 0;
	bool once = strncmp(e->path, "config", 6) == 0 || strncmp(e->path, "info", 4) == 0;
	bool index = str_eq(e->path, "index"), pack = strncmp(e->path, "objects/", 8) == 0;
	bool wanted = x->fresh || pack || (index && !x->gg.same_index);

	if (!wanted && !index && !once)
		wanted = !x->gg.same_refs && (!refs || e->kind != tree_kind_dir || x->p->force);
	/* a directory that is there keeps its time, by which the guest's commits are seen */
	if (!x->fresh && e->kind == tree_kind_dir && !(refs && x->p->force))
		wanted = false;
	return wanted ? choose_git(x, e->path, why) : OK;
}

static enum err list_made(struct sending *x, struct why *why)
{
	struct tree_sender *from = NULL;
	struct tree_reader *to = NULL;
	uint8_t chunk[16384];
	size_t n = 1;
	int fd = fcntl(x->git, F_DUPFD_CLOEXEC, 3);
	enum err e = fd < 0 ? fail_errno(why, "cannot list %.200s", x->gg.dir) :
			      tree_sender_new(fd, NULL, &from, why);

	if (!e)
		e = tree_reader_new(on_made, x, &to, why);
	if (from)
		tree_sender_bare(from);
	while (!e && n > 0) {
		e = tree_send(from, chunk, sizeof(chunk), &n, why);
		if (!e && n > 0)
			e = tree_reader_feed(to, chunk, n, why);
	}
	tree_sender_free(from);
	tree_reader_free(to);
	return e;
}

/* That the guest has made no commits, when what they stand on is replaced. */
static enum err guard_history(struct sending *x, struct why *why)
{
	static const char *const guards[] = { ".git/HEAD", ".git/refs/heads", ".git/refs/tags" };
	enum err e = OK;

	if (x->fresh || (x->gg.same_refs && x->gg.same_index))
		return OK;
	for (size_t i = 0; !e && i < COUNT(guards); i++) {
		const struct plan_file *was = plan_find(&x->s.base, guards[i]);

		if (was)
			e = expect(x, guards[i], was, why);
	}
	if (!e && x->p->force && !x->gg.same_refs)
		e = drop(x, ".git/refs", why);
	return e;
}

/* ---- telling ---- */

static void show(struct cli *c, const char *what, const char *const *paths, uint32_t n)
{
	if (n == 0)
		return;
	note(c, "%u %s", n, what);
	for (uint32_t i = 0; i < MIN(n, (uint32_t)SHOWN_MAX) && !c->quiet; i++)
		fprintf(stderr, "  %s\n", clean(c, paths[i]));
	if (n > SHOWN_MAX && !c->quiet)
		fprintf(stderr, "  ... and %u more\n", n - SHOWN_MAX);
}

static void tell_plan(struct sending *x)
{
	struct cli *c = x->s.c;

	if (x->p->told || c->json)
		return;
	show(c, "untracked files go along:", x->plan.untracked, x->plan.untracked_n);
	show(c, "untracked files stay, for they look like secrets:", x->plan.withheld,
		x->plan.withheld_n);
	show(c, "submodules stay (a workspace of their own takes them):", x->plan.modules,
		x->plan.modules_n);
}

static void sum_up(struct sending *x)
{
	struct space_prepared *m = &x->p->said;

	m->vm = x->s.name;
	m->source = arena_str(&x->s.c->mem, x->s.repo.top);
	m->dest = x->p->where;
	m->dry_run = x->p->dry_run;
	m->fresh = x->fresh;
	m->untracked.v = arena_take(&x->s.c->mem, (x->plan.untracked_n + 1) * sizeof(char *));
	m->withheld.v = arena_take(&x->s.c->mem, (x->plan.withheld_n + 1) * sizeof(char *));
	for (uint32_t i = 0; m->untracked.v && i < MIN(x->plan.untracked_n, LISTED_MAX); i++)
		m->untracked.v[m->untracked.n++] = arena_str(&x->s.c->mem, x->plan.untracked[i]);
	for (uint32_t i = 0; m->withheld.v && i < MIN(x->plan.withheld_n, LISTED_MAX); i++)
		m->withheld.v[m->withheld.n++] = arena_str(&x->s.c->mem, x->plan.withheld[i]);
}

/* ---- the steps ---- */

/* HEAD alone: its files are written out, and git works on those. */
static enum err take_head(struct sending *x, struct why *why)
{
	struct git *g = &x->s.git;
	char head[72];
	enum err e = space_object(g, "HEAD^{commit}", head, why);

	if (!e && !head[0])
		e = fail(why, ERR_invalid_value, "--clean needs a commit, and there is none");
	if (!e)
		e = repo_path(g->work, x->s.temp, "clean", why);
	if (!e && mkdir(g->work, 0755) < 0)
		e = fail_errno(why, "cannot make %.200s", g->work);
	if (!e)
		e = repo_path(g->index, x->s.temp, "clean-index", why);
	if (!e)
		e = git_do(g, GIT_ARGS("read-tree", head), NO_BYTES, NULL, why);
	if (!e)
		e = git_do(g, GIT_ARGS("checkout-index", "--all", "-u", "-q"), NO_BYTES, NULL, why);
	return e;
}

/* Where it goes, and whether that is the first time. */
static enum err find_place(struct sending *x, struct why *why)
{
	struct space_where body = { .vm = x->s.vm, .dest = x->p->dest };
	struct space_place place;
	struct space *s = &x->s;
	enum err e = ask(s->c, LETTER_space_where, &body, &place, why);

	if (e)
		return e;
	str_copy(x->p->where, sizeof(x->p->where), place.path);
	x->fresh = !place.there || !s->prepared;
	if (place.there && s->prepared && !str_eq(s->record.dest, place.path))
		x->fresh = true;
	if (x->fresh)
		return OK;
	if (str_eq(s->record.source, s->repo.top))
		return OK;
	fail_field(why, ERR_conflict, "path", "%.100s of %s holds %.150s", place.path, s->name,
		s->record.source);
	return fail_hint(why, "--dest names another directory");
}

/* By force what the guest changed of what it was sent is sent again, refs and index in any case. */
static enum err doubt_base(struct sending *x, struct why *why)
{
	struct space *s = &x->s;
	char refs[GIT_PATH_BYTES];
	struct plan now;
	enum err e = OK;

	if (!x->p->force || x->fresh)
		return OK;
	plan_init(&now);
	s->record.index_ns = INT64_MIN;
	if (!space_path(s, "refs", refs, NULL))
		(void)unlink(refs);
	e = space_survey(s, x->p->where, &now, why);
	for (size_t i = 0; !e && i < s->base.n; i++) {
		struct plan_file *was = &s->base.v[i];
		const struct plan_file *f = plan_find(&now, was->path);

		if (was->kind != tree_kind_dir && (!f || !plan_same(f, was)))
			was->mtime_ns = INT64_MIN;
	}
	plan_done(&now);
	return e;
}

static enum err decide(struct sending *x, struct why *why)
{
	struct space *s = &x->s;
	enum err e;

	space_step(s, "read", stage_state_begun);
	e = space_repo(s, x->p->path, x->p->alternates, why);
	if (!e)
		e = find_place(x, why);
	if (!e)
		e = doubt_base(x, why);
	if (!e && x->p->clean)
		e = take_head(x, why);
	if (!e)
		e = plan_make(&x->plan, &s->git, x->p->clean, why);
	if (!e) {
		x->top = open(s->git.work, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (x->top < 0)
			e = fail_errno(why, "cannot open %.200s", s->git.work);
	}
	if (!e)
		e = choose_files(x, why);
	space_step(s, "read", e ? stage_state_failed : stage_state_done);
	return e;
}

static enum err make_ready(struct sending *x, struct why *why)
{
	struct space *s = &x->s;
	bool whole;
	enum err e;

	space_step(s, "pack", stage_state_begun);
	e = guest_git_make(s, &x->gg, x->fresh, why);
	whole = x->fresh || !x->gg.same_index || x->p->clean || s->record.clean;
	if (!e)
		e = space_base_make(s, &x->plan, whole, x->tree, why);
	if (!e) {
		x->git = open(x->gg.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (x->git < 0)
			e = fail_errno(why, "cannot open %.200s", x->gg.dir);
	}
	if (!e)
		e = list_made(x, why);
	if (!e)
		e = guard_history(x, why);
	if (!e && x->n)
		qsort(x->v, x->n, sizeof(*x->v), by_path);
	space_step(s, "pack", e ? stage_state_failed : stage_state_done);
	return e;
}

/* What the guest has now: what it had, changed by what was sent. */
static enum err merge_base(struct sending *x, struct why *why)
{
	struct plan *sent = &x->sent;
	size_t n;
	enum err e = OK;

	plan_sort(sent);
	n = sent->n;
	for (size_t i = 0; !e && !x->fresh && i < x->s.base.n; i++) {
		const struct plan_file *f = &x->s.base.v[i];
		struct plan sorted = { .v = sent->v, .n = n };
		struct tree_entry kept = { .path = f->path,
			.kind = f->kind,
			.mode = f->mode,
			.mtime_ns = f->mtime_ns,
			.size = f->size };

		if (f->there && !plan_find(&sorted, f->path))
			e = plan_add(sent, &kept, why);
	}
	plan_sort(sent);
	return e;
}

static enum err remember(struct sending *x, struct why *why)
{
	struct space *s = &x->s;
	char path[GIT_PATH_BYTES], head[72];
	struct timespec now;
	enum err e = space_object(&s->git, "HEAD^{commit}", head, why);

	clock_gettime(CLOCK_REALTIME, &now);
	s->record = (struct space_record){ .source = s->repo.top,
		.dest = x->p->where,
		.head = head[0] ? arena_str(&s->c->mem, head) : NULL,
		.tree = x->tree,
		.prepared = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000,
		.clean = x->p->clean,
		.index_ns = s->repo.index_ns,
		.index_size = s->repo.index_size };
	s->record.tips.v = x->gg.tips;
	s->record.tips.n = x->gg.tips_n;
	x->p->said.head = s->record.head;
	if (!e)
		e = merge_base(x, why);
	if (!e)
		e = space_path(s, "base", path, why);
	if (!e)
		e = plan_save(&x->sent, path, why);
	if (!e)
		e = space_path(s, "refs", path, why);
	if (!e)
		e = file_replace(path, 0600, &x->gg.refs, why);
	if (!e)
		e = space_path(s, "seen", path, why);
	(void)unlink(path);
	if (!e)
		e = space_base_keep(s, why);
	return e ? e : space_save(s, why);
}

static enum err hand_over(struct sending *x, struct why *why)
{
	struct space *s = &x->s;
	enum err e;

	space_step(s, "send", stage_state_begun);
	e = space_send(s, x->p->where, x->fresh, &x->sent, x->v, x->n, x->top, &x->head, why);
	space_step(s, "send", e ? stage_state_failed : stage_state_done);
	if (e == ERR_exists)
		fail_hint(why, "--dest names another directory, or remove it in the guest");
	else if (e == ERR_conflict)
		fail_hint(why,
			"`banger workspace export %s` brings the guest's work back first; "
			"--force writes over it",
			s->name);
	return e ? e : remember(x, why);
}

enum err space_prepare(struct prepare *p, struct why *why)
{
	struct sending x = { .p = p, .top = -1, .git = -1 };
	uint64_t began = loop_now_ms(p->c->loop);
	enum err e;

	plan_init(&x.plan);
	plan_init(&x.sent);
	buf_init(&x.head, HEAD_BYTES_MAX);
	e = space_open(&x.s, p->c, p->interrupts, p->vm, why);
	if (!e)
		e = decide(&x, why);
	if (!e) {
		tell_plan(&x);
		sum_up(&x);
	}
	if (!e && !p->dry_run)
		e = make_ready(&x, why);
	if (!e)
		e = space_interrupted(&x.s, why);
	if (!e && !p->dry_run)
		e = hand_over(&x, why);
	p->said.ms = loop_now_ms(p->c->loop) - began;
	guest_git_done(&x.gg);
	plan_done(&x.plan);
	plan_done(&x.sent);
	buf_done(&x.head);
	free(x.v);
	fd_done(&x.top);
	fd_done(&x.git);
	space_close(&x.s);
	return e;
}
