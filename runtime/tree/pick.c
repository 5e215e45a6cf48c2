/*
 * pick.c - sends chosen entries of a directory, with the directories above them.
 *
 * Each is opened by its path in one call that crosses no link, so what was a file when it was
 * chosen and lies behind a link now is left out. A file is sent as long as it was when it was
 * opened.
 */
#include "tree/pick.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tree/frame.h"

enum { STAY = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS };

struct tree_picker {
	const struct tree_choice *v;
	size_t n, next;
	int top;
	char dir[AT_PATH_BYTES]; /* the directory that the receiver is in */
	int file; /* being sent, or -1 */
	uint64_t size, pos;
	struct buf out;
	size_t sent;
	bool begun, ended;
	void (*tell)(void *ctx, const struct tree_entry *e);
	void *tell_ctx;
	uint8_t blob[TREE_BLOB_BYTES];
};

int tree_path_order(const char *a, const char *b)
{
	const uint8_t *p = (const uint8_t *)a, *q = (const uint8_t *)b;

	for (; *p && *p == *q; p++)
		q++;
	return (*p == '/' ? 1 : *p ? *p + 1 : 0) - (*q == '/' ? 1 : *q ? *q + 1 : 0);
}

enum err tree_picker_new(int top, const struct tree_choice *v, size_t n, struct buf *head,
	struct tree_picker **ret, struct why *why)
{
	struct tree_picker *p = calloc(1, sizeof(*p));

	if (!p)
		return fail(why, ERR_no_memory, "no memory to send a tree");
	p->top = top;
	p->v = v;
	p->n = n;
	p->file = -1;
	if (head) {
		p->out = *head;
		*head = (struct buf){ .p = NULL };
	}
	*ret = p;
	return OK;
}

void tree_picker_free(struct tree_picker *p)
{
	if (!p)
		return;
	fd_done(&p->file);
	buf_done(&p->out);
	free(p);
}

void tree_picker_tell(
	struct tree_picker *p, void (*fn)(void *ctx, const struct tree_entry *e), void *ctx)
{
	p->tell = fn;
	p->tell_ctx = ctx;
}

static int64_t ns_of(struct timespec t)
{
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static enum err say(struct tree_picker *p, const char *path, const struct stat *st,
	const char *link, bool chosen, struct why *why)
{
	struct tree_entry e = {
		.path = path,
		.kind = S_ISDIR(st->st_mode) ? tree_kind_dir :
			S_ISLNK(st->st_mode) ? tree_kind_symlink :
					       tree_kind_file,
		.mode = st->st_mode & 07777,
		.uid = st->st_uid,
		.gid = st->st_gid,
		.mtime_ns = ns_of(st->st_mtim),
		.size = S_ISREG(st->st_mode) ? (uint64_t)st->st_size : 0,
		.link = link,
	};
	enum err err = tree_frame_pack(&p->out, LETTER_tree_entry, &e, why);

	if (!err && chosen && p->tell)
		p->tell(p->tell_ctx, &e);
	return err;
}

static enum err begin(struct tree_picker *p, struct why *why)
{
	struct stat st;

	p->begun = true;
	if (fstat(p->top, &st) < 0 || !S_ISDIR(st.st_mode))
		return fail_errno(why, "cannot read the directory");
	return say(p, ".", &st, NULL, false, why);
}

/* How much of `path` names a directory that the receiver knows already. */
static size_t known(const struct tree_picker *p, const char *path)
{
	size_t same = 0, i;

	for (i = 0; p->dir[i] && p->dir[i] == path[i]; i++)
		if (path[i] == '/')
			same = i;
	if (path[i] == '/' && (!p->dir[i] || p->dir[i] == '/'))
		same = i;
	return same;
}

/* The errno of a file that vanished, or lies behind a link now. ENXIO: a socket. */
static bool is_gone(void)
{
	return errno == ENOENT || errno == ENOTDIR || errno == ELOOP || errno == ENXIO;
}

/*
 * The directories that lead to a choice, those that the receiver is not in yet. A choice's path
 * ends with its `at`, or is its `at`; false: one of them is no directory now.
 */
static bool lead(struct tree_picker *p, const struct tree_choice *c, enum err *e, struct why *why)
{
	size_t more = strlen(c->path) - strlen(c->at), i;
	char path[AT_PATH_BYTES];
	const char *slash;
	struct stat st;

	for (i = known(p, c->path); (slash = strchr(c->path + i + 1, '/')) != NULL;) {
		own_fd fd = -1;

		i = (size_t)(slash - c->path);
		memcpy(path, c->path, i);
		path[i] = '\0';
		fd = i > more ? at_open(c->dir, path + more, O_PATH | O_DIRECTORY, STAY) :
				fcntl(c->dir, F_DUPFD_CLOEXEC, 3);
		if (fd < 0 && is_gone())
			return false;
		if (fd < 0 || fstat(fd, &st) < 0) {
			*e = fail_errno(why, "cannot read %.200s", path);
			return false;
		}
		*e = say(p, path, &st, NULL, false, why);
		if (*e)
			return false;
		memcpy(p->dir, path, i + 1);
	}
	/* back in a directory above: the receiver leaves those below by itself */
	slash = strrchr(c->path, '/');
	p->dir[slash ? (size_t)(slash - c->path) : 0] = '\0';
	return true;
}

static enum err send_link(
	struct tree_picker *p, int fd, const char *path, const struct stat *st, struct why *why)
{
	char text[AT_PATH_BYTES];
	ssize_t n = readlinkat(fd, "", text, sizeof(text) - 1);

	if (n < 0)
		return fail_errno(why, "cannot read the link %.200s", path);
	text[n] = '\0';
	return say(p, path, st, text, true, why);
}

/* A file or directory to read, or a link itself. */
static int open_choice(const struct tree_choice *c)
{
	int fd = at_open(c->dir, c->at, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, STAY);
	char name[AT_NAME_BYTES];
	own_fd parent = -1;

	if (fd >= 0 || errno != ELOOP)
		return fd;
	parent = at_parent(c->dir, c->at, STAY, name);
	return parent < 0 ? -1 : openat(parent, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
}

static enum err next_choice(struct tree_picker *p, struct why *why)
{
	const struct tree_choice *c = &p->v[p->next++];
	own_fd fd = strlen(c->path) < sizeof(p->dir) ? open_choice(c) : -1;
	struct stat st;
	enum err e = OK;

	if (strlen(c->path) >= sizeof(p->dir) || (fd < 0 && is_gone()))
		return OK;
	if (fd < 0 || fstat(fd, &st) < 0)
		return fail_errno(why, "cannot read %.200s", c->path);
	if (!S_ISREG(st.st_mode) && !S_ISLNK(st.st_mode) && !S_ISDIR(st.st_mode))
		return OK;
	if (!lead(p, c, &e, why))
		return e;
	if (S_ISLNK(st.st_mode))
		return send_link(p, fd, c->path, &st, why);
	e = say(p, c->path, &st, NULL, true, why);
	if (e)
		return e;
	if (S_ISDIR(st.st_mode)) {
		memcpy(p->dir, c->path, strlen(c->path) + 1);
		return OK;
	}
	p->file = take_fd(&fd);
	p->size = (uint64_t)st.st_size;
	p->pos = 0;
	return OK;
}

static enum err next_blob(struct tree_picker *p, struct why *why)
{
	struct tree_data d;
	ssize_t n = 0;

	if (p->pos < p->size)
		n = pread(p->file, p->blob, MIN((uint64_t)sizeof(p->blob), p->size - p->pos),
			(off_t)p->pos);
	if (n < 0 && errno == EINTR)
		return OK;
	if (n < 0)
		return fail_errno(why, "cannot read %.200s", p->v[p->next - 1].path);
	if (n == 0) { /* its end, or it has shrunk */
		fd_done(&p->file);
		return OK;
	}
	d = (struct tree_data){ p->pos, { p->blob, (size_t)n } };
	p->pos += (uint64_t)n;
	return tree_frame_pack(&p->out, LETTER_tree_data, &d, why);
}

static enum err step(struct tree_picker *p, struct why *why)
{
	struct nothing end;

	if (p->file >= 0)
		return next_blob(p, why);
	if (!p->begun)
		return begin(p, why);
	if (p->next < p->n)
		return next_choice(p, why);
	p->ended = true;
	return tree_frame_pack(&p->out, LETTER_tree_end, &end, why);
}

enum err tree_pick(struct tree_picker *p, uint8_t *to, size_t size, size_t *ret_n, struct why *why)
{
	size_t done = 0;

	while (done < size) {
		size_t n = MIN(size - done, p->out.n - p->sent);

		if (n == 0 && p->ended)
			break;
		if (n == 0) {
			enum err e;

			p->out.n = p->sent = 0;
			e = step(p, why);
			if (e)
				return e;
			continue;
		}
		memcpy(to + done, p->out.p + p->sent, n);
		p->sent += n;
		done += n;
	}
	*ret_n = done;
	return OK;
}
