/*
 * change.c - an image that is there changes in place and keeps its id, so that machines which stand
 * on it go on (rows C1, C7).
 *
 * What is new is made beside it, in the directory of any making, and moves in under a name of its
 * own: a machine's disk may stand on the work-seed that was there before, which stays as long as
 * somebody stands on the image. The record then says what counts. A crash leaves at most a file
 * that no record names; it goes with the image.
 */
#include "actors/image/image.h"

#include "base/log.h"
#include "base/text.h"

static void change_free(struct image_change *p)
{
	arena_done(&p->mem);
	free(p);
}

/* Nobody stands on it any more, so nothing stands on its older work-seed. */
static void drop_older(struct shelf *s, const struct image *im, const char *before)
{
	struct why why;

	if (im->it.machines == 0 && world_remove(s->world, STATE, before, &why))
		log_line(LOG_WARN, "image", "an older work-seed stays", "path", before, "why",
			why.text, NULL);
}

static void settle(struct image_change *p)
{
	struct shelf *s = p->im.sm.s;
	struct image *im = p->image;
	char before[MAKING_PATH_BYTES], path[MAKING_PATH_BYTES];
	struct why why;

	image_work(im, before);
	/* the record on disk says it; should memory be short, so does the next start */
	if (image_renew(im, &p->next, &why))
		log_line(LOG_ERROR, "image", "cannot take over", "name", im->name, "why", why.text,
			NULL);
	else if (p->work[0])
		drop_older(s, im, before);
	/* what stays is swept away at the next start */
	(void)!world_remove(s->world, STATE, making_new_path(&p->im.sm.m, NULL, path), &why);
}

static void ended(struct image_making *m, const struct why *why)
{
	struct image_change *p = CONTAINER_OF(m, struct image_change, im);
	struct shelf *s = m->sm.s;
	struct image *im = p->image;
	struct image_info info;
	const char *missing;

	im->change = NULL;
	if (!why && !s->makings.closing)
		settle(p);
	if (!why && m->sm.m.reply.serial) {
		info = image_info_of(s, im, &missing);
		answer(s->me, m->sm.m.reply, &info);
	}
	if (p->served)
		p->served(p, why);
	change_free(p);
	if (!s->makings.closing)
		shelf_forget_unused(s, &im->it);
}

/* ---- steps ---- */

/* The facts of what the worker has looked into, copied; and what it made is there. */
enum err image_take_facts(struct image_making *m, const struct image_facts *facts,
	struct image_record *r, struct why *why)
{
	struct image_change *p = CONTAINER_OF(m, struct image_change, im);

	if (making_has(&m->sm.m, WORK_FILE, why))
		return why->code;
	return shape_copy(&shape_image_facts, facts, &r->facts, &p->mem, why);
}

static struct image_change *of_flow(const struct flow *f)
{
	return CONTAINER_OF(image_making_of(f), struct image_change, im);
}

/* No undo: a file that no record names does no harm. */
enum flow_said image_change_swap(void *owner UNUSED, struct flow *f)
{
	struct image_change *p = of_flow(f);
	struct making *m = &p->im.sm.m;
	struct world *w = p->im.sm.s->world;
	char from[MAKING_PATH_BYTES], to[MAKING_PATH_BYTES];

	making_path(IMAGE_AREA, p->image->id, p->work, to);
	if (world_rename(w, STATE, making_new_path(m, WORK_FILE, from), to, &f->why))
		return FLOW_FAILED;
	making_path(IMAGE_AREA, p->image->id, ROOT_FILE, to);
	if (p->root && world_rename(w, STATE, making_new_path(m, ROOT_FILE, from), to, &f->why))
		return FLOW_FAILED;
	world_settle(w, making_path(IMAGE_AREA, p->image->id, NULL, to));
	return FLOW_DONE;
}

static enum flow_said write_record(
	struct image_change *p, const struct image_record *record, struct flow *f)
{
	struct image_record r = *record;
	enum flow_said said = FLOW_FAILED;
	struct store_put put;
	struct arena a;

	arena_init(&a, 0);
	r.named = p->image->it.named;
	if (record_put(&put, store_table_image, r.id, &shape_image_record, &r, &a, &f->why) == OK) {
		p->im.sm.m.final = true;
		said = making_write(&p->im.sm.m, &put, 1, shelf_written);
	}
	arena_done(&a);
	return said;
}

enum flow_said image_change_record(void *owner UNUSED, struct flow *f)
{
	struct image_change *p = of_flow(f);

	return write_record(p, &p->next, f);
}

/* Reached only when it is not known which record is on disk. */
enum flow_said image_change_undo_record(void *owner UNUSED, struct flow *f)
{
	struct image_change *p = of_flow(f);

	return p->im.sm.m.final ? write_record(p, &p->image->r, f) : FLOW_DONE;
}

/* ---- its beginning ---- */

enum err image_change_init(
	struct image_change *p, struct shelf *s, struct image *im, struct why *why)
{
	char id[MAKING_ID_BYTES];

	if (im->change)
		return fail_field(
			why, ERR_busy, "image", "image '%s' is being changed already", im->name);
	if (making_admit(&s->makings, im->name, why))
		return why->code;
	p->im.ended = ended;
	p->im.sm.s = s;
	p->image = im;
	p->next = im->r;
	arena_init(&p->mem, MiB);
	making_id(&s->makings, id);
	snprintf(p->work, sizeof(p->work), "work-%s.ext4", id);
	p->next.work = p->work;
	p->next.seed = SEED_LAYOUT;
	p->next.has_seed = true;
	p->next.ssh_key = NULL;
	return OK;
}

struct image_change *image_change_new(struct shelf *s, struct image *im, struct why *why)
{
	struct image_change *p = calloc(1, sizeof(*p));

	if (!p)
		fail(why, ERR_no_memory, "no memory to change an image");
	else if (image_change_init(p, s, im, why) == OK)
		return p;
	free(p);
	return NULL;
}

void image_change_begin(struct image_change *p, const struct flow_kind *kind, uint64_t client)
{
	struct making *m = &p->im.sm.m;

	p->image->change = p;
	must(str_copy(m->id, sizeof(m->id), p->image->id));
	making_begin(&p->im.sm.s->makings, m, kind, p->image->name, client);
}
