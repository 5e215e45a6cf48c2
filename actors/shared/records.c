/*
 * records.c - a record is a message at rest: packed and read by its shape, like any other.
 */
#include "actors/shared/records.h"

#include "base/log.h"
#include "base/text.h"

enum { RECORD_BYTES_MAX = 786432 }; /* as type blob */

enum err record_put(struct store_put *ret, enum store_table table, const char *key,
	const struct shape *shape, const void *record, struct arena *a, struct why *why)
{
	own_buf b = { .max = RECORD_BYTES_MAX };
	uint8_t *copy;
	enum err e;

	*ret = (struct store_put){ .table = table, .key = arena_str(a, key) };
	if (!ret->key)
		return fail(why, ERR_no_memory, "no memory for a record");
	if (!record)
		return OK;
	e = shape_pack(shape, record, &b, why);
	if (e)
		return e;
	copy = arena_take(a, b.n);
	if (!copy)
		return fail(why, ERR_no_memory, "no memory for a record");
	memcpy(copy, b.p, b.n);
	ret->value = (struct bytes){ copy, b.n };
	return OK;
}

void record_write(struct actor *me, struct store_put *puts, uint32_t n, answer_fn *fn, uint64_t ctx)
{
	struct store_write body = { .puts = { puts, n } };

	ask(me, LETTER_store_write, &body, STORE_MS, fn, ctx);
}

static bool read_row(struct record_scan *s, const struct store_row *row, struct arena *a)
{
	void *record = arena_take(a, s->shape->size);
	struct why why;

	if (!record)
		return false;
	if (shape_read(s->shape, mp_over(row->value.p, row->value.n), STRICT, a, record, &why)) {
		log_line(LOG_ERROR, "store", "unreadable record left alone", "table",
			word_of(store_table, s->table), "key", row->key, "why", why.text, NULL);
		return why.code != ERR_no_memory;
	}
	s->row(s->ctx, row->key, record);
	return true;
}

static void page(void *state UNUSED, uint64_t ctx, const struct why *why, const void *result,
	struct arena *arena UNUSED)
{
	struct record_scan *s = (struct record_scan *)(uintptr_t)ctx;
	const struct store_rows *rows = result;
	struct arena mine;
	struct why problem;

	if (why) {
		s->done(s->ctx, why);
		return;
	}
	arena_init(&mine, 2 * MiB);
	for (uint32_t i = 0; i < rows->rows.n; i++) {
		const struct store_row *row = &rows->rows.v[i];

		if (!read_row(s, row, &mine) || !str_copy(s->after, sizeof(s->after), row->key)) {
			fail(&problem, ERR_no_memory, "no memory to read the store");
			why = &problem;
			break;
		}
		arena_reset(&mine);
	}
	arena_done(&mine);
	if (why || !rows->more)
		s->done(s->ctx, why);
	else
		record_scan(s);
}

void record_scan(struct record_scan *s)
{
	struct store_scan body = { .table = s->table, .after = s->after[0] ? s->after : NULL };

	ask(s->me, LETTER_store_scan, &body, STORE_MS, page, (uint64_t)(uintptr_t)s);
}
