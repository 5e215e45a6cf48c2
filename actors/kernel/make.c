/*
 * make.c - kernel.import and kernel.pull: a kernel from a client's bytes, or from a package.
 *
 * Workers do all of it: download (the only one with a network), unpack, build the initramfs with
 * this build's agent. The kernel is visible when the operation has ended well, not before.
 */
#include "actors/kernel/kernel.h"
#include "base/text.h"

#define CONTENT_MAX (8 * GiB)

/* ---- state ---- */

/* The built-in catalog: Debian packages that follow the distribution's newest kernel. */
static const struct {
	const char *name, *package;
} catalog[] = {
#if defined(__aarch64__)
	{ "debian", "linux-image-cloud-arm64" },
#else
	{ "debian", "linux-image-cloud-amd64" },
#endif
};

const char *kernel_catalog(const char *name)
{
	for (size_t i = 0; i < COUNT(catalog); i++)
		if (str_eq(catalog[i].name, name))
			return catalog[i].package;
	return NULL;
}

const char *kernel_catalog_first(void)
{
	return catalog[0].name;
}

static struct kernel_making *of_flow(const struct flow *f)
{
	return CONTAINER_OF((struct making *)f->subject, struct kernel_making, m);
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
		making_new_path(&p->m, NULL, path);
		/* what stays is swept away at the next start */
		(void)!world_remove(s->world, STATE, path, &problem);
	}
	kernel_forget_unused(s, k);
}

void kernel_making_ended(void *state, struct making *m, const struct why *why)
{
	struct kernel_making *p = CONTAINER_OF(m, struct kernel_making, m);
	struct kernels *s = state;

	if (!why && p->sets_default)
		must(str_copy(s->chosen, sizeof(s->chosen), m->name));
	if (!why && p->fresh)
		kernel_appear(s, take_ptr(&p->fresh));
	if (p->renews && !s->makings.closing)
		end_renewal(s, p, why);
	if (s->makings.closing)
		kernel_waits_free(&p->waits);
	else
		kernel_waits_end(s, &p->waits, why);
	kernel_free(p->fresh);
	free(p);
}

/* ---- steps ---- */

static enum err take_download(struct making *m, const void *result, struct why *why)
{
	struct kernel_making *p = CONTAINER_OF(m, struct kernel_making, m);
	const struct work_fetched *r = result;

	if (!str_copy(p->file, sizeof(p->file), r->file))
		return fail(why, ERR_internal, "the worker named a file too long");
	return OK;
}

static enum flow_said download(void *owner UNUSED, struct flow *f)
{
	struct kernel_making *p = of_flow(f);
	struct work_fetch body = { .package = p->package };

	return making_work(&p->m, LETTER_work_fetch, &body, false, NULL, take_download);
}

static enum err take_facts(struct making *m, const void *result, struct why *why)
{
	struct kernel_making *p = CONTAINER_OF(m, struct kernel_making, m);
	struct kernel_record r = { .name = m->name, .id = m->id, .named = true,
		.created = world_unix_ms(p->s->world),
		.facts = *(const struct kernel_facts *)result };

	char path[MAKING_PATH_BYTES];

	if (p->file[0] && world_remove(p->s->world, STATE, making_new_path(m, p->file, path), why))
		return why->code; /* what was downloaded is no part of the kernel */
	if (making_has(m, KERNEL_FILE, why) ||
		(r.facts.modules_size > 0 && making_has(m, MODULES_FILE, why)))
		return why->code;
	p->fresh = kernel_new(&r, why);
	return p->fresh ? OK : why->code;
}

static enum flow_said unpack(void *owner UNUSED, struct flow *f)
{
	struct kernel_making *p = of_flow(f);
	struct work_kernel body = { .file = p->file[0] ? p->file : NULL };

	if (making_room(&p->m, CONTENT_MAX, &body.content_max, &f->why))
		return FLOW_FAILED;
	return making_work(&p->m, LETTER_work_kernel, &body, p->imports, NULL, take_facts);
}

static void written(void *state, uint64_t ctx, const struct why *why, const void *result UNUSED,
	struct arena *arena UNUSED)
{
	making_written(&((struct kernels *)state)->makings, ctx, why);
}

static enum err exists(const char *name, struct why *why)
{
	fail_field(why, ERR_exists, "name", "kernel '%s' is there already", name);
	return fail_hint(why, "`--replace` takes its name");
}

static enum err put_kernel(struct store_put *ret, const struct kernel *k, bool named,
	struct arena *a, struct why *why)
{
	struct kernel_record r = k->r;

	r.named = named;
	return record_put(ret, store_table_kernel, r.id, &shape_kernel_record, &r, a, why);
}

/* The first kernel becomes the default where there is none. */
static enum err put_default(struct kernel_making *p, struct store_put *puts, uint32_t *n,
	struct arena *a, struct why *why)
{
	struct setting setting = { .value = p->m.name };

	p->sets_default = p->make_default || !kernel_default_name(p->s);
	if (!p->sets_default)
		return OK;
	return record_put(&puts[(*n)++], store_table_meta, DEFAULT_KEY, &shape_setting, &setting, a,
		why);
}

/* The new record, the old one without its name, the default, the journal: all or none. */
static enum flow_said record(void *owner UNUSED, struct flow *f)
{
	struct kernel_making *p = of_flow(f);
	struct kernel *old = kernel_by_name(p->s, p->m.name);
	char key[JOURNAL_KEY_BYTES];
	struct store_put puts[4];
	struct arena a;
	uint32_t n = 0;
	enum err e = old && !p->replace ? exists(p->m.name, &f->why) : OK;
	enum flow_said said = FLOW_FAILED;

	arena_init(&a, 0);
	if (!e)
		e = put_kernel(&puts[n++], p->fresh, true, &a, &f->why);
	if (!e && old)
		e = put_kernel(&puts[n++], old, false, &a, &f->why);
	if (!e)
		e = put_default(p, puts, &n, &a, &f->why);
	if (!e) {
		journal_key(key, f->op);
		puts[n++] = (struct store_put){ .table = store_table_flow, .key = key };
		p->m.final = true;
		said = making_write(&p->m, puts, n, written);
	}
	arena_done(&a);
	return said;
}

/* Reached only when it is not known whether the record is on disk. The default may stay: a name. */
static enum flow_said undo_record(void *owner UNUSED, struct flow *f)
{
	struct kernel_making *p = of_flow(f);
	struct kernel *old = kernel_by_name(p->s, p->m.name);
	enum flow_said said = FLOW_DONE;
	struct store_put puts[2];
	struct arena a;
	uint32_t n = 1;

	if (!p->m.final)
		return FLOW_DONE;
	arena_init(&a, 0);
	puts[0] = (struct store_put){ .table = store_table_kernel, .key = p->m.id };
	if (!old || put_kernel(&puts[n++], old, true, &a, NULL) == OK)
		said = making_write(&p->m, puts, n, written);
	arena_done(&a);
	return said;
}

static const struct flow_step import_steps[] = {
	{ "prepare", making_prepare, making_undo_prepare, 5 },
	{ "unpack", unpack, making_undo_work, 0 },
	{ "initramfs", kernel_step_initramfs, making_undo_work, 0 },
	{ "publish", making_publish, making_undo_publish, 0 },
	{ "record", record, undo_record, 0 },
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
	{ "record", record, undo_record, 0 },
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
	enum err e = making_admit(&s->makings, name, why);

	if (e)
		return e;
	if (!replace && kernel_by_name(s, name))
		return exists(name, why);
	if (s->by_name.count >= KERNELS_MAX) {
		fail(why, ERR_busy, "there are %d kernels already", KERNELS_MAX);
		return fail_hint(why, "delete one: `banger kernel delete NAME`");
	}
	*ret = calloc(1, sizeof(**ret));
	if (!*ret)
		return fail(why, ERR_no_memory, "no memory for a kernel");
	(*ret)->s = s;
	(*ret)->replace = replace;
	TAILQ_INIT(&(*ret)->waits);
	return OK;
}

void kernel_on_import(void *state, const struct letter *l, const void *body)
{
	const struct kernel_import *q = body;
	struct kernels *s = state;
	struct kernel_making *p;
	struct why why;

	if (waiting_took(&s->waiting, l, kernel_on_import))
		return;
	if (admit(s, q->name, q->replace, &p, &why)) {
		refuse(s->me, l->reply, &why);
		return;
	}
	p->imports = true;
	p->make_default = q->make_default;
	p->m.reply = l->reply;
	p->m.quiet = true;
	making_begin(&s->makings, &p->m, &import_flow, q->name, l->client);
}

enum err kernel_pull_begin(struct kernels *s, const char *name, uint64_t client, bool replace,
	bool make_default, struct kernel_making **ret, struct why *why)
{
	const char *package = kernel_catalog(name);
	enum err e;

	if (!package) {
		fail_field(why, ERR_not_found, "name", "the catalog has no kernel '%s'", name);
		return fail_hint(why, "it has: %s; others come by `banger kernel import`",
			kernel_catalog_first());
	}
	e = admit(s, name, replace, ret, why);
	if (e)
		return e;
	(*ret)->package = package;
	(*ret)->make_default = make_default;
	making_begin(&s->makings, &(*ret)->m, &pull_flow, name, client);
	return OK;
}

/* A pull that is there already, or under way: the second one shares the first (row C6). */
static enum err join_or_pull(struct kernels *s, const struct letter *l, const struct kernel_pull *q,
	struct why *why)
{
	struct making *m = making_by_name(&s->makings, q->name);
	struct kernel_making *p = m ? CONTAINER_OF(m, struct kernel_making, m) : NULL;
	enum err e;

	if (p && p->package) {
		p->make_default |= q->make_default;
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

	if (waiting_took(&s->waiting, l, kernel_on_pull))
		return;
	k = kernel_by_name(s, q->name);
	if (!k || q->replace) {
		if (join_or_pull(s, l, q, &why))
			refuse(s->me, l->reply, &why);
		return;
	}
	if (q->make_default && !str_eq(s->chosen, q->name)) {
		kernel_choose(s, q->name, l->reply);
		return;
	}
	info = kernel_info_of(s, k);
	answer(s->me, l->reply, &info);
}
