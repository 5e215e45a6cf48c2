/*
 * make.c - makes a tree from letters, beneath one directory and nowhere else.
 *
 * The sender may be hostile. Each entry is made by a single name in a directory that this maker
 * opened itself, without following a link, so no path of a letter is ever resolved by the kernel
 * but that of a hard link, and that one beneath the top without links. Whatever may replace
 * something is made under a temporary name and renamed.
 */
#include "tree/tree.h"

#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/table.h"
#include "proto/check.h"
#include "tree/frame.h"

struct level { /* a directory that is being filled */
	int fd;
	size_t path_n;
	bool fresh; /* we made it: mode, owner and time are set when its content is there */
	struct tree_entry meta;
};

struct made { /* a file to which a later entry may be a hard link */
	struct link link;
	struct {
		uint64_t dev, ino;
	} key;
};

struct tree_maker {
	struct tree_spot spot;
	struct tree_rules rules;
	struct tree_frames frames;
	struct arena arena;
	struct level levels[TREE_DEPTH_MAX];
	unsigned depth;
	char path[AT_PATH_BYTES]; /* of the last entry; levels are its prefixes */
	int file; /* being written, or -1 */
	struct tree_entry meta; /* of that file */
	char name[AT_NAME_BYTES], temp[AT_NAME_BYTES]; /* "" when there is no temporary */
	uint64_t end; /* of what that file's letters have written */
	bool direct; /* it has its name already, and its mode */
	mode_t mask; /* the process's umask */
	uid_t uid; /* whose are files that we make */
	gid_t gid;
	struct table made;
	bool begun, complete;
};

enum err tree_spot_find(int dir, const char *path, uint64_t resolve, bool parents,
	const struct tree_rules *rules, struct tree_spot *ret, struct why *why)
{
	bool given = rules->own == TREE_OWN_GIVEN;
	uid_t uid = given ? rules->uid : (uid_t)-1;
	gid_t gid = given ? rules->gid : (gid_t)-1;
	char head[AT_PATH_BYTES];
	own_fd fd = at_open(dir, path, O_RDONLY | O_DIRECTORY, resolve);

	ret->name[0] = '\0';
	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR)) {
		fd = at_parent(dir, path, resolve, ret->name);
		if (fd < 0 && errno == ENOENT && parents && strlen(path) < sizeof(head)) {
			const char *last = strrchr(path, '/');
			size_t n = last ? (size_t)(last - path) : 0;

			memcpy(head, path, n);
			head[n] = '\0';
			fd = at_mkdirs(dir, n ? head : ".", resolve, uid, gid);
		}
		if (fd < 0 && errno == ENOENT) {
			fail(why, ERR_not_found, "the directory of %.200s does not exist", path);
			return fail_hint(why, "make it first, or ask for parents to be made");
		}
	}
	if (fd < 0)
		return fail_errno(why, "cannot open %.200s", path);
	ret->dir = take_fd(&fd);
	return OK;
}

void tree_spot_done(struct tree_spot *s)
{
	fd_done(&s->dir);
}

enum err tree_maker_new(struct tree_spot *spot, const struct tree_rules *rules,
	struct tree_maker **ret, struct why *why)
{
	struct tree_maker *m = calloc(1, sizeof(*m));

	if (!m)
		return fail(why, ERR_no_memory, "no memory to make a tree");
	m->spot = *spot;
	spot->dir = -1;
	m->rules = *rules;
	m->mask = umask(0);
	umask(m->mask);
	m->uid = geteuid();
	m->gid = getegid();
	m->file = -1;
	tree_frames_init(&m->frames);
	arena_init(&m->arena, 64 * KiB);
	table_init(&m->made, (uintptr_t)m);
	*ret = m;
	return OK;
}

static struct timespec time_of(int64_t ns)
{
	int64_t s = ns / 1000000000, rest = ns % 1000000000;

	if (rest < 0) {
		rest += 1000000000;
		s--;
	}
	return (struct timespec){ .tv_sec = s, .tv_nsec = rest };
}

/* Owner, mode and time of name in dir ("": dir itself), in the order that keeps all three. */
static bool set_meta(
	const struct tree_maker *m, int dir, const char *name, const struct tree_entry *e)
{
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, time_of(e->mtime_ns) };
	mode_t mode = (mode_t)e->mode & (m->rules.special ? 07777 : 0777);
	int flags = AT_SYMLINK_NOFOLLOW | (name[0] ? 0 : AT_EMPTY_PATH);
	bool sent = m->rules.own == TREE_OWN_SENT;

	if (m->rules.own != TREE_OWN_CALLER &&
		fchownat(dir, name, sent ? (uid_t)e->uid : m->rules.uid,
			sent ? (gid_t)e->gid : m->rules.gid, flags) < 0)
		return false;
	if (e->kind != tree_kind_symlink &&
		(name[0] ? fchmodat(dir, name, mode, 0) : fchmod(dir, mode)) < 0)
		return false;
	return (name[0] ? utimensat(dir, name, times, AT_SYMLINK_NOFOLLOW) :
			  futimens(dir, times)) == 0;
}

static enum err leave_dir(struct tree_maker *m, struct why *why)
{
	struct level *l = &m->levels[--m->depth];
	own_fd fd = l->fd;

	m->path[l->path_n] = '\0';
	if (l->fresh && !set_meta(m, fd, "", &l->meta))
		return fail_errno(why, "cannot set owner, mode and time of %.200s", m->path);
	return OK;
}

static void drop_temp(struct tree_maker *m)
{
	int dir = m->depth ? m->levels[m->depth - 1].fd : m->spot.dir;

	if (m->temp[0])
		(void)unlinkat(dir, m->temp, 0);
	m->temp[0] = '\0';
}

void tree_maker_free(struct tree_maker *m)
{
	struct link *l, *next;

	if (!m)
		return;
	fd_done(&m->file);
	drop_temp(m);
	while (m->depth > 0)
		(void)leave_dir(m, NULL);
	for (l = table_next(&m->made, NULL); l; l = next) {
		next = table_next(&m->made, l);
		free(CONTAINER_OF(l, struct made, link));
	}
	table_done(&m->made);
	tree_spot_done(&m->spot);
	arena_done(&m->arena);
	tree_frames_done(&m->frames);
	free(m);
}

bool tree_made(const struct tree_maker *m)
{
	return m->complete;
}

static bool new_temp(struct tree_maker *m)
{
	uint64_t r;

	if (getrandom(&r, sizeof(r), 0) != sizeof(r))
		return false;
	snprintf(m->temp, sizeof(m->temp), ".banger-%016llx", (unsigned long long)r);
	return true;
}

/* What was made under the temporary name gets its own. */
static enum err put_in_place(struct tree_maker *m, int dir, const char *name, struct why *why)
{
	int e;

	if (renameat(dir, m->temp, dir, name) == 0) {
		/* between two links of one file it does nothing: the temporary is still there */
		drop_temp(m);
		return OK;
	}
	e = errno;
	drop_temp(m);
	errno = e;
	if (e == EISDIR || e == ENOTEMPTY || e == EEXIST)
		return fail_field(
			why, ERR_conflict, "path", "%.200s is a directory that exists", name);
	return fail_errno(why, "cannot make %.200s", name);
}

static enum err remember(struct tree_maker *m, const struct stat *st, struct why *why)
{
	struct made *made;

	if (m->made.count >= TREE_LINKED_MAX)
		return fail(why, ERR_too_large, "the tree has more than %d files with links",
			TREE_LINKED_MAX);
	made = calloc(1, sizeof(*made));
	if (made) {
		made->key.dev = st->st_dev;
		made->key.ino = st->st_ino;
		if (table_get(&m->made, &made->key, sizeof(made->key))) {
			free(made);
			return OK;
		}
		if (table_add(&m->made, &made->link, &made->key, sizeof(made->key)))
			return OK;
	}
	free(made);
	return fail(why, ERR_no_memory, "no memory to remember a file with links");
}

/* A file under its own name: what it has already is not set once more. Each call counts here. */
static enum err finish_direct(struct tree_maker *m, int fd, struct why *why)
{
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, time_of(m->meta.mtime_ns) };
	mode_t mode = (mode_t)m->meta.mode & 0777;
	bool other = m->rules.own == TREE_OWN_GIVEN &&
		     (m->rules.uid != m->uid || m->rules.gid != m->gid);

	if ((m->end < m->meta.size && ftruncate(fd, (off_t)m->meta.size) < 0) ||
		(other && fchown(fd, m->rules.uid, m->rules.gid) < 0) ||
		((mode & m->mask) && fchmod(fd, mode) < 0) || futimens(fd, times) < 0)
		return fail_errno(why, "cannot finish %.200s", m->name);
	return OK;
}

/* The file that is being written, if any, is whole now. */
static enum err finish_file(struct tree_maker *m, struct why *why)
{
	int dir = m->depth ? m->levels[m->depth - 1].fd : m->spot.dir;
	own_fd fd = take_fd(&m->file);
	struct stat st;
	enum err e;

	if (fd < 0)
		return OK;
	if (m->direct)
		return finish_direct(m, fd, why);
	if (ftruncate(fd, (off_t)m->meta.size) < 0 || !set_meta(m, fd, "", &m->meta) ||
		fstat(fd, &st) < 0)
		return fail_errno(why, "cannot finish %.200s", m->name);
	if (m->meta.has_linked && m->meta.linked) {
		e = remember(m, &st, why);
		if (e)
			return e;
	}
	return put_in_place(m, dir, m->name, why);
}

static enum err make_file(struct tree_maker *m, int dir, const char *name,
	const struct tree_entry *e, struct why *why)
{
	mode_t mode = (mode_t)e->mode & 0777;

	m->end = 0;
	m->direct = m->rules.whole && m->depth > 0 && m->levels[m->depth - 1].fresh &&
		    m->rules.own != TREE_OWN_SENT && !m->rules.special &&
		    !(e->has_linked && e->linked);
	if (!m->direct && !new_temp(m))
		return fail_errno(why, "cannot make %.200s", name);
	if (m->direct)
		m->file = openat(
			dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
	else
		m->file = openat(
			dir, m->temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (m->file < 0) {
		int err = errno;

		m->temp[0] = '\0';
		errno = err;
		return fail_errno(why, "cannot make %.200s", name);
	}
	memcpy(m->name, name, strlen(name) + 1);
	m->meta = *e;
	m->meta.path = m->meta.link = m->meta.name = NULL; /* they end with the letter */
	return OK;
}

static enum err enter_dir(
	struct tree_maker *m, int *fd, bool fresh, const struct tree_entry *e, struct why *why)
{
	struct level *l = &m->levels[m->depth];

	if (m->depth == TREE_DEPTH_MAX)
		return fail(why, ERR_too_large, "the tree is more than %d directories deep",
			TREE_DEPTH_MAX);
	*l = (struct level){ take_fd(fd), strlen(m->path), fresh, *e };
	l->meta.path = l->meta.link = l->meta.name = NULL;
	m->depth++;
	return OK;
}

static enum err make_dir(struct tree_maker *m, int dir, const char *name,
	const struct tree_entry *e, struct why *why)
{
	bool fresh = mkdirat(dir, name, 0700) == 0;
	own_fd fd = -1;

	if (!fresh && errno != EEXIST)
		return fail_errno(why, "cannot make %.200s", name);
	fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 && (errno == ENOTDIR || errno == ELOOP))
		return fail_field(
			why, ERR_conflict, "path", "%.200s exists and is no directory", name);
	if (fd < 0)
		return fail_errno(why, "cannot enter %.200s", name);
	return enter_dir(m, &fd, fresh, e, why);
}

static enum err make_link(struct tree_maker *m, int dir, const char *name,
	const struct tree_entry *e, struct why *why)
{
	bool made;

	if (!e->link)
		return fail_field(why, ERR_missing_field, "link", "a symlink needs its text");
	made = new_temp(m) && symlinkat(e->link, dir, m->temp) == 0;
	if (!made)
		m->temp[0] = '\0';
	if (!made || !set_meta(m, dir, m->temp, e))
		return fail_errno(why, "cannot make %.200s", name);
	return put_in_place(m, dir, name, why);
}

static enum err make_fifo(struct tree_maker *m, int dir, const char *name,
	const struct tree_entry *e, struct why *why)
{
	bool made = new_temp(m) && mkfifoat(dir, m->temp, 0600) == 0;

	if (!made)
		m->temp[0] = '\0';
	if (!made || !set_meta(m, dir, m->temp, e))
		return fail_errno(why, "cannot make %.200s", name);
	return put_in_place(m, dir, name, why);
}

static enum err make_hardlink(struct tree_maker *m, int dir, const char *name,
	const struct tree_entry *e, struct why *why)
{
	char base[AT_NAME_BYTES];
	struct made probe = { .key = { 0 } };
	own_fd at = -1;
	struct stat st;
	bool made;

	if (!e->link || check_rel_path(e->link, strlen(e->link)))
		return fail_field(why, ERR_invalid_value, "link",
			"a hard link needs the path of an earlier entry");
	at = at_parent(m->levels[0].fd, e->link,
		RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS, base);
	if (at < 0 || fstatat(at, base, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return fail_errno(why, "cannot link to %.200s", e->link);
	probe.key.dev = st.st_dev;
	probe.key.ino = st.st_ino;
	if (!table_get(&m->made, &probe.key, sizeof(probe.key)))
		return fail_field(why, ERR_invalid_value, "link",
			"%.200s is no earlier entry that may be linked to", e->link);
	made = new_temp(m) && linkat(at, base, dir, m->temp, 0) == 0;
	if (!made) {
		m->temp[0] = '\0';
		return fail_errno(why, "cannot link to %.200s", e->link);
	}
	return put_in_place(m, dir, name, why);
}

static enum err make_entry(struct tree_maker *m, int dir, const char *name,
	const struct tree_entry *e, struct why *why)
{
	switch (e->kind) {
	case tree_kind_file:
		return make_file(m, dir, name, e, why);
	case tree_kind_dir:
		return make_dir(m, dir, name, e, why);
	case tree_kind_symlink:
		return make_link(m, dir, name, e, why);
	case tree_kind_fifo:
		return make_fifo(m, dir, name, e, why);
	case tree_kind_hardlink:
		return make_hardlink(m, dir, name, e, why);
	case tree_kind_COUNT:
		break;
	}
	return fail(why, ERR_internal, "no such kind of entry");
}

static bool is_name(const char *s)
{
	return strlen(s) < AT_NAME_BYTES && !strchr(s, '/') && !str_eq(s, ".") && !str_eq(s, "..");
}

static enum err make_top(struct tree_maker *m, const struct tree_entry *e, struct why *why)
{
	const char *name = m->spot.name[0] ? m->spot.name : e->name;
	own_fd dir = -1;

	if (!str_eq(e->path, "."))
		return fail_field(why, ERR_invalid_value, "path", "the first entry must be '.'");
	if (e->name && !is_name(e->name))
		return fail_field(why, ERR_invalid_value, "name", "'name' must be a single name");
	if (e->kind == tree_kind_hardlink)
		return fail_field(why, ERR_invalid_value, "kind", "the top cannot be a hard link");
	m->begun = true;
	if (name)
		return make_entry(m, m->spot.dir, name, e, why);
	if (e->kind != tree_kind_dir)
		return fail_field(
			why, ERR_conflict, "path", "a file cannot take a directory's place");
	dir = fcntl(m->spot.dir, F_DUPFD_CLOEXEC, 3);
	if (dir < 0)
		return fail_errno(why, "cannot enter the directory");
	return enter_dir(m, &dir, false, e, why);
}

static enum err on_entry(struct tree_maker *m, const struct tree_entry *e, struct why *why)
{
	const char *last, *bad;
	size_t head, n = strlen(e->path);
	enum err err = finish_file(m, why);

	if (err || !m->begun)
		return err ? err : make_top(m, e, why);
	bad = check_rel_path(e->path, n);
	if (bad)
		return fail_field(why, ERR_invalid_value, "path", "'path' %s", bad);
	last = strrchr(e->path, '/');
	head = last ? (size_t)(last - e->path) : 0;
	last = last ? last + 1 : e->path;
	while (m->depth > 0 &&
		(m->levels[m->depth - 1].path_n != head || memcmp(m->path, e->path, head) != 0)) {
		err = leave_dir(m, why);
		if (err)
			return err;
	}
	if (m->depth == 0 || strlen(last) >= AT_NAME_BYTES)
		return fail_field(why, ERR_invalid_value, "path",
			"%.200s does not follow its directory", e->path);
	memcpy(m->path, e->path, n + 1);
	return make_entry(m, m->levels[m->depth - 1].fd, last, e, why);
}

static enum err on_data(struct tree_maker *m, const struct tree_data *d, struct why *why)
{
	size_t done = 0;

	if (m->file < 0)
		return fail(why, ERR_invalid_value, "data that belongs to no file");
	if (d->offset > m->meta.size || d->data.n > m->meta.size - d->offset)
		return fail_field(
			why, ERR_invalid_value, "offset", "data behind the end of %.200s", m->name);
	while (done < d->data.n) {
		ssize_t n = pwrite(
			m->file, d->data.p + done, d->data.n - done, (off_t)(d->offset + done));

		if (n < 0 && errno != EINTR)
			return fail_errno(why, "cannot write %.200s", m->name);
		done += n > 0 ? (size_t)n : 0;
	}
	m->end = MAX(m->end, d->offset + d->data.n);
	return OK;
}

static enum err on_end(struct tree_maker *m, struct why *why)
{
	enum err e = finish_file(m, why);

	if (!m->begun)
		return fail(why, ERR_invalid_value, "the tree has no entry");
	while (!e && m->depth > 0)
		e = leave_dir(m, why);
	m->complete = !e;
	return e;
}

static enum err frame(void *ctx, const uint8_t *p, size_t n, struct why *why)
{
	struct tree_maker *m = ctx;
	union {
		struct tree_entry entry;
		struct tree_data data;
		struct tree_expect expect;
		struct tree_drop drop;
		struct nothing end;
	} body;
	enum letter_id id;
	struct bytes params;
	enum err e;

	if (m->complete)
		return fail(why, ERR_invalid_value, "there is more behind the tree's end");
	e = tree_frame_read(p, n, &id, &params, why);
	if (e)
		return e;
	if (id != LETTER_tree_entry && id != LETTER_tree_data && id != LETTER_tree_end &&
		(!m->rules.other || (id != LETTER_tree_expect && id != LETTER_tree_drop)))
		return fail(why, ERR_unknown_method, "the tree holds a letter of another kind");
	arena_reset(&m->arena);
	e = shape_read(
		letter_kinds[id].in, mp_over(params.p, params.n), LENIENT, &m->arena, &body, why);
	if (e)
		return e;
	if (id == LETTER_tree_entry)
		return on_entry(m, &body.entry, why);
	if (id == LETTER_tree_data)
		return on_data(m, &body.data, why);
	if (id == LETTER_tree_end)
		return on_end(m, why);
	return m->rules.other(m->rules.other_ctx, (int)id, &body, why);
}

enum err tree_feed(struct tree_maker *m, const uint8_t *p, size_t n, struct why *why)
{
	return tree_frames_feed(&m->frames, p, n, frame, m, why);
}
