/*
 * renew.c - the agent in a kernel's initramfs: put there when a kernel is made, and renewed when
 * the daemon's own agent is another one.
 *
 * The new initramfs is built beside the kernel and renamed into its place: a machine that boots
 * from the old one meanwhile keeps what it has opened.
 */
#include "actors/kernel/kernel.h"

#include "base/build.h"

#define AGENT "banger-agent"

/* ---- state ---- */

enum err kernel_agent_word(struct kernels *s, char out[AGENT_WORD_BYTES], struct why *why)
{
	uint64_t size, changed_ns;
	enum err e = world_companion(s->shelf.world, AGENT, &size, &changed_ns, why);

	if (e)
		return fail_hint(why, "banger is not installed as a whole: " AGENT
				      " lies beside bangerd, or in ../libexec/banger");
	/* two builds of one commit are told apart, too */
	snprintf(out, AGENT_WORD_BYTES, "%s-%llx-%llx", build_commit, (unsigned long long)size,
		(unsigned long long)changed_ns);
	return OK;
}

static struct kernel_making *of_flow(const struct flow *f)
{
	return CONTAINER_OF(shelf_making_of(f), struct kernel_making, sm);
}

/* ---- steps ---- */

static enum err take_initramfs(struct making *m, const void *result UNUSED, struct why *why)
{
	struct kernel_making *p = CONTAINER_OF(m, struct kernel_making, sm.m);

	struct kernel *k;

	if (!p->sm.fresh)
		return making_has(m, INITRAMFS_FILE, why);
	k = CONTAINER_OF(p->sm.fresh, struct kernel, it);
	k->r.facts.agent = arena_str(&k->mem, p->agent);
	if (!k->r.facts.agent)
		return fail(why, ERR_no_memory, "no memory for a kernel");
	return making_has(m, INITRAMFS_FILE, why);
}

enum flow_said kernel_step_initramfs(void *owner UNUSED, struct flow *f)
{
	static const struct child_file agent = { .path = AGENT, .companion = true };
	struct kernel_making *p = of_flow(f);
	struct work_initramfs body = { .agent = p->agent };

	if (kernel_agent_word(kernels_of(p), p->agent, &f->why))
		return FLOW_FAILED;
	return making_work(&p->sm.m, LETTER_work_initramfs, &body, false, &agent, take_initramfs);
}

/* The worker writes in one directory only, so that it needs a copy of the boot modules there. */
static enum flow_said copy_modules(void *owner UNUSED, struct flow *f)
{
	struct kernel_making *p = of_flow(f);
	char from[MAKING_PATH_BYTES], path[MAKING_PATH_BYTES];
	struct child_file source = { .area = STATE, .path = from, .directory = true };
	struct work_copy body = { BOOT_MODULES_FILE, BOOT_MODULES_FILE };
	uint64_t size, used;

	making_path(KERNEL_AREA, p->renews->r.id, BOOT_MODULES_FILE, path);
	switch ((int)world_size(p->sm.s->world, STATE, path, &size, &used, &f->why)) {
	case ERR_not_found:
		return FLOW_DONE; /* a kernel without modules */
	case OK:
		making_path(KERNEL_AREA, p->renews->r.id, NULL, from);
		return making_work(&p->sm.m, LETTER_work_copy, &body, false, &source, NULL);
	default:
		return FLOW_FAILED;
	}
}

/*
 * No undo: a newer initramfs serves the record of the older one as well; it is only renewed
 * again.
 */
static enum flow_said swap(void *owner UNUSED, struct flow *f)
{
	struct kernel_making *p = of_flow(f);
	char from[MAKING_PATH_BYTES], to[MAKING_PATH_BYTES];

	making_new_path(&p->sm.m, INITRAMFS_FILE, from);
	making_path(KERNEL_AREA, p->renews->r.id, INITRAMFS_FILE, to);
	return world_rename(p->sm.s->world, STATE, from, to, &f->why) ? FLOW_FAILED : FLOW_DONE;
}

static enum flow_said record(void *owner UNUSED, struct flow *f)
{
	struct kernel_making *p = of_flow(f);
	struct kernel_record r = p->renews->r;
	enum flow_said said = FLOW_FAILED;
	struct store_put put;
	struct arena a;

	r.facts.agent = p->agent;
	arena_init(&a, 0);
	if (record_put(&put, store_table_kernel, r.id, &shape_kernel_record, &r, &a, &f->why) == OK)
		said = making_write(&p->sm.m, &put, 1, shelf_written);
	arena_done(&a);
	return said;
}

static const struct flow_step steps[] = {
	{ "prepare", making_prepare, making_undo_prepare, 5 },
	{ "modules", copy_modules, making_undo_work, 0 },
	{ "initramfs", kernel_step_initramfs, making_undo_work, 0 },
	{ "swap", swap, NULL, 0 },
	{ "record", record, NULL, 0 },
};

static const struct flow_kind renew_flow = {
	.name = KERNEL_AREA ".renew",
	.steps = steps,
	.count = COUNT(steps),
};

enum err kernel_renewal_begin(
	struct kernels *s, struct kernel *k, struct kernel_making **ret, struct why *why)
{
	struct kernel_making *p = calloc(1, sizeof(*p));

	if (!p)
		return fail(why, ERR_no_memory, "no memory for a kernel");
	p->sm.s = &s->shelf;
	p->renews = k;
	k->renewal = p;
	TAILQ_INIT(&p->waits);
	making_begin(&s->shelf.makings, &p->sm.m, &renew_flow, k->r.name, 0);
	*ret = p;
	return OK;
}
