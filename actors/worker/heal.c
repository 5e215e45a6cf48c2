/*
 * heal.c - the job work.seed: a work-seed as this build makes it, from an older one (row C7).
 *
 * The older one, on descriptor 4, is only read. A home that lies one level too deep in it comes up,
 * and the key that may log in is in authorized_keys, so that a guest whose image boots without the
 * agent lets its user in as well.
 */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/home.h"
#include "worker/seed.h"

enum { KEYS_MAX = 1048576 };

struct healing {
	struct image im; /* its tree is the older seed's */
	struct work_seed ask;
	struct seed seed;
};

/* ---- a nested home ---- */

static void text_of_name(const struct node *node, char out[EXT4_NAME_MAX + 1])
{
	size_t n;
	const char *p = node_name(node, &n);

	memcpy(out, p, n);
	out[n] = '\0';
}

static bool alone(const struct node *top, const char *path)
{
	const struct node *kid;

	TAILQ_FOREACH(kid, &top->kids, beside)
	{
		char name[EXT4_NAME_MAX + 1];

		text_of_name(kid, name);
		if (!nested_beside(name, path))
			return false;
	}
	return true;
}

static bool is_home(const struct node *dir)
{
	const struct node *kid;

	TAILQ_FOREACH(kid, &dir->kids, beside)
	{
		char name[EXT4_NAME_MAX + 1];

		text_of_name(kid, name);
		if (nested_mark(name))
			return true;
	}
	return false;
}

/* The directory of the older seed that is the home. */
static struct node *home_of(struct healing *h)
{
	struct node *at = h->im.tree.root;
	const char *path = nested_path(h->ask.home);

	if (!*path || !alone(at, path))
		return at;
	while (*path) {
		size_t n = strcspn(path, "/");

		at = tree_child(&h->im.tree, at, path, n);
		if (!at || !S_ISDIR(at->mode))
			return h->im.tree.root;
		path += n + (path[n] == '/');
	}
	return is_home(at) ? at : h->im.tree.root;
}

/* ---- the key ---- */

static struct meta meta_of(const struct healing *h, uint32_t mode)
{
	struct timespec now = { .tv_sec = (time_t)(h->ask.now / 1000) };

	return (struct meta){ .mode = mode,
		.uid = (uint32_t)h->ask.uid,
		.gid = (uint32_t)h->ask.gid,
		.mtime = now,
		.atime = now,
		.ctime = now };
}

static enum err write_keys(
	struct healing *h, struct node *dir, const struct buf *text, struct why *why)
{
	struct ext4 *fs = h->seed.out.fs;
	struct meta m = meta_of(h, S_IFREG | 0600);
	struct ext4_file *f = NULL;
	struct node *node;
	uint32_t ino = 0;
	enum err e = ext4_file_new(fs, &m, text->n, false, &f, why);

	if (!e)
		e = ext4_file_write(f, 0, text->p, text->n, why);
	if (!e)
		e = ext4_file_end(f, &ino, why);
	ext4_file_free(f);
	return e ? e : tree_put(&h->seed.out, dir, "authorized_keys", 15, ino, S_IFREG, &node, why);
}

static enum err ssh_dir(struct healing *h, struct node **ret, struct why *why)
{
	struct tree *out = &h->seed.out;
	struct meta m = meta_of(h, S_IFDIR | 0700);
	uint32_t ino;
	enum err e;

	*ret = tree_child(out, out->root, ".ssh", 4);
	if (*ret)
		return OK;
	e = ext4_make(out->fs, &m, &ino, why);
	return e ? e : tree_put(out, out->root, ".ssh", 4, ino, m.mode, ret, why);
}

/* What a link leads to is not ours to write; a guest's agent sees to it. */
static enum err put_key(struct healing *h, struct why *why)
{
	struct tree *out = &h->seed.out;
	own_mem char *have = NULL;
	own_buf want = { .max = 2 * KEYS_MAX };
	struct node *dir, *file;
	size_t n = 0;
	enum err e = h->ask.ssh_key ? ssh_dir(h, &dir, why) : OK;

	if (e || !h->ask.ssh_key || !S_ISDIR(dir->mode))
		return e;
	file = tree_child(out, dir, "authorized_keys", 15);
	if (file && !S_ISREG(file->mode))
		return OK;
	if (file)
		e = ext4_read(out->fs, file->ino, KEYS_MAX, &have, &n, why);
	if (e == ERR_too_large || (have && memchr(have, 0, n)))
		return OK;
	if (e || !authorized_edit(have ? have : "", h->ask.ssh_key, &want))
		return e;
	if (want.failed)
		return fail(why, ERR_no_memory, "no memory for authorized_keys");
	e = file ? tree_remove(out, file, why) : OK;
	return e ? e : write_keys(h, dir, &want, why);
}

/* ---- the job ---- */

static enum err rebuild(struct healing *h, struct why *why)
{
	struct node *home = home_of(h);
	struct seed *s = &h->seed;
	struct node *lost;
	struct meta m;
	enum err e = ext4_meta(h->im.tree.fs, home->ino, &m, why);

	m.uid = (uint32_t)h->ask.uid;
	m.gid = (uint32_t)h->ask.gid;
	if (!e)
		e = ext4_change(s->out.fs, EXT4_ROOT, &m, why);
	if (!e)
		e = seed_copy_kids(s, home, s->out.root, why);
	lost = e ? NULL : tree_child(&s->out, s->out.root, "lost+found", 10);
	if (lost && S_ISDIR(lost->mode) && TAILQ_EMPTY(&lost->kids)) /* that of another mkfs */
		e = tree_remove(&s->out, lost, why);
	if (!e)
		e = put_key(h, why);
	return e ? e : seed_finish(s, why);
}

static enum err open_both(struct healing *h, struct why *why)
{
	struct ext4_spec spec = { .label = "work" };
	struct ext4 *fs = NULL;
	struct stat st;
	int fd = fcntl(FD_EXTRA, F_DUPFD_CLOEXEC, 0);
	enum err e = fd < 0 || fstat(fd, &st) < 0 ? fail_errno(why, "cannot hold the work-seed") :
						    ext4_open(fd, &fs, why);

	if (!e)
		e = tree_init(&h->im.tree, fs, h->ask.files_max, why);
	if (!e)
		e = tree_load(&h->im.tree, why);
	if (!e)
		e = job_create(h->im.job, "work.ext4", &fd, why);
	if (e)
		return e;
	spec.size = (uint64_t)st.st_size;
	e = ext4_new(fd, &spec, &fs, why);
	return e ? e : tree_init(&h->seed.out, fs, h->ask.files_max, why);
}

enum err run_seed(struct job *j, struct why *why)
{
	struct healing *h = calloc(1, sizeof(*h));
	enum err e;

	if (!h)
		return fail(why, ERR_no_memory, "no memory for a work-seed");
	h->im.job = j;
	h->seed.im = &h->im;
	h->seed.buf = malloc(COPY_BYTES);
	e = h->seed.buf ? job_read(j, &h->ask, why) : fail(why, ERR_no_memory, "no memory to copy");
	if (!e) {
		snprintf(h->im.digest, sizeof(h->im.digest), "%s", h->ask.digest);
		e = open_both(h, why);
	}
	if (!e) {
		table_init(&h->seed.twins, h->im.tree.table.seed);
		e = rebuild(h, why);
	}
	seed_done(&h->seed);
	ext4_free(h->im.tree.fs);
	tree_done(&h->im.tree);
	free(h);
	if (e)
		job_remove(j, "work.ext4");
	return e;
}
