/*
 * store.c - the store actor: the only one that reads and writes the store's file.
 *
 * A record is a message at rest: its shape is checked here on the way in and on the way out, so a
 * record that no reader could take is never written. Writes are answered when they are on disk;
 * those of one turn go to disk together. Never looks into a record beyond its shape.
 */
#include <sys/queue.h>

#include "actors/roster.h"
#include "base/log.h"

enum {
	ROWS_BYTES = 262144, /* of one scan's answer; the rest is asked for again */
	WRITES_MAX = 4096 /* under way */
};

/* ---- state ---- */

struct store {
	struct actor *me;
	struct world *world;
	TAILQ_HEAD(, pending_write) writes;
	uint32_t under_way;
};

struct pending_write {
	TAILQ_ENTRY(pending_write) entry;
	struct kv_waiter waiter;
	struct store *store;
	struct reply_to reply;
};

/* By enum table. */
static const struct shape *const record_shapes[store_table_COUNT] = {
	[store_table_meta] = &shape_setting,
	[store_table_vm] = &shape_vm_record,
	[store_table_image] = &shape_image_record,
	[store_table_kernel] = &shape_kernel_record,
	[store_table_flow] = &shape_flow_record,
	[store_table_lease] = &shape_lease_record,
};

/* ---- letters in ---- */

static void full_key(char out[KV_KEY_MAX + 1], enum store_table table, const char *key)
{
	snprintf(out, KV_KEY_MAX + 1, "%s/%s", word_of(store_table, table), key);
}

static enum err check_record(
	enum store_table table, struct bytes value, struct arena *a, struct why *why)
{
	void *record = arena_take(a, record_shapes[table]->size);

	if (!record)
		return fail(why, ERR_no_memory, "no memory to check a record");
	return shape_read(record_shapes[table], mp_over(value.p, value.n), STRICT, a, record, why);
}

static void written(void *ctx, const struct why *why)
{
	struct pending_write *p = ctx;
	struct store *s = p->store;
	struct nothing done;

	s->under_way--;
	TAILQ_REMOVE(&s->writes, p, entry);
	if (why) {
		log_line(LOG_ERROR, "store", "commit failed", "why", why->text, NULL);
		refuse(s->me, p->reply, why);
	} else {
		answer(s->me, p->reply, &done);
	}
	free(p);
}

static void on_write(void *state, const struct letter *l, const void *body)
{
	struct kv_batch batch = { .b = { .max = 8 * MiB } };
	const struct store_write *w = body;
	struct store *s = state;
	struct pending_write *p;
	char key[KV_KEY_MAX + 1];
	struct why why;

	for (uint32_t i = 0; i < w->puts.n; i++) {
		const struct store_put *put = &w->puts.v[i];

		if (put->value.p && check_record(put->table, put->value, l->arena, &why)) {
			refuse(s->me, l->reply, &why);
			buf_done(&batch.b);
			return;
		}
		full_key(key, put->table, put->key);
		kv_batch_put(&batch, key, put->value);
	}
	p = s->under_way < WRITES_MAX ? malloc(sizeof(*p)) : NULL;
	if (!p || batch.b.failed) {
		fail(&why, ERR_no_memory, "no memory for a store write");
		refuse(s->me, l->reply, &why);
		buf_done(&batch.b);
		free(p);
		return;
	}
	*p = (struct pending_write){ .store = s, .reply = l->reply };
	p->waiter.done = written;
	p->waiter.ctx = p;
	s->under_way++;
	TAILQ_INSERT_TAIL(&s->writes, p, entry);
	world_kv_commit(s->world, &batch, &p->waiter);
}

struct scan {
	struct store_rows rows;
	enum store_table table;
	size_t prefix_n, bytes, room;
	struct arena *arena;
};

static bool take_row(void *ctx, const char *key, struct bytes value)
{
	struct scan *s = ctx;
	struct store_row *row = &s->rows.rows.v[s->rows.rows.n];
	struct why why;
	uint8_t *copy;

	if (check_record(s->table, value, s->arena, &why)) {
		if (!str_eq(key, "meta/schema"))
			log_line(LOG_ERROR, "store", "unreadable record left alone", "key", key,
				"why", why.text, NULL);
		return true;
	}
	s->bytes += value.n + strlen(key) + 32;
	if (s->rows.rows.n == s->room || s->bytes > ROWS_BYTES) {
		s->rows.more = true;
		return false;
	}
	copy = arena_take(s->arena, value.n);
	row->key = arena_str(s->arena, key + s->prefix_n);
	if (!copy || !row->key) {
		s->rows.more = true;
		return false;
	}
	memcpy(copy, value.p, value.n);
	row->value = (struct bytes){ copy, value.n };
	s->rows.rows.n++;
	return true;
}

static void on_scan(void *state, const struct letter *l, const void *body)
{
	enum { ROWS = 512 };
	const struct store_scan *q = body;
	struct store *s = state;
	struct scan scan = { .table = q->table, .room = ROWS, .arena = l->arena };
	char prefix[KV_KEY_MAX + 1], after[KV_KEY_MAX + 1];
	struct why why;

	full_key(prefix, q->table, "");
	full_key(after, q->table, q->after ? q->after : "");
	scan.prefix_n = strlen(prefix);
	scan.rows.rows.v = arena_take(l->arena, ROWS * sizeof(struct store_row));
	if (!scan.rows.rows.v)
		fail(&why, ERR_no_memory, "no memory for a scan");
	else if (world_kv_scan(s->world, prefix, q->after ? after : NULL, take_row, &scan, &why) ==
		 OK) {
		answer(s->me, l->reply, &scan.rows);
		return;
	}
	refuse(s->me, l->reply, &why);
}

/* ---- class ---- */

static enum err store_open(void *state, struct actor *me, void *env, struct why *why UNUSED)
{
	struct store *s = state;

	s->me = me;
	TAILQ_INIT(&s->writes);
	s->world = ((struct env *)env)->world;
	return OK;
}

/* What is under way is written all the same; nobody is left to hear of it. */
static void store_close(void *state)
{
	struct store *s = state;
	struct pending_write *p;

	while ((p = TAILQ_FIRST(&s->writes)) != NULL) {
		TAILQ_REMOVE(&s->writes, p, entry);
		free(p);
	}
}

static void store_verify(const void *state)
{
	const struct store *s = state;

	must(s->under_way <= WRITES_MAX);
}

static const struct handler handlers[] = {
	{ LETTER_store_write, on_write },
	{ LETTER_store_scan, on_scan },
	{ 0, NULL },
};

const struct actor_class store_actor = {
	.name = "store",
	.state = sizeof(struct store),
	.mail = 4096,
	.on = handlers,
	.open = store_open,
	.close = store_close,
	.verify = store_verify,
};
