/*
 * shelf_load.c - what a shelf reads when its actor starts: its records, who stands on them, and
 * what an earlier daemon left unfinished. Letters wait until it is done.
 */
#include "actors/shared/shelf.h"

#include "base/log.h"
#include "base/text.h"

static void finish(void *state, const struct why *why)
{
	struct shelf *s = state;
	struct shelf_item *it;

	if (why) {
		log_line(LOG_ERROR, s->kind->area, "cannot read the records", "why", why->text,
			NULL);
		waiting_end(&s->waiting, s, why);
		return;
	}
	for (struct link *l = table_next(&s->by_id, NULL); l; l = table_next(&s->by_id, l)) {
		it = CONTAINER_OF(l, struct shelf_item, by_id);
		if (it->machines == 0 && (it->missing || !it->named))
			shelf_forget(s, it, (struct reply_to){ 0 });
	}
	waiting_end(&s->waiting, s, NULL);
}

void shelf_recover(struct shelf *s, const struct why *why)
{
	if (why) {
		finish(s, why);
		return;
	}
	s->makings.recovered = finish;
	makings_recover(&s->makings);
}

/* Then nothing is removed: what was not loaded would look as if nobody wanted it. */
static const struct why *memory_ran_out(
	const struct shelf *s, const struct why *why, struct why *problem)
{
	if (why || !s->short_of_memory)
		return why;
	fail(problem, ERR_no_memory, "no memory to load the %ss", s->kind->area);
	return problem;
}

static void on_machine(void *ctx, const char *key UNUSED, const void *record)
{
	const struct vm_record *r = record;
	struct shelf *s = ctx;
	const char *id = s->kind->of_machine(r);
	struct shelf_item *it = id ? shelf_by_id(s, id) : NULL;
	struct why why;

	if (!id)
		return;
	if (!it)
		log_line(LOG_WARN, s->kind->area, "what a machine was made from is not there", "vm",
			r->id, "id", id, NULL);
	else if (holders_put(&s->holders, r->id, it, &why))
		s->short_of_memory = true;
	else
		it->machines++;
}

static void machines_read(void *ctx, const struct why *why)
{
	struct shelf *s = ctx;
	struct why problem;

	why = memory_ran_out(s, why, &problem);
	if (!why && s->kind->read_more)
		s->kind->read_more(s);
	else
		shelf_recover(s, why);
}

/* Two records of one name mean that a deletion did not get through: the newer one has it. */
static void settle_name(struct shelf *s, struct shelf_item *it)
{
	struct shelf_item *other = it->named ? shelf_by_name(s, it->name) : NULL;

	if (other && other->created > it->created)
		it->named = false;
}

static void on_record(void *ctx, const char *key, const void *record)
{
	struct shelf *s = ctx;
	struct why why;
	struct shelf_item *it = s->kind->read(s, record, &why);

	if (!it) {
		log_line(LOG_ERROR, s->kind->area, "cannot load", "id", key, "why", why.text, NULL);
		s->short_of_memory = true;
		return;
	}
	if (!str_eq(key, it->id)) {
		log_line(LOG_ERROR, s->kind->area, "record under a wrong key", "key", key, NULL);
		s->kind->free(it);
		return;
	}
	if (it->missing)
		log_line(LOG_ERROR, s->kind->area, "its files are gone", "name", it->name, "id",
			it->id, NULL);
	settle_name(s, it);
	shelf_appear(s, it);
}

static void records_read(void *ctx, const struct why *why)
{
	struct shelf *s = ctx;
	struct why problem;

	why = memory_ran_out(s, why, &problem);
	if (why) {
		finish(s, why);
		return;
	}
	s->scan = (struct record_scan){ .me = s->me,
		.table = store_table_vm,
		.shape = &shape_vm_record,
		.row = on_machine,
		.done = machines_read,
		.ctx = s };
	record_scan(&s->scan);
}

static bool known(void *state, const char *id)
{
	return shelf_by_id(state, id) != NULL;
}

/* After this, adding to the table cannot fail. */
static bool prime(struct table *t, uint64_t seed)
{
	struct link first;

	table_init(t, seed);
	if (!table_add(t, &first, "", 0))
		return false;
	table_del(t, &first);
	return true;
}

enum err shelf_open(struct shelf *s, const struct shelf_kind *kind, struct actor *me,
	struct env *env, struct why *why)
{
	uint64_t seed[3];

	s->kind = kind;
	s->me = me;
	s->env = env;
	s->world = env->world;
	world_random(s->world, seed, sizeof(seed));
	holders_init(&s->holders, seed[2]);
	waiting_init(&s->waiting, me);
	makings_init(&s->makings, me, s->world, s);
	s->makings.area = kind->area;
	s->makings.mark = kind->mark;
	s->makings.ended = kind->ended;
	s->makings.known = known;
	if (!prime(&s->by_id, seed[0]) || !prime(&s->by_name, seed[1]))
		return fail(why, ERR_no_memory, "no memory for the %ss", kind->area);
	if (world_mkdir(s->world, STATE, kind->area, why))
		return why->code;
	s->scan = (struct record_scan){ .me = me,
		.table = kind->table,
		.shape = kind->shape,
		.row = on_record,
		.done = records_read,
		.ctx = s };
	record_scan(&s->scan);
	return OK;
}
