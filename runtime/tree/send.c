/*
 * send.c - walks a tree and says it in letters, as many bytes at a time as are asked for.
 *
 * The walk holds one directory stream per level and never follows a link. What vanishes between its
 * listing and its turn is passed over, as is what has become something else. Holes are found with
 * SEEK_DATA and left out.
 */
#include "tree/tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/table.h"
#include "tree/frame.h"

struct seen { /* a file with more than one link that was sent */
	struct link link;
	struct {
		uint64_t dev, ino;
	} key;
	char path[];
};

struct tree_sender {
	int top;
	char *name;
	DIR *dirs[TREE_DEPTH_MAX];
	size_t path_n[TREE_DEPTH_MAX]; /* bytes of `path` that name the level */
	unsigned depth;
	char path[AT_PATH_BYTES];
	int file; /* being sent, or -1 */
	uint64_t size, pos, data_end;
	struct table seen;
	uint64_t skipped;
	struct buf out;
	size_t sent; /* bytes of out that went */
	bool begun, ended, bare;
	uint8_t blob[TREE_BLOB_BYTES];
};

static int64_t ns_of(struct timespec t)
{
	int64_t ns;

	if (__builtin_mul_overflow((int64_t)t.tv_sec, (int64_t)1000000000, &ns) ||
		__builtin_add_overflow(ns, (int64_t)t.tv_nsec, &ns))
		return t.tv_sec < 0 ? INT64_MIN : INT64_MAX;
	return ns;
}

enum err tree_open(int dir, const char *path, uint64_t resolve, bool follow, int *ret,
	struct why *why)
{
	int nofollow = follow ? 0 : O_NOFOLLOW;
	own_fd fd = at_open(dir, path, O_PATH | nofollow, resolve);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return fail_errno(why, "cannot open %.200s", path);
	if (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode)) {
		fd_done(&fd);
		fd = at_open(dir, path, O_RDONLY | O_NONBLOCK | O_NOCTTY | nofollow, resolve);
		if (fd < 0)
			return fail_errno(why, "cannot read %.200s", path);
	}
	*ret = take_fd(&fd);
	return OK;
}

enum err tree_sender_new(int fd, const char *name, struct tree_sender **ret, struct why *why)
{
	struct tree_sender *s = calloc(1, sizeof(*s));

	if (s && name)
		s->name = strdup(name);
	if (!s || (name && !s->name)) {
		free(s);
		return fail(why, ERR_no_memory, "no memory to send a tree");
	}
	s->top = fd;
	s->file = -1;
	table_init(&s->seen, (uintptr_t)s);
	*ret = s;
	return OK;
}

void tree_sender_free(struct tree_sender *s)
{
	struct link *l, *next;

	if (!s)
		return;
	while (s->depth > 0)
		closedir(s->dirs[--s->depth]);
	for (l = table_next(&s->seen, NULL); l; l = next) {
		next = table_next(&s->seen, l);
		free(CONTAINER_OF(l, struct seen, link));
	}
	table_done(&s->seen);
	fd_done(&s->file);
	fd_done(&s->top);
	buf_done(&s->out);
	free(s->name);
	free(s);
}

void tree_sender_bare(struct tree_sender *s)
{
	s->bare = true;
}

uint64_t tree_sender_skipped(const struct tree_sender *s)
{
	return s->skipped;
}

/* The earlier path of the same file; else notes this one. */
static const char *earlier(struct tree_sender *s, const struct stat *st, bool *ret_noted)
{
	struct seen *seen, probe = { .key = { st->st_dev, st->st_ino } };
	struct link *l = table_get(&s->seen, &probe.key, sizeof(probe.key));
	size_t n = strlen(s->path) + 1;

	if (l)
		return CONTAINER_OF(l, struct seen, link)->path;
	*ret_noted = false;
	if (s->seen.count >= TREE_LINKED_MAX)
		return NULL; /* from here on links are sent as files of their own */
	seen = malloc(sizeof(*seen) + n);
	if (!seen)
		return NULL;
	seen->key = probe.key;
	memcpy(seen->path, s->path, n);
	*ret_noted = table_add(&s->seen, &seen->link, &seen->key, sizeof(seen->key));
	if (!*ret_noted)
		free(seen);
	return NULL;
}

static enum err say(struct tree_sender *s, const struct stat *st, enum tree_kind kind,
	const char *link, bool linked, struct why *why)
{
	bool top = s->depth == 0;
	struct tree_entry e = {
		.path = top ? "." : s->path,
		.kind = kind,
		.mode = st->st_mode & 07777,
		.uid = st->st_uid,
		.gid = st->st_gid,
		.mtime_ns = ns_of(st->st_mtim),
		.size = kind == tree_kind_file ? (uint64_t)st->st_size : 0,
		.link = link,
		.name = top ? s->name : NULL,
		.has_linked = linked,
		.linked = linked,
	};

	return tree_frame_pack(&s->out, LETTER_tree_entry, &e, why);
}

/* Process and device trees are views, not files: their content is not sent. */
static bool is_view(int fd)
{
	struct statfs fs;

	if (fstatfs(fd, &fs) < 0)
		return false;
	return fs.f_type == PROC_SUPER_MAGIC || fs.f_type == SYSFS_MAGIC ||
	       fs.f_type == CGROUP_SUPER_MAGIC || fs.f_type == CGROUP2_SUPER_MAGIC ||
	       fs.f_type == DEBUGFS_MAGIC || fs.f_type == TRACEFS_MAGIC;
}

static enum err begin_dir(struct tree_sender *s, int *fd, const struct stat *st, struct why *why)
{
	DIR *d;
	enum err e = say(s, st, tree_kind_dir, NULL, false, why);

	if (e || is_view(*fd))
		return e;
	if (s->depth == TREE_DEPTH_MAX)
		return fail(why, ERR_too_large, "%.200s... is more than %d directories deep",
			s->path, TREE_DEPTH_MAX);
	d = fdopendir(*fd);
	if (!d)
		return fail_errno(why, "cannot list %.200s", s->path);
	take_fd(fd);
	s->path_n[s->depth] = strlen(s->path);
	s->dirs[s->depth++] = d;
	return OK;
}

static enum err begin_file(struct tree_sender *s, int *fd, const struct stat *st, struct why *why)
{
	const char *before = NULL;
	bool noted = false;
	enum err e;

	if (st->st_nlink > 1 && s->depth > 0)
		before = earlier(s, st, &noted);
	if (before)
		return say(s, st, tree_kind_hardlink, before, false, why);
	e = say(s, st, tree_kind_file, NULL, noted, why);
	if (e || s->bare)
		return e;
	s->file = take_fd(fd);
	s->size = (uint64_t)st->st_size;
	s->pos = s->data_end = 0;
	return OK;
}

/* dir, name: where the entry is; or the entry itself as dir, with name "". */
static enum err begin_link(struct tree_sender *s, int dir, const char *name, const struct stat *st,
	struct why *why)
{
	char text[AT_PATH_BYTES];
	ssize_t n = readlinkat(dir, name, text, sizeof(text) - 1);

	if (n < 0 && (errno == ENOENT || errno == EINVAL))
		return OK;
	if (n < 0)
		return fail_errno(why, "cannot read %.200s", s->path);
	text[n] = '\0';
	return say(s, st, tree_kind_symlink, text, false, why);
}

static enum err begin_top(struct tree_sender *s, struct why *why)
{
	struct stat st;

	s->begun = true;
	if (fstat(s->top, &st) < 0)
		return fail_errno(why, "cannot read the tree");
	switch (st.st_mode & S_IFMT) {
	case S_IFREG:
		return begin_file(s, &s->top, &st, why);
	case S_IFDIR:
		return begin_dir(s, &s->top, &st, why);
	case S_IFLNK:
		return begin_link(s, s->top, "", &st, why);
	case S_IFIFO:
		return say(s, &st, tree_kind_fifo, NULL, false, why);
	default:
		return fail(why, ERR_unsupported, "it is a socket or a device, not a file");
	}
}

/* Opens a file or directory that was just listed. -1 with errno 0: it is gone or was exchanged. */
static int open_child(int dir, const char *name, struct stat *st)
{
	mode_t was = st->st_mode & S_IFMT;
	own_fd fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

	if (fd < 0 && (errno == ENOENT || errno == ELOOP || errno == ENXIO))
		errno = 0;
	if (fd < 0 || fstat(fd, st) < 0)
		return -1;
	if ((st->st_mode & S_IFMT) == was)
		return take_fd(&fd);
	fd_done(&fd);
	errno = 0;
	return -1;
}

static enum err child(struct tree_sender *s, int dir, const char *name, struct why *why)
{
	own_fd fd = -1;
	struct stat st;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? OK : fail_errno(why, "cannot read %.200s", s->path);
	if (S_ISLNK(st.st_mode))
		return begin_link(s, dir, name, &st, why);
	if (S_ISFIFO(st.st_mode))
		return say(s, &st, tree_kind_fifo, NULL, false, why);
	if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode)) {
		s->skipped++;
		return OK;
	}
	if (s->bare && S_ISREG(st.st_mode))
		return say(s, &st, tree_kind_file, NULL, false, why);
	fd = open_child(dir, name, &st);
	if (fd < 0)
		return errno == 0 ? OK : fail_errno(why, "cannot read %.200s", s->path);
	return S_ISDIR(st.st_mode) ? begin_dir(s, &fd, &st, why) : begin_file(s, &fd, &st, why);
}

static enum err next_child(struct tree_sender *s, struct why *why)
{
	DIR *d = s->dirs[s->depth - 1];
	size_t at = s->path_n[s->depth - 1], n;
	struct dirent *e;

	errno = 0;
	e = readdir(d);
	if (!e && errno)
		return fail_errno(why, "cannot list %.200s", s->path);
	if (!e) {
		closedir(d);
		s->depth--;
		return OK;
	}
	if (str_eq(e->d_name, ".") || str_eq(e->d_name, ".."))
		return OK;
	n = strlen(e->d_name);
	if (at + n + 2 > sizeof(s->path))
		return fail(why, ERR_too_large, "a path is longer than %d bytes: %.100s...",
			AT_PATH_BYTES - 1, s->path);
	if (at > 0)
		s->path[at++] = '/';
	memcpy(s->path + at, e->d_name, n + 1);
	return child(s, dirfd(d), e->d_name, why);
}

/* Finds the next run of data; false when there is none. */
static bool next_data(struct tree_sender *s)
{
	off_t from = lseek(s->file, (off_t)s->pos, SEEK_DATA), to;

	if (from < 0 && errno == ENXIO)
		return false;
	if (from < 0) { /* the filesystem knows no holes */
		s->data_end = s->size;
		return true;
	}
	to = lseek(s->file, from, SEEK_HOLE);
	s->pos = (uint64_t)from;
	s->data_end = to > from ? MIN((uint64_t)to, s->size) : s->size;
	return s->pos < s->size;
}

static enum err next_blob(struct tree_sender *s, struct why *why)
{
	struct tree_data d;
	ssize_t n;

	if (s->pos >= s->size || (s->pos >= s->data_end && !next_data(s))) {
		fd_done(&s->file);
		return OK;
	}
	n = pread(s->file, s->blob, MIN((uint64_t)sizeof(s->blob), s->data_end - s->pos),
		(off_t)s->pos);
	if (n < 0 && errno == EINTR)
		return OK;
	if (n < 0)
		return fail_errno(why, "cannot read %.200s", s->path);
	if (n == 0) { /* it has shrunk: the rest is a hole */
		fd_done(&s->file);
		return OK;
	}
	d = (struct tree_data){ s->pos, { s->blob, (size_t)n } };
	s->pos += (uint64_t)n;
	return tree_frame_pack(&s->out, LETTER_tree_data, &d, why);
}

static enum err step(struct tree_sender *s, struct why *why)
{
	struct nothing end;

	if (s->file >= 0)
		return next_blob(s, why);
	if (!s->begun)
		return begin_top(s, why);
	if (s->depth > 0)
		return next_child(s, why);
	s->ended = true;
	return tree_frame_pack(&s->out, LETTER_tree_end, &end, why);
}

enum err tree_send(struct tree_sender *s, uint8_t *to, size_t size, size_t *ret_n, struct why *why)
{
	size_t done = 0;

	while (done < size) {
		size_t n = MIN(size - done, s->out.n - s->sent);

		if (n == 0 && s->ended)
			break;
		if (n == 0) {
			enum err e;

			s->out.n = s->sent = 0;
			e = step(s, why);
			if (e)
				return e;
			continue;
		}
		memcpy(to + done, s->out.p + s->sent, n);
		s->sent += n;
		done += n;
	}
	*ret_n = done;
	return OK;
}
