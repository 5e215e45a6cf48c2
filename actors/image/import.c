/*
 * import.c - image.import: an image from the bytes of a client.
 *
 * The bytes go to a worker as they come and are never seen here. What the worker says of the result
 * is checked like any peer's. The image is visible when the operation has ended well, not before.
 */
#include "actors/image/image.h"

enum { FILES_MAX = 5000000 };

/* ---- state ---- */

struct import {
	struct image_making im; /* first */
	struct arena mem;
	struct image_import ask; /* in mem */
};

static void import_free(struct import *p)
{
	image_free(p->im.sm.fresh);
	arena_done(&p->mem);
	free(p);
}

static void ended(struct image_making *im, const struct why *why)
{
	struct import *p = CONTAINER_OF(im, struct import, im);

	if (!why) {
		shelf_appear(im->sm.s, im->sm.fresh);
		im->sm.fresh = NULL;
	}
	import_free(p);
}

/* ---- steps ---- */

enum err image_take_fresh(struct image_making *p, const void *result, const char *kernel,
	struct why *why)
{
	const struct image_made *made = result;
	struct making *m = &p->sm.m;
	struct image *im;
	struct image_record r = { .name = m->name,
		.id = m->id,
		.created = world_unix_ms(p->sm.s->world),
		.managed = true,
		.named = true,
		.seed = made->has_seed ? made->seed : SEED_LAYOUT,
		.has_seed = true,
		.ssh_key = made->ssh_key,
		.kernel = kernel ? kernel : made->kernel,
		.facts = made->facts };

	if (making_has(m, ROOT_FILE, why) || making_has(m, WORK_FILE, why))
		return why->code;
	im = image_new(&r, why);
	if (!im)
		return why->code;
	p->sm.fresh = &im->it;
	return OK;
}

static enum err take_facts(struct making *m, const void *result, struct why *why)
{
	struct import *p = CONTAINER_OF(m, struct import, im.sm.m);

	return image_take_fresh(&p->im, result, p->ask.kernel, why);
}

static enum flow_said unpack(void *owner UNUSED, struct flow *f)
{
	struct import *p = CONTAINER_OF((struct making *)f->subject, struct import, im.sm.m);
	struct work_image body = { .format = p->ask.has_format ? p->ask.format : pack_kind_auto,
		.size = p->ask.size,
		.has_size = p->ask.has_size,
		.files_max = FILES_MAX,
		.user = p->ask.user,
		.services = { p->ask.services.v, p->ask.services.n },
		.work_size = p->im.sm.s->env->config->disk };

	if (making_room(&p->im.sm.m, IMAGE_CONTENT_MAX, &body.content_max, &f->why))
		return FLOW_FAILED;
	return making_work(&p->im.sm.m, LETTER_work_image, &body, true, NULL, take_facts);
}

static const struct flow_step steps[] = {
	{ "prepare", making_prepare, making_undo_prepare, 4 },
	{ "unpack", unpack, making_undo_work, 0 },
	{ "publish", making_publish, making_undo_publish, 0 },
	{ "record", shelf_record, shelf_undo_record, 0 },
};

static const struct flow_kind import_flow = {
	.name = IMAGE_AREA ".import",
	.steps = steps,
	.count = COUNT(steps),
};

/* ---- letters in ---- */

static enum err begin(
	struct shelf *s, const struct letter *l, const struct image_import *q, struct why *why)
{
	struct import *p;
	enum err e = shelf_admit(s, q->name, q->replace, why);

	if (e)
		return e;
	p = calloc(1, sizeof(*p));
	if (!p)
		return fail(why, ERR_no_memory, "no memory for an import");
	p->im.ended = ended;
	p->im.sm.s = s;
	p->im.sm.replace = q->replace;
	arena_init(&p->mem, 64 * KiB);
	e = shape_copy(&shape_image_import, q, &p->ask, &p->mem, why);
	if (e) {
		import_free(p);
		return e;
	}
	p->im.sm.m.reply = l->reply;
	p->im.sm.m.quiet = true;
	making_begin(&s->makings, &p->im.sm.m, &import_flow, q->name, l->client);
	return OK;
}

void image_on_import(void *state, const struct letter *l, const void *body)
{
	struct shelf *s = state;
	struct why why;

	if (waiting_took(&s->waiting, l, image_on_import))
		return;
	if (begin(s, l, body, &why))
		refuse(s->me, l->reply, &why);
}
