/*
 * tree_path.c - from a path to a node, following the image's own links inside the tree only.
 *
 * What is still to be walked is kept in one buffer of fixed size; a link puts its target in front
 * of it. Links followed are counted, so that a loop ends.
 */
#include <sys/stat.h>

#include "worker/tree.h"

enum { REST_MAX = 2 * TREE_PATH_MAX };

struct walk {
	struct tree *t;
	struct node *at;
	char buf[REST_MAX + 1];
	char *rest; /* points into buf, NUL-terminated */
	int links; /* followed so far */
	bool make; /* directories that are missing */
	struct timespec stamp;
};

static enum err walk_begin(struct walk *w, struct tree *t, const char *path, size_t n,
	struct why *why)
{
	w->t = t;
	w->at = t->root;
	w->links = 0;
	w->make = false;
	if (n > TREE_PATH_MAX)
		return fail(why, ERR_too_large, "a path of %zu bytes; %d is the most", n,
			TREE_PATH_MAX);
	w->rest = w->buf + sizeof(w->buf) - 1 - n;
	memcpy(w->rest, path, n);
	w->rest[n] = '\0';
	return OK;
}

/* The next part of the path; its length, 0 at the end. */
static size_t next_part(struct walk *w, const char **ret)
{
	size_t n;

	while (*w->rest == '/')
		w->rest++;
	*ret = w->rest;
	n = strcspn(w->rest, "/");
	w->rest += n;
	return n;
}

static bool is_dot(const char *p, size_t n)
{
	return n == 1 && p[0] == '.';
}

static bool is_dotdot(const char *p, size_t n)
{
	return n == 2 && p[0] == '.' && p[1] == '.';
}

static enum err follow(struct walk *w, struct node *link, struct why *why)
{
	own_mem char *target = NULL;
	size_t n, left;
	enum err e;

	if (++w->links > TREE_LINKS_MAX)
		return fail(why, ERR_invalid_value, "more than %d symbolic links on its path",
			TREE_LINKS_MAX);
	e = ext4_read(w->t->fs, link->ino, EXT4_TARGET_MAX, &target, &n, why);
	if (e)
		return e;
	left = (size_t)(w->rest - w->buf);
	if (n > left)
		return fail(why, ERR_too_large, "symbolic links make its path too long");
	w->rest -= n; /* what follows it begins with '/' or is nothing */
	memcpy(w->rest, target, n);
	if (target[0] == '/')
		w->at = w->t->root;
	return OK;
}

static enum err make_dir(struct walk *w, const char *name, size_t n, struct node **ret,
	struct why *why)
{
	struct meta m = { .mode = S_IFDIR | 0755, .mtime = w->stamp, .atime = w->stamp,
		.ctime = w->stamp };
	uint32_t ino;
	enum err e;

	if (!w->make)
		return fail(why, ERR_not_found, "no such entry");
	e = ext4_make(w->t->fs, &m, &ino, why);
	return e ? e : tree_put(w->t, w->at, name, n, ino, m.mode, ret, why);
}

static enum err step(struct walk *w, const char *part, size_t n, struct why *why)
{
	struct node *next;
	enum err e;

	if (is_dot(part, n))
		return OK;
	if (is_dotdot(part, n)) {
		w->at = w->at->parent;
		return OK;
	}
	if (!S_ISDIR(w->at->mode))
		return fail(why, ERR_invalid_value, "its path goes through what is no directory");
	if (n > EXT4_NAME_MAX)
		return fail(why, ERR_too_large, "a name of %zu bytes; %d is the most", n,
			EXT4_NAME_MAX);
	next = tree_child(w->t, w->at, part, n);
	if (!next) {
		e = make_dir(w, part, n, &next, why);
		if (e)
			return e;
	}
	if (S_ISLNK(next->mode))
		return follow(w, next, why);
	w->at = next;
	return OK;
}

static enum err walk_on(struct walk *w, struct why *why)
{
	const char *part;
	enum err e = OK;
	size_t n;

	while (!e && (n = next_part(w, &part)) > 0)
		e = step(w, part, n, why);
	return e;
}

enum err tree_find(struct tree *t, const char *path, struct node **ret, struct why *why)
{
	struct walk w;
	enum err e = walk_begin(&w, t, path, strlen(path), why);

	if (!e)
		e = walk_on(&w, why);
	if (!e)
		*ret = w.at;
	return e;
}

/* Cuts the last name off an entry's path; refuses "..", and what is empty. */
static enum err split(const char *path, size_t *ret_dir_n, const char **ret_name, size_t *ret_n,
	struct why *why)
{
	size_t end = strlen(path), at, n;

	if (end == 0)
		return fail(why, ERR_invalid_value, "an entry without a name");
	if (end > TREE_PATH_MAX)
		return fail(why, ERR_too_large, "a path of %zu bytes; %d is the most", end,
			TREE_PATH_MAX);
	for (at = 0; at < end; at += n + 1) {
		n = strcspn(path + at, "/");
		if (is_dotdot(path + at, n))
			return fail(why, ERR_invalid_value, "an entry's path holds '..'");
	}
	for (;;) {
		while (end > 0 && path[end - 1] == '/')
			end--;
		for (at = end; at > 0 && path[at - 1] != '/'; at--)
			;
		if (end == 0 || !is_dot(path + at, end - at))
			break;
		end = at;
	}
	*ret_dir_n = at;
	*ret_name = path + at;
	*ret_n = end - at;
	return OK;
}

static enum err place(struct tree *t, const char *path, const struct timespec *stamp,
	struct node **ret_dir, const char **ret_name, size_t *ret_n, struct why *why)
{
	struct walk w;
	size_t dir_n = 0;
	enum err e = split(path, &dir_n, ret_name, ret_n, why);

	if (!e)
		e = walk_begin(&w, t, path, dir_n, why);
	if (e)
		return e;
	w.make = stamp != NULL;
	if (stamp)
		w.stamp = *stamp;
	e = walk_on(&w, why);
	if (!e && !S_ISDIR(w.at->mode))
		e = fail(why, ERR_invalid_value, "its path goes through what is no directory");
	if (!e)
		*ret_dir = w.at;
	return e;
}

enum err tree_place(struct tree *t, const char *path, struct timespec stamp, struct node **ret_dir,
	const char **ret_name, size_t *ret_n, struct why *why)
{
	return place(t, path, &stamp, ret_dir, ret_name, ret_n, why);
}

enum err tree_lookup(struct tree *t, const char *path, struct node **ret_dir, const char **ret_name,
	size_t *ret_n, struct why *why)
{
	return place(t, path, NULL, ret_dir, ret_name, ret_n, why);
}
