/*
 * hold.c - machines take kernels and let them go.
 *
 * A machine gets a kernel whose agent is of this build: the answer waits where the initramfs must
 * be renewed first, or where the kernel is of the catalog and has to be pulled (row C3).
 * A machine that was made asks by id: it keeps its kernel, whoever has the name now.
 */
#include "actors/kernel/kernel.h"
#include "base/text.h"

static void hand_out(struct kernels *s, struct kernel *k, const char *vm, struct reply_to reply)
{
	char vmlinux[MAKING_PATH_BYTES], initramfs[MAKING_PATH_BYTES], modules[MAKING_PATH_BYTES];
	struct kernel_held held;
	struct why why;

	if (shelf_hold(&s->shelf, &k->it, vm, &why)) {
		refuse(s->shelf.me, reply, &why);
		return;
	}
	held = (struct kernel_held){ .name = k->r.name,
		.id = k->r.id,
		.facts = k->r.facts,
		.vmlinux = making_path(KERNEL_AREA, k->r.id, KERNEL_FILE, vmlinux),
		.initramfs = making_path(KERNEL_AREA, k->r.id, INITRAMFS_FILE, initramfs) };
	if (k->r.facts.modules_size > 0)
		held.modules = making_path(KERNEL_AREA, k->r.id, MODULES_FILE, modules);
	answer(s->shelf.me, reply, &held);
}

/* What is under way, or now begins, that will give the machine its kernel. */
static struct kernel_making *awaited(
	struct kernels *s, struct kernel *k, const char *name, bool offline, struct why *why)
{
	struct kernel_making *p = k ? k->renewal : NULL;
	struct making *m = k ? NULL : making_by_name(&s->shelf.makings, name);

	if (m)
		return CONTAINER_OF(m, struct kernel_making, sm.m);
	if (p)
		return p;
	if (k)
		return kernel_renewal_begin(s, k, &p, why) ? NULL : p;
	if (!kernel_catalog(s, name)) {
		kernel_not_found(s, name, why);
		return NULL;
	}
	if (offline) {
		kernel_offline(name, why);
		return NULL;
	}
	return kernel_pull_begin(s, name, 0, false, false, &p, why) ? NULL : p;
}

static struct kernel *made_with(struct kernels *s, const char *id, const char *vm, struct why *why)
{
	struct kernel *k = kernel_by_id(s, id);

	if (k && !k->it.going)
		return k;
	fail(why, ERR_not_found, "kernel %s, which machine %s was made with, is gone", id, vm);
	return NULL;
}

static const char *usual_name(const struct kernels *s)
{
	const char *name = kernel_default_name(s);

	return name || s->shelf.by_name.count ? name : kernel_catalog_first(s);
}

void kernel_hold(struct kernels *s, const struct kernel_hold *q, struct reply_to reply)
{
	const char *id = q->id, *asked = q->kernel, *vm = q->vm;
	const char *name = asked || id ? asked : usual_name(s);
	char agent[AGENT_WORD_BYTES];
	struct kernel_wait *w = NULL;
	struct kernel_making *p;
	struct kernel *k;
	struct why why;

	if (!id && !name) {
		kernel_not_found(s, NULL, &why);
		refuse(s->shelf.me, reply, &why);
		return;
	}
	k = id ? made_with(s, id, vm, &why) : kernel_by_name(s, name);
	if ((id && !k) || (k && kernel_agent_word(s, agent, &why))) {
		refuse(s->shelf.me, reply, &why);
		return;
	}
	if (k && str_eq(k->r.facts.agent, agent)) {
		hand_out(s, k, vm, reply);
		return;
	}
	p = awaited(s, k, name, q->offline, &why);
	if (p)
		w = kernel_wait_add(&p->waits, reply, 0, vm, name, &why);
	if (w)
		must(str_copy(w->id, sizeof(w->id), id ? id : ""));
	else
		refuse(s->shelf.me, reply, &why);
}

void kernel_on_hold(void *state, const struct letter *l, const void *body)
{
	const struct kernel_hold *q = body;
	struct kernels *s = state;

	if (!waiting_took(&s->shelf.waiting, l, kernel_on_hold))
		kernel_hold(s, q, l->reply);
}

void kernel_on_drop(void *state, const struct letter *l, const void *body)
{
	const struct image_drop *q = body;
	struct kernels *s = state;
	struct making *m;
	struct nothing done;

	if (waiting_took(&s->shelf.waiting, l, kernel_on_drop))
		return;
	TAILQ_FOREACH(m, &s->shelf.makings.list, entry)
	kernel_waits_drop(s, &CONTAINER_OF(m, struct kernel_making, sm.m)->waits, 0, q->vm);
	shelf_drop(&s->shelf, q->vm);
	answer(s->shelf.me, l->reply, &done);
}
