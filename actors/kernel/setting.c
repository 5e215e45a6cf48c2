/*
 * setting.c - the default kernel: a name in the store, unless the configuration says another.
 */
#include "actors/kernel/kernel.h"
#include "base/text.h"

static void answer_chosen(struct kernels *s, const struct kernel_wait *w)
{
	struct kernel_default_is is = { .kernel = w->name };
	struct kernel *k = kernel_by_name(s, w->name);
	struct kernel_info info;
	struct why why;

	if (w->reply.kind == LETTER_kernel_default) {
		answer(s->me, w->reply, &is);
	} else if (k) {
		info = kernel_info_of(s, k);
		answer(s->me, w->reply, &info);
	} else {
		kernel_not_found(s, w->name, &why);
		refuse(s->me, w->reply, &why);
	}
}

static void chosen(void *state, uint64_t ctx, const struct why *why, const void *result UNUSED,
	struct arena *arena UNUSED)
{
	struct kernel_wait *w = (struct kernel_wait *)(uintptr_t)ctx;
	struct kernels *s = state;

	if (why) {
		refuse(s->me, w->reply, why);
	} else {
		must(str_copy(s->chosen, sizeof(s->chosen), w->name));
		answer_chosen(s, w);
	}
	kernel_wait_remove(&s->settings, w);
}

void kernel_choose(struct kernels *s, const char *name, struct reply_to reply)
{
	struct setting setting = { .value = name };
	struct kernel_wait *w;
	struct store_put put;
	struct arena a;
	struct why why;

	arena_init(&a, 0);
	w = kernel_wait_add(&s->settings, reply, 0, NULL, name, &why);
	if (w && record_put(&put, store_table_meta, DEFAULT_KEY, &shape_setting, &setting, &a,
			 &why)) {
		kernel_wait_remove(&s->settings, w);
		w = NULL;
	}
	if (w)
		record_write(s->me, &put, 1, chosen, (uint64_t)(uintptr_t)w);
	else
		refuse(s->me, reply, &why);
	arena_done(&a);
}

void kernel_on_default(void *state, const struct letter *l, const void *body)
{
	const struct kernel_default *q = body;
	struct kernels *s = state;
	const char *fixed = s->env->config->default_kernel;
	struct kernel_default_is is;
	struct why why;

	if (waiting_took(&s->waiting, l, kernel_on_default))
		return;
	if (!q->kernel) {
		is.kernel = kernel_default_name(s);
		answer(s->me, l->reply, &is);
		return;
	}
	if (fixed && !str_eq(fixed, q->kernel)) {
		fail_field(&why, ERR_conflict, "kernel",
			"the configuration says that the default kernel is '%s'", fixed);
		fail_hint(&why, "change or remove default_kernel in config.yaml");
	} else if (!kernel_by_name(s, q->kernel)) {
		kernel_not_found(s, q->kernel, &why);
	} else {
		kernel_choose(s, q->kernel, l->reply);
		return;
	}
	refuse(s->me, l->reply, &why);
}
