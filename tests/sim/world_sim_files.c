/*
 * world_sim_files.c - files and directories of both places, in memory: names, sizes, what was
 * written, and what a layer stands on. A removal takes one file at a time, so that a crash may
 * leave half of a tree. What the daemon makes is on disk when it asked for that (world_settle, or
 * a rename or write, which flush); until then, a loss of power may take it.
 */
#include "tests/sim/sim.h"

#define DISK_BYTES (100 * GiB)

/* ---- the tree ---- */

struct node *node_find(struct sim *s, enum area area, const char *path)
{
	struct node *n;

	TAILQ_FOREACH(n, &s->files, entry)
	if (n->area == area && str_eq(n->path, path))
		return n;
	return NULL;
}

static struct node *node_new(struct sim *s, enum area area, const char *path, bool directory)
{
	struct node *n = calloc(1, sizeof(*n));

	must(n);
	n->area = area;
	n->directory = directory;
	n->content.max = 8 * MiB;
	must(str_copy(n->path, sizeof(n->path), path));
	TAILQ_INSERT_TAIL(&s->files, n, entry);
	return n;
}

static void node_free(struct sim *s, struct node *n)
{
	TAILQ_REMOVE(&s->files, n, entry);
	buf_done(&n->content);
	free(n);
}

void nodes_clear(struct sim *s, enum area area)
{
	struct node *n, *next;

	for (n = TAILQ_FIRST(&s->files); n; n = next) {
		next = TAILQ_NEXT(n, entry);
		if (n->area == area)
			node_free(s, n);
	}
}

static bool beneath(const char *path, const char *dir)
{
	size_t n = strlen(dir);

	return strncmp(path, dir, n) == 0 && path[n] == '/';
}

static bool has_parent(struct sim *s, enum area area, const char *path)
{
	char dir[NODE_PATH_BYTES];
	char *slash;
	struct node *n;

	must(str_copy(dir, sizeof(dir), path));
	slash = strrchr(dir, '/');
	if (!slash)
		return true;
	*slash = '\0';
	n = node_find(s, area, dir);
	return n && n->directory;
}

struct node *node_put(struct sim *s, enum area area, const char *path, uint64_t size)
{
	struct node *n = node_find(s, area, path);

	if (!n && !has_parent(s, area, path))
		return NULL;
	if (!n)
		n = node_new(s, area, path, false);
	n->size = n->used = size;
	n->settled = true; /* a program of ours flushes what it made, and its directory */
	return n;
}

/* ---- what a loss of power takes ---- */

void nodes_settle(struct sim *s, const char *dir)
{
	struct node *n;

	TAILQ_FOREACH(n, &s->files, entry)
	if (n->area == STATE &&
		(str_eq(n->path, dir) || beneath(n->path, dir) || beneath(dir, n->path)))
		n->settled = true;
}

static void remove_with_all(struct sim *s, struct node *top)
{
	char path[NODE_PATH_BYTES];
	struct node *n, *next;

	must(str_copy(path, sizeof(path), top->path));
	for (n = TAILQ_FIRST(&s->files); n; n = next) {
		next = TAILQ_NEXT(n, entry);
		if (n->area == STATE && (str_eq(n->path, path) || beneath(n->path, path))) {
			sim_trace(s, "sim", "lost with the power: %s", n->path);
			sim_mark(s, MARK_unsettled);
			node_free(s, n);
		}
	}
}

void nodes_power_loss(struct sim *s)
{
	struct node *n;
	bool again = true;

	sim_mark(s, MARK_power_loss);
	while (again) { /* a directory takes others along */
		again = false;
		TAILQ_FOREACH(n, &s->files, entry)
		{
			if (n->area != STATE || n->settled)
				continue;
			n->settled = sim_chance(s, 400);
			if (n->settled)
				continue;
			remove_with_all(s, n);
			again = true;
			break;
		}
	}
}

/* ---- calls that may meet a full disk ---- */

bool files_are_out(struct sim *s, struct why *why)
{
	if (s->now >= s->no_files_until)
		return false;
	sim_mark(s, MARK_no_files);
	fail(why, ERR_no_memory, "cannot open a file: too many open files");
	return true;
}

bool disk_is_full(struct sim *s)
{
	if (s->now >= s->disk_full_until || !sim_chance(s, 500))
		return false;
	sim_mark(s, MARK_disk_full);
	return true;
}

static enum err no_space(struct why *why, const char *path)
{
	return fail(why, ERR_no_space, "cannot write %s: no space left on device", path);
}

static enum err ready(struct world *w, enum area p, const char *path, struct why *why)
{
	if (!world_alive(w))
		return dead_daemon(why);
	if (!has_parent(w->sim, p, path))
		return fail(why, ERR_not_found, "cannot make %s: no such directory", path);
	if (files_are_out(w->sim, why))
		return ERR_no_memory;
	return p == STATE && disk_is_full(w->sim) ? no_space(why, path) : OK;
}

enum err world_mkdir(struct world *w, enum area p, const char *path, struct why *why)
{
	char part[NODE_PATH_BYTES];
	struct node *n;

	for (const char *end = path; end; end = *end ? strchr(end + 1, '/') : NULL) {
		if (end == path)
			continue;
		snprintf(part, sizeof(part), "%.*s", (int)(end - path), path);
		n = node_find(w->sim, p, part);
		if (n && !n->directory)
			return fail(why, ERR_not_found, "%s is no directory", part);
		if (!n && ready(w, p, part, why))
			return why->code;
		if (!n)
			node_new(w->sim, p, part, true);
	}
	n = node_find(w->sim, p, path);
	if (!n && ready(w, p, path, why))
		return why->code;
	if (!n)
		node_new(w->sim, p, path, true);
	return OK;
}

enum err world_give(struct world *w, enum area p, const char *path, struct why *why)
{
	if (!world_alive(w))
		return dead_daemon(why);
	return node_find(w->sim, p, path) ? OK : fail(why, ERR_not_found, "cannot give %s", path);
}

/* One that the daemon knows of and does not end: its disks would go from under it. */
static void vmm_must_not_stand_on(struct sim *s, enum area area, const char *path)
{
	char dir[64];
	struct proc *p;

	TAILQ_FOREACH(p, &s->procs, entry)
	{
		if (p->kind != PROC_VMM || p->dying || !p->child || area != STATE)
			continue;
		snprintf(dir, sizeof(dir), "vm/%s", vmm_id(p));
		if (str_eq(dir, path) || (beneath(path, dir) && !strstr(path, "console")))
			sim_fail(s, "%s is removed, and process %d runs on it", path, (int)p->pid);
	}
}

enum err world_remove(struct world *w, enum area p, const char *path, struct why *why)
{
	struct node *n, *next, *top;

	vmm_must_not_stand_on(w->sim, p, path);
	/* the files first, then the directories from the deepest up */
	for (int pass = 0; pass < 2; pass++)
		for (n = TAILQ_FIRST(&w->sim->files); n; n = next) {
			next = TAILQ_NEXT(n, entry);
			if (n->area != p || !beneath(n->path, path) || (pass == 0 && n->directory))
				continue;
			if (!world_alive(w))
				return dead_daemon(why);
			node_free(w->sim, n);
		}
	if (!world_alive(w))
		return dead_daemon(why);
	top = node_find(w->sim, p, path);
	if (top)
		node_free(w->sim, top);
	return OK;
}

static void rename_beneath(struct sim *s, enum area p, const char *from, const char *to)
{
	char path[NODE_PATH_BYTES];
	struct node *n;

	TAILQ_FOREACH(n, &s->files, entry)
	{
		if (n->area != p || !beneath(n->path, from))
			continue;
		must(snprintf(path, sizeof(path), "%s%s", to, n->path + strlen(from)) <
			(int)sizeof(path));
		must(str_copy(n->path, sizeof(n->path), path));
	}
}

enum err world_rename(
	struct world *w, enum area p, const char *from, const char *to, struct why *why)
{
	struct node *n = node_find(w->sim, p, from), *old = node_find(w->sim, p, to);

	if (!world_alive(w))
		return dead_daemon(why);
	if (!n || !has_parent(w->sim, p, to))
		return fail(why, ERR_not_found, "cannot rename %s to %s", from, to);
	if (old && old->directory) {
		struct node *in;

		TAILQ_FOREACH(in, &w->sim->files, entry)
		if (in->area == p && beneath(in->path, to))
			return fail(why, ERR_exists, "cannot rename %s: %s is not empty", from, to);
	}
	if (old)
		node_free(w->sim, old);
	rename_beneath(w->sim, p, from, to);
	must(str_copy(n->path, sizeof(n->path), to));
	return OK;
}

enum err world_read(struct world *w, enum area p, const char *path, size_t max, struct buf *ret,
	struct why *why)
{
	struct node *n = node_find(w->sim, p, path);

	if (!world_alive(w))
		return dead_daemon(why);
	if (!n || n->directory)
		return fail(why, ERR_not_found, "cannot read %s", path);
	if (n->content.n > max)
		return fail(why, ERR_too_large, "%s is too large", path);
	buf_add(ret, n->content.p, n->content.n);
	return OK;
}

static void set_content(struct node *n, struct bytes content)
{
	buf_add(&n->content, content.p, content.n);
	n->size = n->used = n->content.n;
}

enum err world_write(
	struct world *w, enum area p, const char *path, struct bytes content, struct why *why)
{
	struct node *n;
	enum err e = ready(w, p, path, why);

	if (e)
		return e;
	n = node_put(w->sim, p, path, 0);
	n->content.n = 0;
	set_content(n, content);
	return OK;
}

enum err world_append(
	struct world *w, enum area p, const char *path, struct bytes content, struct why *why)
{
	enum err e = ready(w, p, path, why);
	struct node *n;

	if (e)
		return e;
	n = node_find(w->sim, p, path);
	set_content(n ? n : node_new(w->sim, p, path, false), content);
	return OK;
}

enum err world_list(struct world *w, enum area p, const char *path,
	void (*fn)(void *ctx, const char *name), void *ctx, struct why *why)
{
	enum { NAMES_MAX = 256 };
	char names[NAMES_MAX][64];
	unsigned count = 0;
	struct node *n;

	if (!world_alive(w))
		return dead_daemon(why);
	if (!node_find(w->sim, p, path))
		return fail(why, ERR_not_found, "cannot list %s", path);
	TAILQ_FOREACH(n, &w->sim->files, entry)
	{
		const char *name = n->path + strlen(path) + 1;

		if (n->area == p && beneath(n->path, path) && !strchr(name, '/') &&
			count < NAMES_MAX)
			must(str_copy(names[count++], sizeof(names[0]), name));
	}
	for (unsigned i = 0; i < count; i++)
		fn(ctx, names[i]); /* it may remove this one, and what is in it */
	return OK;
}

enum err world_size(struct world *w, enum area p, const char *path, uint64_t *size, uint64_t *used,
	struct why *why)
{
	struct node *n = node_find(w->sim, p, path);

	if (!world_alive(w))
		return dead_daemon(why);
	if (!n)
		return fail(why, ERR_not_found, "cannot look at %s", path);
	*size = n->size;
	*used = n->used;
	return OK;
}

enum err world_free_space(struct world *w, enum area p, uint64_t *ret, struct why *why)
{
	uint64_t used = 0;
	struct node *n;

	if (!world_alive(w))
		return dead_daemon(why);
	TAILQ_FOREACH(n, &w->sim->files, entry)
	used += n->area == p ? n->used : 0;
	*ret = w->sim->now < w->sim->disk_full_until ? 4096 : DISK_BYTES - MIN(used, DISK_BYTES);
	return OK;
}

/* ---- layers ---- */

enum err world_overlay(
	struct world *w, const char *to, enum area area, const char *backing, uint64_t size,
	struct why *why)
{
	enum err e = ready(w, STATE, to, why);
	struct node *n;

	if (e)
		return e;
	n = node_put(w->sim, STATE, to, size);
	n->settled = false;
	n->used = 200 * KiB;
	must(str_copy(n->backing, sizeof(n->backing), backing));
	n->backing_area = area;
	return OK;
}

enum err world_reflink(
	struct world *w, const char *to, enum area area, const char *from, uint64_t size,
	struct why *why)
{
	struct node *source = node_find(w->sim, area, from), *n;
	enum err e = ready(w, STATE, to, why);

	if (e)
		return e;
	if (!source)
		return fail(why, ERR_not_found, "cannot open %s", from);
	if (!w->sim->reflinks)
		return fail(why, ERR_unsupported, "this filesystem shares no blocks");
	n = node_put(w->sim, STATE, to, size ? size : source->size);
	n->settled = false;
	n->used = 0;
	return OK;
}

enum err world_overlay_grow(struct world *w, const char *path, uint64_t size, struct why *why)
{
	struct node *n = node_find(w->sim, STATE, path);

	return n && n->size >= size ? OK : world_resize(w, path, size, why);
}

enum err world_resize(struct world *w, const char *path, uint64_t size, struct why *why)
{
	struct node *n = node_find(w->sim, STATE, path);

	if (!world_alive(w))
		return dead_daemon(why);
	if (!n)
		return fail(why, ERR_not_found, "cannot size %s", path);
	n->size = size;
	n->settled = false;
	return OK;
}
