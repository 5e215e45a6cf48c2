/*
 * tree/tree.h - a file or directory tree as letters, and back.
 *
 * The bytes are MessagePack-RPC notifications in a row: `tree.entry` (and for a file its
 * `tree.data`) for each entry, last `tree.end`. Entries come in walking order: the top first, as
 * path ".", a directory before its content, and all its content before anything else. Carried are
 * modes, owners, times, symlinks (never followed), hard links inside the tree, FIFOs and holes;
 * sockets and devices are passed over.
 *
 * A sender is pulled: it makes as many bytes as were asked for. A maker is fed. Neither knows what
 * carries the bytes.
 */
#ifndef TREE_TREE_H
#define TREE_TREE_H

#include <sys/types.h>

#include "base/err.h"
#include "tree/at.h"

/* Sending. */

struct tree_sender;

/*
 * Opens what is to be sent; resolve as in tree/at.h. A symlink as the last component is sent as
 * itself unless `follow`.
 */
enum err tree_open(int dir, const char *path, uint64_t resolve, bool follow, int *ret,
	struct why *why) MUST_CHECK;

/*
 * Takes over fd (of tree_open) when it succeeds. name: what the top is called when the receiver
 * puts it into a directory that exists; NULL sends only a directory's content ("src/.").
 */
enum err tree_sender_new(int fd, const char *name, struct tree_sender **ret,
	struct why *why) MUST_CHECK;
void tree_sender_free(struct tree_sender *s); /* NULL is fine */

/* Up to size bytes of letters; *ret_n is 0 only after the last. An error is final. */
enum err tree_send(struct tree_sender *s, uint8_t *to, size_t size, size_t *ret_n,
	struct why *why) MUST_CHECK;
/* Only what there is: no data, and hard links as files. Before the first tree_send. */
void tree_sender_bare(struct tree_sender *s);
/* Sockets and devices that were passed over so far. */
uint64_t tree_sender_skipped(const struct tree_sender *s);

/* Making. */

enum tree_own {
	TREE_OWN_CALLER, /* what is made is the caller's */
	TREE_OWN_SENT, /* uid and gid of the letters */
	TREE_OWN_GIVEN /* uid and gid below */
};

struct tree_rules {
	enum tree_own own;
	uid_t uid;
	gid_t gid;
	bool special; /* keep set-user-id, set-group-id and sticky bits */
	/*
	 * In directories that are new, files get their names at once: for who removes all of it
	 * when it does not come whole.
	 */
	bool whole;
	/* Gets tree.expect and tree.drop, by letter; NULL: such letters are refused. */
	enum err (*other)(void *ctx, int letter, const void *body, struct why *why);
	void *other_ctx;
};

/* Where a tree goes. */
struct tree_spot {
	int dir; /* -1 when there is none */
	char name[AT_NAME_BYTES]; /* "": into dir, under the top's own name */
};

/*
 * The rules of cp: a directory that exists takes the tree inside it; else path is the new name, and
 * its directory must exist unless `parents`.
 */
enum err tree_spot_find(int dir, const char *path, uint64_t resolve, bool parents,
	const struct tree_rules *rules, struct tree_spot *ret, struct why *why) MUST_CHECK;
void tree_spot_done(struct tree_spot *s);

struct tree_maker;

/*
 * Takes over spot->dir when it succeeds. All that is made lies beneath it, whatever the letters
 * say. A directory that exists is merged into and keeps its mode, owner and time; a file or link
 * that exists is replaced, at once and only when its successor is whole.
 */
enum err tree_maker_new(struct tree_spot *spot, const struct tree_rules *rules,
	struct tree_maker **ret, struct why *why) MUST_CHECK;
/* An error is final. */
enum err tree_feed(struct tree_maker *m, const uint8_t *p, size_t n, struct why *why) MUST_CHECK;
bool tree_made(const struct tree_maker *m); /* `tree.end` came */
void tree_maker_free(struct tree_maker *m); /* removes a half-written file; NULL is fine */

enum { TREE_DEPTH_MAX = 512, TREE_LINKED_MAX = 262144, TREE_BLOB_BYTES = 65536 };

#endif
