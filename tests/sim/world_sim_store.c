/*
 * world_sim_store.c - the store: rows in key order, commits that take a while, and what a crash
 * or a failed flush makes of the one that is under way.
 *
 * Commits of a turn go together, as with the real one; a batch is all or nothing. A flush that
 * fails ends the daemon: requests get their last answer, no actor hears of it, and whether that
 * batch is there is chance.
 */
#include "tests/sim/sim.h"

struct put_head {
	uint32_t key_n, value_n;
	bool is_delete;
};

void kv_batch_put(struct kv_batch *b, const char *key, struct bytes value)
{
	struct put_head h = { (uint32_t)strlen(key), (uint32_t)value.n, value.p == NULL };

	must(h.key_n > 0 && h.key_n <= KV_KEY_MAX);
	buf_add(&b->b, &h, sizeof(h));
	buf_add(&b->b, key, h.key_n);
	buf_add(&b->b, value.p, value.n);
}

/* ---- rows ---- */

static uint32_t place_of(struct sim *s, const char *key, bool *found)
{
	uint32_t i = 0;

	while (i < s->rows_n && strcmp(s->rows[i].key, key) < 0)
		i++;
	*found = i < s->rows_n && str_eq(s->rows[i].key, key);
	return i;
}

const struct row *store_get(struct sim *s, const char *key)
{
	bool found;
	uint32_t i = place_of(s, key, &found);

	return found ? &s->rows[i] : NULL;
}

static void row_done(struct row *r)
{
	free(r->key);
	free(r->value);
}

static void row_put(struct sim *s, const char *key, struct bytes value)
{
	bool found;
	uint32_t i = place_of(s, key, &found);
	struct row r = { strdup(key), malloc(value.n + 1), value.n };

	must(r.key && r.value);
	memcpy(r.value, value.p, value.n);
	if (found) {
		row_done(&s->rows[i]);
		s->rows[i] = r;
		return;
	}
	if (s->rows_n == s->rows_cap) {
		s->rows_cap = s->rows_cap ? s->rows_cap * 2 : 32;
		s->rows = realloc(s->rows, s->rows_cap * sizeof(r));
		must(s->rows);
	}
	memmove(&s->rows[i + 1], &s->rows[i], (s->rows_n++ - i) * sizeof(r));
	s->rows[i] = r;
}

static void row_del(struct sim *s, const char *key)
{
	bool found;
	uint32_t i = place_of(s, key, &found);

	if (!found)
		return;
	row_done(&s->rows[i]);
	memmove(&s->rows[i], &s->rows[i + 1], (--s->rows_n - i) * sizeof(s->rows[0]));
}

void rows_free(struct sim *s)
{
	while (s->rows_n > 0)
		row_done(&s->rows[--s->rows_n]);
	free(s->rows);
	s->rows = NULL;
}

static void apply(struct sim *s, const struct kv_batch *b)
{
	const uint8_t *p = b->b.p, *end = p ? p + b->b.n : p;
	char key[KV_KEY_MAX + 1];
	struct put_head h;

	while (p < end) {
		memcpy(&h, p, sizeof(h));
		p += sizeof(h);
		snprintf(key, sizeof(key), "%.*s", (int)h.key_n, (const char *)p);
		p += h.key_n;
		sim_trace(s, "store", "%s %s", h.is_delete ? "deletes" : "writes", key);
		if (h.is_delete)
			row_del(s, key);
		else
			row_put(s, key, (struct bytes){ p, h.value_n });
		p += h.value_n;
	}
}

/* As the store's thread does: first what the commit stands on, then the commit. */
static void put_down(struct sim *s, const struct settles *settles, const struct kv_batch *b)
{
	for (unsigned i = 0; i < settles->n; i++)
		nodes_settle(s, settles->paths[i]);
	apply(s, b);
}

/* ---- commits ---- */

void world_kv_commit(struct world *w, struct kv_batch *b, struct kv_waiter *waiter)
{
	(void)world_alive(w);
	must(!b->b.failed);
	buf_add(&w->gathered.b, b->b.p, b->b.n);
	buf_done(&b->b);
	waiter->next = NULL;
	*w->waiting_end = waiter;
	w->waiting_end = &waiter->next;
}

void world_settle(struct world *w, const char *dir)
{
	if (!world_alive(w))
		return;
	must(w->settles.n < COUNT(w->settles.paths));
	must(str_copy(w->settles.paths[w->settles.n++], NODE_PATH_BYTES, dir));
}

static enum err write_batch(struct world *w, struct why *why)
{
	struct sim *s = w->sim;

	must(!w->store_broken);
	if (s->store_breaks) {
		s->store_breaks = false;
		w->store_broken = true;
		sim_mark(s, MARK_store_broken);
		if (sim_chance(s, 500))
			put_down(s, &w->settling, &w->under_way);
		return fail(why, ERR_internal, "store: flush: input/output error");
	}
	if (s->store_fails) {
		s->store_fails = false;
		sim_mark(s, MARK_store_failed);
		return fail(why, ERR_no_space, "store: the map is full");
	}
	put_down(s, &w->settling, &w->under_way);
	return OK;
}

static void tell_waiters(struct kv_waiter *waiters, const struct why *why)
{
	while (waiters) {
		struct kv_waiter *k = waiters;

		waiters = k->next;
		k->done(k->ctx, why);
	}
}

static void end_daemon(struct world *w, const struct why *cause)
{
	struct why why;

	sim_trace(w->sim, "store", "a flush failed: the daemon ends");
	fail(&why, ERR_unavailable, "the daemon ends: %s", cause->text);
	w->last_words = true;
	house_give_up(w->house, &why);
	w->dead = true;
}

static void committed(void *ctx, uint64_t arg UNUSED)
{
	struct world *w = ctx;
	struct kv_waiter *waiters = w->committing;
	struct why why;
	enum err e = write_batch(w, &why);

	if (w->store_broken) {
		end_daemon(w, &why);
		return;
	}
	w->store_failures += e != OK;
	w->committing = NULL;
	buf_done(&w->under_way.b);
	tell_waiters(waiters, e ? &why : NULL);
}

void store_flush(struct world *w)
{
	struct sim *s = w->sim;

	if (w->committing || !w->waiting)
		return;
	w->committing = w->waiting;
	w->waiting = NULL;
	w->waiting_end = &w->waiting;
	w->under_way = w->gathered;
	w->gathered = (struct kv_batch){ .b = { .max = 64 * MiB } };
	w->settling = w->settles;
	w->settles.n = 0;
	sim_after(s, sim_chance(s, 100) ? sim_between(s, 5, 300) : sim_roll(s, 3), committed, w, 0);
}

void store_drop(struct world *w, bool clean)
{
	struct sim *s = w->sim;
	struct why why;

	fail(&why, ERR_cancelled, "the daemon ends");
	if (w->committing && !w->store_broken) {
		bool kept = clean || sim_chance(s, 500);

		sim_mark(s, kept ? MARK_store_kept : MARK_store_torn);
		if (kept)
			put_down(s, &w->settling, &w->under_way);
	}
	if (clean && !w->store_broken)
		put_down(s, &w->settles, &w->gathered);
	tell_waiters(w->committing, &why);
	tell_waiters(w->waiting, &why);
	w->committing = w->waiting = NULL;
	buf_done(&w->under_way.b);
	buf_done(&w->gathered.b);
}

enum err world_kv_scan(struct world *w, const char *prefix, const char *after,
	bool (*fn)(void *ctx, const char *key, struct bytes value), void *ctx, struct why *why)
{
	struct sim *s = w->sim;

	if (!world_alive(w))
		return dead_daemon(why);
	for (uint32_t i = 0; i < s->rows_n; i++) {
		const struct row *r = &s->rows[i];

		if (strncmp(r->key, prefix, strlen(prefix)) != 0 ||
			(after && strcmp(r->key, after) <= 0))
			continue;
		if (!fn(ctx, r->key, (struct bytes){ r->value, r->n }))
			break;
	}
	return OK;
}
