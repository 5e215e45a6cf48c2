/*
 * setting.c - the default kernel: a name in the store, unless the configuration says another.
 */
#include "actors/kernel/kernel.h"
#include "base/log.h"
#include "base/text.h"

static void on_setting(void *ctx, const char *key, const void *record)
{
	const struct setting *r = record;
	struct kernels *s = ctx;

	if (!str_eq(key, DEFAULT_KEY))
		return;
	if (type_ok(&type_kernel_name, DEFAULT_KEY, r->value, NULL) ||
		!str_copy(s->chosen, sizeof(s->chosen), r->value))
		log_line(LOG_ERROR, "kernel", "the stored default is no kernel's name", NULL);
}

static void settings_read(void *ctx, const struct why *why)
{
	struct kernels *s = ctx;

	shelf_recover(&s->shelf, why);
}

void kernel_read_settings(void *state)
{
	struct kernels *s = state;

	s->shelf.scan = (struct record_scan){ .me = s->shelf.me,
		.table = store_table_meta,
		.shape = &shape_setting,
		.row = on_setting,
		.done = settings_read,
		.ctx = s };
	record_scan(&s->shelf.scan);
}

static void answer_chosen(struct kernels *s, const struct kernel_wait *w)
{
	struct kernel_default_is is = { .kernel = w->name };
	struct kernel *k = kernel_by_name(s, w->name);
	struct kernel_info info;
	struct why why;

	if (w->reply.kind == LETTER_kernel_default) {
		answer(s->shelf.me, w->reply, &is);
	} else if (k) {
		info = kernel_info_of(s, k);
		answer(s->shelf.me, w->reply, &info);
	} else {
		kernel_not_found(s, w->name, &why);
		refuse(s->shelf.me, w->reply, &why);
	}
}

static void chosen(void *state, uint64_t ctx, const struct why *why, const void *result UNUSED,
	struct arena *arena UNUSED)
{
	struct kernel_wait *w = (struct kernel_wait *)(uintptr_t)ctx;
	struct kernels *s = state;

	if (why) {
		refuse(s->shelf.me, w->reply, why);
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
	if (w && record_put(
			 &put, store_table_meta, DEFAULT_KEY, &shape_setting, &setting, &a, &why)) {
		kernel_wait_remove(&s->settings, w);
		w = NULL;
	}
	if (w)
		record_write(s->shelf.me, &put, 1, chosen, (uint64_t)(uintptr_t)w);
	else
		refuse(s->shelf.me, reply, &why);
	arena_done(&a);
}

void kernel_on_default(void *state, const struct letter *l, const void *body)
{
	const struct kernel_default *q = body;
	struct kernels *s = state;
	const char *fixed = s->shelf.env->config->default_kernel;
	struct kernel_default_is is;
	struct why why;

	if (waiting_took(&s->shelf.waiting, l, kernel_on_default))
		return;
	if (!q->kernel) {
		is.kernel = kernel_default_name(s);
		answer(s->shelf.me, l->reply, &is);
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
	refuse(s->shelf.me, l->reply, &why);
}
