/*
 * ext4.c - makes the file system, deals out inodes and blocks, and closes it.
 *
 * The same input makes the same bytes: times come from the caller, the checksum seed is fixed, and
 * the name (UUID) is set at the end. Inode tables are holes of the sparse file and marked zeroed.
 */
#include "worker/ext4_own.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

enum {
	FIXED_TIME = 1577836800, /* superblock times: 2020-01-01, so that builds agree */
	INODE_SPACING = 16384,
	JOURNAL_BLOCKS_MIN = 1024
};

enum err ext4_fail(struct why *why, errcode_t code, const char *doing)
{
	if (code == EXT2_ET_BLOCK_ALLOC_FAIL || code == ENOSPC || code == EDQUOT || code == EFBIG) {
		fail(why, ERR_no_space, "%s: the file system is full", doing);
		return fail_hint(why, "ask for a larger size, or make room on the host");
	}
	if (code == EXT2_ET_NO_MEMORY || code == ENOMEM)
		return fail(why, ERR_no_memory, "%s: out of memory", doing);
	if (code == EXT2_ET_TOOSMALL)
		return fail(why, ERR_invalid_value, "%s: the size is too small", doing);
	return fail(why, ERR_internal, "%s: %s", doing, error_message(code));
}

static void describe(struct ext2_super_block *param, const struct ext4_spec *spec)
{
	uint64_t blocks = spec->size / EXT4_BLOCK;
	uint64_t inodes = spec->inodes ? spec->inodes : spec->size / INODE_SPACING;

	memset(param, 0, sizeof(*param));
	param->s_rev_level = EXT2_DYNAMIC_REV;
	param->s_log_block_size = 2;
	param->s_log_cluster_size = 2;
	ext2fs_blocks_count_set(param, blocks);
	if (!spec->read_only)
		ext2fs_r_blocks_count_set(param, blocks / 50);
	param->s_inodes_count = (uint32_t)MIN(MAX(inodes, 256), UINT32_MAX / 2);
	param->s_inode_size = INODE_BYTES;
	param->s_log_groups_per_flex = 4;
	ext2fs_set_feature_filetype(param);
	ext2fs_set_feature_extents(param);
	ext2fs_set_feature_64bit(param);
	ext2fs_set_feature_flex_bg(param);
	ext2fs_set_feature_csum_seed(param);
	ext2fs_set_feature_xattr(param);
	ext2fs_set_feature_dir_index(param);
	ext2fs_set_feature_sparse_super(param);
	ext2fs_set_feature_large_file(param);
	ext2fs_set_feature_huge_file(param);
	ext2fs_set_feature_dir_nlink(param);
	ext2fs_set_feature_extra_isize(param);
	ext2fs_set_feature_metadata_csum(param);
	if (!spec->read_only)
		ext2fs_set_feature_resize_inode(param);
}

static void dress(ext2_filsys fs, const struct ext4_spec *spec)
{
	struct ext2_super_block *s = fs->super;

	fs->now = FIXED_TIME;
	s->s_mkfs_time = s->s_wtime = s->s_lastcheck = FIXED_TIME;
	s->s_mkfs_time_hi = s->s_wtime_hi = s->s_lastcheck_hi = 0;
	/* ext2fs_initialize leaves the checksum type at 0, with which nothing opens the result. */
	s->s_checksum_type = EXT2_CRC32C_CHKSUM;
	s->s_checksum_seed = 0x62616e67;
	ext2fs_init_csum_seed(fs);
	s->s_max_mnt_count = -1;
	s->s_checkinterval = 0;
	s->s_errors = EXT2_ERRORS_CONTINUE;
	s->s_def_hash_version = EXT2_HASH_HALF_MD4;
	s->s_flags |= EXT2_FLAGS_SIGNED_HASH;
	s->s_default_mount_opts = EXT2_DEFM_XATTR_USER | EXT2_DEFM_ACL;
	s->s_min_extra_isize = s->s_want_extra_isize = EXTRA_BYTES;
	memcpy(s->s_volume_name, spec->label, MIN(strlen(spec->label), sizeof(s->s_volume_name)));
	for (size_t i = 0; i < COUNT(s->s_hash_seed); i++)
		s->s_hash_seed[i] = 0x9e3779b9u * (uint32_t)(i + 1);
}

static errcode_t journal(ext2_filsys fs)
{
	int blocks = ext2fs_default_journal_size(ext2fs_blocks_count(fs->super));

	if (blocks < JOURNAL_BLOCKS_MIN)
		return 0; /* too small for one: works without */
	return ext2fs_add_journal_inode2(fs, (blk_t)blocks, ~0ULL,
		EXT2_MKJOURNAL_NO_MNT_CHECK | EXT2_MKJOURNAL_LAZYINIT);
}

/* Tables, the reserved inodes, and the two that hold blocks of their own. */
static errcode_t furnish(ext2_filsys fs, const struct ext4_spec *spec)
{
	errcode_t e = ext2fs_allocate_tables(fs);

	if (e)
		return e;
	for (dgrp_t g = 0; g < fs->group_desc_count; g++) {
		ext2fs_bg_flags_set(fs, g, EXT2_BG_INODE_ZEROED);
		ext2fs_group_desc_csum_set(fs, g);
	}
	for (uint32_t i = 1; i < EXT2_FIRST_INODE(fs->super); i++)
		ext2fs_inode_alloc_stats2(fs, i, +1, i == EXT4_ROOT);
	if (spec->read_only)
		return 0;
	e = ext2fs_create_resize_inode(fs);
	return e ? e : journal(fs);
}

static enum err open_new(struct ext4 *fs, int fd, const struct ext4_spec *spec, struct why *why)
{
	struct ext2_super_block param;
	struct ext2_inode none = { .i_mode = 0 };
	char name[16];
	errcode_t e;

	describe(&param, spec);
	snprintf(name, sizeof(name), "%d", fd);
	e = ext2fs_initialize(name, EXT2_FLAG_EXCLUSIVE | EXT2_FLAG_64BITS, &param,
		unixfd_io_manager, &fs->fs);
	if (e)
		return ext4_fail(why, e, "cannot begin a file system");
	dress(fs->fs, spec);
	e = furnish(fs->fs, spec);
	if (!e)
		e = ext2fs_write_inode(fs->fs, EXT2_BAD_INO, &none);
	return e ? ext4_fail(why, e, "cannot lay out a file system") : OK;
}

static enum err make_root(struct ext4 *fs, struct why *why)
{
	struct meta m = { .mode = S_IFDIR | 0755 };
	union raw raw;

	memset(&raw, 0, sizeof(raw));
	raw.large.i_mode = (uint16_t)m.mode;
	raw.large.i_links_count = 2;
	ext4_extents_begin(&raw);
	raw.large.i_extra_isize = EXTRA_BYTES;
	return ext4_store(fs, EXT4_ROOT, &raw, why);
}

enum err ext4_new(int fd, const struct ext4_spec *spec, struct ext4 **ret, struct why *why)
{
	struct ext4 *fs = calloc(1, sizeof(*fs));
	own_fd own = fd;
	enum err e;
	int dup;

	if (!fs)
		return fail(why, ERR_no_memory, "no memory for a file system");
	fs->fd = take_fd(&own);
	fs->next_ino = EXT2_GOOD_OLD_FIRST_INO;
	if (ftruncate(fs->fd, (off_t)(spec->size / EXT4_BLOCK * EXT4_BLOCK)) < 0)
		e = fail_errno(why, "cannot size a file system of %llu bytes",
			(unsigned long long)spec->size);
	else if ((dup = fcntl(fs->fd, F_DUPFD_CLOEXEC, 0)) < 0)
		e = fail_errno(why, "cannot hold a file system twice");
	else
		e = open_new(fs, dup, spec, why); /* libext2fs closes this one */
	if (!e)
		e = make_root(fs, why);
	if (e) {
		ext4_free(fs);
		return e;
	}
	fs->goal = fs->fs->super->s_first_data_block;
	*ret = fs;
	return OK;
}

void ext4_free(struct ext4 *fs)
{
	if (!fs)
		return;
	if (fs->fs)
		ext2fs_free(fs->fs);
	if (fs->fd >= 0)
		close(fs->fd);
	free(fs->doomed);
	free(fs);
}

int ext4_fd(const struct ext4 *fs)
{
	return fs->fd;
}

uint64_t ext4_inodes_left(const struct ext4 *fs)
{
	return fs->fs->super->s_inodes_count - fs->next_ino;
}

enum err ext4_load(struct ext4 *fs, uint32_t ino, union raw *ret, struct why *why)
{
	errcode_t e = ext2fs_read_inode_full(fs->fs, ino, &ret->base, sizeof(*ret));

	return e ? ext4_fail(why, e, "cannot read an inode") : OK;
}

enum err ext4_store(struct ext4 *fs, uint32_t ino, union raw *raw, struct why *why)
{
	errcode_t e = ext2fs_write_inode_full(fs->fs, ino, &raw->base, sizeof(*raw));

	return e ? ext4_fail(why, e, "cannot write an inode") : OK;
}

enum err ext4_reserve(struct ext4 *fs, uint32_t ino, union raw *raw, uint64_t from, uint64_t n,
	struct why *why)
{
	struct ext2fs_extent ext;
	ext2_extent_handle_t h;
	errcode_t e;

	e = ext2fs_fallocate(fs->fs, EXT2_FALLOCATE_FORCE_INIT | EXT2_FALLOCATE_INIT_BEYOND_EOF,
		ino, &raw->base, fs->goal, from, n);
	if (e)
		return ext4_fail(why, e, "cannot reserve blocks");
	e = ext2fs_extent_open2(fs->fs, ino, &raw->base, &h);
	if (e)
		return ext4_fail(why, e, "cannot read extents");
	e = ext2fs_extent_goto(h, from + n - 1);
	if (!e)
		e = ext2fs_extent_get(h, EXT2_EXTENT_CURRENT, &ext);
	if (!e)
		fs->goal = ext.e_pblk + ext.e_len;
	if (fs->goal >= ext2fs_blocks_count(fs->fs->super))
		fs->goal = fs->fs->super->s_first_data_block;
	ext2fs_extent_free(h);
	return e ? ext4_fail(why, e, "cannot find reserved blocks") : OK;
}

/* Gives the blocks of an inode back, to the file system and to the host. */
static errcode_t bury(struct ext4 *fs, uint32_t ino)
{
	union raw raw;
	errcode_t e;
	bool dir;

	e = ext2fs_read_inode_full(fs->fs, ino, &raw.base, sizeof(raw));
	if (e)
		return e;
	dir = S_ISDIR(raw.large.i_mode);
	if (raw.large.i_flags & EXT4_EXTENTS_FL)
		e = ext2fs_punch(fs->fs, ino, &raw.base, NULL, 0, ~0ULL);
	if (!e && ext2fs_file_acl_block(fs->fs, &raw.base))
		e = ext2fs_free_ext_attr(fs->fs, ino, &raw.large);
	if (e)
		return e;
	memset(&raw, 0, sizeof(raw));
	e = ext2fs_write_inode_full(fs->fs, ino, &raw.base, sizeof(raw));
	ext2fs_inode_alloc_stats2(fs->fs, ino, -1, dir);
	return e;
}

/* The host's blocks behind what is free in the end; only files that were replaced leave any. */
static void punch_host(struct ext4 *fs)
{
	blk64_t from = fs->fs->super->s_first_data_block, end = ext2fs_blocks_count(fs->fs->super);
	blk64_t a, b;

	while (from < end &&
		ext2fs_find_first_zero_block_bitmap2(fs->fs->block_map, from, end - 1, &a) == 0) {
		if (ext2fs_find_first_set_block_bitmap2(fs->fs->block_map, a, end - 1, &b))
			b = end;
		(void)!fallocate(fs->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			(off_t)(a * EXT4_BLOCK), (off_t)((b - a) * EXT4_BLOCK));
		from = b;
	}
}

static errcode_t bury_all(struct ext4 *fs)
{
	errcode_t e = 0;

	for (size_t i = 0; i < fs->doomed_n && !e; i++) {
		if (fs->doomed[i].ino)
			e = bury(fs, fs->doomed[i].ino);
		else
			ext2fs_block_alloc_stats2(fs->fs, fs->doomed[i].block, -1);
	}
	return e;
}

enum err ext4_finish(struct ext4 *fs, const uint8_t uuid[16], struct why *why)
{
	enum err result = OK;
	errcode_t e = bury_all(fs);

	memcpy(fs->fs->super->s_uuid, uuid, 16);
	fs->fs->super->s_kbytes_written = 0;
	ext2fs_mark_super_dirty(fs->fs);
	if (!e)
		e = ext2fs_set_gdt_csum(fs->fs);
	if (!e)
		e = ext2fs_flush(fs->fs);
	if (!e && fs->doomed_n > 0)
		punch_host(fs);
	if (!e)
		e = ext2fs_close_free(&fs->fs);
	if (e)
		result = ext4_fail(why, e, "cannot complete a file system");
	else if (fsync(fs->fd) < 0)
		result = fail_errno(why, "cannot flush a file system");
	ext4_free(fs);
	return result;
}
