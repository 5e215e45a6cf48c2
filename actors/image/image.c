/*
 * image.c - the image actor: which images there are, and which machines stand on them.
 *
 * An image never changes; a new one may take its name, and then it stays, without a name, until the
 * last machine that stands on it is gone. How that is kept is told in actors/shared/shelf.h.
 */
#include "actors/image/image.h"

#include "actors/shared/catalog.h"
#include "base/text.h"

enum { LISTED_MAX = 200, LISTED_BYTES = 786432 };

/* ---- state ---- */

/* The record's copy, with id and name where they stay. */
static enum err adopt(struct image *im, const struct image_record *r, struct why *why)
{
	struct image_record copy;
	struct arena mem;

	arena_init(&mem, MiB);
	if (shape_copy(&shape_image_record, r, &copy, &mem, why)) {
		arena_done(&mem);
		return why->code;
	}
	arena_done(&im->mem);
	im->mem = mem;
	im->r = copy;
	im->r.id = im->id;
	im->r.name = im->name;
	im->bytes = mem.used + 512;
	return OK;
}

struct image *image_new(const struct image_record *r, struct why *why)
{
	struct image *im = calloc(1, sizeof(*im));

	if (!im) {
		fail(why, ERR_no_memory, "no memory for an image");
		return NULL;
	}
	must(str_copy(im->id, sizeof(im->id), r->id) &&
		str_copy(im->name, sizeof(im->name), r->name));
	if (adopt(im, r, why)) {
		free(im);
		return NULL;
	}
	im->it = (struct shelf_item){
		.id = im->id, .name = im->name, .created = r->created, .named = r->named
	};
	return im;
}

enum err image_renew(struct image *im, const struct image_record *r, struct why *why)
{
	must(str_eq(r->id, im->id) && str_eq(r->name, im->name));
	return adopt(im, r, why);
}

static struct image *of(struct shelf_item *it)
{
	return it ? CONTAINER_OF(it, struct image, it) : NULL;
}

void image_free(struct shelf_item *it)
{
	struct image *im = of(it);

	if (!im)
		return;
	arena_done(&im->mem);
	free(im);
}

struct image *image_by_id(const struct shelf *s, const char *id)
{
	return of(shelf_by_id(s, id));
}

struct image *image_by_name(const struct shelf *s, const char *name)
{
	return of(shelf_by_name(s, name));
}

static struct shelf_item *read_record(void *state, const void *record, struct why *why)
{
	struct image *im = image_new(record, why);
	char path[MAKING_PATH_BYTES];
	struct shelf *s = state;
	uint64_t size, used;

	if (!im)
		return NULL;
	making_path(IMAGE_AREA, im->r.id, ROOT_FILE, path);
	/* a file that the user keeps may come back */
	im->it.missing = !im->r.root &&
			 world_size(s->world, STATE, path, &size, &used, NULL) == ERR_not_found;
	return &im->it;
}

static enum err put(struct store_put *ret, const struct shelf_item *it, bool named, struct arena *a,
	struct why *why)
{
	struct image_record r = CONTAINER_OF(it, struct image, it)->r;

	r.named = named;
	return record_put(ret, store_table_image, r.id, &shape_image_record, &r, a, why);
}

static const char *of_machine(const struct vm_record *r)
{
	return r->image_id;
}

static bool changes(const struct shelf_item *it)
{
	return CONTAINER_OF(it, struct image, it)->change != NULL;
}

struct image_making *image_making_of(const struct flow *f)
{
	return CONTAINER_OF(shelf_making_of(f), struct image_making, sm);
}

static void ended(void *state UNUSED, struct making *m, const struct why *why)
{
	struct image_making *p = CONTAINER_OF(m, struct image_making, sm.m);

	p->ended(p, why);
}

static const struct shelf_kind kind = {
	.area = IMAGE_AREA,
	.mark = ID_MARK_IMAGE,
	.table = store_table_image,
	.shape = &shape_image_record,
	.read = read_record,
	.free = image_free,
	.put = put,
	.of_machine = of_machine,
	.busy = changes,
	.ended = ended,
};

/* ---- letters in ---- */

enum err image_not_found(struct shelf *s, const char *name, struct why *why)
{
	const char *near = catalog_image_near(s->env->catalog, name);

	fail_field(why, ERR_not_found, "image", "no image '%s'", name);
	if (near && !str_eq(near, name))
		return fail_hint(why,
			"the catalog has '%s'; `banger image list` shows what is here", near);
	if (s->env->config->default_image && str_eq(name, s->env->config->default_image))
		return fail_hint(why,
			"it is the default image: `make demo` makes it, or `banger image import %s "
			"FILE`",
			name);
	return fail_hint(why,
		"`banger image list` shows what is there; `banger image import %s "
		"FILE` makes it",
		name);
}

const char *image_work(const struct image *im, char out[MAKING_PATH_BYTES])
{
	return making_path(IMAGE_AREA, im->id, im->r.work ? im->r.work : WORK_FILE, out);
}

static bool away(const struct shelf *s, const struct image *im)
{
	uint64_t size, used;

	return im->r.root && world_size(s->world, HOST, im->r.root + 1, &size, &used, NULL) != OK;
}

/* *missing is room for the one path that may be. */
struct image_info image_info_of(const struct shelf *s, const struct image *im, const char **missing)
{
	const char *usual = s->env->config->default_image;

	*missing = im->r.root;
	return (struct image_info){ .name = im->r.name,
		.id = im->r.id,
		.created = im->r.created,
		.managed = im->r.managed,
		.is_default = usual && str_eq(usual, im->r.name),
		.machines = im->it.machines,
		.root = im->r.root,
		.ssh_key = im->r.ssh_key,
		.kernel = im->r.kernel,
		.missing = { missing, away(s, im) },
		.facts = im->r.facts };
}

static int by_name_order(const void *a, const void *b)
{
	const struct image *const *x = a, *const *y = b;

	return strcmp((*x)->r.name, (*y)->r.name);
}

/* The named images behind `after`, in order. */
static struct image **sorted(struct shelf *s, const char *after, struct arena *a, uint32_t *ret_n)
{
	struct image **v = arena_take(a, (s->by_name.count + 1) * sizeof(struct image *));
	uint32_t n = 0;

	if (!v)
		return NULL;
	for (struct link *l = table_next(&s->by_name, NULL); l; l = table_next(&s->by_name, l)) {
		struct image *im = CONTAINER_OF(l, struct image, it.by_name);

		if (!im->it.going && (!after || strcmp(im->r.name, after) > 0))
			v[n++] = im;
	}
	qsort(v, n, sizeof(struct image *), by_name_order);
	*ret_n = n;
	return v;
}

static void on_list(void *state, const struct letter *l, const void *body)
{
	const struct image_list *q = body;
	struct shelf *s = state;
	uint32_t limit = q->has_limit ? (uint32_t)q->limit : LISTED_MAX;
	struct image_listed listed = { .more = false };
	struct image_info infos[LISTED_MAX];
	const char *missing[LISTED_MAX];
	struct image **v;
	uint32_t n = 0;
	size_t bytes = 0;
	struct why why;

	if (waiting_took(&s->waiting, l, on_list))
		return;
	v = sorted(s, q->after, l->arena, &n);
	if (!v) {
		fail(&why, ERR_no_memory, "no memory to list images");
		refuse(s->me, l->reply, &why);
		return;
	}
	listed.images.v = infos;
	for (uint32_t i = 0; i < n; i++) {
		bytes += v[i]->bytes;
		listed.more = i == limit || (bytes > LISTED_BYTES && i > 0);
		if (listed.more)
			break;
		infos[i] = image_info_of(s, v[i], &missing[i]);
		listed.images.n++;
	}
	answer(s->me, l->reply, &listed);
}

static void on_catalog(void *state, const struct letter *l, const void *body UNUSED)
{
	struct shelf *s = state;

	answer(s->me, l->reply, s->env->catalog);
}

static void on_show(void *state, const struct letter *l, const void *body)
{
	const struct image_only *q = body;
	struct shelf *s = state;
	struct image_info info;
	const char *missing;
	struct image *im;
	struct why why;

	if (waiting_took(&s->waiting, l, on_show))
		return;
	im = image_by_name(s, q->image);
	if (!im) {
		image_not_found(s, q->image, &why);
		refuse(s->me, l->reply, &why);
		return;
	}
	info = image_info_of(s, im, &missing);
	answer(s->me, l->reply, &info);
}

static void on_delete(void *state, const struct letter *l, const void *body)
{
	const struct image_only *q = body;
	struct shelf *s = state;
	struct image *im;
	struct why why;

	if (waiting_took(&s->waiting, l, on_delete))
		return;
	im = image_by_name(s, q->image);
	if (im) {
		shelf_delete(s, &im->it, l->reply);
	} else {
		image_not_found(s, q->image, &why);
		refuse(s->me, l->reply, &why);
	}
}

/* A machine that was made asks by id: it stays on its image, whoever has the name now. */
static struct image *wanted(struct shelf *s, const struct image_hold *q, struct why *why)
{
	const char *name = q->image ? q->image : s->env->config->default_image;
	struct image *im;

	if (q->id) {
		im = image_by_id(s, q->id);
		if (im && !im->it.going)
			return im;
		fail(why, ERR_not_found, "image %s, which machine %s was made from, is gone", q->id,
			q->vm);
		return NULL;
	}
	im = name ? image_by_name(s, name) : NULL;
	if (!im) {
		image_not_found(s, name ? name : "", why);
	} else if (away(s, im)) {
		fail_field(why, ERR_not_found, "image",
			"%.3000s, the root filesystem of image '%s', "
			"is not there",
			im->r.root, name);
		fail_hint(why, "put it back, or `banger image register --replace %s FILE`", name);
		return NULL;
	}
	return im;
}

void image_hand_out(struct shelf *s, struct image *im, const char *vm, struct reply_to reply)
{
	char root[MAKING_PATH_BYTES], work[MAKING_PATH_BYTES];
	struct image_held held = { .name = im->r.name,
		.id = im->r.id,
		.facts = im->r.facts,
		.root = making_path(IMAGE_AREA, im->r.id, ROOT_FILE, root),
		.work = image_work(im, work),
		.file = im->r.root,
		.kernel = im->r.kernel };
	struct why why;

	if (shelf_hold(s, &im->it, vm, &why))
		refuse(s->me, reply, &why);
	else
		answer(s->me, reply, &held);
}

void image_serve(
	struct shelf *s, struct image *im, const struct image_hold *q, struct reply_to reply)
{
	if (q->id || !image_heals(s, im, q, reply))
		image_hand_out(s, im, q->vm, reply);
}

/* What the catalog has of an image that is not here (row C3). */
static const struct catalog_image *fetchable(struct shelf *s, const struct image_hold *q)
{
	const char *name = q->image ? q->image : s->env->config->default_image;

	if (q->id || !name || image_by_name(s, name))
		return NULL;
	return catalog_image_of(s->env->catalog, name);
}

static enum err fetch(struct shelf *s, const struct catalog_image *c, const struct image_hold *q,
	struct reply_to reply, struct why *why)
{
	if (!q->offline)
		return image_pull_for(s, c, q, reply, why);
	fail_field(why, ERR_not_found, "image",
		"image '%s' is not here, and nothing may be fetched (offline)", c->name);
	return fail_hint(why,
		"`banger image pull %s` with a network, or `banger image import %s FILE`", c->name,
		c->name);
}

static void on_hold(void *state, const struct letter *l, const void *body)
{
	const struct image_hold *q = body;
	const struct catalog_image *c;
	struct shelf *s = state;
	struct image *im;
	struct why why;

	if (waiting_took(&s->waiting, l, on_hold))
		return;
	c = fetchable(s, q);
	if (c) {
		if (fetch(s, c, q, l->reply, &why))
			refuse(s->me, l->reply, &why);
		return;
	}
	im = wanted(s, q, &why);
	if (im)
		image_serve(s, im, q, l->reply);
	else
		refuse(s->me, l->reply, &why);
}

static void on_drop(void *state, const struct letter *l, const void *body)
{
	const struct image_drop *q = body;
	struct shelf *s = state;
	struct nothing done;

	if (waiting_took(&s->waiting, l, on_drop))
		return;
	image_heal_drop(s, q->vm);
	image_pull_drop(s, q->vm);
	shelf_drop(s, q->vm);
	answer(s->me, l->reply, &done);
}

static void on_client_gone(void *state, const struct letter *l, const void *body)
{
	const struct client_gone *q = body;
	struct shelf *s = state;

	if (waiting_took(&s->waiting, l, on_client_gone))
		return; /* what it asked for waits as well */
	image_pull_client_gone(s, q->client);
	makings_client_gone(&s->makings, q->client);
}

/* ---- timers and children: those of makings, in import.c and pull.c ---- */

/* ---- class ---- */

static enum err image_open(void *state, struct actor *me, void *env, struct why *why)
{
	return shelf_open(state, &kind, me, env, why);
}

static void image_close(void *state)
{
	shelf_close(state);
}

static void image_verify(const void *state)
{
	shelf_verify(state);
}

static const struct handler handlers[] = {
	{ LETTER_image_list, on_list },
	{ LETTER_image_show, on_show },
	{ LETTER_image_catalog, on_catalog },
	{ LETTER_image_import, image_on_import },
	{ LETTER_image_pull, image_on_pull },
	{ LETTER_image_register, image_on_register },
	{ LETTER_image_promote, image_on_promote },
	{ LETTER_image_prune, image_on_prune },
	{ LETTER_image_export, image_on_export },
	{ LETTER_image_delete, on_delete },
	{ LETTER_image_hold, on_hold },
	{ LETTER_image_drop, on_drop },
	{ LETTER_op_cancel, shelf_on_cancel },
	{ LETTER_stream_data, shelf_on_data },
	{ LETTER_stream_credit, shelf_on_credit },
	{ LETTER_stream_resize, shelf_on_nothing },
	{ LETTER_stream_signal, shelf_on_nothing },
	{ LETTER_client_gone, on_client_gone },
	{ 0, NULL },
};

const struct actor_class image_actor = {
	.name = "image",
	.state = sizeof(struct shelf),
	.mail = 1024,
	.on = handlers,
	.open = image_open,
	.close = image_close,
	.verify = image_verify,
};
