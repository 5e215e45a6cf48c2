/*
 * cli/copy.h - trees between this host and guests, and from one guest to another.
 */
#ifndef CLI_COPY_H
#define CLI_COPY_H

#include "cli/interrupts.h"
#include "cli/stream.h"
#include "tree/tree.h"

/* One side of a copy. */
struct side {
	const char *vm; /* NULL: this host */
	const char *path; /* without slashes at its end */
	bool slash; /* had some: a directory is meant */
};

struct copy {
	struct cli *c;
	struct interrupts *interrupts;
	struct side to;
	const char *user; /* owner of what is made in a guest; NULL: root */
	bool many, parents, follow;
	struct stream_begun begun; /* of the guest's side; across: where it goes */
	struct stream stream;
	struct stream_begun source; /* across: where it comes from */
	struct stream from;
	struct tree_maker *maker;
	struct why why; /* of a maker that failed */
};

/* A path as it was typed, of a guest (absolute) or, vm NULL, of this host. */
enum err copy_side(struct arena *mem, const char *vm, const char *word, struct side *ret,
	struct why *why) MUST_CHECK;
/* One source to k->to. A signal ends it: ERR_cancelled. */
enum err copy_one(struct copy *k, const struct side *from, struct why *why) MUST_CHECK;

#endif
