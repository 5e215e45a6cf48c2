/*
 * plan.c - lists of files: what git says is there, and what was sent before.
 *
 * Names are bytes, in any encoding and with any byte but NUL and slash. What git calls tracked goes
 * along as it lies there; what it does not, goes when nothing says that it should stay.
 */
#include "cli/plan.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/secrets.h"
#include "proto/check.h"
#include "tree/frame.h"

enum { SAVE_MAX = 1024 * 1048576, READ_BYTES = 65536 };

void plan_init(struct plan *p)
{
	*p = (struct plan){ .v = NULL };
	arena_init(&p->mem, 1024 * MiB);
	p->mem.block = 256 * KiB;
}

void plan_done(struct plan *p)
{
	free(p->v);
	free(p->untracked);
	free(p->withheld);
	free(p->modules);
	arena_done(&p->mem);
}

const char *next_item(const struct buf *b, size_t *at)
{
	const char *s = (const char *)b->p + *at;
	const char *end = *at < b->n ? memchr(s, 0, b->n - *at) : NULL;

	if (!end)
		return NULL;
	*at += (size_t)(end - s) + 1;
	return s;
}

static struct plan_file *add(struct plan *p, const char *path, struct why *why)
{
	struct plan_file *f;

	if (p->n == p->cap && p->n < PLAN_FILES_MAX) {
		size_t cap = p->cap ? 2 * p->cap : 1024;
		struct plan_file *more = realloc(p->v, cap * sizeof(*more));

		if (more) {
			p->v = more;
			p->cap = cap;
		}
	}
	if (p->n == PLAN_FILES_MAX) {
		fail(why, ERR_too_large, "there are more than %d files", PLAN_FILES_MAX);
		return NULL;
	}
	path = p->n < p->cap ? arena_str(&p->mem, path) : NULL;
	if (!path) {
		fail(why, ERR_no_memory, "no memory for a list of files");
		return NULL;
	}
	f = &p->v[p->n++];
	*f = (struct plan_file){ .path = path };
	return f;
}

static enum err tell(const char ***list, uint32_t *n, const char *path, struct why *why)
{
	const char **more = *list;

	if ((*n & (*n - 1)) == 0)
		more = realloc(more, (*n ? 2 * (size_t)*n : 1) * sizeof(*more));
	if (!more)
		return fail(why, ERR_no_memory, "no memory for a list of files");
	*list = more;
	more[(*n)++] = path;
	return OK;
}

static int by_path(const void *a, const void *b)
{
	return tree_path_order(
		((const struct plan_file *)a)->path, ((const struct plan_file *)b)->path);
}

void plan_sort(struct plan *p)
{
	size_t kept = 0;

	if (p->n == 0)
		return;
	qsort(p->v, p->n, sizeof(*p->v), by_path);
	for (size_t i = 1; i < p->n; i++)
		if (!str_eq(p->v[i].path, p->v[kept].path))
			p->v[++kept] = p->v[i];
	p->n = kept + 1;
}

struct plan_file *plan_find(const struct plan *p, const char *path)
{
	struct plan_file key = { .path = path };

	return p->n ? bsearch(&key, p->v, p->n, sizeof(*p->v), by_path) : NULL;
}

bool plan_same(const struct plan_file *a, const struct plan_file *b)
{
	/* of a link only what it says matters, which its time stands for */
	return a->kind == b->kind && a->mtime_ns == b->mtime_ns &&
	       (a->kind != tree_kind_file ||
		       (a->size == b->size && (a->mode & 0777) == (b->mode & 0777)));
}

/* ---- what git says ---- */

static void look(int top, struct plan_file *f)
{
	struct stat st;

	f->there = fstatat(top, f->path, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		   (S_ISREG(st.st_mode) || S_ISLNK(st.st_mode));
	if (!f->there)
		return;
	f->kind = S_ISLNK(st.st_mode) ? tree_kind_symlink : tree_kind_file;
	f->mode = st.st_mode & 07777;
	f->size = S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0;
	f->mtime_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
}

/* MODE SP OBJECT SP STAGE TAB PATH */
static enum err take_tracked(struct plan *p, int top, const struct buf *said, struct why *why)
{
	size_t at = 0;
	const char *item, *tab;
	struct plan_file *f;

	while ((item = next_item(said, &at)) != NULL) {
		tab = strchr(item, '\t');
		if (!tab || check_rel_path(tab + 1, strlen(tab + 1)))
			return fail(why, ERR_invalid_value, "the index names a bad path");
		if (strncmp(item, "160000 ", 7) == 0) {
			const char *path = arena_str(&p->mem, tab + 1);

			if (!path || tell(&p->modules, &p->modules_n, path, why))
				return fail(why, ERR_no_memory, "no memory for a list of files");
			continue;
		}
		f = add(p, tab + 1, why);
		if (!f)
			return why ? why->code : ERR_no_memory;
		look(top, f);
	}
	return OK;
}

static bool begins_secret(int top, const char *path)
{
	uint8_t head[SECRET_HEAD_BYTES];
	own_fd fd = at_open(
		top, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
	ssize_t n = fd < 0 ? 0 : read(fd, head, sizeof(head));

	return n > 0 && secret_content(head, (size_t)n);
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Sorted items of what git says, for looking up. */
static enum err items_of(const struct buf *said, const char ***ret, size_t *ret_n, struct why *why)
{
	size_t at = 0, n = 0;
	const char *item;

	*ret_n = 0;
	while (next_item(said, &at))
		n++;
	*ret = calloc(n + 1, sizeof(**ret));
	if (!*ret)
		return fail(why, ERR_no_memory, "no memory for a list of files");
	for (at = 0; (item = next_item(said, &at)) != NULL;)
		(*ret)[(*ret_n)++] = item;
	qsort(*ret, *ret_n, sizeof(**ret), by_text);
	return OK;
}

static enum err take_untracked(
	struct plan *p, int top, const struct buf *said, const struct buf *banned, struct why *why)
{
	own_mem const char **stay = NULL;
	size_t at = 0, stay_n;
	const char *item;
	enum err e = items_of(banned, &stay, &stay_n, why);

	while (!e && (item = next_item(said, &at)) != NULL) {
		struct plan_file probe = { .path = item }, *f;
		bool withheld;

		if (check_rel_path(item, strlen(item)) || /* dir/: a repository inside */
			(stay_n && bsearch(&item, stay, stay_n, sizeof(*stay), by_text)))
			continue;
		look(top, &probe);
		if (!probe.there)
			continue;
		withheld = secret_path(item) ||
			   (probe.kind == tree_kind_file && begins_secret(top, item));
		if (withheld) {
			const char *path = arena_str(&p->mem, item);

			e = path ? tell(&p->withheld, &p->withheld_n, path, why) :
				   fail(why, ERR_no_memory, "no memory for a list of files");
			continue;
		}
		f = add(p, item, why);
		e = f ? tell(&p->untracked, &p->untracked_n, f->path, why) : ERR_no_memory;
		if (!e) {
			probe.path = f->path;
			probe.untracked = true;
			*f = probe;
		}
	}
	return e;
}

/* .bangerignore: a file of the repository's top, with git's own patterns. */
static enum err ask_banned(struct git *g, int top, struct buf *ret, struct why *why)
{
	struct stat st;

	if (fstatat(top, ".bangerignore", &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
		return OK;
	return git_do(g,
		GIT_ARGS("ls-files", "-z", "--others", "--ignored", "--exclude-from=.bangerignore"),
		NO_BYTES, ret, why);
}

enum err plan_make(struct plan *p, struct git *g, bool clean, struct why *why)
{
	own_buf tracked = { .max = GIT_OUT_MAX };
	own_buf others = { .max = GIT_OUT_MAX };
	own_buf banned = { .max = GIT_OUT_MAX };
	own_fd top = open(g->work, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	enum err e = OK;

	if (top < 0)
		return fail_errno(why, "cannot open %.200s", g->work);
	e = git_do(g, GIT_ARGS("ls-files", "-z", "--stage"), NO_BYTES, &tracked, why);
	if (!e)
		e = take_tracked(p, top, &tracked, why);
	if (!e && !clean)
		e = ask_banned(g, top, &banned, why);
	if (!e && !clean)
		e = git_do(g, GIT_ARGS("ls-files", "-z", "--others", "--exclude-standard"),
			NO_BYTES, &others, why);
	if (!e)
		e = take_untracked(p, top, &others, &banned, why);
	plan_sort(p);
	for (size_t i = 0; i < p->n; i++)
		p->bytes += p->v[i].there ? p->v[i].size : 0;
	return e;
}

/* ---- what was sent ---- */

enum err plan_add(struct plan *p, const struct tree_entry *e, struct why *why)
{
	struct plan_file *f = add(p, e->path, why);

	if (!f)
		return why ? why->code : ERR_no_memory;
	f->kind = e->kind;
	f->mode = e->mode;
	f->mtime_ns = e->mtime_ns;
	f->size = e->size;
	f->there = true;
	return OK;
}

static enum err load_entry(void *ctx, const struct tree_entry *e, struct why *why)
{
	return plan_add(ctx, e, why);
}

enum err plan_load(struct plan *p, const char *file, bool *there, struct why *why)
{
	own_fd fd = open(file, O_RDONLY | O_CLOEXEC);
	uint8_t chunk[READ_BYTES];
	struct tree_reader *r = NULL;
	ssize_t n = 1;
	enum err e;

	*there = fd >= 0;
	if (fd < 0)
		return errno == ENOENT ? OK : fail_errno(why, "cannot read %.200s", file);
	e = tree_reader_new(load_entry, p, &r, why);
	while (!e && (n = read(fd, chunk, sizeof(chunk))) > 0)
		e = tree_reader_feed(r, chunk, (size_t)n, why);
	if (!e && (n < 0 || !tree_reader_ended(r)))
		e = fail(why, ERR_internal, "%.200s is incomplete", file);
	tree_reader_free(r);
	plan_sort(p);
	return e;
}

static enum err pack(const struct plan_file *f, const char *path, struct buf *out, struct why *why)
{
	struct tree_entry e = { .path = path, .kind = f ? f->kind : tree_kind_dir };

	if (f) {
		e.mode = f->mode;
		e.mtime_ns = f->mtime_ns;
		e.size = f->size;
		e.link = f->kind == tree_kind_symlink ? "-" : NULL;
	}
	return tree_frame_pack(out, LETTER_tree_entry, &e, why);
}

enum err plan_save(const struct plan *p, const char *file, struct why *why)
{
	own_buf out = { .max = SAVE_MAX };
	char temp[GIT_PATH_BYTES];
	struct nothing end;
	enum err e = pack(NULL, ".", &out, why);

	for (size_t i = 0; !e && i < p->n; i++)
		if (p->v[i].there)
			e = pack(&p->v[i], p->v[i].path, &out, why);
	if (!e)
		e = tree_frame_pack(&out, LETTER_tree_end, &end, why);
	if (!e && (out.failed ||
			  (size_t)snprintf(temp, sizeof(temp), "%s.new", file) >= sizeof(temp)))
		e = fail(why, ERR_too_large, "the list of files is too long");
	if (e)
		return e;
	(void)unlink(temp);
	e = repo_write("/", temp, buf_bytes(&out), why);
	if (!e && rename(temp, file) < 0)
		e = fail_errno(why, "cannot write %.200s", file);
	return e;
}
