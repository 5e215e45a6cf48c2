/*
 * ext4_dir.c - directories and attributes.
 *
 * A directory is written once, whole, as a list of blocks without index: linking names one by one
 * would be quadratic, which an archive could use. The kernel adds an index when it grows one.
 */
#include <sys/stat.h>

#include "worker/ext4_own.h"

enum { TAIL_BYTES = sizeof(struct ext2_dir_entry_tail), ROOM = EXT4_BLOCK - TAIL_BYTES };

static uint8_t file_type(uint32_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
		return EXT2_FT_REG_FILE;
	case S_IFDIR:
		return EXT2_FT_DIR;
	case S_IFLNK:
		return EXT2_FT_SYMLINK;
	case S_IFCHR:
		return EXT2_FT_CHRDEV;
	case S_IFBLK:
		return EXT2_FT_BLKDEV;
	case S_IFIFO:
		return EXT2_FT_FIFO;
	default:
		return EXT2_FT_UNKNOWN;
	}
}

/* Blocks of a directory as they fill up. */
struct pages {
	uint8_t *p;
	size_t n, cap; /* blocks */
	size_t used; /* bytes of the last block */
	struct ext2_dir_entry *last; /* its youngest entry, which owns the rest of the room */
};

static struct ext2_dir_entry *entry_at(struct pages *d, size_t off)
{
	return (struct ext2_dir_entry *)(void *)(d->p + (d->n - 1) * EXT4_BLOCK + off);
}

static bool new_page(struct pages *d)
{
	size_t cap = d->cap ? d->cap * 2 : 1;
	uint8_t *p;

	if (d->n == d->cap) {
		p = realloc(d->p, cap * EXT4_BLOCK);
		if (!p)
			return false;
		d->p = p;
		d->cap = cap;
	}
	memset(d->p + d->n * EXT4_BLOCK, 0, EXT4_BLOCK);
	d->n++;
	d->used = 0;
	d->last = NULL;
	return true;
}

static bool add_entry(struct pages *d, const struct ext4_entry *e)
{
	size_t need = EXT2_DIR_REC_LEN(e->name_n);
	struct ext2_dir_entry *de;

	if ((d->n == 0 || d->used + need > ROOM) && !new_page(d))
		return false;
	if (d->last)
		d->last->rec_len = (uint16_t)EXT2_DIR_REC_LEN(d->last->name_len & 0xff);
	de = entry_at(d, d->used);
	de->inode = e->ino;
	de->name_len = (uint16_t)(e->name_n | (size_t)file_type(e->mode) << 8);
	memcpy(de->name, e->name, e->name_n);
	de->rec_len = (uint16_t)(ROOM - d->used);
	d->used += need;
	d->last = de;
	return true;
}

struct page_writer {
	struct ext4 *fs;
	uint32_t ino;
	struct pages *d;
};

static enum err write_run(void *ctx, const struct ext4_run *run, struct why *why)
{
	struct page_writer *w = ctx;
	size_t first = (size_t)(run->off / EXT4_BLOCK);
	size_t end = MIN(w->d->n, first + (size_t)(run->n / EXT4_BLOCK));

	for (size_t i = first; i < end; i++) {
		uint8_t *p = w->d->p + i * EXT4_BLOCK;
		errcode_t e;

		ext2fs_initialize_dirent_tail(w->fs->fs,
			(struct ext2_dir_entry_tail *)(void *)(p + ROOM));
		e = ext2fs_write_dir_block4(w->fs->fs, run->at / EXT4_BLOCK + (i - first), p, 0,
			w->ino);
		if (e)
			return ext4_fail(why, e, "cannot write a directory");
	}
	return OK;
}

static enum err write_pages(struct ext4 *fs, uint32_t ino, struct pages *d, uint32_t subdirs,
	struct why *why)
{
	struct page_writer w = { fs, ino, d };
	union raw raw;
	enum err e = ext4_load(fs, ino, &raw, why);

	if (e)
		return e;
	raw.large.i_links_count = subdirs + 2 > EXT4_LINKS_MAX ? 1 : (uint16_t)(subdirs + 2);
	if (ext2fs_inode_size_set(fs->fs, &raw.base, (off_t)(d->n * EXT4_BLOCK)))
		return fail(why, ERR_too_large, "a directory of %zu blocks", d->n);
	e = ext4_reserve(fs, ino, &raw, 0, d->n, why);
	if (!e)
		e = ext4_store(fs, ino, &raw, why);
	return e ? e : ext4_each_run(fs, ino, write_run, &w, why);
}

enum err ext4_dir(struct ext4 *fs, uint32_t ino, uint32_t parent, ext4_next_fn *next, void *ctx,
	struct why *why)
{
	struct pages d = { .n = 0 };
	struct ext4_entry e = { ".", 1, ino, S_IFDIR };
	uint32_t subdirs = 0;
	enum err result;
	bool ok;

	ok = add_entry(&d, &e);
	e = (struct ext4_entry){ "..", 2, parent, S_IFDIR };
	ok = ok && add_entry(&d, &e);
	while (ok && next(ctx, &e)) {
		must(e.name_n > 0 && e.name_n <= EXT4_NAME_MAX);
		subdirs += S_ISDIR(e.mode);
		ok = add_entry(&d, &e);
	}
	result = ok ? write_pages(fs, ino, &d, subdirs, why) :
		      fail(why, ERR_no_memory, "no memory for a directory");
	free(d.p);
	return result;
}

/* Attributes. */

static enum err xattr_fail(struct why *why, errcode_t e)
{
	if (e == EXT2_ET_EA_NO_SPACE || e == EXT2_ET_EA_KEY_NOT_FOUND)
		return fail(why, ERR_too_large, "its extended attributes do not fit into 4 KiB");
	return ext4_fail(why, e, "cannot write extended attributes");
}

enum err ext4_xattrs_set(struct ext4 *fs, uint32_t ino, const struct xattr *v, size_t n,
	struct why *why)
{
	struct ext2_xattr_handle *h;
	errcode_t e;

	if (n == 0)
		return OK;
	e = ext2fs_xattrs_open(fs->fs, ino, &h);
	if (e)
		return ext4_fail(why, e, "cannot open extended attributes");
	e = ext2fs_xattrs_read(h);
	for (size_t i = 0; i < n && !e; i++) {
		const void *value = v[i].value.p ? (const void *)v[i].value.p : "";

		e = ext2fs_xattr_set(h, v[i].name, value, v[i].value.n);
	}
	ext2fs_xattrs_close(&h);
	return e ? xattr_fail(why, e) : OK;
}

struct copying {
	struct ext2_xattr_handle *from, *to;
	errcode_t e;
};

/* The value is fetched anew: what iterating hands out is the disk's form of an ACL. */
static int copy_one(char *name, char *disk UNUSED, size_t disk_n UNUSED, void *ctx)
{
	struct copying *c = ctx;
	void *value = NULL;
	size_t n = 0;

	c->e = ext2fs_xattr_get(c->from, name, &value, &n);
	if (!c->e)
		c->e = ext2fs_xattr_set(c->to, name, value, n);
	ext2fs_free_mem(&value);
	return c->e ? XATTR_ABORT : 0;
}

static errcode_t copy_all(struct ext2_xattr_handle *from, struct ext4 *to, uint32_t to_ino)
{
	struct copying c = { .from = from };
	size_t n = 0;
	errcode_t e = ext2fs_xattrs_read(from);

	if (!e)
		e = ext2fs_xattrs_count(from, &n);
	if (e || n == 0)
		return e;
	e = ext2fs_xattrs_open(to->fs, to_ino, &c.to);
	if (e)
		return e;
	e = ext2fs_xattrs_iterate(from, copy_one, &c);
	ext2fs_xattrs_close(&c.to);
	return c.e ? c.e : e;
}

enum err ext4_xattrs_copy(struct ext4 *from, uint32_t from_ino, struct ext4 *to, uint32_t to_ino,
	struct why *why)
{
	struct ext2_xattr_handle *h;
	errcode_t e = ext2fs_xattrs_open(from->fs, from_ino, &h);

	if (e)
		return ext4_fail(why, e, "cannot open extended attributes");
	e = copy_all(h, to, to_ino);
	ext2fs_xattrs_close(&h);
	return e ? xattr_fail(why, e) : OK;
}
