/*
 * load.c - what the image actor reads when it starts: its records, who stands on them, and what an
 * earlier daemon left unfinished. Letters wait until it is done.
 */
#include "actors/image/image.h"

#include "base/log.h"

static void finish(void *state, const struct why *why)
{
	struct images *s = state;
	struct image *im;

	if (why) {
		log_line(LOG_ERROR, "image", "cannot read the images", "why", why->text, NULL);
		waiting_end(&s->waiting, s, why);
		return;
	}
	for (struct link *l = table_next(&s->by_id, NULL); l; l = table_next(&s->by_id, l)) {
		im = CONTAINER_OF(l, struct image, by_id);
		if (im->machines == 0 && (im->missing || !im->r.named))
			image_forget(s, im, (struct reply_to){ 0 });
	}
	waiting_end(&s->waiting, s, NULL);
}

/* Then nothing is removed: what was not loaded would look as if nobody wanted it. */
static bool memory_ran_out(const struct images *s, struct why *why)
{
	if (s->short_of_memory)
		fail(why, ERR_no_memory, "no memory to load the images");
	return s->short_of_memory;
}

static void on_machine(void *ctx, const char *key UNUSED, const void *record)
{
	const struct vm_record *r = record;
	struct images *s = ctx;
	struct image *im = r->image_id ? image_by_id(s, r->image_id) : NULL;
	struct why why;

	if (!r->image_id)
		return;
	if (!im)
		log_line(LOG_WARN, "image", "a machine's image is not there", "vm", r->id, "image",
			r->image, NULL);
	else if (holders_put(&s->holders, r->id, im, &why))
		s->short_of_memory = true;
	else
		im->machines++;
}

static void machines_read(void *ctx, const struct why *why)
{
	struct images *s = ctx;
	struct why problem;

	if (memory_ran_out(s, &problem))
		why = why ? why : &problem;
	if (why) {
		finish(s, why);
		return;
	}
	s->makings.recovered = finish;
	makings_recover(&s->makings);
}

/* Two records of one name mean that a deletion did not get through: the newer one has it. */
static void settle_name(struct images *s, struct image *im)
{
	struct image *other = im->r.named ? image_by_name(s, im->r.name) : NULL;

	if (other && other->r.created > im->r.created)
		im->r.named = false;
}

static void on_image(void *ctx, const char *key, const void *record)
{
	const struct image_record *r = record;
	struct images *s = ctx;
	char path[MAKING_PATH_BYTES];
	uint64_t size, used;
	struct image *im;
	struct why why;

	if (!str_eq(key, r->id)) {
		log_line(LOG_ERROR, "image", "record under a wrong key", "key", key, NULL);
		return;
	}
	im = image_new(r, &why);
	if (!im) {
		log_line(LOG_ERROR, "image", "cannot load", "name", r->name, "why", why.text, NULL);
		s->short_of_memory = true;
		return;
	}
	if (world_size(s->world, STATE, making_path(IMAGE_AREA, r->id, ROOT_FILE, path), &size,
		    &used, &why) == ERR_not_found) {
		log_line(LOG_ERROR, "image", "its files are gone", "name", r->name, "path", path,
			NULL);
		im->missing = true;
	}
	settle_name(s, im);
	image_appear(s, im);
}

static void images_read(void *ctx, const struct why *why)
{
	struct images *s = ctx;
	struct why problem;

	if (memory_ran_out(s, &problem))
		why = why ? why : &problem;
	if (why) {
		finish(s, why);
		return;
	}
	s->scan = (struct record_scan){ .me = s->me, .table = store_table_vm,
		.shape = &shape_vm_record, .row = on_machine, .done = machines_read, .ctx = s };
	record_scan(&s->scan);
}

void image_load(struct images *s)
{
	s->scan = (struct record_scan){ .me = s->me, .table = store_table_image,
		.shape = &shape_image_record, .row = on_image, .done = images_read, .ctx = s };
	record_scan(&s->scan);
}
