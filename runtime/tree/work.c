/*
 * work.c - a tree that takes effect at once and whole, or not at all.
 *
 * What comes is made in a directory of its own beside the one that it is for, and moved when the
 * last letter came and all that was expected holds. So whoever stops half-way, or finds the
 * guest's own work in the way, has changed nothing.
 */
#include "tree/pick.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sys/beneath.h"
#include "tree/frame.h"

enum {
	STAY = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	PATHS_BYTES_MAX = 64 * 1048576,
	DEPTH_MAX = 512
};

#define TOP "tree" /* of what comes, in the directory of its own */

struct note {
	size_t path; /* where in `paths` */
	int64_t mtime_ns;
	uint64_t size;
	bool drop, has_mtime, has_size;
};

struct tree_work {
	int parent, dest; /* dest: -1 when fresh */
	char name[AT_NAME_BYTES], stage[AT_NAME_BYTES]; /* stage: "" when there is none */
	struct tree_maker *maker;
	struct note *notes;
	size_t notes_n, notes_cap;
	struct buf paths;
	bool made;
};

static enum err add_note(
	struct tree_work *w, const struct note *n, const char *path, struct why *why)
{
	if (w->notes_n == TREE_NOTES_MAX)
		return fail(
			why, ERR_too_large, "the tree has more than %d changes", TREE_NOTES_MAX);
	if (w->notes_n == w->notes_cap) {
		size_t cap = w->notes_cap ? 2 * w->notes_cap : 64;
		struct note *more = realloc(w->notes, cap * sizeof(*more));

		if (!more)
			return fail(why, ERR_no_memory, "no memory for the tree's changes");
		w->notes = more;
		w->notes_cap = cap;
	}
	w->notes[w->notes_n] = *n;
	w->notes[w->notes_n++].path = w->paths.n;
	buf_add(&w->paths, path, strlen(path) + 1);
	return w->paths.failed ? fail(why, ERR_no_memory, "no memory for the tree's changes") : OK;
}

static enum err on_other(void *ctx, int letter, const void *body, struct why *why)
{
	struct tree_work *w = ctx;
	struct note n = { .drop = letter == LETTER_tree_drop };
	const struct tree_expect *x = body;

	if (w->dest < 0)
		return fail(why, ERR_invalid_value, "a new tree has nothing to change");
	if (n.drop)
		return add_note(w, &n, ((const struct tree_drop *)body)->path, why);
	n.mtime_ns = x->mtime_ns;
	n.size = x->size;
	n.has_mtime = x->has_mtime_ns;
	n.has_size = x->has_size;
	return add_note(w, &n, x->path, why);
}

/* A directory that only we may enter, beside the one that it is for. */
static int new_stage(struct tree_work *w)
{
	uint64_t r;

	if (getrandom(&r, sizeof(r), 0) != sizeof(r))
		return -1;
	snprintf(w->stage, sizeof(w->stage), ".banger-%016llx", (unsigned long long)r);
	if (mkdirat(w->parent, w->stage, 0700) < 0) {
		w->stage[0] = '\0';
		return -1;
	}
	return openat(w->parent, w->stage, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* Takes over the descriptor, also when it fails. */
static DIR *list_of(int fd)
{
	DIR *d = fd < 0 ? NULL : fdopendir(fd);

	if (!d && fd >= 0)
		close(fd);
	return d;
}

static bool is_empty(int dir, const char *name)
{
	int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	own_dir d = list_of(fd);
	struct dirent *e;

	if (!d)
		return false;
	while ((e = readdir(d)) != NULL)
		if (!str_eq(e->d_name, ".") && !str_eq(e->d_name, ".."))
			return false;
	return true;
}

static enum err open_dest(struct tree_work *w, bool fresh, struct why *why)
{
	struct stat st;
	bool there = fstatat(w->parent, w->name, &st, AT_SYMLINK_NOFOLLOW) == 0;

	if (fresh && there && !is_empty(w->parent, w->name))
		return fail_field(why, ERR_exists, "path", "%.200s is there already", w->name);
	if (fresh)
		return OK;
	w->dest = openat(w->parent, w->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return w->dest < 0 ? fail_errno(why, "cannot open %.200s", w->name) : OK;
}

enum err tree_work_new(int parent, const char *name, bool fresh, const struct tree_rules *rules,
	struct tree_work **ret, struct why *why)
{
	struct tree_work *w = calloc(1, sizeof(*w));
	struct tree_rules own = *rules;
	struct tree_spot spot = { .dir = -1, .name = TOP };
	enum err e;

	if (!w)
		return fail(why, ERR_no_memory, "no memory to make a tree");
	must(strlen(name) < sizeof(w->name));
	memcpy(w->name, name, strlen(name) + 1);
	w->dest = -1;
	buf_init(&w->paths, PATHS_BYTES_MAX);
	own.whole = true;
	own.other = on_other;
	own.other_ctx = w;
	w->parent = fcntl(parent, F_DUPFD_CLOEXEC, 3);
	e = w->parent < 0 ? fail_errno(why, "cannot open the directory") : open_dest(w, fresh, why);
	if (!e) {
		spot.dir = new_stage(w);
		e = spot.dir < 0 ? fail_errno(why, "cannot make a directory beside %.200s", name) :
				   tree_maker_new(&spot, &own, &w->maker, why);
	}
	tree_spot_done(&spot);
	if (e)
		tree_work_free(w);
	else
		*ret = w;
	return e;
}

void tree_work_free(struct tree_work *w)
{
	if (!w)
		return;
	tree_maker_free(w->maker);
	if (w->stage[0])
		(void)!remove_tree(w->parent, w->stage, NULL);
	fd_done(&w->dest);
	fd_done(&w->parent);
	buf_done(&w->paths);
	free(w->notes);
	free(w);
}

bool tree_work_made(const struct tree_work *w)
{
	return w->made;
}

static const char *path_of(const struct tree_work *w, const struct note *n)
{
	return (const char *)w->paths.p + n->path;
}

static enum err changed(const char *path, struct why *why)
{
	fail_field(why, ERR_conflict, "path", "%.250s was changed in the guest", path);
	return why ? why->code : ERR_conflict;
}

/* Whether what stands in a path's way is itself removed. */
static bool way_goes(const struct tree_work *w, const char *path)
{
	for (size_t i = 0; i < w->notes_n; i++) {
		const char *drop = path_of(w, &w->notes[i]);
		size_t n = strlen(drop);

		if (w->notes[i].drop && strncmp(path, drop, n) == 0 && path[n] == '/')
			return true;
	}
	return false;
}

/* An expectation whose path is removed next. */
static bool goes(const struct tree_work *w, const struct note *n)
{
	return n + 1 < w->notes + w->notes_n && n[1].drop &&
	       str_eq(path_of(w, n), path_of(w, n + 1));
}

static enum err check_note(const struct tree_work *w, const struct note *n, struct why *why)
{
	const char *path = path_of(w, n);
	char name[AT_NAME_BYTES];
	own_fd dir = at_parent(w->dest, path, STAY, name);
	struct stat st;
	int64_t mtime;

	if (dir < 0 || fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
		if (errno != ENOENT && errno != ENOTDIR && errno != ELOOP)
			return fail_errno(why, "cannot look at %.200s", path);
		if (goes(w, n))
			return OK; /* both sides removed it */
		if (n->has_mtime || (errno != ENOENT && !way_goes(w, path)))
			return changed(path, why);
		return OK;
	}
	mtime = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
	if (!n->has_mtime || mtime != n->mtime_ns ||
		(n->has_size && (!S_ISREG(st.st_mode) || (uint64_t)st.st_size != n->size)))
		return changed(path, why);
	return OK;
}

enum err tree_remove(int dir, const char *path, struct why *why)
{
	return remove_tree(dir, path, why);
}

/* What cannot be reached is not there. Directories that a removal left empty go as well. */
static enum err drop(const struct tree_work *w, const char *path, struct why *why)
{
	char head[AT_PATH_BYTES], name[AT_NAME_BYTES];
	own_fd parent = at_parent(w->dest, path, STAY, name);
	enum err e = OK;
	char *slash;

	if (parent >= 0)
		e = remove_tree(parent, name, why);
	else if (errno != ENOENT && errno != ENOTDIR && errno != ELOOP)
		e = fail_errno(why, "cannot remove %.200s", path);
	if (e || parent < 0 || strlen(path) >= sizeof(head))
		return e;
	memcpy(head, path, strlen(path) + 1);
	while ((slash = strrchr(head, '/')) != NULL) {
		own_fd dir = -1;

		*slash = '\0';
		dir = at_parent(w->dest, head, STAY, name);
		if (dir < 0 || unlinkat(dir, name, AT_REMOVEDIR) < 0)
			break;
	}
	return OK;
}

/* Whether the path itself, or one that it lies in, is removed before anything is moved. */
static bool is_dropped(const struct tree_work *w, const char *path)
{
	for (size_t i = 0; i < w->notes_n; i++) {
		const char *gone = path_of(w, &w->notes[i]);
		size_t n = strlen(gone);

		if (w->notes[i].drop && strncmp(path, gone, n) == 0 && (path[n] == '/' || !path[n]))
			return true;
	}
	return false;
}

static enum err check_moves(const struct tree_work *w, int from, int to, const char *path,
	unsigned depth, struct why *why);

/* A file takes the place of a file, a directory that of a directory; else it is known to go. */
static enum err check_move(const struct tree_work *w, int from, int to, const char *above,
	const char *name, unsigned depth, struct why *why)
{
	char path[AT_PATH_BYTES];
	struct stat a, b;
	own_fd x = -1;
	own_fd y = -1;

	if ((size_t)snprintf(path, sizeof(path), "%s%s%s", above, above[0] ? "/" : "", name) >=
		sizeof(path))
		return fail(why, ERR_too_large, "a path of the tree is too long");
	if (fstatat(from, name, &a, AT_SYMLINK_NOFOLLOW) < 0)
		return fail_errno(why, "cannot look at %.200s", path);
	if (fstatat(to, name, &b, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? OK : fail_errno(why, "cannot look at %.200s", path);
	if (S_ISDIR(a.st_mode) != S_ISDIR(b.st_mode))
		return is_dropped(w, path) ? OK : changed(path, why);
	if (!S_ISDIR(a.st_mode))
		return OK;
	x = openat(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	y = openat(to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (x < 0 || y < 0)
		return fail_errno(why, "cannot enter %.200s", path);
	return check_moves(w, x, y, path, depth + 1, why);
}

static enum err check_moves(const struct tree_work *w, int from, int to, const char *path,
	unsigned depth, struct why *why)
{
	int fd = depth < DEPTH_MAX ? fcntl(from, F_DUPFD_CLOEXEC, 3) : -1;
	own_dir d = list_of(fd);
	struct dirent *e;
	enum err err = OK;

	if (!d)
		return fail(why, ERR_too_large, "cannot list a directory of the tree");
	while (!err && (e = readdir(d)) != NULL)
		if (!str_eq(e->d_name, ".") && !str_eq(e->d_name, ".."))
			err = check_move(w, from, to, path, e->d_name, depth, why);
	rewinddir(d); /* the place in it is shared with `from` */
	return err;
}

static enum err move_all(int from, int to, unsigned depth, struct why *why);

static enum err move(int from, int to, const char *name, unsigned depth, struct why *why)
{
	own_fd a = -1;
	own_fd b = -1;
	struct stat st;

	if (fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return fail_errno(why, "cannot look at %.200s", name);
	if (!S_ISDIR(st.st_mode))
		return renameat(from, name, to, name) < 0 ?
			       fail_errno(why, "cannot place %.200s", name) :
			       OK;
	if (renameat2(from, name, to, name, RENAME_NOREPLACE) == 0)
		return OK;
	if (errno != EEXIST)
		return fail_errno(why, "cannot place %.200s", name);
	a = openat(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	b = openat(to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (a < 0 || b < 0)
		return fail_errno(why, "cannot enter %.200s", name);
	return move_all(a, b, depth + 1, why);
}

static enum err move_all(int from, int to, unsigned depth, struct why *why)
{
	int fd = depth < DEPTH_MAX ? fcntl(from, F_DUPFD_CLOEXEC, 3) : -1;
	own_dir d = list_of(fd);
	struct dirent *e;
	enum err err = OK;

	if (!d)
		return fail(why, ERR_too_large, "cannot list a directory of the tree");
	while (!err && (e = readdir(d)) != NULL)
		if (!str_eq(e->d_name, ".") && !str_eq(e->d_name, ".."))
			err = move(from, to, e->d_name, depth, why);
	return err;
}

static enum err change(struct tree_work *w, struct why *why)
{
	own_fd stage = openat(w->parent, w->stage, O_PATH | O_DIRECTORY | O_CLOEXEC);
	own_fd top = stage < 0 ? -1 : openat(stage, TOP, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	enum err e = OK;

	if (top < 0)
		return fail_errno(why, "cannot open what came");
	for (size_t i = 0; !e && i < w->notes_n; i++)
		if (!w->notes[i].drop)
			e = check_note(w, &w->notes[i], why);
	if (!e)
		e = check_moves(w, top, w->dest, "", 0, why);
	for (size_t i = 0; !e && i < w->notes_n; i++)
		if (w->notes[i].drop)
			e = drop(w, path_of(w, &w->notes[i]), why);
	return e ? e : move_all(top, w->dest, 0, why);
}

/* An empty directory of that name gives way. */
static enum err place(struct tree_work *w, struct why *why)
{
	own_fd stage = openat(w->parent, w->stage, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (stage < 0 || renameat(stage, TOP, w->parent, w->name) < 0)
		return errno == ENOTEMPTY || errno == EEXIST || errno == ENOTDIR ?
			       fail_field(why, ERR_exists, "path", "%.200s is there already",
				       w->name) :
			       fail_errno(why, "cannot place %.200s", w->name);
	return OK;
}

enum err tree_work_feed(struct tree_work *w, const uint8_t *p, size_t n, struct why *why)
{
	enum err e = tree_feed(w->maker, p, n, why);

	if (e || !tree_made(w->maker) || w->made)
		return e;
	e = w->dest < 0 ? place(w, why) : change(w, why);
	w->made = !e;
	return e;
}
