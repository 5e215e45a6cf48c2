/*
 * unpack.c - one entry of a tar after the other goes into the tree and the file system under it.
 *
 * What an archive may do is decided here: no entry has "..", none is looked up outside the tree,
 * hard links name entries that are there, sockets stay out. Every ceiling names the entry that
 * broke it.
 */
#include "worker/unpack.h"

#include <archive_entry.h>
#include <sys/stat.h>

#include "base/log.h"
#include "worker/whiteout.h"

struct item { /* the entry at hand */
	struct archive *a;
	struct source *s;
	struct archive_entry *e;
	struct meta m;
	struct node *dir;
	const char *name;
	size_t name_n;
	struct xattr_set xattrs;
};

enum err fail_entry(struct why *why, const char *path)
{
	char shown[160], text[sizeof(why->text)];

	if (!why)
		return ERR_internal;
	log_escape(shown, sizeof(shown), path ? path : "", path ? strlen(path) : 0);
	snprintf(text, sizeof(text), "entry '%s': %.200s", shown, why->text);
	memcpy(why->text, text, sizeof(text));
	return why->code;
}

static struct timespec time_or(bool set, time_t s, long ns, struct timespec other)
{
	return set ? (struct timespec){ s, ns } : other;
}

static enum err read_meta(struct archive_entry *e, struct meta *m, struct why *why)
{
	int64_t uid = archive_entry_uid(e), gid = archive_entry_gid(e);

	if (uid < 0 || uid >= UINT32_MAX || gid < 0 || gid >= UINT32_MAX)
		return fail(why, ERR_invalid_value, "an owner out of range");
	m->mode = archive_entry_mode(e) & (S_IFMT | 07777);
	if (S_ISLNK(m->mode))
		m->mode = S_IFLNK | 0777; /* Linux knows no others */
	m->uid = (uint32_t)uid;
	m->gid = (uint32_t)gid;
	m->mtime = time_or(true, archive_entry_mtime(e), archive_entry_mtime_nsec(e),
		(struct timespec){ 0, 0 });
	m->atime = time_or(archive_entry_atime_is_set(e), archive_entry_atime(e),
		archive_entry_atime_nsec(e), m->mtime);
	m->ctime = time_or(archive_entry_ctime_is_set(e), archive_entry_ctime(e),
		archive_entry_ctime_nsec(e), m->mtime);
	m->major = m->minor = 0;
	if (!S_ISCHR(m->mode) && !S_ISBLK(m->mode))
		return OK;
	m->major = (uint32_t)archive_entry_rdevmajor(e);
	m->minor = (uint32_t)archive_entry_rdevminor(e);
	if (m->major > 0xfff || m->minor > 0xfffff)
		return fail(why, ERR_invalid_value, "a device number out of range");
	return OK;
}

static enum err count_content(struct unpack *u, uint64_t n, struct why *why)
{
	if (n > u->content_max || u->content > u->content_max - n)
		return fail(why, ERR_too_large, "files of more than %llu bytes",
			(unsigned long long)u->content_max);
	return OK;
}

static enum err copy_data(struct unpack *u, struct item *it, struct ext4_file *f, struct why *why)
{
	uint64_t packed_max = u->content_max + u->content_max / 4 + GiB;
	const void *block = NULL;
	enum err e = OK;
	la_int64_t off;
	size_t n = 0;
	int got;

	while (!e) {
		got = archive_read_data_block(it->a, &block, &n, &off);
		if (got == ARCHIVE_EOF)
			break;
		if (got == ARCHIVE_RETRY)
			continue;
		if (got < ARCHIVE_WARN)
			return archive_fail(it->a, it->s, why);
		if (n == 0)
			continue;
		e = off < 0 ? fail(why, ERR_invalid_value, "a negative offset") :
			      count_content(u, n, why);
		u->content += n;
		if (!e)
			e = ext4_file_write(f, (uint64_t)off, block, n, why);
		if (!e)
			e = check_ratio(it->a, packed_max, why);
		job_tick(u->job, u->content, NULL);
	}
	return e;
}

static enum err make_file(struct unpack *u, struct item *it, uint32_t *ino, struct why *why)
{
	int64_t size = archive_entry_size_is_set(it->e) ? archive_entry_size(it->e) : 0;
	bool sparse = archive_entry_sparse_count(it->e) > 0;
	struct ext4_file *f = NULL;
	enum err e = OK;

	if (size < 0)
		return fail(why, ERR_invalid_value, "a negative size");
	if (!sparse)
		e = count_content(u, (uint64_t)size, why);
	if (!e)
		e = ext4_file_new(u->tree->fs, &it->m, (uint64_t)size, sparse, &f, why);
	if (!e && size > 0)
		e = copy_data(u, it, f, why);
	if (!e)
		e = ext4_file_end(f, ino, why);
	ext4_file_free(f);
	return e;
}

static enum err make_link(struct unpack *u, struct item *it, uint32_t *ino, struct why *why)
{
	const char *target = archive_entry_symlink(it->e);

	if (!target)
		return fail(why, ERR_invalid_value, "a symbolic link without a target");
	return ext4_symlink(u->tree->fs, &it->m, target, ino, why);
}

static enum err make_inode(struct unpack *u, struct item *it, uint32_t *ino, struct why *why)
{
	switch (it->m.mode & S_IFMT) {
	case S_IFREG:
		return make_file(u, it, ino, why);
	case S_IFLNK:
		return make_link(u, it, ino, why);
	case S_IFDIR:
	case S_IFCHR:
	case S_IFBLK:
	case S_IFIFO:
		return ext4_make(u->tree->fs, &it->m, ino, why);
	default:
		return fail(why, ERR_invalid_value, "an unknown kind of entry");
	}
}

static enum err set_xattrs(struct unpack *u, struct item *it, uint32_t ino, struct why *why)
{
	return ext4_xattrs_set(u->tree->fs, ino, it->xattrs.v, it->xattrs.n, why);
}

/* A directory that is there stays, and looks as its youngest entry says. */
static enum err renew_dir(struct unpack *u, struct item *it, struct node *n, struct why *why)
{
	enum err e = ext4_change(u->tree->fs, n->ino, &it->m, why);

	for (struct node *up = n; up->layer != u->tree->layer; up = up->parent)
		up->layer = u->tree->layer;
	return e ? e : set_xattrs(u, it, n->ino, why);
}

/* A finished inode takes its name; what had the name goes. */
static enum err take_name(struct unpack *u, struct item *it, uint32_t ino, uint32_t mode,
	struct why *why)
{
	struct node *old = tree_child(u->tree, it->dir, it->name, it->name_n), *n;
	enum err e = old ? tree_remove(u->tree, old, why) : OK;

	return e ? e : tree_put(u->tree, it->dir, it->name, it->name_n, ino, mode, &n, why);
}

static enum err put_hard_link(struct unpack *u, struct item *it, const char *target,
	struct why *why)
{
	struct node *dir, *to;
	const char *name;
	uint32_t ino, mode;
	size_t n;
	enum err e;

	e = tree_lookup(u->tree, target, &dir, &name, &n, why);
	if (e && e != ERR_not_found)
		return e;
	to = e || n == 0 ? NULL : tree_child(u->tree, dir, name, n);
	if (!to)
		return fail(why, ERR_invalid_value, "a hard link to an entry that is not there");
	if (S_ISDIR(to->mode))
		return fail(why, ERR_invalid_value, "a hard link to a directory");
	if (to == tree_child(u->tree, it->dir, it->name, it->name_n))
		return OK;
	ino = to->ino;
	mode = to->mode;
	/* The link is counted first: what the name had before may be all that holds the target. */
	e = ext4_link(u->tree->fs, ino, why);
	return e ? e : take_name(u, it, ino, mode, why);
}

static enum err put_new(struct unpack *u, struct item *it, struct why *why)
{
	struct node *old;
	uint32_t ino;
	enum err e;

	old = tree_child(u->tree, it->dir, it->name, it->name_n);
	if (old && S_ISDIR(old->mode) && S_ISDIR(it->m.mode))
		return renew_dir(u, it, old, why);
	e = make_inode(u, it, &ino, why);
	if (!e)
		e = set_xattrs(u, it, ino, why);
	return e ? e : take_name(u, it, ino, it->m.mode, why);
}

/* Sets *done when the entry was a whiteout or another layer's mark. */
static enum err whiteout(struct unpack *u, const char *path, bool *done, struct why *why)
{
	const char *base = strrchr(path, '/'), *name;
	struct bytes target;
	enum whiteout what;
	struct node *dir, *n;
	size_t name_n;
	enum err e;

	base = base ? base + 1 : path;
	what = whiteout_of(base, strlen(base), &target);
	*done = what != WHITEOUT_NONE;
	if (what == WHITEOUT_NONE || what == WHITEOUT_MARK) {
		u->skipped += what == WHITEOUT_MARK;
		return OK;
	}
	e = tree_lookup(u->tree, path, &dir, &name, &name_n, why);
	if (e)
		return e == ERR_not_found ? OK : e;
	if (what == WHITEOUT_ALL)
		return tree_prune(u->tree, dir, false, why);
	n = tree_child(u->tree, dir, (const char *)target.p, target.n);
	return n ? tree_prune(u->tree, n, true, why) : OK;
}

static enum err put_entry(struct unpack *u, struct item *it, const char *path, struct why *why)
{
	const char *hard = archive_entry_hardlink(it->e);
	bool done = false;
	enum err e = OK;

	if (u->entries++ >= u->entries_max)
		return fail(why, ERR_too_large, "more than %llu entries",
			(unsigned long long)u->entries_max);
	if (u->layered && archive_entry_filetype(it->e) != AE_IFDIR)
		e = whiteout(u, path, &done, why);
	if (!e && !done && !hard && archive_entry_filetype(it->e) == AE_IFSOCK) {
		u->skipped++;
		done = true;
	}
	if (e || done)
		return e;
	e = read_meta(it->e, &it->m, why);
	if (!e)
		e = xattrs_of(it->e, &it->xattrs, why);
	it->m.mode = xattrs_mode(&it->xattrs, it->m.mode);
	if (!e)
		e = tree_place(u->tree, path, it->m.mtime, &it->dir, &it->name, &it->name_n, why);
	if (e)
		return e;
	if (it->name_n == 0)
		return S_ISDIR(it->m.mode) && !hard ? renew_dir(u, it, it->dir, why) :
			fail(why, ERR_invalid_value, "the root must be a directory");
	return hard ? put_hard_link(u, it, hard, why) : put_new(u, it, why);
}

enum err unpack_tar(struct unpack *u, struct archive *a, struct source *s, struct why *why)
{
	struct item it = { .a = a, .s = s };
	struct archive_entry *e = NULL;
	enum err err = next_entry(a, s, &e, why);

	while (!err && e) {
		const char *path = archive_entry_pathname(e);

		it.e = e;
		if (!path)
			err = fail(why, ERR_invalid_value, "an entry with an unreadable name");
		else if (put_entry(u, &it, path, why))
			err = fail_entry(why, path);
		job_tick(u->job, u->content, NULL);
		if (!err)
			err = check_ratio(a, u->content_max + u->content_max / 4 + GiB, why);
		if (!err)
			err = next_entry(a, s, &e, why);
	}
	return err;
}
