/*
 * make.c - kernel.import and kernel.pull: a kernel from a client's bytes, or from a package.
 *
 * Workers do all of it: download (the only one with a network), unpack, build the initramfs with
 * this build's agent. The kernel is visible when the operation has ended well, not before.
 */
#include "actors/kernel/kernel.h"
#include "actors/shared/catalog.h"
#include "base/text.h"

#define CONTENT_MAX (8 * GiB)

/* ---- state ---- */

const char *kernel_catalog(const struct kernels *s, const char *name)
{
	const struct catalog_kernel *k = catalog_kernel_of(s->shelf.env->catalog, name);

	return k ? k->package : NULL;
}

const char *kernel_catalog_first(const struct kernels *s)
{
	const struct catalog *c = s->shelf.env->catalog;

	return c->kernels.n > 0 ? c->kernels.v[0].name : NULL;
}

enum err kernel_offline(const char *name, struct why *why)
{
	fail_field(why, ERR_not_found, "kernel",
		"kernel '%s' is not here, and nothing may be fetched (offline)", name);
	return fail_hint(why, "`banger kernel pull %s` with a network, or `banger kernel import`",
		name);
}

static struct kernel_making *of_flow(const struct flow *f)
{
	return CONTAINER_OF(shelf_making_of(f), struct kernel_making, sm);
}

static void end_renewal(struct kernels *s, struct kernel_making *p, const struct why *why)
{
	struct kernel *k = p->renews;
	char path[MAKING_PATH_BYTES];
	struct why problem;
	char *agent;

	k->renewal = NULL;
	if (!why) {
		agent = arena_str(&k->mem, p->agent);
		k->r.facts.agent = agent ? agent : "unknown"; /* then it is renewed once more */
		making_new_path(&p->sm.m, NULL, path);
		/* what stays is swept away at the next start */
		(void)!world_remove(s->shelf.world, STATE, path, &problem);
	}
	shelf_forget_unused(&s->shelf, &k->it);
}

void kernel_making_ended(void *state, struct making *m, const struct why *why)
{
	struct kernel_making *p = CONTAINER_OF(m, struct kernel_making, sm.m);
	struct kernels *s = state;

	if (!why && p->sets_default)
		must(str_copy(s->chosen, sizeof(s->chosen), m->name));
	if (!why && p->sm.fresh)
		shelf_appear(&s->shelf, take_ptr(&p->sm.fresh));
	if (p->renews && !s->shelf.makings.closing)
		end_renewal(s, p, why);
	if (s->shelf.makings.closing)
		kernel_waits_free(&p->waits);
	else
		kernel_waits_end(s, &p->waits, why);
	kernel_free(p->sm.fresh);
	free(p);
}

/* ---- steps ---- */

static enum err take_download(struct making *m, const void *result, struct why *why)
{
	struct kernel_making *p = CONTAINER_OF(m, struct kernel_making, sm.m);
	const struct work_fetched *r = result;

	if (!str_copy(p->file, sizeof(p->file), r->file))
		return fail(why, ERR_internal, "the worker named a file too long");
	return OK;
}

static enum flow_said download(void *owner UNUSED, struct flow *f)
{
	struct kernel_making *p = of_flow(f);
	struct work_fetch body = { .package = p->package };

	return making_work(&p->sm.m, LETTER_work_fetch, &body, false, NULL, take_download);
}

static enum err take_facts(struct making *m, const void *result, struct why *why)
{
	struct kernel_making *p = CONTAINER_OF(m, struct kernel_making, sm.m);
	struct kernel_record r = { .name = m->name,
		.id = m->id,
		.named = true,
		.created = world_unix_ms(p->sm.s->world),
		.facts = *(const struct kernel_facts *)result };
	char path[MAKING_PATH_BYTES];
	struct kernel *k;

	if (p->file[0] &&
		world_remove(p->sm.s->world, STATE, making_new_path(m, p->file, path), why))
		return why->code; /* what was downloaded is no part of the kernel */
	if (making_has(m, KERNEL_FILE, why) ||
		(r.facts.modules_size > 0 && making_has(m, MODULES_FILE, why)))
		return why->code;
	k = kernel_new(&r, why);
	if (!k)
		return why->code;
	p->sm.fresh = &k->it;
	return OK;
}

static enum flow_said unpack(void *owner UNUSED, struct flow *f)
{
	struct kernel_making *p = of_flow(f);
	struct work_kernel body = { .file = p->file[0] ? p->file : NULL };

	if (making_room(&p->sm.m, CONTENT_MAX, &body.content_max, &f->why))
		return FLOW_FAILED;
	return making_work(&p->sm.m, LETTER_work_kernel, &body, p->imports, NULL, take_facts);
}

/* The first kernel becomes the default where there is none. That may stay when all else goes. */
static enum err put_default(struct shelf_making *sm, struct store_put *puts, uint32_t *n,
	struct arena *a, struct why *why)
{
	struct kernel_making *p = CONTAINER_OF(sm, struct kernel_making, sm);
	struct setting setting = { .value = sm->m.name };

	p->sets_default = p->make_default || !kernel_default_name(kernels_of(p));
	if (!p->sets_default)
		return OK;
	return record_put(
		&puts[(*n)++], store_table_meta, DEFAULT_KEY, &shape_setting, &setting, a, why);
}

static const struct flow_step import_steps[] = {
	{ "prepare", making_prepare, making_undo_prepare, 5 },
	{ "unpack", unpack, making_undo_work, 0 },
	{ "initramfs", kernel_step_initramfs, making_undo_work, 0 },
	{ "publish", making_publish, making_undo_publish, 0 },
	{ "record", shelf_record, shelf_undo_record, 0 },
};

static const struct flow_kind import_flow = {
	.name = KERNEL_AREA ".import",
	.steps = import_steps,
	.count = COUNT(import_steps),
};

static const struct flow_step pull_steps[] = {
	{ "prepare", making_prepare, making_undo_prepare, 6 },
	{ "download", download, making_undo_work, 0 },
	{ "unpack", unpack, making_undo_work, 0 },
	{ "initramfs", kernel_step_initramfs, making_undo_work, 0 },
	{ "publish", making_publish, making_undo_publish, 0 },
	{ "record", shelf_record, shelf_undo_record, 0 },
};

static const struct flow_kind pull_flow = {
	.name = KERNEL_AREA ".pull",
	.steps = pull_steps,
	.count = COUNT(pull_steps),
};

/* ---- letters in ---- */

static enum err admit(struct kernels *s, const char *name, bool replace, struct kernel_making **ret,
	struct why *why)
{
	enum err e = shelf_admit(&s->shelf, name, replace, why);

	if (e)
		return e;
	if (s->shelf.by_name.count >= KERNELS_MAX) {
		fail(why, ERR_busy, "there are %d kernels already", KERNELS_MAX);
		return fail_hint(why, "delete one: `banger kernel delete NAME`");
	}
	*ret = calloc(1, sizeof(**ret));
	if (!*ret)
		return fail(why, ERR_no_memory, "no memory for a kernel");
	(*ret)->sm.s = &s->shelf;
	(*ret)->sm.replace = replace;
	(*ret)->sm.also = put_default;
	TAILQ_INIT(&(*ret)->waits);
	return OK;
}

void kernel_on_import(void *state, const struct letter *l, const void *body)
{
	const struct kernel_import *q = body;
	struct kernels *s = state;
	struct kernel_making *p;
	struct why why;

	if (waiting_took(&s->shelf.waiting, l, kernel_on_import))
		return;
	if (admit(s, q->name, q->replace, &p, &why)) {
		refuse(s->shelf.me, l->reply, &why);
		return;
	}
	p->imports = true;
	p->make_default = q->make_default;
	p->sm.m.reply = l->reply;
	p->sm.m.quiet = true;
	making_begin(&s->shelf.makings, &p->sm.m, &import_flow, q->name, l->client);
}

enum err kernel_pull_begin(struct kernels *s, const char *name, uint64_t client, bool replace,
	bool make_default, struct kernel_making **ret, struct why *why)
{
	const char *package = kernel_catalog(s, name), *first = kernel_catalog_first(s);
	enum err e;

	if (!package) {
		fail_field(why, ERR_not_found, "name", "the catalog has no kernel '%s'", name);
		return fail_hint(why,
			"`banger image catalog` shows what it has%s%s; others come by "
			"`banger kernel import`",
			first ? ", like " : "", first ? first : "");
	}
	e = admit(s, name, replace, ret, why);
	if (e)
		return e;
	(*ret)->package = package;
	(*ret)->make_default = make_default;
	making_begin(&s->shelf.makings, &(*ret)->sm.m, &pull_flow, name, client);
	return OK;
}

/* A pull that is there already, or under way: the second one shares the first (row C6). */
static enum err join_or_pull(
	struct kernels *s, const struct letter *l, const struct kernel_pull *q, struct why *why)
{
	struct making *m = making_by_name(&s->shelf.makings, q->name);
	struct kernel_making *p = m ? CONTAINER_OF(m, struct kernel_making, sm.m) : NULL;
	enum err e;

	if (p && p->package) {
		p->make_default |= q->make_default;
	} else if (q->offline) {
		return kernel_offline(q->name, why);
	} else {
		e = kernel_pull_begin(s, q->name, l->client, q->replace, q->make_default, &p, why);
		if (e)
			return e;
	}
	return kernel_wait_add(&p->waits, l->reply, l->client, NULL, q->name, why) ? OK : why->code;
}

void kernel_on_pull(void *state, const struct letter *l, const void *body)
{
	const struct kernel_pull *q = body;
	struct kernels *s = state;
	struct kernel_info info;
	struct kernel *k;
	struct why why;

	if (waiting_took(&s->shelf.waiting, l, kernel_on_pull))
		return;
	k = kernel_by_name(s, q->name);
	if (!k || q->replace) {
		if (join_or_pull(s, l, q, &why))
			refuse(s->shelf.me, l->reply, &why);
		return;
	}
	if (q->make_default && !str_eq(s->chosen, q->name)) {
		kernel_choose(s, q->name, l->reply);
		return;
	}
	info = kernel_info_of(s, k);
	answer(s->shelf.me, l->reply, &info);
}
