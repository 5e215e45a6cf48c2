/*
 * shelf_make.c - the last step of making an item: its record, which makes it visible.
 */
#include "actors/shared/shelf.h"

static enum err exists(const struct shelf *s, const char *name, struct why *why)
{
	fail_field(why, ERR_exists, "name", "%s '%s' is there already", s->kind->area, name);
	return fail_hint(why, "`--replace` takes its name");
}

enum err shelf_admit(struct shelf *s, const char *name, bool replace, struct why *why)
{
	enum err e = making_admit(&s->makings, name, why);

	return !e && !replace && shelf_by_name(s, name) ? exists(s, name, why) : e;
}

struct shelf_making *shelf_making_of(const struct flow *f)
{
	return CONTAINER_OF((struct making *)f->subject, struct shelf_making, m);
}

void shelf_written(void *state, uint64_t ctx, const struct why *why, const void *result UNUSED,
	struct arena *arena UNUSED)
{
	making_written(&((struct shelf *)state)->makings, ctx, why);
}

/* The new record, the old one without its name, what goes with them: all or none. */
static enum err gather(struct shelf_making *p, struct store_put *puts, uint32_t *n, struct arena *a,
	struct why *why)
{
	struct shelf *s = p->s;
	/* whose name is taken; its record must not come back when it is being deleted */
	struct shelf_item *old = shelf_by_name(s, p->m.name);
	enum err e = old && !p->replace ? exists(s, p->m.name, why) : OK;

	if (!e)
		e = s->kind->put(&puts[(*n)++], p->fresh, true, a, why);
	if (!e && puts[0].value.n > RECORD_CEILING)
		e = fail(why, ERR_too_large,
			"what the %s says of itself (environment, command) is over %d KiB",
			s->kind->area, RECORD_CEILING / 1024);
	if (!e && old)
		e = s->kind->put(&puts[(*n)++], old, false, a, why);
	if (!e && p->also)
		e = p->also(p, puts, n, a, why);
	return e;
}

/* In one commit with the end of the journal entry. */
enum flow_said shelf_record(void *owner UNUSED, struct flow *f)
{
	struct shelf_making *p = shelf_making_of(f);
	enum flow_said said = FLOW_FAILED;
	char key[JOURNAL_KEY_BYTES];
	struct store_put puts[4];
	struct arena a;
	uint32_t n = 0;

	arena_init(&a, 0);
	if (gather(p, puts, &n, &a, &f->why) == OK) {
		journal_key(key, f->op);
		puts[n++] = (struct store_put){ .table = store_table_flow, .key = key };
		p->m.final = true;
		said = making_write(&p->m, puts, n, shelf_written);
	}
	arena_done(&a);
	return said;
}

/* Reached only when it is not known whether the record is on disk. */
enum flow_said shelf_undo_record(void *owner UNUSED, struct flow *f)
{
	struct shelf_making *p = shelf_making_of(f);
	struct shelf *s = p->s;
	struct shelf_item *old = shelf_by_name(s, p->m.name);
	enum flow_said said = FLOW_DONE;
	struct store_put puts[2];
	struct arena a;
	uint32_t n = 1;

	if (!p->m.final)
		return FLOW_DONE;
	arena_init(&a, 0);
	puts[0] = (struct store_put){ .table = s->kind->table, .key = p->m.id };
	if (!old || s->kind->put(&puts[n++], old, true, &a, NULL) == OK)
		said = making_write(&p->m, puts, n, shelf_written);
	arena_done(&a);
	return said;
}
