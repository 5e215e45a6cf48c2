/*
 * seed.c - work.ext4: the home of the image's user as a file system of its own (row B7).
 *
 * What lies in the home is copied from the tree that was just built, links unfollowed, holes kept.
 * An image without that home gets what its /etc/skel says, owned by the user.
 */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "worker/seed.h"

struct twin { /* an inode with several names, already copied */
	struct link link;
	uint32_t from, to;
};

struct copy {
	struct seed *s;
	struct ext4_file *f;
	uint64_t size;
};

static enum err copy_run(void *ctx, const struct ext4_run *run, struct why *why)
{
	struct copy *c = ctx;
	uint64_t end = MIN(run->off + run->n, c->size), off = run->off;
	int fd = ext4_fd(c->s->im->tree.fs);
	enum err e = OK;

	while (off < end && !e) {
		size_t want = (size_t)MIN(end - off, COPY_BYTES);
		ssize_t got = pread(fd, c->s->buf, want, (off_t)(run->at + (off - run->off)));

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return fail_errno(why, "cannot read a file of the image");
		e = ext4_file_write(c->f, off, c->s->buf, (size_t)got, why);
		off += (uint64_t)got;
	}
	return e;
}

static enum err copy_file(struct seed *s, const struct node *n, const struct meta *m,
	uint32_t *ret_ino, struct why *why)
{
	struct copy c = { .s = s };
	struct ext4 *from = s->im->tree.fs;
	enum err e = ext4_size(from, n->ino, &c.size, why);

	if (!e)
		e = ext4_file_new(s->out.fs, m, c.size, true, &c.f, why);
	if (!e)
		e = ext4_each_run(from, n->ino, copy_run, &c, why);
	if (!e)
		e = ext4_file_end(c.f, ret_ino, why);
	ext4_file_free(c.f);
	return e;
}

static enum err copy_symlink(struct seed *s, const struct node *n, const struct meta *m,
	uint32_t *ret_ino, struct why *why)
{
	own_mem char *target = NULL;
	size_t len;
	enum err e = ext4_read(s->im->tree.fs, n->ino, EXT4_TARGET_MAX, &target, &len, why);

	return e ? e : ext4_symlink(s->out.fs, m, target, ret_ino, why);
}

static enum err read_meta(struct seed *s, const struct node *n, struct meta *m, struct why *why)
{
	enum err e = ext4_meta(s->im->tree.fs, n->ino, m, why);

	if (!e && s->owned) {
		m->uid = s->im->user.uid;
		m->gid = s->im->user.gid;
	}
	return e;
}

static enum err make_copy(struct seed *s, const struct node *n, uint32_t *ret_ino, struct why *why)
{
	struct meta m;
	enum err e = read_meta(s, n, &m, why);

	if (e)
		return e;
	if (S_ISREG(m.mode))
		e = copy_file(s, n, &m, ret_ino, why);
	else if (S_ISLNK(m.mode))
		e = copy_symlink(s, n, &m, ret_ino, why);
	else
		e = ext4_make(s->out.fs, &m, ret_ino, why);
	return e ? e : ext4_xattrs_copy(s->im->tree.fs, n->ino, s->out.fs, *ret_ino, why);
}

static enum err remember(struct seed *s, uint32_t from, uint32_t to, struct why *why)
{
	struct twin *t = calloc(1, sizeof(*t));

	if (t) {
		t->from = from;
		t->to = to;
	}
	if (!t || !table_add(&s->twins, &t->link, &t->from, sizeof(t->from))) {
		free(t);
		return fail(why, ERR_no_memory, "no memory for hard links");
	}
	return OK;
}

/* The copy of an inode; made once, however many names it has. */
static enum err copy_inode(struct seed *s, const struct node *n, uint32_t *ret_ino,
	struct why *why)
{
	struct link *l = table_get(&s->twins, &n->ino, sizeof(n->ino));
	enum err e;

	if (l) {
		*ret_ino = CONTAINER_OF(l, struct twin, link)->to;
		return ext4_link(s->out.fs, *ret_ino, why);
	}
	e = make_copy(s, n, ret_ino, why);
	if (e || S_ISDIR(n->mode))
		return e;
	return remember(s, n->ino, *ret_ino, why);
}

enum err seed_copy_kids(struct seed *s, const struct node *from, struct node *to,
	struct why *why)
{
	struct node *kid, *twin;
	enum err e = OK;

	TAILQ_FOREACH(kid, &from->kids, beside) {
		const char *name;
		uint32_t ino;
		size_t n;

		name = node_name(kid, &n);
		e = copy_inode(s, kid, &ino, why);
		if (!e)
			e = tree_put(&s->out, to, name, n, ino, kid->mode, &twin, why);
		if (!e && S_ISDIR(kid->mode))
			e = seed_copy_kids(s, kid, twin, why);
		job_tick(s->im->job, s->im->unpack.content, "work-seed");
		if (e)
			break;
	}
	return e;
}

static enum err copy_home(struct seed *s, struct why *why)
{
	struct meta m = { .mode = S_IFDIR | 0700, .uid = s->im->user.uid, .gid = s->im->user.gid };
	struct node *from = NULL;
	enum err e = OK;

	if (!tree_find(&s->im->tree, s->im->home, &from, NULL) && S_ISDIR(from->mode) &&
		from != s->im->tree.root) {
		e = ext4_meta(s->im->tree.fs, from->ino, &m, why);
		m.uid = s->im->user.uid;
		m.gid = s->im->user.gid;
	} else {
		s->owned = true;
		if (tree_find(&s->im->tree, "/etc/skel", &from, NULL) || !S_ISDIR(from->mode))
			from = NULL;
	}
	if (!e)
		e = ext4_change(s->out.fs, EXT4_ROOT, &m, why);
	return !e && from ? seed_copy_kids(s, from, s->out.root, why) : e;
}

void seed_done(struct seed *s)
{
	struct link *l, *next;

	for (l = table_next(&s->twins, NULL); l; l = next) {
		next = table_next(&s->twins, l);
		free(CONTAINER_OF(l, struct twin, link));
	}
	table_done(&s->twins);
	ext4_free(s->out.fs);
	tree_done(&s->out);
	free(s->buf);
}

enum err seed_finish(struct seed *s, struct why *why)
{
	uint8_t uuid[16];
	struct ext4 *fs = s->out.fs;
	enum err e = tree_write(&s->out, why);

	if (e)
		return e;
	name_of(s->im->digest, 1, uuid);
	s->out.fs = NULL;
	return ext4_finish(fs, uuid, why);
}

static enum err build(struct seed *s, int fd, struct why *why)
{
	struct ext4_spec spec = { .size = s->im->ask.work_size, .label = "work" };
	struct ext4 *fs;
	enum err e = ext4_new(fd, &spec, &fs, why);

	if (!e)
		e = tree_init(&s->out, fs, s->im->ask.files_max, why);
	if (!e)
		e = copy_home(s, why);
	return e ? e : seed_finish(s, why);
}

enum err seed_build(struct image *im, uint64_t *ret_used, struct why *why)
{
	struct seed s = { .im = im };
	own_fd fd = -1, second = -1;
	enum err e = job_create(im->job, "work.ext4", &fd, why);

	if (e)
		return e;
	second = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	s.buf = malloc(COPY_BYTES);
	table_init(&s.twins, im->tree.table.seed);
	if (second < 0)
		e = fail_errno(why, "cannot hold the work-seed");
	else if (!s.buf)
		e = fail(why, ERR_no_memory, "no memory to copy");
	else
		e = build(&s, take_fd(&fd), why);
	seed_done(&s);
	return e ? e : used_bytes(second, ret_used, why);
}
