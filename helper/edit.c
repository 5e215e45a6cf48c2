/*
 * edit.c - libext2fs on a filesystem that may be hostile: open, walk, read, write.
 *
 * The walk is by inode, one lookup a component. A filesystem whose journal was not replayed, or
 * that is marked unclean, is refused: what is read there may be old, and what is written lost.
 */
#include "helper/edit.h"

#include <ext2fs/ext2fs.h>
#include <sys/stat.h>

static const char field_image[] = "image_path";

enum { READ_STEP = 16384 };

const char *edit_check_path(const char *path)
{
	unsigned depth = 0;

	for (const char *at = path; *at;) {
		size_t n;

		at++; /* the slash; the path is absolute and clean */
		n = strcspn(at, "/");
		if (n == 0)
			return "must name a file, not the root directory";
		if (n > EDIT_NAME_MAX)
			return "has a name of more than 255 bytes";
		if (++depth > EDIT_DEPTH_MAX)
			return "has more than 64 components";
		at += n;
	}
	return depth ? NULL : "must name a file, not the root directory";
}

/* ---- failures ---- */

static enum err broken(errcode_t code, struct why *why)
{
	switch (code) {
	case EXT2_ET_BLOCK_ALLOC_FAIL:
	case EXT2_ET_INODE_ALLOC_FAIL:
		return fail_field(why, ERR_no_space, field_image, "the filesystem is full");
	case EXT2_ET_NO_MEMORY:
	case ENOMEM:
		return fail(why, ERR_no_memory, "no memory for the filesystem");
	default:
		return fail_field(why, ERR_invalid_value, field_image,
			"not a sound ext4 filesystem: %s", error_message(code));
	}
}

static enum err unclean(const char *how, struct why *why)
{
	fail_field(why, ERR_conflict, field_image, "the filesystem %s", how);
	return fail_hint(why, "check it first: priv.fsck_snapshot, or e2fsck on the file");
}

/* ---- opening ---- */

static enum err judge(ext2_filsys fs, bool writable, struct why *why)
{
	struct ext2_super_block *s = fs->super;

	if (ext2fs_has_feature_journal_dev(s))
		return fail_field(why, ERR_invalid_value, field_image, "it is a journal");
	if (ext2fs_has_feature_journal_needs_recovery(s))
		return unclean("has a journal that was not replayed", why);
	if (!(s->s_state & EXT2_VALID_FS) || s->s_state & EXT2_ERROR_FS)
		return unclean("is marked unclean", why);
	if (writable && (ext2fs_has_feature_quota(s) || ext2fs_has_feature_ea_inode(s)))
		return fail_field(why, ERR_unsupported, field_image,
			"a filesystem with quotas or attribute inodes is not written");
	return OK;
}

/* The library would write on stderr, which is the log, as often as an image makes it. */
static void say_nothing(
	const char *who UNUSED, errcode_t code UNUSED, const char *fmt UNUSED, va_list ap UNUSED)
{
}

static enum err open_fs(int fd, bool writable, ext2_filsys *ret, struct why *why)
{
	errcode_t code;
	char name[16];
	enum err e;

	initialize_ext2_error_table();
	set_com_err_hook(say_nothing);
	snprintf(name, sizeof(name), "%d", fd);
	code = ext2fs_open(name, EXT2_FLAG_64BITS | (writable ? EXT2_FLAG_RW : 0), 0, 0,
		unixfd_io_manager, ret);
	if (code)
		return broken(code, why);
	e = judge(*ret, writable, why);
	code = e || !writable ? 0 : ext2fs_read_bitmaps(*ret);
	if (code)
		e = broken(code, why);
	if (e) {
		ext2fs_free(*ret);
		*ret = NULL;
	}
	return e;
}

/* ---- walking ---- */

/* An inode that a directory may name; the others are the filesystem's own. */
static enum err load(ext2_filsys fs, ext2_ino_t ino, struct ext2_inode *inode, struct why *why)
{
	errcode_t code;

	if (ino != EXT2_ROOT_INO && ino < EXT2_FIRST_INODE(fs->super))
		return broken(EXT2_ET_BAD_INODE_NUM, why);
	code = ext2fs_read_inode(fs, ino, inode);
	return code ? broken(code, why) : OK;
}

/* 0 in ret_ino when there is no such name. */
static enum err look(ext2_filsys fs, ext2_ino_t dir, const char *name, size_t n,
	ext2_ino_t *ret_ino, struct why *why)
{
	errcode_t code = ext2fs_lookup(fs, dir, name, (int)n, NULL, ret_ino);

	if (code == EXT2_ET_FILE_NOT_FOUND) {
		*ret_ino = 0;
		return OK;
	}
	return code ? broken(code, why) : OK;
}

static enum err must_be(const struct ext2_inode *inode, unsigned kind, const char *field,
	const char *path, struct why *why)
{
	unsigned have = inode->i_mode & LINUX_S_IFMT;

	if (have == kind)
		return OK;
	if (have == LINUX_S_IFLNK)
		return fail_field(why, ERR_denied, field, "%.200s leads over a link", path);
	return fail_field(why, ERR_conflict, field, "%.200s: %s", path,
		kind == LINUX_S_IFDIR ? "a parent is not a directory" : "not a regular file");
}

static void touch(ext2_filsys fs, ext2_ino_t dir)
{
	struct ext2_inode inode;

	if (ext2fs_read_inode(fs, dir, &inode))
		return;
	inode.i_mtime = inode.i_ctime = (uint32_t)time(NULL);
	(void)!ext2fs_write_inode(fs, dir, &inode);
}

static enum err make_dir(ext2_filsys fs, ext2_ino_t dir, const char *name, size_t n,
	ext2_ino_t *ret_ino, struct why *why)
{
	char text[EDIT_NAME_MAX + 1];
	errcode_t code;

	memcpy(text, name, n);
	text[n] = '\0';
	code = ext2fs_new_inode(fs, dir, LINUX_S_IFDIR | 0755, NULL, ret_ino);
	if (!code)
		code = ext2fs_mkdir(fs, dir, *ret_ino, text);
	if (code == EXT2_ET_DIR_NO_SPACE) {
		code = ext2fs_expand_dir(fs, dir);
		if (!code)
			code = ext2fs_mkdir(fs, dir, *ret_ino, text);
	}
	if (code)
		return broken(code, why);
	touch(fs, dir);
	return OK;
}

/* The directory that holds the last component, which ret_leaf then is. */
static enum err walk(ext2_filsys fs, const char *path, const char *field, bool make,
	ext2_ino_t *ret_dir, const char **ret_leaf, struct why *why)
{
	ext2_ino_t dir = EXT2_ROOT_INO, next;
	const char *at = path + 1;
	struct ext2_inode inode;
	enum err e;

	for (;;) {
		size_t n = strcspn(at, "/");

		if (at[n] == '\0')
			break;
		e = look(fs, dir, at, n, &next, why);
		if (!e && !next && !make)
			return fail_field(why, ERR_not_found, field, "%.200s is not there", path);
		if (!e && !next)
			e = make_dir(fs, dir, at, n, &next, why);
		if (!e)
			e = load(fs, next, &inode, why);
		if (!e)
			e = must_be(&inode, LINUX_S_IFDIR, field, path, why);
		if (e)
			return e;
		dir = next;
		at += n + 1;
	}
	*ret_dir = dir;
	*ret_leaf = at;
	return OK;
}

/* ---- reading ---- */

static enum err read_content(
	ext2_filsys fs, ext2_ino_t ino, size_t size, struct buf *out, struct why *why)
{
	ext2_file_t f;
	errcode_t code = ext2fs_file_open(fs, ino, 0, &f);
	unsigned got = 1;

	while (!code && got > 0 && size > 0) {
		unsigned want = (unsigned)MIN(size, (size_t)READ_STEP);
		uint8_t *to = buf_room(out, want);

		if (!to) {
			ext2fs_file_close(f);
			return fail(why, ERR_no_memory, "no memory for a file");
		}
		code = ext2fs_file_read(f, to, want, &got);
		out->n += got;
		size -= got;
	}
	if (code)
		return broken(code, why);
	ext2fs_file_close(f);
	return size ? broken(EXT2_ET_SHORT_READ, why) : OK;
}

static enum err read_one(
	ext2_filsys fs, const char *path, size_t max, struct buf *out, struct why *why)
{
	static const char field[] = "guest_path";
	struct ext2_inode inode;
	ext2_ino_t dir, ino;
	const char *leaf;
	enum err e = walk(fs, path, field, false, &dir, &leaf, why);

	if (!e)
		e = look(fs, dir, leaf, strlen(leaf), &ino, why);
	if (!e && !ino)
		return fail_field(why, ERR_not_found, field, "%.200s is not there", path);
	if (!e)
		e = load(fs, ino, &inode, why);
	if (!e)
		e = must_be(&inode, LINUX_S_IFREG, field, path, why);
	if (!e && EXT2_I_SIZE(&inode) > max)
		return fail_field(why, ERR_too_large, field, "%.200s has %llu bytes, over %zu",
			path, (unsigned long long)EXT2_I_SIZE(&inode), max);
	return e ? e : read_content(fs, ino, (size_t)EXT2_I_SIZE(&inode), out, why);
}

enum err edit_read(int fd, const char *path, size_t max, struct buf *out, struct why *why)
{
	ext2_filsys fs;
	enum err e = open_fs(fd, false, &fs, why);

	if (e)
		return e;
	e = read_one(fs, path, max, out, why);
	ext2fs_free(fs);
	return e;
}

/* ---- writing ---- */

static errcode_t write_content(ext2_filsys fs, ext2_ino_t ino, struct bytes data)
{
	ext2_file_t f;
	errcode_t code = ext2fs_file_open(fs, ino, EXT2_FILE_WRITE, &f), closed;
	size_t at = 0;

	if (code)
		return code;
	while (!code && at < data.n) {
		unsigned n = 0;

		code = ext2fs_file_write(f, data.p + at, (unsigned)(data.n - at), &n);
		if (!code && n == 0)
			code = EXT2_ET_SHORT_WRITE;
		at += n;
	}
	closed = ext2fs_file_close(f);
	return code ? code : closed;
}

/*
 * Of what a block map names, hostile or not, what is in use becomes free. (ext2fs_punch refuses a
 * run that ends with the filesystem's last block.)
 */
static int free_block(ext2_filsys fs, blk64_t *block, e2_blkcnt_t count UNUSED,
	blk64_t ref_block UNUSED, int ref_offset UNUSED, void *ctx UNUSED)
{
	if (*block >= fs->super->s_first_data_block && *block < ext2fs_blocks_count(fs->super) &&
		ext2fs_test_block_bitmap2(fs->block_map, *block))
		ext2fs_block_alloc_stats2(fs, *block, -1);
	return 0;
}

/* An inode loses a name; with the last one it and its blocks are free again. */
static errcode_t drop(ext2_filsys fs, ext2_ino_t ino)
{
	struct ext2_inode_large large;
	struct ext2_inode *inode = (struct ext2_inode *)&large;
	errcode_t code = ext2fs_read_inode_full(fs, ino, inode, sizeof(large));

	if (code)
		return code;
	inode->i_ctime = (uint32_t)time(NULL);
	if (inode->i_links_count > 1) {
		inode->i_links_count--;
		return ext2fs_write_inode_full(fs, ino, inode, sizeof(large));
	}
	inode->i_links_count = 0;
	inode->i_dtime = inode->i_ctime;
	code = ext2fs_write_inode_full(fs, ino, inode, sizeof(large));
	if (!code)
		code = ext2fs_free_ext_attr(fs, ino, &large);
	if (!code && ext2fs_inode_has_valid_blocks2(fs, inode))
		code = ext2fs_block_iterate3(fs, ino, BLOCK_FLAG_READ_ONLY, NULL, free_block, NULL);
	if (!code)
		ext2fs_inode_alloc_stats2(fs, ino, -1, 0);
	return code;
}

/* The new file, in no directory yet. */
static errcode_t make_file(
	ext2_filsys fs, ext2_ino_t dir, const struct edit_file *file, ext2_ino_t *ret_ino)
{
	struct ext2_inode inode = {
		.i_mode = (uint16_t)(LINUX_S_IFREG | file->mode),
		.i_uid = (uint16_t)file->uid,
		.i_gid = (uint16_t)file->gid,
		.i_links_count = 1,
	};
	ext2_extent_handle_t handle;
	errcode_t code = ext2fs_new_inode(fs, dir, inode.i_mode, NULL, ret_ino);

	ext2fs_set_i_uid_high(inode, (uint16_t)(file->uid >> 16));
	ext2fs_set_i_gid_high(inode, (uint16_t)(file->gid >> 16));
	inode.i_atime = inode.i_mtime = inode.i_ctime = (uint32_t)time(NULL);
	if (code)
		return code;
	if (ext2fs_has_feature_extents(fs->super)) {
		code = ext2fs_extent_open2(fs, *ret_ino, &inode, &handle); /* writes a header */
		if (code)
			return code;
		ext2fs_extent_free(handle);
	}
	code = ext2fs_write_new_inode(fs, *ret_ino, &inode);
	if (code)
		return code;
	ext2fs_inode_alloc_stats2(fs, *ret_ino, +1, 0);
	code = write_content(fs, *ret_ino, file->data);
	if (code && drop(fs, *ret_ino))
		return EXT2_ET_CORRUPT_SUPERBLOCK; /* more than full: it stays marked unclean */
	return code;
}

static errcode_t name_file(
	ext2_filsys fs, ext2_ino_t dir, const char *leaf, ext2_ino_t old, ext2_ino_t ino)
{
	errcode_t code = old ? ext2fs_unlink(fs, dir, leaf, old, 0) : 0;

	if (code)
		return code;
	code = ext2fs_link(fs, dir, leaf, ino, EXT2_FT_REG_FILE);
	if (code == EXT2_ET_DIR_NO_SPACE) {
		code = ext2fs_expand_dir(fs, dir);
		if (!code)
			code = ext2fs_link(fs, dir, leaf, ino, EXT2_FT_REG_FILE);
	}
	if (code)
		return code;
	touch(fs, dir);
	return old ? drop(fs, old) : 0;
}

static enum err write_one(ext2_filsys fs, const struct edit_file *file, struct why *why)
{
	static const char field[] = "path";
	struct ext2_inode inode;
	ext2_ino_t dir, old, ino;
	const char *leaf;
	errcode_t code;
	enum err e = walk(fs, file->path, field, true, &dir, &leaf, why);

	if (!e)
		e = look(fs, dir, leaf, strlen(leaf), &old, why);
	if (!e && old) {
		e = load(fs, old, &inode, why);
		if (!e)
			e = must_be(&inode, LINUX_S_IFREG, field, file->path, why);
	}
	if (e)
		return e;
	code = make_file(fs, dir, file, &ino);
	if (code)
		return broken(code, why);
	code = name_file(fs, dir, leaf, old, ino);
	if (code && !old) /* no room in the directory: the file goes again */
		drop(fs, ino);
	return code ? broken(code, why) : OK;
}

/* Everything that is known goes to the disk, and the disk is told to keep it. */
static errcode_t flush(ext2_filsys fs, bool valid)
{
	if (valid)
		fs->super->s_state |= EXT2_VALID_FS;
	else
		fs->super->s_state &= (uint16_t)~EXT2_VALID_FS;
	ext2fs_mark_super_dirty(fs);
	return ext2fs_flush(fs);
}

/* After which a filesystem is still sound: nothing was changed, or what was begun is undone. */
static bool is_sound(enum err e)
{
	return e == OK || e == ERR_no_space || e == ERR_denied || e == ERR_conflict;
}

enum err edit_write(int fd, const struct edit_file *files, unsigned n, struct why *why)
{
	ext2_filsys fs;
	enum err e = open_fs(fd, true, &fs, why);
	errcode_t code;

	if (e)
		return e;
	code = flush(fs, false);
	if (code)
		e = broken(code, why);
	for (unsigned i = 0; i < n && !e; i++)
		e = write_one(fs, &files[i], why);
	code = flush(fs, is_sound(e));
	if (code && !e)
		e = broken(code, why);
	fs->flags &= ~(EXT2_FLAG_DIRTY | EXT2_FLAG_CHANGED); /* all of it was said */
	ext2fs_free(fs);
	return e;
}
