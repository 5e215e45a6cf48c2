/*
 * load.c - what the kernel actor reads when it starts: its records, who stands on them, and what an
 * earlier daemon left unfinished. Letters wait until it is done.
 */
#include "actors/kernel/kernel.h"

#include "base/log.h"
#include "base/text.h"

static void finish(void *state, const struct why *why)
{
	struct kernels *s = state;
	struct kernel *k;

	if (why) {
		log_line(LOG_ERROR, "kernel", "cannot read the kernels", "why", why->text, NULL);
		waiting_end(&s->waiting, s, why);
		return;
	}
	for (struct link *l = table_next(&s->by_id, NULL); l; l = table_next(&s->by_id, l)) {
		k = CONTAINER_OF(l, struct kernel, by_id);
		if (k->machines == 0 && (k->missing || !k->r.named))
			kernel_forget(s, k, (struct reply_to){ 0 });
	}
	waiting_end(&s->waiting, s, NULL);
}

/* Then nothing is removed: what was not loaded would look as if nobody wanted it. */
static bool memory_ran_out(const struct kernels *s, struct why *why)
{
	if (s->short_of_memory)
		fail(why, ERR_no_memory, "no memory to load the kernels");
	return s->short_of_memory;
}

static void on_machine(void *ctx, const char *key UNUSED, const void *record)
{
	const struct vm_record *r = record;
	struct kernels *s = ctx;
	struct kernel *k = r->kernel_id ? kernel_by_id(s, r->kernel_id) : NULL;
	struct why why;

	if (!r->kernel_id)
		return;
	if (!k)
		log_line(LOG_WARN, "kernel", "a machine's kernel is not there", "vm", r->id,
			"kernel", r->kernel, NULL);
	else if (holders_put(&s->holders, r->id, k, &why))
		s->short_of_memory = true;
	else
		k->machines++;
}

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

	if (why) {
		finish(s, why);
		return;
	}
	s->makings.recovered = finish;
	makings_recover(&s->makings);
}

/* Two records of one name mean that a deletion did not get through: the newer one has it. */
static void settle_name(struct kernels *s, struct kernel *k)
{
	struct kernel *other = k->r.named ? kernel_by_name(s, k->r.name) : NULL;

	if (other && other->r.created > k->r.created)
		k->r.named = false;
}

static void machines_read(void *ctx, const struct why *why)
{
	struct kernels *s = ctx;
	struct why problem;

	if (memory_ran_out(s, &problem))
		why = why ? why : &problem;
	if (why) {
		finish(s, why);
		return;
	}
	s->scan = (struct record_scan){ .me = s->me, .table = store_table_meta,
		.shape = &shape_setting, .row = on_setting, .done = settings_read, .ctx = s };
	record_scan(&s->scan);
}

static void on_kernel(void *ctx, const char *key, const void *record)
{
	const struct kernel_record *r = record;
	struct kernels *s = ctx;
	char path[MAKING_PATH_BYTES];
	uint64_t size, used;
	struct kernel *k;
	struct why why;

	if (!str_eq(key, r->id)) {
		log_line(LOG_ERROR, "kernel", "record under a wrong key", "key", key, NULL);
		return;
	}
	k = kernel_new(r, &why);
	if (!k) {
		log_line(LOG_ERROR, "kernel", "cannot load", "name", r->name, "why", why.text,
			NULL);
		s->short_of_memory = true;
		return;
	}
	if (world_size(s->world, STATE, making_path(KERNEL_AREA, r->id, KERNEL_FILE, path), &size,
		    &used, &why) == ERR_not_found) {
		log_line(LOG_ERROR, "kernel", "its files are gone", "name", r->name, "path", path,
			NULL);
		k->missing = true;
	}
	settle_name(s, k);
	kernel_appear(s, k);
}

static void kernels_read(void *ctx, const struct why *why)
{
	struct kernels *s = ctx;
	struct why problem;

	if (memory_ran_out(s, &problem))
		why = why ? why : &problem;
	if (why) {
		finish(s, why);
		return;
	}
	s->scan = (struct record_scan){ .me = s->me, .table = store_table_vm,
		.shape = &shape_vm_record, .row = on_machine, .done = machines_read, .ctx = s };
	record_scan(&s->scan);
}

void kernel_load(struct kernels *s)
{
	s->scan = (struct record_scan){ .me = s->me, .table = store_table_kernel,
		.shape = &shape_kernel_record, .row = on_kernel, .done = kernels_read, .ctx = s };
	record_scan(&s->scan);
}
