/*
 * ext4_file.c - data of regular files and long symbolic links: writing once, reading back.
 *
 * Blocks are reserved ahead (all at once unless the file has holes), and bytes go straight to where
 * they belong. Reserved blocks were never used before, so what is not written reads as zeros.
 */
#include <sys/stat.h>
#include <unistd.h>

#include "worker/ext4_own.h"

struct ext4_file {
	struct ext4 *fs;
	union raw raw;
	uint32_t ino;
	uint64_t size;
	bool sparse, ended;
	uint64_t reserved; /* blocks up to here are reserved or holes */
	struct ext4_run run; /* where the youngest bytes went */
};

static uint64_t blocks_of(uint64_t bytes)
{
	return bytes / EXT4_BLOCK + (bytes % EXT4_BLOCK != 0);
}

enum err ext4_file_new(struct ext4 *fs, const struct meta *m, uint64_t size, bool sparse,
	struct ext4_file **ret, struct why *why)
{
	struct ext4_file *f;
	enum err e;

	*ret = NULL;
	if (size > (uint64_t)UINT32_MAX * EXT4_BLOCK)
		return fail(why, ERR_too_large, "a file of %llu bytes", (unsigned long long)size);
	f = calloc(1, sizeof(*f));
	if (!f)
		return fail(why, ERR_no_memory, "no memory for a file");
	*f = (struct ext4_file){ .fs = fs, .size = size, .sparse = sparse };
	e = ext4_take(fs, m, &f->ino, &f->raw, why);
	if (e) {
		free(f);
		return e;
	}
	ext4_extents_begin(&f->raw); /* long links too */
	if (ext2fs_inode_size_set(fs->fs, &f->raw.base, (off_t)size)) {
		f->ended = true;
		free(f);
		return fail(why, ERR_too_large, "a file of %llu bytes", (unsigned long long)size);
	}
	*ret = f;
	return OK;
}

static errcode_t find_run(struct ext4 *fs, uint32_t ino, union raw *raw, uint64_t block,
	struct ext4_run *ret)
{
	struct ext2fs_extent ext;
	ext2_extent_handle_t h;
	errcode_t e = ext2fs_extent_open2(fs->fs, ino, &raw->base, &h);

	if (e)
		return e;
	e = ext2fs_extent_goto(h, block);
	if (!e)
		e = ext2fs_extent_get(h, EXT2_EXTENT_CURRENT, &ext);
	ext2fs_extent_free(h);
	if (!e)
		*ret = (struct ext4_run){ ext.e_lblk * EXT4_BLOCK,
			(uint64_t)ext.e_len * EXT4_BLOCK, ext.e_pblk * EXT4_BLOCK };
	return e;
}

static bool inside(const struct ext4_run *run, uint64_t off)
{
	return off >= run->off && off < run->off + run->n;
}

/* Makes f->run the one that holds off, reserving when it is new ground. */
static enum err ground(struct ext4_file *f, uint64_t off, size_t n, struct why *why)
{
	uint64_t block = off / EXT4_BLOCK;
	uint64_t end = blocks_of(f->sparse ? off + n : f->size);
	enum err e = OK;
	errcode_t code;

	if (inside(&f->run, off))
		return OK;
	if (end > f->reserved) {
		uint64_t from = f->sparse ? MAX(block, f->reserved) : f->reserved;

		e = ext4_reserve(f->fs, f->ino, &f->raw, from, end - from, why);
		if (e)
			return e;
		f->reserved = end;
	}
	code = find_run(f->fs, f->ino, &f->raw, block, &f->run);
	if (code)
		return ext4_fail(why, code, "cannot find blocks of a file");
	must(inside(&f->run, off));
	return OK;
}

static enum err write_all(int fd, const uint8_t *p, size_t n, uint64_t at, struct why *why)
{
	while (n > 0) {
		ssize_t got = pwrite(fd, p, n, (off_t)at);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return fail_errno(why, "cannot write file data");
		p += got;
		n -= (size_t)got;
		at += (uint64_t)got;
	}
	return OK;
}

enum err ext4_file_write(struct ext4_file *f, uint64_t off, const void *data, size_t n,
	struct why *why)
{
	const uint8_t *p = data;
	enum err e = OK;

	if (off > f->size || n > f->size - off)
		return fail(why, ERR_invalid_value, "data beyond the declared end of a file");
	while (n > 0 && !e) {
		size_t part;

		e = ground(f, off, n, why);
		if (e)
			break;
		part = (size_t)MIN(n, f->run.off + f->run.n - off);
		e = write_all(f->fs->fd, p, part, f->run.at + (off - f->run.off), why);
		p += part;
		off += part;
		n -= part;
	}
	return e;
}

enum err ext4_file_end(struct ext4_file *f, uint32_t *ret_ino, struct why *why)
{
	enum err e = ext4_store(f->fs, f->ino, &f->raw, why);

	if (e)
		return e;
	f->ended = true;
	*ret_ino = f->ino;
	return OK;
}

void ext4_file_free(struct ext4_file *f)
{
	if (!f)
		return;
	/* A file that was begun and not ended goes again; its number must not stay taken. */
	if (!f->ended && !ext4_store(f->fs, f->ino, &f->raw, NULL))
		(void)!ext4_unlink(f->fs, f->ino, NULL);
	free(f);
}

/* Reading back. */

enum err ext4_size(struct ext4 *fs, uint32_t ino, uint64_t *ret, struct why *why)
{
	union raw raw;
	enum err e = ext4_load(fs, ino, &raw, why);

	if (!e)
		*ret = EXT2_I_SIZE(&raw.large);
	return e;
}

struct blocks {
	ext4_run_fn *fn;
	void *ctx;
	struct why *why;
	enum err e;
};

static int on_block(ext2_filsys fs, blk64_t *at, e2_blkcnt_t nth, blk64_t ref UNUSED,
	int offset UNUSED, void *ctx)
{
	struct blocks *b = ctx;
	struct ext4_run run = { (uint64_t)nth * fs->blocksize, fs->blocksize,
		*at * fs->blocksize };

	b->e = nth < 0 ? OK : b->fn(b->ctx, &run, b->why);
	return b->e ? BLOCK_ABORT : 0;
}

/* A file of the older kind, with a map of blocks: one run each. */
static enum err each_block(struct ext4 *fs, uint32_t ino, ext4_run_fn *fn, void *ctx,
	struct why *why)
{
	struct blocks b = { fn, ctx, why, OK };
	errcode_t code = ext2fs_block_iterate3(fs->fs, ino,
		BLOCK_FLAG_READ_ONLY | BLOCK_FLAG_DATA_ONLY, NULL, on_block, &b);

	if (b.e)
		return b.e;
	return code ? ext4_fail(why, code, "cannot read a map of blocks") : OK;
}

enum err ext4_each_run(struct ext4 *fs, uint32_t ino, ext4_run_fn *fn, void *ctx, struct why *why)
{
	uint64_t block = fs->fs->blocksize;
	struct ext2fs_extent ext;
	ext2_extent_handle_t h;
	errcode_t code;
	int op = EXT2_EXTENT_ROOT;
	union raw raw;
	enum err e = ext4_load(fs, ino, &raw, why);

	if (e)
		return e;
	if (!(raw.large.i_flags & EXT4_EXTENTS_FL))
		return each_block(fs, ino, fn, ctx, why);
	code = ext2fs_extent_open(fs->fs, ino, &h);
	if (code)
		return ext4_fail(why, code, "cannot read extents");
	while (!e && (code = ext2fs_extent_get(h, op, &ext)) == 0) {
		op = EXT2_EXTENT_NEXT;
		if ((ext.e_flags & EXT2_EXTENT_FLAGS_LEAF) &&
			!(ext.e_flags &
				(EXT2_EXTENT_FLAGS_SECOND_VISIT | EXT2_EXTENT_FLAGS_UNINIT)))
			e = fn(ctx, &(struct ext4_run){ ext.e_lblk * block,
					(uint64_t)ext.e_len * block, ext.e_pblk * block }, why);
	}
	ext2fs_extent_free(h);
	if (e)
		return e;
	return code == EXT2_ET_EXTENT_NO_NEXT || code == EXT2_ET_NO_CURRENT_NODE ?
		OK : ext4_fail(why, code, "cannot walk extents");
}

struct reading {
	int fd;
	char *p;
	size_t n;
};

static enum err read_run(void *ctx, const struct ext4_run *run, struct why *why)
{
	struct reading *r = ctx;
	size_t want = run->off < r->n ? (size_t)MIN(run->n, r->n - run->off) : 0;
	size_t done = 0;

	while (done < want) {
		ssize_t got = pread(r->fd, r->p + run->off + done, want - done,
			(off_t)(run->at + done));

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return fail_errno(why, "cannot read a file back");
		done += (size_t)got;
	}
	return OK;
}

enum err ext4_read(struct ext4 *fs, uint32_t ino, size_t max, char **ret, size_t *ret_n,
	struct why *why)
{
	own_mem char *text = NULL;
	struct reading r;
	union raw raw;
	uint64_t size;
	enum err e = ext4_load(fs, ino, &raw, why);

	if (e)
		return e;
	size = EXT2_I_SIZE(&raw.large);
	if (size > max)
		return fail(why, ERR_too_large, "a file of %llu bytes, where %zu are expected",
			(unsigned long long)size, max);
	text = calloc(1, (size_t)size + 1);
	if (!text)
		return fail(why, ERR_no_memory, "no memory for a file");
	r = (struct reading){ fs->fd, text, (size_t)size };
	if (S_ISLNK(raw.large.i_mode) && !(raw.large.i_flags & EXT4_EXTENTS_FL) &&
		size < sizeof(raw.large.i_block))
		memcpy(text, raw.large.i_block, (size_t)size);
	else
		e = ext4_each_run(fs, ino, read_run, &r, why);
	if (e)
		return e;
	*ret_n = (size_t)size;
	*ret = take_ptr(&text);
	return OK;
}
