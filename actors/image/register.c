/*
 * register.c - image.register: an image of a root filesystem that the user keeps (row C1).
 *
 * A worker looks into the file, reading only, and builds the work-seed; that and the record are all
 * that is banger's. One that is registered already can be changed in place, to another file too:
 * it keeps its id, and machines that stand on it go on (row C7). A managed one is left alone.
 */
#include "actors/image/image.h"

#include "base/text.h"

enum { FILES_MAX = 5000000 };

struct registration {
	struct image_making im; /* first */
	struct arena mem;
	struct image_register ask; /* in mem */
};

/* What both kinds ask of the worker. */
static enum flow_said inspect(struct making *m, struct shelf *s, const struct image_register *q,
	enum err (*take)(struct making *m, const void *result, struct why *why))
{
	struct child_file root = { .area = HOST, .path = q->root + 1 };
	struct work_inspect body = { .files_max = FILES_MAX,
		.user = q->user,
		.services = { q->services.v, q->services.n },
		.work_size = s->env->config->disk };
	uint64_t size, used;

	if (world_size(s->world, HOST, q->root + 1, &size, &used, &m->flow.why)) {
		fail_field(&m->flow.why, m->flow.why.code, "root", "cannot look at %.3000s: %s",
			q->root, err_name(m->flow.why.code));
		return FLOW_FAILED;
	}
	return making_work(m, LETTER_work_inspect, &body, false, &root, take);
}

/* ---- a new one ---- */

static void registration_free(struct registration *p)
{
	image_free(p->im.sm.fresh);
	arena_done(&p->mem);
	free(p);
}

static void ended(struct image_making *im, const struct why *why)
{
	struct registration *p = CONTAINER_OF(im, struct registration, im);
	struct shelf *s = im->sm.s;
	struct image_info info;
	const char *missing;
	struct image *fresh;

	if (!why) {
		fresh = CONTAINER_OF(im->sm.fresh, struct image, it);
		im->sm.fresh = NULL;
		shelf_appear(s, &fresh->it);
		info = image_info_of(s, fresh, &missing);
		answer(s->me, im->sm.m.reply, &info);
	}
	registration_free(p);
}

static struct registration *of_making(struct making *m)
{
	return CONTAINER_OF(m, struct registration, im.sm.m);
}

static enum err take_new(struct making *m, const void *result, struct why *why)
{
	struct registration *p = of_making(m);
	struct image_record r = { .name = m->name,
		.id = m->id,
		.named = true,
		.root = p->ask.root,
		.seed = SEED_LAYOUT,
		.has_seed = true,
		.kernel = p->ask.kernel,
		.created = world_unix_ms(p->im.sm.s->world),
		.facts = *(const struct image_facts *)result };
	struct image *im;

	if (making_has(m, WORK_FILE, why))
		return why->code;
	im = image_new(&r, why);
	if (!im)
		return why->code;
	p->im.sm.fresh = &im->it;
	return OK;
}

static enum flow_said inspect_new(void *owner UNUSED, struct flow *f)
{
	struct registration *p = of_making(f->subject);

	return inspect(f->subject, p->im.sm.s, &p->ask, take_new);
}

static const struct flow_step new_steps[] = {
	{ "prepare", making_prepare, making_undo_prepare, 4 },
	{ "inspect", inspect_new, making_undo_work, 0 },
	{ "publish", making_publish, making_undo_publish, 0 },
	{ "record", shelf_record, shelf_undo_record, 0 },
};

static const struct flow_kind new_flow = {
	.name = IMAGE_AREA ".register",
	.steps = new_steps,
	.count = COUNT(new_steps),
};

static enum err begin_new(
	struct shelf *s, const struct letter *l, const struct image_register *q, struct why *why)
{
	struct registration *p;
	enum err e = shelf_admit(s, q->name, false, why);

	if (e)
		return e;
	p = calloc(1, sizeof(*p));
	if (!p)
		return fail(why, ERR_no_memory, "no memory to register an image");
	p->im.ended = ended;
	p->im.sm.s = s;
	arena_init(&p->mem, 64 * KiB);
	e = shape_copy(&shape_image_register, q, &p->ask, &p->mem, why);
	if (e) {
		registration_free(p);
		return e;
	}
	p->im.sm.m.reply = l->reply;
	making_begin(&s->makings, &p->im.sm.m, &new_flow, q->name, l->client);
	return OK;
}

/* ---- one that is there ---- */

static struct image_change *change_of(struct making *m)
{
	return CONTAINER_OF(m, struct image_change, im.sm.m);
}

static enum err take_again(struct making *m, const void *result, struct why *why)
{
	struct image_change *p = change_of(m);

	return image_take_facts(&p->im, result, &p->next, why);
}

static enum flow_said inspect_again(void *owner UNUSED, struct flow *f)
{
	struct image_change *p = change_of(f->subject);
	struct image_register q = { .root = p->next.root,
		.user = p->next.facts.config.user,
		.services = { p->next.facts.config.services.v, p->next.facts.config.services.n } };

	return inspect(f->subject, p->im.sm.s, &q, take_again);
}

static const struct flow_step replace_steps[] = {
	{ "prepare", making_prepare, making_undo_prepare, 4 },
	{ "inspect", inspect_again, making_undo_work, 0 },
	{ "swap", image_change_swap, NULL, 0 },
	{ "record", image_change_record, image_change_undo_record, 0 },
};

static const struct flow_kind replace_flow = {
	.name = IMAGE_AREA ".replace",
	.steps = replace_steps,
	.count = COUNT(replace_steps),
};

/* What the letter says, over what the record said. */
static enum err keep(struct image_change *p, const struct image_register *q, struct why *why)
{
	struct image_register *mine = arena_take(&p->mem, sizeof(*mine));
	struct image_config *c = &p->next.facts.config;

	if (!mine || shape_copy(&shape_image_register, q, mine, &p->mem, why))
		return fail(why, ERR_no_memory, "no memory to register an image");
	p->next.root = mine->root;
	if (mine->user)
		c->user = mine->user;
	if (mine->kernel)
		p->next.kernel = mine->kernel;
	if (mine->services.n > 0) {
		c->services.v = mine->services.v;
		c->services.n = mine->services.n;
	}
	return OK;
}

static enum err begin_again(struct shelf *s, const struct letter *l, struct image *im,
	const struct image_register *q, struct why *why)
{
	struct image_change *p;

	if (im->r.managed) {
		fail_field(why, ERR_conflict, "name",
			"image '%s' is managed: banger owns its files", im->name);
		return fail_hint(
			why, "choose another name, or `banger image delete %s` first", im->name);
	}
	p = image_change_new(s, im, why);
	if (!p)
		return why->code;
	if (keep(p, q, why)) {
		arena_done(&p->mem);
		free(p);
		return why->code;
	}
	p->im.sm.m.reply = l->reply;
	image_change_begin(p, &replace_flow, l->client);
	return OK;
}

void image_on_register(void *state, const struct letter *l, const void *body)
{
	const struct image_register *q = body;
	struct shelf *s = state;
	struct image *im;
	struct why why;
	enum err e;

	if (waiting_took(&s->waiting, l, image_on_register))
		return;
	im = image_by_name(s, q->name);
	if (im && q->has_replace && q->replace)
		e = begin_again(s, l, im, q, &why);
	else
		e = begin_new(s, l, q, &why);
	if (e)
		refuse(s->me, l->reply, &why);
}
