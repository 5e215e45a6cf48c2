/*
 * export.c - image.export: an image as a bundle, to the client that asks.
 *
 * A worker reads the image's files and writes the bundle to the client's stream, as fast as the
 * client grants; nothing of it is seen here, and nothing stays. A file that is open outlives its
 * name, so the image may change or go meanwhile.
 */
#include "actors/image/image.h"

struct exporting {
	struct image_making im; /* first */
	struct arena mem;
	struct work_export ask; /* in mem */
	char dir[MAKING_PATH_BYTES]; /* of the image */
};

static struct exporting *of_flow(const struct flow *f)
{
	return CONTAINER_OF(image_making_of(f), struct exporting, im);
}

static void ended(struct image_making *im, const struct why *why UNUSED)
{
	struct exporting *p = CONTAINER_OF(im, struct exporting, im);

	arena_done(&p->mem);
	free(p);
}

static enum flow_said pack(void *owner UNUSED, struct flow *f)
{
	struct exporting *p = of_flow(f);
	struct child_file image = { .area = STATE, .path = p->dir, .directory = true };

	return making_read(&p->im.sm.m, LETTER_work_export, &p->ask, &image);
}

/* The directory is only where the worker stands; nothing of it is kept. */
static const struct flow_step steps[] = {
	{ "prepare", making_prepare, making_undo_prepare, 3 },
	{ "export", pack, making_undo_work, 0 },
	{ "tidy", making_undo_prepare, NULL, 0 },
};

static const struct flow_kind export_flow = {
	.name = IMAGE_AREA ".export",
	.steps = steps,
	.count = COUNT(steps),
};

/* ---- letters in ---- */

static enum err check(const struct image *im, const char *name, struct shelf *s, struct why *why)
{
	if (!im)
		return image_not_found(s, name, why);
	if (im->it.missing)
		return fail_field(why, ERR_not_found, "image", "files of '%s' are not there", name);
	if (im->r.managed)
		return OK;
	fail_field(why, ERR_conflict, "image",
		"image '%s' is registered: its root filesystem is a file that you keep", name);
	return fail_hint(why, "`banger image promote %s` makes it one that can be exported", name);
}

static enum err fill(struct exporting *p, const struct image *im, struct why *why)
{
	struct work_export ask = { .work = im->r.work ? im->r.work : WORK_FILE,
		.image = { .name = im->name,
			.created = im->r.created,
			.kernel = im->r.kernel,
			.seed = im->r.seed,
			.has_seed = im->r.has_seed,
			.ssh_key = im->r.ssh_key,
			.facts = im->r.facts } };

	making_path(IMAGE_AREA, im->id, NULL, p->dir);
	return shape_copy(&shape_work_export, &ask, &p->ask, &p->mem, why);
}

static enum err begin(
	struct shelf *s, const struct letter *l, const struct image_only *q, struct why *why)
{
	struct image *im = image_by_name(s, q->image);
	struct exporting *p;
	enum err e = check(im, q->image, s, why);

	if (!e)
		e = making_admit(&s->makings, q->image, why);
	if (e)
		return e;
	p = calloc(1, sizeof(*p));
	if (!p)
		return fail(why, ERR_no_memory, "no memory for an export");
	p->im.ended = ended;
	p->im.sm.s = s;
	arena_init(&p->mem, MiB);
	e = fill(p, im, why);
	if (e) {
		ended(&p->im, NULL);
		return e;
	}
	p->im.sm.m.reply = l->reply;
	p->im.sm.m.quiet = true;
	making_begin(&s->makings, &p->im.sm.m, &export_flow, q->image, l->client);
	return OK;
}

void image_on_export(void *state, const struct letter *l, const void *body)
{
	struct shelf *s = state;
	struct why why;

	if (waiting_took(&s->waiting, l, image_on_export))
		return;
	if (begin(s, l, body, &why))
		refuse(s->me, l->reply, &why);
}
