/*
 * cli/plan.h - what of a working tree goes into a guest, decided before anything is sent.
 */
#ifndef CLI_PLAN_H
#define CLI_PLAN_H

#include "cli/repo.h"
#include "tree/pick.h"

enum { PLAN_FILES_MAX = 2000000 };

struct plan_file {
	const char *path; /* beneath the top */
	enum tree_kind kind;
	int64_t mtime_ns;
	uint64_t size, mode;
	bool there, untracked, same; /* same: the guest was sent it just so */
};

struct plan {
	struct plan_file *v; /* sorted as a walk comes by them */
	size_t n, cap;
	struct arena mem; /* paths */
	uint64_t bytes; /* of the files that are there */
	const char **untracked, **withheld, **modules; /* for telling; modules stay */
	uint32_t untracked_n, withheld_n, modules_n;
};

void plan_init(struct plan *p);
void plan_done(struct plan *p);

/* Lists tracked files, and untracked ones that may go, unless `clean`. g has the index. */
enum err plan_make(struct plan *p, struct git *g, bool clean, struct why *why) MUST_CHECK;

/* What was sent, as letters of a tree: the base that later changes are told against. */
enum err plan_add(struct plan *p, const struct tree_entry *e, struct why *why) MUST_CHECK;
enum err plan_load(struct plan *p, const char *file, bool *there, struct why *why) MUST_CHECK;
enum err plan_save(const struct plan *p, const char *file, struct why *why) MUST_CHECK;
/* Sorts it; each path once. */
void plan_sort(struct plan *p);
/* By binary search; NULL when it is not there. */
struct plan_file *plan_find(const struct plan *p, const char *path);
bool plan_same(const struct plan_file *a, const struct plan_file *b);

/* NUL-ended items of git's -z output. */
const char *next_item(const struct buf *b, size_t *at);

#endif
