/*
 * worker/tree.h - the names of a file system that is being built: path to inode, all in memory.
 *
 * Layers merge here. Links in the image are followed here only, against this table, so that nothing
 * in an archive is ever looked up on the host. ".." stops at the root.
 */
#ifndef WORKER_TREE_H
#define WORKER_TREE_H

#include <sys/queue.h>

#include "base/table.h"
#include "worker/ext4.h"

enum { TREE_DEPTH_MAX = 256, TREE_PATH_MAX = 4096, TREE_LINKS_MAX = 40 };

TAILQ_HEAD(node_list, node);

struct node {
	struct link link;
	TAILQ_ENTRY(node) beside;
	struct node *parent; /* the root's is itself */
	struct node_list kids; /* directories, in order of arrival */
	uint32_t ino;
	uint32_t layer; /* the youngest layer that named it or something in it */
	uint16_t mode; /* type bits */
	uint16_t depth;
	uint8_t key[]; /* parent's inode, then the name */
};

struct tree {
	struct ext4 *fs;
	struct table table;
	struct node *root;
	uint64_t count; /* nodes beside the root */
	uint64_t max;
	uint32_t layer; /* the one that is being applied */
};

enum err tree_init(struct tree *t, struct ext4 *fs, uint64_t max, struct why *why) MUST_CHECK;
void tree_done(struct tree *t); /* the file system is the caller's */

/* All names of a file system that was opened; t was just initialized. */
enum err tree_load(struct tree *t, struct why *why) MUST_CHECK;

const char *node_name(const struct node *n, size_t *ret_n);
struct node *tree_child(const struct tree *t, const struct node *dir, const char *name, size_t n);

/* Links followed, nothing made; ERR_not_found when a part is missing. */
enum err tree_find(struct tree *t, const char *path, struct node **ret, struct why *why) MUST_CHECK;

/*
 * The directory that an entry belongs into, and the last name of path (pointing into it; empty for
 * the root itself). Missing directories are made as 0755 root, dated `stamp`. Entries with ".." are
 * refused.
 */
enum err tree_place(struct tree *t, const char *path, struct timespec stamp, struct node **ret_dir,
	const char **ret_name, size_t *ret_n, struct why *why) MUST_CHECK;
/* As tree_place, but nothing is made: ERR_not_found instead. */
enum err tree_lookup(struct tree *t, const char *path, struct node **ret_dir, const char **ret_name,
	size_t *ret_n, struct why *why) MUST_CHECK;

/* Puts a name for an inode that is there; its link is the caller's doing. */
enum err tree_put(struct tree *t, struct node *dir, const char *name, size_t n, uint32_t ino,
	uint32_t mode, struct node **ret, struct why *why) MUST_CHECK;
/* Takes a name away, with all beneath it. */
enum err tree_remove(struct tree *t, struct node *n, struct why *why) MUST_CHECK;
/* Takes away what older layers put at n (only beneath it, unless self). */
enum err tree_prune(struct tree *t, struct node *n, bool self, struct why *why) MUST_CHECK;

/* Writes all directories. */
enum err tree_write(struct tree *t, struct why *why) MUST_CHECK;

#endif
