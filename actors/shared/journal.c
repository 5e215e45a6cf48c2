/*
 * journal.c - writes where a flow is. The entry is small and bounded, so that nothing is allocated
 * here: a journal must not fail for want of memory before it was asked for.
 */
#include "actors/shared/journal.h"

void journal_key(char out[JOURNAL_KEY_BYTES], uint64_t op)
{
	snprintf(out, JOURNAL_KEY_BYTES, "%llu", (unsigned long long)op);
}

static void written(void *state UNUSED, uint64_t ctx, const struct why *why,
	const void *result UNUSED, struct arena *arena UNUSED)
{
	/* a flow does not end before each of its entries was answered, so it is still there */
	flow_written((struct flow *)(uintptr_t)ctx, why);
}

void journal_flow(struct actor *me, struct flow *f, const char *subject, bool over)
{
	struct flow_record record = { .op = f->op, .kind = f->kind->name, .subject = subject,
		.at = f->journaled, .undoing = f->undoing };
	uint8_t room[512];
	struct buf b = { .p = room, .cap = sizeof(room), .max = sizeof(room) };
	char key[JOURNAL_KEY_BYTES];
	struct store_put put = { .table = store_table_flow, .key = key };
	struct why why;

	journal_key(key, f->op);
	if (!over) {
		must(shape_pack(&shape_flow_record, &record, &b, &why) == OK);
		put.value = (struct bytes){ b.p, b.n };
	}
	record_write(me, &put, 1, written, (uint64_t)(uintptr_t)f);
}
