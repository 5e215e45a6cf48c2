/*
 * tree.c - nodes: adding, finding, removing by layer, and writing them out as directories.
 *
 * Recursion follows directories and is bounded by TREE_DEPTH_MAX.
 */
#include "worker/tree.h"

#include <sys/random.h>
#include <sys/stat.h>

enum { KEY_BYTES = sizeof(uint32_t) };

const char *node_name(const struct node *n, size_t *ret_n)
{
	*ret_n = n->link.key_n - KEY_BYTES;
	return (const char *)n->key + KEY_BYTES;
}

static struct node *node_new(struct node *parent, const char *name, size_t n, uint32_t ino,
	uint32_t mode)
{
	struct node *x = calloc(1, sizeof(*x) + KEY_BYTES + n);

	if (!x)
		return NULL;
	x->ino = ino;
	x->mode = (uint16_t)(mode & S_IFMT);
	x->parent = parent ? parent : x;
	x->depth = parent ? (uint16_t)(parent->depth + 1) : 0;
	TAILQ_INIT(&x->kids);
	memcpy(x->key, &x->parent->ino, KEY_BYTES);
	memcpy(x->key + KEY_BYTES, name, n);
	return x;
}

enum err tree_init(struct tree *t, struct ext4 *fs, uint64_t max, struct why *why)
{
	uint64_t seed = 0;

	*t = (struct tree){ .fs = fs, .max = max };
	if (getrandom(&seed, sizeof(seed), GRND_NONBLOCK) != sizeof(seed))
		seed = (uint64_t)(uintptr_t)t;
	table_init(&t->table, seed);
	t->root = node_new(NULL, "", 0, EXT4_ROOT, S_IFDIR);
	if (!t->root)
		return fail(why, ERR_no_memory, "no memory for a tree");
	return OK;
}

static void free_below(struct node *dir)
{
	struct node *n;

	while ((n = TAILQ_FIRST(&dir->kids)) != NULL) {
		TAILQ_REMOVE(&dir->kids, n, beside);
		free_below(n);
		free(n);
	}
}

void tree_done(struct tree *t)
{
	if (t->root)
		free_below(t->root);
	free(t->root);
	t->root = NULL;
	table_done(&t->table);
}

struct node *tree_child(const struct tree *t, const struct node *dir, const char *name, size_t n)
{
	uint8_t key[KEY_BYTES + EXT4_NAME_MAX];
	struct link *l;

	if (n > EXT4_NAME_MAX)
		return NULL;
	memcpy(key, &dir->ino, KEY_BYTES);
	memcpy(key + KEY_BYTES, name, n);
	l = table_get(&t->table, key, KEY_BYTES + n);
	return l ? CONTAINER_OF(l, struct node, link) : NULL;
}

/* A directory counts as named by a layer as soon as something in it is. */
static void touch(struct node *n, uint32_t layer)
{
	while (n->layer != layer) {
		n->layer = layer;
		n = n->parent;
	}
}

enum err tree_put(struct tree *t, struct node *dir, const char *name, size_t n, uint32_t ino,
	uint32_t mode, struct node **ret, struct why *why)
{
	struct node *x;

	must(n > 0 && S_ISDIR(dir->mode) && !tree_child(t, dir, name, n));
	if (n > EXT4_NAME_MAX)
		return fail(why, ERR_too_large, "a name of %zu bytes; %d is the most", n,
			EXT4_NAME_MAX);
	if (dir->depth >= TREE_DEPTH_MAX)
		return fail(why, ERR_too_large, "more than %d directories deep", TREE_DEPTH_MAX);
	if (t->count >= t->max)
		return fail(why, ERR_too_large, "more than %llu entries",
			(unsigned long long)t->max);
	x = node_new(dir, name, n, ino, mode);
	if (!x || !table_add(&t->table, &x->link, x->key, KEY_BYTES + n)) {
		free(x);
		return fail(why, ERR_no_memory, "no memory for a name");
	}
	TAILQ_INSERT_TAIL(&dir->kids, x, beside);
	x->layer = t->layer;
	touch(dir, t->layer);
	t->count++;
	*ret = x;
	return OK;
}

enum err tree_remove(struct tree *t, struct node *n, struct why *why)
{
	struct node *kid;
	enum err e = OK;

	must(n != t->root);
	while (!e && (kid = TAILQ_FIRST(&n->kids)) != NULL)
		e = tree_remove(t, kid, why);
	if (!e)
		e = ext4_unlink(t->fs, n->ino, why);
	if (e)
		return e;
	table_del(&t->table, &n->link);
	TAILQ_REMOVE(&n->parent->kids, n, beside);
	free(n);
	t->count--;
	return OK;
}

enum err tree_prune(struct tree *t, struct node *n, bool self, struct why *why)
{
	struct node *kid, *next;
	enum err e = OK;

	if (self && n->layer != t->layer)
		return tree_remove(t, n, why);
	for (kid = TAILQ_FIRST(&n->kids); kid && !e; kid = next) {
		next = TAILQ_NEXT(kid, beside);
		e = tree_prune(t, kid, true, why);
	}
	return e;
}

/* Out. */

static bool next_kid(void *ctx, struct ext4_entry *e)
{
	struct node **at = ctx, *n = *at;

	if (!n)
		return false;
	e->name = node_name(n, &e->name_n);
	e->ino = n->ino;
	e->mode = n->mode;
	*at = TAILQ_NEXT(n, beside);
	return true;
}

static enum err write_dir(struct tree *t, struct node *dir, struct why *why)
{
	struct node *at = TAILQ_FIRST(&dir->kids), *kid;
	enum err e = ext4_dir(t->fs, dir->ino, dir->parent->ino, next_kid, &at, why);

	TAILQ_FOREACH(kid, &dir->kids, beside) {
		if (e)
			break;
		if (S_ISDIR(kid->mode))
			e = write_dir(t, kid, why);
	}
	return e;
}

enum err tree_write(struct tree *t, struct why *why)
{
	return write_dir(t, t->root, why);
}
