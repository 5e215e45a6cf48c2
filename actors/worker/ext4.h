/*
 * worker/ext4.h - an ext4 file system written into a sparse file, without root and without a mount.
 *
 * Inodes are made one by one and never change their number; names are kept by worker/tree.h, which
 * hands each directory over whole when everything else is in place. File data goes past libext2fs's
 * block cache. That is safe because no block is used twice while a file system is being built:
 * what is given up is only freed at the end, by ext4_finish().
 */
#ifndef WORKER_EXT4_H
#define WORKER_EXT4_H

#include <sys/types.h>
#include <time.h>

#include "base/err.h"

enum {
	EXT4_BLOCK = 4096,
	EXT4_ROOT = 2,
	EXT4_NAME_MAX = 255,
	EXT4_LINKS_MAX = 65000,
	EXT4_TARGET_MAX = 4095 /* bytes of a symbolic link */
};

struct ext4;

struct ext4_spec {
	uint64_t size; /* bytes */
	uint64_t inodes; /* 0: one for each 16 KiB */
	const char *label; /* at most 16 bytes */
	bool read_only; /* no journal, no room to grow */
};

/* What an inode says beside its content. */
struct meta {
	uint32_t mode; /* type and permissions */
	uint32_t uid, gid;
	uint32_t major, minor; /* devices */
	struct timespec mtime, atime, ctime;
};

/*
 * Makes an empty file system with a root directory's inode; fd must be writable and is taken
 * over.
 */
enum err ext4_new(int fd, const struct ext4_spec *spec, struct ext4 **ret,
	struct why *why) MUST_CHECK;
/* One that is there, to be read; fd is taken over. */
enum err ext4_open(int fd, struct ext4 **ret, struct why *why) MUST_CHECK;
void ext4_free(struct ext4 *fs); /* not finished: the file holds nothing of use */
/* Frees what was given up, names the file system by 16 bytes, writes all, and frees fs. */
enum err ext4_finish(struct ext4 *fs, const uint8_t uuid[16], struct why *why) MUST_CHECK;
uint64_t ext4_bytes(const struct ext4 *fs); /* that it reaches over */
uint64_t ext4_inodes_left(const struct ext4 *fs);

/*
 * A new inode with one link; directories begin with two. Content follows through struct
 * ext4_file.
 */
enum err ext4_make(struct ext4 *fs, const struct meta *m, uint32_t *ret_ino,
	struct why *why) MUST_CHECK;
enum err ext4_symlink(struct ext4 *fs, const struct meta *m, const char *target, uint32_t *ret_ino,
	struct why *why) MUST_CHECK;
/* New owner, permissions and times; attributes are dropped. */
enum err ext4_change(struct ext4 *fs, uint32_t ino, const struct meta *m,
	struct why *why) MUST_CHECK;
enum err ext4_meta(struct ext4 *fs, uint32_t ino, struct meta *ret, struct why *why) MUST_CHECK;
/* One more link, or one less: the last one gives the inode up. */
enum err ext4_link(struct ext4 *fs, uint32_t ino, struct why *why) MUST_CHECK;
enum err ext4_unlink(struct ext4 *fs, uint32_t ino, struct why *why) MUST_CHECK;

/* Writing a regular file from its first byte on; gaps stay holes. */
struct ext4_file;
enum err ext4_file_new(struct ext4 *fs, const struct meta *m, uint64_t size, bool sparse,
	struct ext4_file **ret, struct why *why) MUST_CHECK;
enum err ext4_file_write(struct ext4_file *f, uint64_t off, const void *p, size_t n,
	struct why *why) MUST_CHECK;
enum err ext4_file_end(struct ext4_file *f, uint32_t *ret_ino, struct why *why) MUST_CHECK;
void ext4_file_free(struct ext4_file *f); /* NULL is fine; gives the inode up unless ended */

/* Reading back. runs are where data lies; holes are between them. */
struct ext4_run {
	uint64_t off, n; /* bytes of the file */
	uint64_t at; /* byte of the image */
};
enum err ext4_size(struct ext4 *fs, uint32_t ino, uint64_t *ret, struct why *why) MUST_CHECK;
typedef enum err ext4_run_fn(void *ctx, const struct ext4_run *run, struct why *why);
enum err ext4_each_run(struct ext4 *fs, uint32_t ino, ext4_run_fn *fn, void *ctx,
	struct why *why) MUST_CHECK;
/* Whole content of a file of at most max bytes, or of a symbolic link, as C string on the heap. */
enum err ext4_read(struct ext4 *fs, uint32_t ino, size_t max, char **ret, size_t *ret_n,
	struct why *why) MUST_CHECK;
int ext4_fd(const struct ext4 *fs);

/* Extended attributes: all of an inode at once; values in the kernel's own form. */
struct xattr {
	const char *name;
	struct bytes value;
};
enum err ext4_xattrs_set(struct ext4 *fs, uint32_t ino, const struct xattr *v, size_t n,
	struct why *why) MUST_CHECK;
enum err ext4_xattrs_copy(struct ext4 *from, uint32_t from_ino, struct ext4 *to, uint32_t to_ino,
	struct why *why) MUST_CHECK;

/*
 * A directory, whole: entries come from next(), which answers false after the last. "." and ".."
 * are added here.
 */
struct ext4_entry {
	const char *name;
	size_t name_n;
	uint32_t ino, mode;
};
typedef bool ext4_next_fn(void *ctx, struct ext4_entry *e);
enum err ext4_dir(struct ext4 *fs, uint32_t ino, uint32_t parent, ext4_next_fn *next, void *ctx,
	struct why *why) MUST_CHECK;

#endif
