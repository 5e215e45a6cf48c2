/*
 * image.c - the image actor: which images there are, and which machines stand on them.
 *
 * An image is a directory image/<id> beneath the state directory and one record. It never
 * changes; a new one may take its name, and then it stays, without a name, until the last machine
 * that stands on it is gone. Who stands on what is not stored here: the machines' records say it.
 *
 * Invariants: a name leads to one image; a record is deleted before its files are, and written
 * after they are there, so a record never names what is not whole.
 */
#include "actors/image/image.h"

#include "actors/shared/notes.h"
#include "base/log.h"
#include "base/text.h"

enum { LISTED_MAX = 200, LISTED_BYTES = 786432 };

/* ---- state ---- */

struct image *image_new(const struct image_record *r, struct why *why)
{
	struct image *im = calloc(1, sizeof(*im));

	if (!im) {
		fail(why, ERR_no_memory, "no memory for an image");
		return NULL;
	}
	arena_init(&im->mem, MiB);
	if (shape_copy(&shape_image_record, r, &im->r, &im->mem, why)) {
		image_free(im);
		return NULL;
	}
	im->bytes = im->mem.used + 512;
	return im;
}

void image_free(struct image *im)
{
	if (!im)
		return;
	arena_done(&im->mem);
	free(im);
}

struct image *image_by_id(const struct images *s, const char *id)
{
	struct link *l = table_get(&s->by_id, id, strlen(id));

	return l ? CONTAINER_OF(l, struct image, by_id) : NULL;
}

static struct image *name_owner(const struct images *s, const char *name)
{
	struct link *l = table_get(&s->by_name, name, strlen(name));

	return l ? CONTAINER_OF(l, struct image, by_name) : NULL;
}

struct image *image_by_name(const struct images *s, const char *name)
{
	struct image *im = name_owner(s, name);

	return im && !im->going ? im : NULL;
}

static void lose_name(struct images *s, struct image *im)
{
	if (im->r.named)
		table_del(&s->by_name, &im->by_name);
	im->r.named = false;
}

static void leave(struct images *s, struct image *im)
{
	lose_name(s, im);
	table_del(&s->by_id, &im->by_id);
	image_free(im);
}

void image_appear(struct images *s, struct image *im)
{
	struct image *old = im->r.named ? name_owner(s, im->r.name) : NULL;

	if (old)
		lose_name(s, old);
	/* tables that have held something once can always take more */
	must(table_add(&s->by_id, &im->by_id, im->r.id, strlen(im->r.id)));
	if (im->r.named)
		must(table_add(&s->by_name, &im->by_name, im->r.name, strlen(im->r.name)));
	if (old && s->waiting.ready && old->machines == 0)
		image_forget(s, old, (struct reply_to){ 0 });
}

static void tell_event(struct images *s, const char *kind, const struct image *im)
{
	struct event event = { .kind = kind, .name = im->r.name };

	note_event(s->me, s->world, &event);
}

static void deleted(void *state, uint64_t ctx, const struct why *why, const void *result UNUSED,
	struct arena *arena UNUSED)
{
	struct image *im = (struct image *)(uintptr_t)ctx;
	struct images *s = state;
	struct nothing done;

	if (why) {
		log_line(LOG_ERROR, "image", "cannot delete", "name", im->r.name, "why", why->text,
			NULL);
		im->going = false;
		refuse(s->me, im->deleting, why);
		return;
	}
	makings_remove(&s->makings, im->op, im->r.id);
	answer(s->me, im->deleting, &done);
	tell_event(s, "image.deleted", im);
	leave(s, im);
}

void image_forget(struct images *s, struct image *im, struct reply_to to)
{
	struct store_put puts[2] = { { .table = store_table_image, .key = im->r.id } };
	struct arena a;
	struct why why;

	if (im->going)
		return;
	arena_init(&a, 0);
	im->op = making_fresh(&s->makings);
	if (makings_note_deletion(&s->makings, im->op, im->r.id, &puts[1], &a, &why)) {
		refuse(s->me, to, &why);
	} else {
		im->going = true;
		im->deleting = to;
		record_write(s->me, puts, 2, deleted, (uint64_t)(uintptr_t)im);
	}
	arena_done(&a);
}

/* ---- letters in ---- */

static enum err not_found(struct images *s, const char *name, struct why *why)
{
	fail_field(why, ERR_not_found, "image", "no image '%s'", name);
	if (s->env->config->default_image && str_eq(name, s->env->config->default_image))
		return fail_hint(why,
			"it is the default image: `make demo` makes it, or `banger image import %s "
			"FILE`", name);
	return fail_hint(why, "`banger image list` shows what is there; `banger image import %s "
			      "FILE` makes it", name);
}

static struct image_info info_of(const struct images *s, const struct image *im)
{
	const char *usual = s->env->config->default_image;

	return (struct image_info){ .name = im->r.name, .id = im->r.id, .created = im->r.created,
		.managed = im->r.managed, .is_default = usual && str_eq(usual, im->r.name),
		.machines = im->machines, .facts = im->r.facts };
}

static int by_name_order(const void *a, const void *b)
{
	const struct image *const *x = a, *const *y = b;

	return strcmp((*x)->r.name, (*y)->r.name);
}

/* The named images behind `after`, in order. */
static struct image **sorted(struct images *s, const char *after, struct arena *a, uint32_t *ret_n)
{
	struct image **v = arena_take(a, (s->by_name.count + 1) * sizeof(struct image *));
	uint32_t n = 0;

	if (!v)
		return NULL;
	for (struct link *l = table_next(&s->by_name, NULL); l; l = table_next(&s->by_name, l)) {
		struct image *im = CONTAINER_OF(l, struct image, by_name);

		if (!im->going && (!after || strcmp(im->r.name, after) > 0))
			v[n++] = im;
	}
	qsort(v, n, sizeof(struct image *), by_name_order);
	*ret_n = n;
	return v;
}

static void on_list(void *state, const struct letter *l, const void *body)
{
	const struct image_list *q = body;
	struct images *s = state;
	uint32_t limit = q->has_limit ? (uint32_t)q->limit : LISTED_MAX;
	struct image_listed listed = { .more = false };
	struct image_info infos[LISTED_MAX];
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
		infos[listed.images.n++] = info_of(s, v[i]);
	}
	answer(s->me, l->reply, &listed);
}

static void on_show(void *state, const struct letter *l, const void *body)
{
	const struct image_only *q = body;
	struct images *s = state;
	struct image_info info;
	struct image *im;
	struct why why;

	if (waiting_took(&s->waiting, l, on_show))
		return;
	im = image_by_name(s, q->image);
	if (!im) {
		not_found(s, q->image, &why);
		refuse(s->me, l->reply, &why);
		return;
	}
	info = info_of(s, im);
	answer(s->me, l->reply, &info);
}

static void on_delete(void *state, const struct letter *l, const void *body)
{
	const struct image_only *q = body;
	struct images *s = state;
	struct image *im;
	struct why why;

	if (waiting_took(&s->waiting, l, on_delete))
		return;
	im = image_by_name(s, q->image);
	if (!im) {
		not_found(s, q->image, &why);
	} else if (im->machines > 0) {
		fail_field(&why, ERR_conflict, "image", "%llu machine%s on image '%s'",
			(unsigned long long)im->machines, im->machines == 1 ? " stands" : "s stand",
			q->image);
		fail_hint(&why, "delete %s first: `banger vm list`",
			im->machines == 1 ? "it" : "them");
	} else {
		image_forget(s, im, l->reply);
		return;
	}
	refuse(s->me, l->reply, &why);
}

static void let_go(struct images *s, struct image *im)
{
	must(im->machines > 0);
	im->machines--;
	if (im->machines == 0 && !im->r.named)
		image_forget(s, im, (struct reply_to){ 0 });
}

/* A machine that was made asks by id: it stays on its image, whoever has the name now. */
static struct image *wanted(struct images *s, const struct image_hold *q, struct why *why)
{
	const char *name = q->image ? q->image : s->env->config->default_image;
	struct image *im;

	if (q->id) {
		im = image_by_id(s, q->id);
		if (im && !im->going)
			return im;
		fail(why, ERR_not_found, "image %s, which machine %s was made from, is gone",
			q->id, q->vm);
		return NULL;
	}
	im = name ? image_by_name(s, name) : NULL;
	if (!im)
		not_found(s, name ? name : "", why);
	return im;
}

static void on_hold(void *state, const struct letter *l, const void *body)
{
	const struct image_hold *q = body;
	struct images *s = state;
	char root[MAKING_PATH_BYTES], work[MAKING_PATH_BYTES];
	struct image *im, *before;
	struct image_held held;
	struct why why;

	if (waiting_took(&s->waiting, l, on_hold))
		return;
	im = wanted(s, q, &why);
	before = holders_get(&s->holders, q->vm);
	if (!im || holders_put(&s->holders, q->vm, im, &why)) {
		refuse(s->me, l->reply, &why);
		return;
	}
	im->machines++;
	if (before)
		let_go(s, before);
	held = (struct image_held){ .name = im->r.name, .id = im->r.id, .facts = im->r.facts,
		.root = making_path(IMAGE_AREA, im->r.id, ROOT_FILE, root),
		.work = making_path(IMAGE_AREA, im->r.id, WORK_FILE, work) };
	answer(s->me, l->reply, &held);
}

static void on_drop(void *state, const struct letter *l, const void *body)
{
	const struct image_drop *q = body;
	struct images *s = state;
	struct nothing done;
	struct image *im;

	if (waiting_took(&s->waiting, l, on_drop))
		return;
	im = holders_take(&s->holders, q->vm);
	if (im)
		let_go(s, im);
	answer(s->me, l->reply, &done);
}

static void on_cancel(void *state, const struct letter *l, const void *body)
{
	struct images *s = state;

	makings_cancel(&s->makings, l, body);
}

static void on_data(void *state, const struct letter *l, const void *body)
{
	struct images *s = state;

	makings_data(&s->makings, l->client, body);
}

static void on_client_gone(void *state, const struct letter *l, const void *body)
{
	const struct client_gone *q = body;
	struct images *s = state;

	if (waiting_took(&s->waiting, l, on_client_gone))
		return; /* what it asked for waits as well */
	makings_client_gone(&s->makings, q->client);
}

/* An import has no terminal, no program, and nothing that the client could grant. */
static void on_nothing(void *state UNUSED, const struct letter *l UNUSED, const void *body UNUSED)
{
}

/* ---- timers and children: those of imports, in import.c ---- */

/* ---- class ---- */

static bool known(void *state, const char *id)
{
	return image_by_id(state, id) != NULL;
}

/* After this, adding to the table cannot fail. */
static bool prime(struct table *t, uint64_t seed)
{
	struct link first;

	table_init(t, seed);
	if (!table_add(t, &first, "", 0))
		return false;
	table_del(t, &first);
	return true;
}

static enum err image_open(void *state, struct actor *me, void *env, struct why *why)
{
	struct images *s = state;
	uint64_t seed[3];

	s->me = me;
	s->env = env;
	s->world = s->env->world;
	world_random(s->world, seed, sizeof(seed));
	holders_init(&s->holders, seed[2]);
	waiting_init(&s->waiting, me);
	makings_init(&s->makings, me, s->world, s);
	s->makings.area = IMAGE_AREA;
	s->makings.mark = ID_MARK_IMAGE;
	s->makings.ended = image_import_ended;
	s->makings.known = known;
	if (!prime(&s->by_id, seed[0]) || !prime(&s->by_name, seed[1]))
		return fail(why, ERR_no_memory, "no memory for the images");
	if (world_mkdir(s->world, STATE, IMAGE_AREA, why))
		return why->code;
	image_load(s);
	return OK;
}

static void image_close(void *state)
{
	struct images *s = state;
	struct link *l, *next;

	makings_done(&s->makings);
	waiting_done(&s->waiting);
	holders_done(&s->holders);
	for (l = table_next(&s->by_id, NULL); l; l = next) {
		next = table_next(&s->by_id, l);
		image_free(CONTAINER_OF(l, struct image, by_id));
	}
	table_done(&s->by_id);
	table_done(&s->by_name);
}

static void image_verify(const void *state)
{
	const struct images *s = state;
	uint32_t named = 0;
	uint64_t held = 0;

	for (struct link *l = table_next(&s->by_id, NULL); l; l = table_next(&s->by_id, l)) {
		const struct image *im = CONTAINER_OF(l, struct image, by_id);

		named += im->r.named;
		held += im->machines;
		must(!im->r.named || name_owner(s, im->r.name) == im);
		must(!im->going || im->machines == 0);
	}
	must(named == s->by_name.count);
	must(held == s->holders.by_vm.count);
	makings_verify(&s->makings);
}

static const struct handler handlers[] = {
	{ LETTER_image_list, on_list },
	{ LETTER_image_show, on_show },
	{ LETTER_image_import, image_on_import },
	{ LETTER_image_delete, on_delete },
	{ LETTER_image_hold, on_hold },
	{ LETTER_image_drop, on_drop },
	{ LETTER_op_cancel, on_cancel },
	{ LETTER_stream_data, on_data },
	{ LETTER_stream_credit, on_nothing },
	{ LETTER_stream_resize, on_nothing },
	{ LETTER_stream_signal, on_nothing },
	{ LETTER_client_gone, on_client_gone },
	{ 0, NULL },
};

const struct actor_class image_actor = {
	.name = "image",
	.state = sizeof(struct images),
	.mail = 1024,
	.on = handlers,
	.open = image_open,
	.close = image_close,
	.verify = image_verify,
};
