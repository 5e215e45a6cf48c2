/*
 * tree/pick.h - some entries of a directory as letters, and a tree that takes effect whole.
 *
 * Names are paths beneath a held directory; no link on the way is followed. Sorted means the order
 * of a walk: '/' before all other bytes, so that a directory's content is together.
 */
#ifndef TREE_PICK_H
#define TREE_PICK_H

#include "base/buf.h"
#include "proto/proto.h"
#include "tree/tree.h"

/* As strcmp, in the order of a walk. */
int tree_path_order(const char *a, const char *b);

/* One entry to be sent. */
struct tree_choice {
	const char *path; /* what it is called in the letters */
	const char *at; /* where it is, beneath dir; path ends with it */
	int dir;
};

struct tree_picker;

/*
 * The choices (sorted, each path once) live as long as the picker. `head` is packed letters that go
 * first; it is emptied. A directory is sent without its content.
 */
enum err tree_picker_new(int top, const struct tree_choice *v, size_t n, struct buf *head,
	struct tree_picker **ret, struct why *why) MUST_CHECK;
void tree_picker_free(struct tree_picker *p);
/* Called with each file, link and directory of the choices that is sent, as it is sent. */
void tree_picker_tell(struct tree_picker *p, void (*fn)(void *ctx, const struct tree_entry *e),
	void *ctx);
/* As tree_send. What is not there (any more), or is no file, link or directory, is left out. */
enum err tree_pick(struct tree_picker *p, uint8_t *to, size_t size, size_t *ret_n,
	struct why *why) MUST_CHECK;

/* A tree that takes effect at once and whole, or not at all. */
struct tree_work;

/*
 * Beneath `parent`, the directory `name`: made, when `fresh` (what is there must be an empty
 * directory); else changed. rules->other is not the caller's.
 */
enum err tree_work_new(int parent, const char *name, bool fresh, const struct tree_rules *rules,
	struct tree_work **ret, struct why *why) MUST_CHECK;
/* An error is final, and leaves all as it was. */
enum err tree_work_feed(struct tree_work *w, const uint8_t *p, size_t n,
	struct why *why) MUST_CHECK;
bool tree_work_made(const struct tree_work *w);
void tree_work_free(struct tree_work *w); /* removes what did not take effect; NULL is fine */

/* Removes what the path names beneath dir, a directory with its content; absent is fine. */
enum err tree_remove(int dir, const char *path, struct why *why) MUST_CHECK;

enum { TREE_NOTES_MAX = 1048576 }; /* expectations and removals of one tree */

/* Reads letters of a tree one by one; for listings. */
struct tree_reader;
enum err tree_reader_new(enum err (*fn)(void *ctx, const struct tree_entry *e, struct why *why),
	void *ctx, struct tree_reader **ret, struct why *why) MUST_CHECK;
enum err tree_reader_feed(struct tree_reader *r, const uint8_t *p, size_t n,
	struct why *why) MUST_CHECK;
bool tree_reader_ended(const struct tree_reader *r);
void tree_reader_free(struct tree_reader *r); /* NULL is fine */

#endif
