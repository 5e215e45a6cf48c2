/*
 * pull.c - image.pull: an image of a registry, by two workers. One has the network and nothing but
 * the directory of layers; the other has no network, reads those layers, and builds the image
 * while they come (pull_talk.c carries what they say).
 *
 * Layers stay in the directory for the next pull, verified, or as parts that it goes on with. The
 * image is visible when the operation has ended well, not before. Who asks for an image that is
 * being pulled shares that pull (row C6). Passwords live as long as the pull, and nowhere else.
 */
#include "actors/image/pull.h"

#include "actors/shared/catalog.h"
#include "base/log.h"
#include "base/text.h"

#define BLOB_MAX (64 * GiB)

enum { ASK_BYTES = 1048576, FILES_MAX = 5000000 };

/* ---- state ---- */

static void ended(struct image_making *im, const struct why *why);

struct pull *pull_of(struct making *m)
{
	struct image_making *im = CONTAINER_OF(m, struct image_making, sm.m);

	return im->ended == ended ? CONTAINER_OF(im, struct pull, im) : NULL;
}

static void forget(const char *secret)
{
	if (secret)
		explicit_bzero((char *)(uintptr_t)secret, strlen(secret));
}

static void wait_free(struct pull *p, struct pull_wait *w)
{
	TAILQ_REMOVE(&p->waits, w, entry);
	free(w->ssh_key);
	free(w);
}

static void pull_free(struct pull *p)
{
	while (!TAILQ_EMPTY(&p->waits))
		wait_free(p, TAILQ_FIRST(&p->waits));
	forget(p->ask.password);
	forget(p->ask.token);
	job_free(p->fetch);
	image_free(p->im.sm.fresh);
	arena_done(&p->mem);
	free(p->wants);
	free(p);
}

/* Who wants a machine may not know that an image is fetched for it. */
static struct why cannot_fetch(const char *name, const struct why *why)
{
	struct why told = *why;

	snprintf(told.text, sizeof(told.text), "cannot fetch image '%.128s': %.240s", name,
		why->text);
	if (!told.hint[0])
		fail_hint(&told, "`banger image import %.80s FILE` makes it of a file", name);
	return told;
}

/* The name may lead to another image by now, or to none; then that is the answer. */
static void answer_wait(struct shelf *s, const char *name, const struct pull_wait *w,
	const struct why *why)
{
	struct image *im = image_by_name(s, name);
	struct image_info info;
	struct image_hold hold;
	const char *missing;
	struct why gone, told;

	if (!why && !im) {
		fail_field(&gone, ERR_not_found, "name", "image '%s' was deleted at once", name);
		why = &gone;
	}
	if (why) {
		told = w->vm[0] ? cannot_fetch(name, why) : *why;
		refuse(s->me, w->reply, &told);
		return;
	}
	if (w->vm[0]) {
		hold = (struct image_hold){ .vm = w->vm, .ssh_key = w->ssh_key };
		image_serve(s, im, &hold, w->reply);
		return;
	}
	info = image_info_of(s, im, &missing);
	answer(s->me, w->reply, &info);
}

/* A layer that was kept is not what it was: it is fetched anew the next time. */
static void distrust(struct pull *p)
{
	char path[MAKING_PATH_BYTES];
	struct why why;

	for (uint32_t i = 0; i < p->wants_n; i++) {
		if (!p->wants[i].cached)
			continue;
		snprintf(path, sizeof(path), LAYERS_AREA "/sha256/%s", p->wants[i].digest + 7);
		(void)!world_remove(p->im.sm.s->world, STATE, path, &why);
	}
}

/* Those who waited for it are answered; then its memory goes. */
static void ended(struct image_making *im, const struct why *why)
{
	struct pull *p = CONTAINER_OF(im, struct pull, im);
	struct shelf *s = im->sm.s;
	struct pull_wait *w;

	if (!why)
		shelf_appear(s, take_ptr(&im->sm.fresh));
	if (why && why->code == ERR_invalid_value)
		distrust(p);
	if (!s->makings.closing)
		TAILQ_FOREACH(w, &p->waits, entry)
			answer_wait(s, im->sm.m.name, w, why);
	pull_free(p);
}

/* Those of a client (vm NULL), or of a machine, wait no longer; a pull for nobody ends. */
static void drop_waits(struct shelf *s, uint64_t client, const char *vm, const struct why *why)
{
	struct making *m, *next_m;

	for (m = TAILQ_FIRST(&s->makings.list); m; m = next_m) {
		struct pull *p = pull_of(m);
		struct pull_wait *w, *next;
		bool waited = false;

		next_m = TAILQ_NEXT(m, entry);
		for (w = p ? TAILQ_FIRST(&p->waits) : NULL; w; w = next) {
			next = TAILQ_NEXT(w, entry);
			if (vm ? !str_eq(w->vm, vm) : w->vm[0] || w->client != client)
				continue;
			waited = true;
			refuse(s->me, w->reply, why);
			wait_free(p, w);
		}
		if (p && !vm && m->client == client)
			m->client = 0;
		if (waited && TAILQ_EMPTY(&p->waits))
			making_cancel(m, why);
	}
}

void image_pull_client_gone(struct shelf *s, uint64_t client)
{
	struct why why;

	fail(&why, ERR_cancelled, "the client went");
	drop_waits(s, client, NULL, &why);
}

void image_pull_drop(struct shelf *s, const char *vm)
{
	struct why why;

	fail(&why, ERR_cancelled, "not wanted any more");
	drop_waits(s, 0, vm, &why);
}

/* ---- the two workers ---- */

/* The step is over when both have gone: nothing writes in their directories any more. */
static void one_went(struct pull *p)
{
	struct making *m = &p->im.sm.m;

	if (m->job || p->fetch)
		return;
	if (p->why.code && !m->flow.undoing)
		flow_fail(&m->flow, m->ticket, &p->why);
	else
		flow_done(&m->flow, m->ticket);
}

static void on_build_told(void *ctx, enum letter_id id, const void *body)
{
	if (id == LETTER_work_want)
		pull_on_want(ctx, body);
}

static void on_fetch_told(void *ctx, enum letter_id id, const void *body)
{
	if (id == LETTER_work_have)
		pull_on_have(ctx, body);
}

static void on_built(void *ctx, const struct why *why, const void *result)
{
	struct pull *p = ctx;
	struct making *m = &p->im.sm.m;
	struct bytes end = { NULL, 0 };
	struct why problem;

	m->job = NULL;
	if (!why && !m->flow.undoing && image_take_fresh(&p->im, result, p->ask.kernel, &problem))
		why = &problem;
	if (why && !p->why.code)
		p->why = *why;
	if (p->fetch && why)
		job_stop(p->fetch, why);
	else if (p->fetch && job_feed(p->fetch, end, &problem))
		job_stop(p->fetch, &problem);
	one_went(p);
}

static void on_fetched(void *ctx, const struct why *why, const void *result UNUSED)
{
	struct pull *p = ctx;
	struct making *m = &p->im.sm.m;

	p->fetch = NULL;
	if (why && p->im.sm.fresh)
		log_line(LOG_WARN, "image", "a downloader ended badly", "why", why->text, NULL);
	else if (why && !p->why.code)
		p->why = *why;
	if (m->job && why)
		job_stop(m->job, why);
	pull_hand_over(p);
	one_went(p);
}

/* Nothing is granted: its stream only ends. */
static void on_credit(void *ctx UNUSED, uint64_t bytes UNUSED)
{
}

static enum err begin_build(struct pull *p, struct why *why)
{
	static const struct job_user user = { .told = on_build_told, .ended = on_built };
	static const struct child_file layers = { .area = STATE, .path = LAYERS_AREA,
		.directory = true };
	struct making *m = &p->im.sm.m;
	char dir[MAKING_PATH_BYTES];
	struct work_pull body = { .reference = p->ask.bundle ? NULL : p->source,
		.bundle = p->ask.bundle ? p->source : NULL,
		.image = { .format = pack_kind_archive, .size = p->ask.size,
			.has_size = p->ask.has_size, .files_max = FILES_MAX,
			.user = p->ask.user,
			.services = { p->ask.services.v, p->ask.services.n },
			.work_size = p->im.sm.s->env->config->disk } };
	struct job_spec spec = { .world = p->im.sm.s->world,
		.kind = LETTER_work_pull,
		.body = &body,
		.dir = making_new_path(m, NULL, dir), .extra = &layers };
	enum err e = making_room(m, IMAGE_CONTENT_MAX, &body.image.content_max, why);

	return e ? e : job_start(&spec, &user, p, &m->job, why);
}

static enum err begin_fetch(struct pull *p, struct why *why)
{
	static const struct job_user user = { .credit = on_credit, .told = on_fetch_told,
		.ended = on_fetched };
	const struct config *config = p->im.sm.s->env->config;
	struct work_registry body = { .reference = p->ask.bundle ? NULL : p->source,
		.url = p->ask.bundle, .blob_max = BLOB_MAX,
		.cache_max = config->layer_cache, .timeout_ms = config->pull_timeout_ms,
		.offline = p->ask.offline, .has_offline = p->ask.offline,
		.insecure = p->ask.insecure, .has_insecure = p->ask.insecure, .trust = p->ask.trust,
		.username = p->ask.username, .password = p->ask.password, .token = p->ask.token };
	struct job_spec spec = { .world = p->im.sm.s->world, .kind = LETTER_work_registry,
		.body = &body, .dir = LAYERS_AREA };
	struct world *w = p->im.sm.s->world;
	enum err e = world_mkdir(w, STATE, LAYERS_AREA, why);

	if (!e)
		e = world_give(w, STATE, LAYERS_AREA, why);
	return e ? e : job_start(&spec, &user, p, &p->fetch, why);
}

static enum flow_said work(void *owner UNUSED, struct flow *f)
{
	struct pull *p = pull_of(f->subject);

	p->im.sm.m.ticket = flow_ticket(f);
	if (begin_fetch(p, &f->why) || begin_build(p, &f->why))
		return FLOW_FAILED;
	return FLOW_WAIT;
}

static enum flow_said undo_work(void *owner UNUSED, struct flow *f)
{
	struct pull *p = pull_of(f->subject);
	struct making *m = &p->im.sm.m;

	if (!m->job && !p->fetch)
		return FLOW_DONE;
	m->ticket = flow_ticket(f);
	if (m->job)
		job_stop(m->job, &f->why);
	if (p->fetch)
		job_stop(p->fetch, &f->why);
	return FLOW_WAIT;
}

static const struct flow_step steps[] = {
	{ "prepare", making_prepare, making_undo_prepare, 4 },
	{ "pull", work, undo_work, 0 },
	{ "publish", making_publish, making_undo_publish, 0 },
	{ "record", shelf_record, shelf_undo_record, 0 },
};

static const struct flow_kind pull_flow = {
	.name = IMAGE_AREA ".pull",
	.steps = steps,
	.count = COUNT(steps),
};

/* ---- letters in ---- */

/* Somebody who asks; `hold` when it is a machine. */
struct asker {
	struct reply_to reply;
	uint64_t client;
	const struct image_hold *hold;
};

static enum err wait_for(struct pull *p, const struct asker *who, struct why *why)
{
	const char *key = who->hold ? who->hold->ssh_key : NULL;
	struct pull_wait *w = calloc(1, sizeof(*w));

	if (w && key)
		w->ssh_key = strdup(key);
	if (!w || (key && !w->ssh_key)) {
		free(w);
		return fail(why, ERR_no_memory, "no memory to wait for an image");
	}
	w->reply = who->reply;
	w->client = who->hold ? who->hold->client : who->client;
	w->op = who->hold ? who->hold->op : 0;
	must(str_copy(w->vm, sizeof(w->vm), who->hold ? who->hold->vm : ""));
	TAILQ_INSERT_TAIL(&p->waits, w, entry);
	return OK;
}

static enum err begin(struct shelf *s, const struct asker *who, const struct image_pull *q,
	const char *source, struct why *why)
{
	struct pull *p;
	enum err e = shelf_admit(s, q->name, q->replace, why);

	if (e)
		return e;
	p = calloc(1, sizeof(*p));
	if (!p)
		return fail(why, ERR_no_memory, "no memory for a pull");
	p->im.ended = ended;
	p->im.sm.s = s;
	p->im.sm.replace = q->replace;
	TAILQ_INIT(&p->waits);
	arena_init(&p->mem, ASK_BYTES);
	must(str_copy(p->source, sizeof(p->source), source));
	e = shape_copy(&shape_image_pull, q, &p->ask, &p->mem, why);
	if (!e)
		e = wait_for(p, who, why);
	if (e) {
		pull_free(p);
		return e;
	}
	making_begin(&s->makings, &p->im.sm.m, &pull_flow, q->name, who->client);
	return OK;
}

/* One that is under way is shared; a name that means something else meanwhile is not. */
static enum err join_or_begin(struct shelf *s, const struct asker *who, const struct image_pull *q,
	struct why *why)
{
	struct making *m = making_by_name(&s->makings, q->name);
	struct pull *p = m ? pull_of(m) : NULL;
	char text[REFERENCE_BYTES];
	struct reference ref;

	if (q->bundle) {
		snprintf(text, sizeof(text), "sha256:%s", q->sha256);
	} else {
		must(!reference_read(q->reference, strlen(q->reference), &ref)); /* by its type */
		reference_text(&ref, text);
	}
	if (p && str_eq(p->source, text) && !m->flow.undoing)
		return wait_for(p, who, why);
	return begin(s, who, q, text, why);
}

static void fill_in(struct image_pull *q, const struct catalog_image *c)
{
	if (!q->name)
		q->name = c->name;
	q->reference = c->reference;
	q->bundle = c->bundle;
	q->sha256 = c->sha256;
}

/* Where it comes from and what it will be called are known then. */
static enum err complete(const struct shelf *s, struct image_pull *q, struct why *why)
{
	const struct catalog_image *c =
		q->reference ? catalog_image_of(s->env->catalog, q->reference) : NULL;

	if (!q->reference == !q->bundle)
		return fail_field(why, ERR_invalid_value, "reference",
			"one of reference and bundle is wanted");
	if (c)
		fill_in(q, c);
	if (!q->bundle != !q->sha256) {
		fail_field(why, ERR_invalid_value, "sha256",
			q->bundle ? "a bundle from the network needs its sha256" :
				    "sha256 is a bundle's");
		return fail_hint(why, q->bundle ? "`--sha256 HEX` says what it must be" :
						  "a reference takes @sha256:HEX");
	}
	if (!q->name)
		q->name = q->reference;
	if (!q->name)
		return fail_field(why, ERR_missing_field, "name", "a bundle needs a name");
	if (type_ok(&type_image_name, "name", q->name, why))
		return fail_hint(why, "`--name NAME` gives the image another name");
	return OK;
}

void image_on_pull(void *state, const struct letter *l, const void *body)
{
	struct image_pull q = *(const struct image_pull *)body;
	struct asker who = { .reply = l->reply, .client = l->client };
	struct shelf *s = state;
	struct image_info info;
	const char *missing;
	struct image *im;
	struct why why;

	if (waiting_took(&s->waiting, l, image_on_pull))
		return;
	if (complete(s, &q, &why)) {
		refuse(s->me, l->reply, &why);
		return;
	}
	im = image_by_name(s, q.name);
	if (im && !q.replace) {
		info = image_info_of(s, im, &missing);
		answer(s->me, l->reply, &info);
	} else if (join_or_begin(s, &who, &q, &why)) {
		refuse(s->me, l->reply, &why);
	}
}

enum err image_pull_for(struct shelf *s, const struct catalog_image *c, const struct image_hold *q,
	struct reply_to reply, struct why *why)
{
	struct asker who = { .reply = reply, .hold = q };
	struct image_pull pull = { .name = NULL };

	fill_in(&pull, c);
	return join_or_begin(s, &who, &pull, why);
}
