/*
 * worker/ext4_own.h - what the files of the ext4 builder share and nobody else includes.
 */
#ifndef WORKER_EXT4_OWN_H
#define WORKER_EXT4_OWN_H

#include <ext2fs/ext2fs.h>

#include "worker/ext4.h"

enum { INODE_BYTES = 256, EXTRA_BYTES = 32 };

/* An inode as it lies on disk, with room for attributes in its tail. */
union raw {
	struct ext2_inode base;
	struct ext2_inode_large large;
	uint8_t bytes[INODE_BYTES];
};

/* To be freed at the end: an inode with all it holds, or one block. */
struct doomed {
	uint32_t ino; /* 0: a block */
	uint64_t block;
};

struct ext4 {
	ext2_filsys fs;
	int fd; /* the same file as fs's, for data */
	uint32_t next_ino; /* inodes are dealt out in order */
	blk64_t goal; /* behind the youngest block */
	struct doomed *doomed; /* what nothing links to any more */
	size_t doomed_n, doomed_cap;
};

enum err ext4_fail(struct why *why, errcode_t code, const char *doing);
enum err ext4_load(struct ext4 *fs, uint32_t ino, union raw *ret, struct why *why) MUST_CHECK;
enum err ext4_store(struct ext4 *fs, uint32_t ino, union raw *raw, struct why *why) MUST_CHECK;
/* Data will lie in extents; there are none yet. */
void ext4_extents_begin(union raw *raw);
/* A number and a filled inode, not stored yet. */
enum err ext4_take(struct ext4 *fs, const struct meta *m, uint32_t *ret_ino, union raw *raw,
	struct why *why) MUST_CHECK;
/* Blocks [from, from + n) of the file come into being; their bytes are zeros. */
enum err ext4_reserve(struct ext4 *fs, uint32_t ino, union raw *raw, uint64_t from, uint64_t n,
	struct why *why) MUST_CHECK;

#endif
