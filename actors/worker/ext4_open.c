/*
 * ext4_open.c - a file system that somebody else made, opened to be read.
 *
 * It is whatever its maker liked: every number in it is checked by libext2fs or here before it is
 * used, a directory is entered once, and what the readers of this builder do not know is refused.
 */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "worker/ext4_own.h"
#include "worker/tree.h"

static enum err check_features(ext2_filsys fs, struct why *why)
{
	const char *what = ext2fs_has_feature_inline_data(fs->super) ? "inline data" :
			   ext2fs_has_feature_encrypt(fs->super)     ? "encryption" :
			   ext2fs_has_feature_casefold(fs->super)    ? "case folding" :
			   ext2fs_has_feature_bigalloc(fs->super)    ? "clusters" :
			   ext2fs_has_feature_journal_dev(fs->super) ? "a journal alone" :
								       NULL;

	if (what)
		return fail(why, ERR_unsupported, "the file system has %s, which is not known here",
			what);
	if (!(fs->super->s_state & EXT2_VALID_FS) || (fs->super->s_state & EXT2_ERROR_FS) ||
		ext2fs_has_feature_journal_needs_recovery(fs->super)) {
		fail(why, ERR_conflict, "the file system was not unmounted cleanly, or is mounted");
		return fail_hint(why, "unmount it; `e2fsck -f FILE` repairs one that is damaged");
	}
	return OK;
}

enum err ext4_open(int fd, struct ext4 **ret, struct why *why)
{
	struct ext4 *fs = calloc(1, sizeof(*fs));
	own_fd own = fd;
	char name[16];
	errcode_t code;
	int dup;

	if (!fs)
		return fail(why, ERR_no_memory, "no memory for a file system");
	fs->fd = take_fd(&own);
	dup = fcntl(fs->fd, F_DUPFD_CLOEXEC, 0);
	if (dup < 0) {
		ext4_free(fs);
		return fail_errno(why, "cannot hold a file system twice");
	}
	snprintf(name, sizeof(name), "%d", dup); /* libext2fs closes this one */
	code = ext2fs_open(name, EXT2_FLAG_64BITS, 0, 0, unixfd_io_manager, &fs->fs);
	if (code) {
		close(dup);
		ext4_free(fs);
		if (code == EXT2_ET_NO_MEMORY)
			return fail(why, ERR_no_memory, "no memory for a file system");
		fail(why, ERR_invalid_value, "the file holds no ext4 that can be read: %s",
			error_message(code));
		return fail_hint(why, "a root filesystem is an ext4 without partitions; `banger "
				      "image import` takes tar files");
	}
	if (check_features(fs->fs, why)) {
		ext4_free(fs);
		return why->code;
	}
	*ret = fs;
	return OK;
}

uint64_t ext4_bytes(const struct ext4 *fs)
{
	return ext2fs_blocks_count(fs->fs->super) * fs->fs->blocksize;
}

/* ---- names ---- */

struct loading {
	struct tree *t;
	struct node *dir;
	ext2fs_inode_bitmap seen; /* directories that were entered */
	struct why *why;
	enum err e;
};

static enum err add(struct loading *l, const char *name, size_t n, uint32_t ino)
{
	struct node *node;
	struct meta m;
	enum err e;

	if (n == 0 || memchr(name, '/', n) || memchr(name, 0, n))
		return fail(l->why, ERR_invalid_value, "a directory holds a name that is none");
	if (tree_child(l->t, l->dir, name, n))
		return fail(
			l->why, ERR_invalid_value, "a directory holds '%.*s' twice", (int)n, name);
	e = ext4_meta(l->t->fs, ino, &m, l->why);
	return e ? e : tree_put(l->t, l->dir, name, n, ino, m.mode, &node, l->why);
}

static int on_entry(ext2_ino_t dir UNUSED, int entry UNUSED, struct ext2_dir_entry *d,
	int offset UNUSED, int size UNUSED, char *buf UNUSED, void *ctx)
{
	struct loading *l = ctx;
	size_t n = (size_t)ext2fs_dirent_name_len(d);

	if (n <= 2 && memcmp(d->name, "..", n) == 0)
		return 0;
	l->e = add(l, d->name, n, d->inode);
	return l->e ? DIRENT_ABORT : 0;
}

/* Recursion is bounded by the depth that tree_put allows. */
static enum err load_dir(
	struct tree *t, struct node *dir, ext2fs_inode_bitmap seen, struct why *why)
{
	struct loading l = { t, dir, seen, why, OK };
	struct node *kid;
	errcode_t code;

	if (ext2fs_test_inode_bitmap2(seen, dir->ino))
		return fail(why, ERR_invalid_value, "a directory has two names");
	ext2fs_mark_inode_bitmap2(seen, dir->ino);
	code = ext2fs_dir_iterate2(t->fs->fs, dir->ino, 0, NULL, on_entry, &l);
	if (l.e)
		return l.e;
	if (code)
		return ext4_fail(why, code, "cannot read a directory");
	TAILQ_FOREACH(kid, &dir->kids, beside)
	{
		enum err e = S_ISDIR(kid->mode) ? load_dir(t, kid, seen, why) : OK;

		if (e)
			return e;
	}
	return OK;
}

enum err tree_load(struct tree *t, struct why *why)
{
	ext2fs_inode_bitmap seen;
	errcode_t code = ext2fs_allocate_inode_bitmap(t->fs->fs, "seen", &seen);
	enum err e;

	if (code)
		return ext4_fail(why, code, "cannot remember directories");
	e = load_dir(t, t->root, seen, why);
	ext2fs_free_inode_bitmap(seen);
	return e;
}
