/*
 * heal.c - a work-seed of an older layout, or one that lets another key in, is made anew before a
 * machine is made from it (row C7): lazily, by the first machine that wants it.
 *
 * The machine's hold waits for that. What goes wrong is told in the log and nothing else: the older
 * seed serves as well, for an agent sees to key and layout in every guest that it boots.
 */
#include "actors/image/image.h"

#include "base/log.h"
#include "base/text.h"

enum { FILES_MAX = 5000000, SEEDS_MAX = 8 };

struct held { /* a hold that waits */
	TAILQ_ENTRY(held) entry;
	struct reply_to reply;
	char vm[11];
};

struct heal {
	struct image_change c; /* first */
	TAILQ_HEAD(, held) waits;
};

static struct heal *of_making(struct making *m)
{
	return CONTAINER_OF(m, struct heal, c.im.sm.m);
}

/* ---- whether ---- */

static bool outdated(const struct image *im, const char *key)
{
	bool old = !im->r.has_seed || im->r.seed < SEED_LAYOUT;

	return old || (key && (!im->r.ssh_key || !str_eq(im->r.ssh_key, key)));
}

static void count_seed(void *ctx, const char *name)
{
	unsigned *n = ctx;

	*n += strncmp(name, "work", 4) == 0;
}

/* Two users who take turns would make one with each machine: what they stand on cannot go. */
static bool has_too_many(struct shelf *s, const struct image *im)
{
	char path[MAKING_PATH_BYTES];
	unsigned n = 0;

	making_path(IMAGE_AREA, im->id, NULL, path);
	return world_list(s->world, STATE, path, count_seed, &n, NULL) != OK || n > SEEDS_MAX;
}

/* ---- steps ---- */

static enum err taken(struct making *m, const void *result UNUSED, struct why *why)
{
	return making_has(m, WORK_FILE, why);
}

static enum flow_said rebuild(void *owner UNUSED, struct flow *f)
{
	struct heal *p = of_making(f->subject);
	struct shelf *s = p->c.im.sm.s;
	const struct image_facts *facts = &p->c.next.facts;
	char path[MAKING_PATH_BYTES];
	struct child_file seed = { .area = STATE, .path = image_work(p->c.image, path) };
	struct work_seed body = { .files_max = FILES_MAX,
		.home = facts->home,
		.uid = facts->uid,
		.gid = facts->gid,
		.now = world_unix_ms(s->world),
		.digest = facts->digest,
		.ssh_key = p->c.next.ssh_key };

	return making_work(f->subject, LETTER_work_seed, &body, false, &seed, taken);
}

static const struct flow_step steps[] = {
	{ "prepare", making_prepare, making_undo_prepare, 4 },
	{ "work-seed", rebuild, making_undo_work, 0 },
	{ "swap", image_change_swap, NULL, 0 },
	{ "record", image_change_record, image_change_undo_record, 0 },
};

static const struct flow_kind heal_flow = {
	.name = IMAGE_AREA ".heal",
	.steps = steps,
	.count = COUNT(steps),
};

/* ---- who waits ---- */

static bool wait_for(struct heal *p, const char *vm, struct reply_to reply)
{
	struct held *w = calloc(1, sizeof(*w));

	if (!w)
		return false;
	w->reply = reply;
	must(str_copy(w->vm, sizeof(w->vm), vm));
	TAILQ_INSERT_TAIL(&p->waits, w, entry);
	return true;
}

static void serve(struct image_change *c, const struct why *why)
{
	struct heal *p = CONTAINER_OF(c, struct heal, c);
	struct shelf *s = c->im.sm.s;
	struct held *w;

	if (why)
		log_line(LOG_WARN, "image", "its work-seed stays as it was", "name", c->image->name,
			"why", why->text, NULL);
	while ((w = TAILQ_FIRST(&p->waits)) != NULL) {
		TAILQ_REMOVE(&p->waits, w, entry);
		if (!s->makings.closing)
			image_hand_out(s, c->image, w->vm, w->reply);
		free(w);
	}
}

void image_heal_drop(struct shelf *s, const char *vm)
{
	struct making *m;
	struct held *w, *next;
	struct why why;

	TAILQ_FOREACH(m, &s->makings.list, entry)
	{
		struct heal *p = of_making(m);

		if (m->flow.kind != &heal_flow)
			continue;
		for (w = TAILQ_FIRST(&p->waits); w; w = next) {
			next = TAILQ_NEXT(w, entry);
			if (!str_eq(w->vm, vm))
				continue;
			fail(&why, ERR_cancelled, "not wanted any more");
			refuse(s->me, w->reply, &why);
			TAILQ_REMOVE(&p->waits, w, entry);
			free(w);
		}
	}
}

static struct heal *begin(struct shelf *s, struct image *im, const char *key, struct why *why)
{
	struct heal *p = calloc(1, sizeof(*p));

	if (!p) {
		fail(why, ERR_no_memory, "no memory to change an image");
		return NULL;
	}
	TAILQ_INIT(&p->waits);
	if (image_change_init(&p->c, s, im, why)) {
		free(p);
		return NULL;
	}
	p->c.served = serve;
	p->c.next.ssh_key = key ? arena_str(&p->c.mem, key) : im->r.ssh_key;
	return p;
}

bool image_heals(
	struct shelf *s, struct image *im, const struct image_hold *q, struct reply_to reply)
{
	struct heal *p;
	struct why why;

	if (im->change && im->change->im.sm.m.flow.kind == &heal_flow)
		return wait_for(CONTAINER_OF(im->change, struct heal, c), q->vm, reply);
	if (!outdated(im, q->ssh_key) || has_too_many(s, im))
		return false;
	p = begin(s, im, q->ssh_key, &why);
	if (!p)
		return false; /* it is being changed, or there is no room: the next one may */
	if (!wait_for(p, q->vm, reply)) {
		arena_done(&p->c.mem);
		free(p);
		return false;
	}
	image_change_begin(&p->c, &heal_flow, 0);
	return true;
}
