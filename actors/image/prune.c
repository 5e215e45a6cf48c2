/*
 * prune.c - image.prune: what nobody uses goes, or is only told of (row C1).
 *
 * Layers of pulls are a cache, and go when nothing is pulled. Leftovers are directories of this
 * area that neither a record nor a making under way names: a record may have been lost, so they go
 * only when somebody asks for it. With `all`, managed images that no machine stands on go as well,
 * except the default one; what the user registered stays.
 */
#include "actors/image/image.h"
#include "actors/image/pull.h"

#include "base/log.h"
#include "base/text.h"

enum { ITEMS_MAX = 1000, NAME_MAX_BYTES = 129 };

struct pruning {
	struct shelf *s;
	struct arena *a;
	const struct image_prune *q;
	struct pruned_item items[ITEMS_MAX];
	struct image_pruned said;
	bool no_memory;
};

static bool dry(const struct pruning *p)
{
	return p->q->has_dry_run && p->q->dry_run;
}

/* Host bytes of the files in a directory of ours; there are no deeper ones. */
struct measure {
	struct shelf *s;
	const char *dir;
	uint64_t bytes;
};

static void measure_file(void *ctx, const char *name)
{
	struct measure *m = ctx;
	char path[2 * MAKING_PATH_BYTES];
	uint64_t size, used;

	if ((size_t)snprintf(path, sizeof(path), "%s/%s", m->dir, name) < sizeof(path) &&
		world_size(m->s->world, STATE, path, &size, &used, NULL) == OK)
		m->bytes += used;
}

static uint64_t bytes_of(struct shelf *s, const char *dir)
{
	struct measure m = { .s = s, .dir = dir };

	if (world_list(s->world, STATE, dir, measure_file, &m, NULL))
		return 0;
	return m.bytes;
}

/* False: there is no room for it any more. */
static bool add(struct pruning *p, const char *kind, const char *name, uint64_t bytes)
{
	struct pruned_item *item = &p->items[p->said.items.n];

	if (p->said.items.n == ITEMS_MAX) {
		p->said.more = true;
		return false;
	}
	*item = (struct pruned_item){ .kind = kind, .name = arena_str(p->a, name), .bytes = bytes };
	p->no_memory |= !item->name;
	if (!item->name)
		return false;
	p->said.items.n++;
	p->said.bytes += bytes;
	return true;
}

/* ---- leftovers ---- */

static bool is_made(struct shelf *s, const char *id)
{
	struct making *m;

	TAILQ_FOREACH(m, &s->makings.list, entry)
	if (str_eq(m->id, id))
		return true;
	return false;
}

static void leftover(void *ctx, const char *name)
{
	static const char fresh[] = ".new-";
	struct pruning *p = ctx;
	bool begun = strncmp(name, fresh, sizeof(fresh) - 1) == 0;
	const char *id = begun ? name + sizeof(fresh) - 1 : name;
	char dir[MAKING_PATH_BYTES];

	/* a name that is none of ours was put there by somebody else */
	if (type_ok(&type_vm_id, "id", id, NULL) || is_made(p->s, id) ||
		(!begun && shelf_by_id(p->s, id)))
		return;
	making_path(IMAGE_AREA, name, NULL, dir);
	(void)add(p, "leftover", name, bytes_of(p->s, dir));
}

static void remove_leftovers(struct pruning *p)
{
	char dir[MAKING_PATH_BYTES];
	struct why why;

	for (uint32_t i = 0; i < p->said.items.n; i++) {
		making_path(IMAGE_AREA, p->items[i].name, NULL, dir);
		if (world_remove(p->s->world, STATE, dir, &why))
			log_line(LOG_WARN, "image", "cannot prune", "path", dir, "why", why.text,
				NULL);
	}
}

/* ---- images ---- */

static bool unused(const struct shelf *s, const struct shelf_item *it)
{
	const struct image *im = CONTAINER_OF(it, struct image, it);
	const char *usual = s->env->config->default_image;

	return it->named && !it->going && it->machines == 0 && !im->change && im->r.managed &&
	       !(usual && str_eq(usual, it->name)) &&
	       !is_made((struct shelf *)(uintptr_t)s, it->id);
}

static void images(struct pruning *p)
{
	struct shelf *s = p->s;
	struct link *next;
	char dir[MAKING_PATH_BYTES];

	for (struct link *l = table_next(&s->by_id, NULL); l; l = next) {
		struct shelf_item *it = CONTAINER_OF(l, struct shelf_item, by_id);

		next = table_next(&s->by_id, l);
		if (!unused(s, it))
			continue;
		making_path(IMAGE_AREA, it->id, NULL, dir);
		if (!add(p, "image", it->name, bytes_of(s, dir)))
			return;
		if (!dry(p))
			shelf_forget(s, it, (struct reply_to){ 0 });
	}
}

/* ---- layers ---- */

/* What is kept for the next pull: an image is whole without it. */
static void layer(void *ctx, const char *name)
{
	struct pruning *p = ctx;
	char path[MAKING_PATH_BYTES];
	uint64_t size, used;
	struct why why;

	if (snprintf(path, sizeof(path), LAYERS_AREA "/sha256/%s", name) >= (int)sizeof(path) ||
		world_size(p->s->world, STATE, path, &size, &used, NULL) ||
		!add(p, "layer", name, used) || dry(p))
		return;
	if (world_remove(p->s->world, STATE, path, &why))
		log_line(LOG_WARN, "image", "cannot prune", "path", path, "why", why.text, NULL);
}

/* While anything is pulled they are in use. */
static enum err layers(struct pruning *p, struct why *why)
{
	struct making *m;
	enum err e;

	TAILQ_FOREACH(m, &p->s->makings.list, entry) {
		if (pull_of(m))
			return OK;
	}
	e = world_list(p->s->world, STATE, LAYERS_AREA "/sha256", layer, p, why);
	return e == ERR_not_found ? OK : e;
}

void image_on_prune(void *state, const struct letter *l, const void *body)
{
	struct shelf *s = state;
	struct pruning *p;
	struct why why;
	enum err e;

	if (waiting_took(&s->waiting, l, image_on_prune))
		return;
	p = arena_take(l->arena, sizeof(*p));
	if (!p) {
		fail(&why, ERR_no_memory, "no memory to prune");
		refuse(s->me, l->reply, &why);
		return;
	}
	*p = (struct pruning){ .s = s, .a = l->arena, .q = body };
	p->said.items.v = p->items;
	p->said.dry_run = dry(p);
	e = world_list(s->world, STATE, IMAGE_AREA, leftover, p, &why);
	if (!e && !dry(p))
		remove_leftovers(p);
	if (!e)
		e = layers(p, &why);
	if (!e && p->q->has_all && p->q->all)
		images(p);
	if (!e && p->no_memory)
		e = fail(&why, ERR_no_memory, "no memory to prune");
	if (e)
		refuse(s->me, l->reply, &why);
	else
		answer(s->me, l->reply, &p->said);
}
