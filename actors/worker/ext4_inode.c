/*
 * ext4_inode.c - inodes of the builder: making, linking, reading back, directories.
 *
 * Invariant: an inode on disk has a link count of at least one, or it is in the doomed list.
 */
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "worker/ext4_own.h"

#include <ext2fs/ext3_extents.h> /* needs the types of ext2fs.h */

/* Seconds since 1970 in 34 bits and nanoseconds in 30, as ext4 splits them. */
static void put_time(uint32_t *low, uint32_t *extra, const struct timespec *t)
{
	int64_t s = MAX(MIN(t->tv_sec, INT64_C(0x37fffffff)), INT64_C(-0x80000000));
	uint32_t ns = t->tv_nsec >= 0 && t->tv_nsec < 1000000000 ? (uint32_t)t->tv_nsec : 0;

	*low = (uint32_t)s;
	*extra = (uint32_t)(((s - (int32_t)s) >> 32) & 3) | ns << 2;
}

static struct timespec get_time(uint32_t low, uint32_t extra)
{
	return (struct timespec){
		.tv_sec = (int64_t)(int32_t)low + ((int64_t)(extra & 3) << 32),
		.tv_nsec = extra >> 2,
	};
}

/* The kernel's two forms of a device number: the old one where it fits. */
static void put_device(union raw *raw, uint32_t major, uint32_t minor)
{
	if (major < 256 && minor < 256) {
		raw->large.i_block[0] = major << 8 | minor;
		return;
	}
	raw->large.i_block[1] = (minor & 0xff) | (major & 0xfff) << 8 | (minor & ~0xffu) << 12;
}

static void fill(union raw *raw, const struct meta *m)
{
	struct ext2_inode_large *i = &raw->large;

	i->i_mode = (uint16_t)m->mode;
	i->i_uid = (uint16_t)m->uid;
	i->osd2.linux2.l_i_uid_high = (uint16_t)(m->uid >> 16);
	i->i_gid = (uint16_t)m->gid;
	i->osd2.linux2.l_i_gid_high = (uint16_t)(m->gid >> 16);
	i->i_extra_isize = EXTRA_BYTES;
	put_time(&i->i_mtime, &i->i_mtime_extra, &m->mtime);
	put_time(&i->i_atime, &i->i_atime_extra, &m->atime);
	put_time(&i->i_ctime, &i->i_ctime_extra, &m->ctime);
	put_time(&i->i_crtime, &i->i_crtime_extra, &m->mtime);
}

void ext4_extents_begin(union raw *raw)
{
	struct ext3_extent_header head = { .eh_magic = EXT3_EXT_MAGIC };

	head.eh_max = (sizeof(raw->large.i_block) - sizeof(head)) / sizeof(struct ext3_extent);
	memcpy(raw->large.i_block, &head, sizeof(head));
	raw->large.i_flags |= EXT4_EXTENTS_FL;
}

enum err ext4_take(struct ext4 *fs, const struct meta *m, uint32_t *ret_ino, union raw *raw,
	struct why *why)
{
	if (fs->next_ino >= fs->fs->super->s_inodes_count) {
		fail(why, ERR_no_space, "the file system has room for %u entries",
			fs->fs->super->s_inodes_count);
		return fail_hint(why, "ask for a larger size");
	}
	memset(raw, 0, sizeof(*raw));
	fill(raw, m);
	raw->large.i_links_count = S_ISDIR(m->mode) ? 2 : 1;
	if (S_ISREG(m->mode) || S_ISDIR(m->mode))
		ext4_extents_begin(raw);
	if (S_ISCHR(m->mode) || S_ISBLK(m->mode))
		put_device(raw, m->major, m->minor);
	*ret_ino = fs->next_ino++;
	ext2fs_inode_alloc_stats2(fs->fs, *ret_ino, +1, S_ISDIR(m->mode));
	return OK;
}

enum err ext4_make(struct ext4 *fs, const struct meta *m, uint32_t *ret_ino, struct why *why)
{
	union raw raw;
	enum err e = ext4_take(fs, m, ret_ino, &raw, why);

	return e ? e : ext4_store(fs, *ret_ino, &raw, why);
}

enum err ext4_symlink(struct ext4 *fs, const struct meta *m, const char *target, uint32_t *ret_ino,
	struct why *why)
{
	size_t n = strlen(target);
	struct ext4_file *f;
	union raw raw;
	enum err e;

	if (n == 0 || n > EXT4_TARGET_MAX)
		return fail(why, ERR_invalid_value, "a symbolic link of %zu bytes", n);
	if (n >= sizeof(raw.large.i_block)) {
		e = ext4_file_new(fs, m, n, false, &f, why);
		if (!e)
			e = ext4_file_write(f, 0, target, n, why);
		if (!e)
			e = ext4_file_end(f, ret_ino, why);
		ext4_file_free(f);
		return e;
	}
	e = ext4_take(fs, m, ret_ino, &raw, why);
	if (e)
		return e;
	memcpy(raw.large.i_block, target, n);
	raw.large.i_size = (uint32_t)n;
	return ext4_store(fs, *ret_ino, &raw, why);
}

static enum err doom(struct ext4 *fs, struct doomed what, struct why *why)
{
	size_t cap = fs->doomed_cap ? fs->doomed_cap * 2 : 64;
	struct doomed *p;

	if (fs->doomed_n == fs->doomed_cap) {
		p = realloc(fs->doomed, cap * sizeof(*p));
		if (!p)
			return fail(why, ERR_no_memory, "no memory for removed files");
		fs->doomed = p;
		fs->doomed_cap = cap;
	}
	fs->doomed[fs->doomed_n++] = what;
	return OK;
}

/* Attributes lie in the inode's tail and in one block; both are given up. */
static enum err drop_xattrs(struct ext4 *fs, union raw *raw, struct why *why)
{
	size_t used = EXT2_GOOD_OLD_INODE_SIZE + raw->large.i_extra_isize;
	uint64_t block = ext2fs_file_acl_block(fs->fs, &raw->base);
	enum err e;

	memset(raw->bytes + used, 0, sizeof(raw->bytes) - used);
	if (!block)
		return OK;
	e = doom(fs, (struct doomed){ 0, block }, why);
	if (e)
		return e;
	ext2fs_file_acl_block_set(fs->fs, &raw->base, 0);
	ext2fs_iblk_sub_blocks(fs->fs, &raw->base, 1);
	return OK;
}

enum err ext4_change(struct ext4 *fs, uint32_t ino, const struct meta *m, struct why *why)
{
	union raw raw;
	enum err e = ext4_load(fs, ino, &raw, why);

	if (!e)
		e = drop_xattrs(fs, &raw, why);
	if (e)
		return e;
	fill(&raw, m);
	return ext4_store(fs, ino, &raw, why);
}

static void get_device(const union raw *raw, struct meta *m)
{
	uint32_t d = raw->large.i_block[0], w = raw->large.i_block[1];

	m->major = d ? d >> 8 & 0xff : w >> 8 & 0xfff;
	m->minor = d ? d & 0xff : (w & 0xff) | (w >> 12 & ~0xffu);
}

enum err ext4_meta(struct ext4 *fs, uint32_t ino, struct meta *ret, struct why *why)
{
	union raw raw;
	const struct ext2_inode_large *i = &raw.large;
	enum err e = ext4_load(fs, ino, &raw, why);

	if (e)
		return e;
	*ret = (struct meta){
		.mode = i->i_mode,
		.uid = i->i_uid | (uint32_t)i->osd2.linux2.l_i_uid_high << 16,
		.gid = i->i_gid | (uint32_t)i->osd2.linux2.l_i_gid_high << 16,
		.mtime = get_time(i->i_mtime, i->i_mtime_extra),
		.atime = get_time(i->i_atime, i->i_atime_extra),
		.ctime = get_time(i->i_ctime, i->i_ctime_extra),
	};
	if (S_ISCHR(ret->mode) || S_ISBLK(ret->mode))
		get_device(&raw, ret);
	return OK;
}

enum err ext4_link(struct ext4 *fs, uint32_t ino, struct why *why)
{
	union raw raw;
	enum err e = ext4_load(fs, ino, &raw, why);

	if (e)
		return e;
	if (raw.large.i_links_count >= EXT4_LINKS_MAX)
		return fail(why, ERR_too_large, "more than %d hard links to one file",
			EXT4_LINKS_MAX);
	raw.large.i_links_count++;
	return ext4_store(fs, ino, &raw, why);
}

enum err ext4_unlink(struct ext4 *fs, uint32_t ino, struct why *why)
{
	union raw raw;
	enum err e = ext4_load(fs, ino, &raw, why);

	if (e)
		return e;
	if (!S_ISDIR(raw.large.i_mode) && raw.large.i_links_count > 1) {
		raw.large.i_links_count--;
		return ext4_store(fs, ino, &raw, why);
	}
	return doom(fs, (struct doomed){ ino, 0 }, why);
}
