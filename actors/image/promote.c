/*
 * promote.c - image.promote: a registered image becomes a managed one (row C1).
 *
 * A worker copies the user's file, holes kept, blocks shared where the file system can; another one
 * looks into the copy, so what is published was read whole. The image keeps its id. The user's file
 * is left as it is: a machine whose disk stands on it goes on standing there.
 */
#include "actors/image/image.h"

#include "base/text.h"

enum { FILES_MAX = 5000000 };
#define ROOM_LEAST (64 * MiB)

static struct image_change *change_of(struct making *m)
{
	return CONTAINER_OF(m, struct image_change, im.sm.m);
}

/* Refused before anything is copied when the host has too little room. */
static enum err check_room(struct making *m, struct shelf *s, const char *file, struct why *why)
{
	uint64_t size, used, room;
	enum err e = world_size(s->world, HOST, file + 1, &size, &used, why);

	if (e) {
		fail_field(why, ERR_not_found, "image", "%.3000s is not there", file);
		return fail_hint(why, "put it back, or register another file with --replace");
	}
	e = making_room(m, used + ROOM_LEAST, &room, why);
	if (!e && room < used)
		e = fail(why, ERR_no_space, "%.3000s takes %llu MiB, and only %llu MiB may be used",
			file, (unsigned long long)(used / MiB), (unsigned long long)(room / MiB));
	return e;
}

static enum err copied(struct making *m, const void *result UNUSED, struct why *why)
{
	return making_has(m, ROOT_FILE, why);
}

static enum flow_said copy(void *owner UNUSED, struct flow *f)
{
	struct image_change *p = change_of(f->subject);
	const char *file = p->image->r.root;
	struct child_file from = { .area = HOST, .path = file + 1 };
	struct work_copy body = { .to = ROOT_FILE };

	if (check_room(f->subject, p->im.sm.s, file, &f->why))
		return FLOW_FAILED;
	return making_work(f->subject, LETTER_work_copy, &body, false, &from, copied);
}

static enum err inspected(struct making *m, const void *result, struct why *why)
{
	struct image_change *p = change_of(m);

	return image_take_facts(&p->im, result, &p->next, why);
}

static enum flow_said inspect(void *owner UNUSED, struct flow *f)
{
	struct image_change *p = change_of(f->subject);
	const struct image_config *c = &p->next.facts.config;
	char path[MAKING_PATH_BYTES];
	struct child_file root = { .area = STATE,
		.path = making_new_path(f->subject, ROOT_FILE, path) };
	struct work_inspect body = { .files_max = FILES_MAX,
		.user = c->user,
		.services = { c->services.v, c->services.n },
		.work_size = p->im.sm.s->env->config->disk };

	return making_work(f->subject, LETTER_work_inspect, &body, false, &root, inspected);
}

static const struct flow_step steps[] = {
	{ "prepare", making_prepare, making_undo_prepare, 5 },
	{ "copy", copy, making_undo_work, 0 },
	{ "inspect", inspect, making_undo_work, 0 },
	{ "swap", image_change_swap, NULL, 0 },
	{ "record", image_change_record, image_change_undo_record, 0 },
};

static const struct flow_kind promote_flow = {
	.name = IMAGE_AREA ".promote",
	.steps = steps,
	.count = COUNT(steps),
};

static enum err begin(struct shelf *s, const struct letter *l, struct image *im,
	const struct image_promote *q, struct why *why)
{
	struct image_promote *mine;
	struct image_change *p;

	if (im->r.managed) {
		fail_field(why, ERR_conflict, "image", "image '%s' is managed already", im->name);
		return why->code;
	}
	p = image_change_new(s, im, why);
	if (!p)
		return why->code;
	mine = arena_take(&p->mem, sizeof(*mine));
	if (!mine || shape_copy(&shape_image_promote, q, mine, &p->mem, why)) {
		arena_done(&p->mem);
		free(p);
		return fail(why, ERR_no_memory, "no memory to promote an image");
	}
	if (mine->services.n > 0) {
		p->next.facts.config.services.v = mine->services.v;
		p->next.facts.config.services.n = mine->services.n;
	}
	p->next.managed = true;
	p->next.root = NULL;
	p->root = true;
	p->im.sm.m.reply = l->reply;
	image_change_begin(p, &promote_flow, l->client);
	return OK;
}

void image_on_promote(void *state, const struct letter *l, const void *body)
{
	const struct image_promote *q = body;
	struct shelf *s = state;
	struct image *im;
	struct why why;
	enum err e;

	if (waiting_took(&s->waiting, l, image_on_promote))
		return;
	im = image_by_name(s, q->image);
	e = im ? begin(s, l, im, q, &why) : image_not_found(s, q->image, &why);
	if (e)
		refuse(s->me, l->reply, &why);
}
