/*
 * shelf.c - items of a shelf: found, shown, taken by machines, replaced, deleted.
 */
#include "actors/shared/shelf.h"

#include "actors/shared/notes.h"
#include "base/log.h"
#include "base/text.h"

/* ---- names ---- */

struct shelf_item *shelf_by_id(const struct shelf *s, const char *id)
{
	struct link *l = table_get(&s->by_id, id, strlen(id));

	return l ? CONTAINER_OF(l, struct shelf_item, by_id) : NULL;
}

static struct shelf_item *name_owner(const struct shelf *s, const char *name)
{
	struct link *l = table_get(&s->by_name, name, strlen(name));

	return l ? CONTAINER_OF(l, struct shelf_item, by_name) : NULL;
}

struct shelf_item *shelf_by_name(const struct shelf *s, const char *name)
{
	struct shelf_item *it = name_owner(s, name);

	return it && !it->going ? it : NULL;
}

static void lose_name(struct shelf *s, struct shelf_item *it)
{
	if (it->named)
		table_del(&s->by_name, &it->by_name);
	it->named = false;
}

void shelf_appear(struct shelf *s, struct shelf_item *it)
{
	struct shelf_item *old = it->named ? name_owner(s, it->name) : NULL;

	if (old)
		lose_name(s, old);
	/* tables that have held something once can always take more */
	must(table_add(&s->by_id, &it->by_id, it->id, strlen(it->id)));
	if (it->named)
		must(table_add(&s->by_name, &it->by_name, it->name, strlen(it->name)));
	if (old)
		shelf_forget_unused(s, old);
}

/* ---- deletion ---- */

static bool busy(const struct shelf *s, const struct shelf_item *it)
{
	return s->kind->busy && s->kind->busy(it);
}

static void leave(struct shelf *s, struct shelf_item *it)
{
	lose_name(s, it);
	table_del(&s->by_id, &it->by_id);
	s->kind->free(it);
}

static void deleted(void *state, uint64_t ctx, const struct why *why, const void *result UNUSED,
	struct arena *arena UNUSED)
{
	struct shelf_item *it = (struct shelf_item *)(uintptr_t)ctx;
	struct shelf *s = state;
	char kind[32];
	struct event event = { .kind = kind, .name = it->name };
	struct nothing done;

	if (why) {
		log_line(LOG_ERROR, s->kind->area, "cannot delete", "name", it->name, "why",
			why->text, NULL);
		it->going = false;
		refuse(s->me, it->deleting, why);
		return;
	}
	makings_remove(&s->makings, it->op, it->id);
	if (s->kind->gone)
		s->kind->gone(state, it);
	answer(s->me, it->deleting, &done);
	snprintf(kind, sizeof(kind), "%s.deleted", s->kind->area);
	note_event(s->me, s->world, &event);
	leave(s, it);
}

void shelf_forget(struct shelf *s, struct shelf_item *it, struct reply_to to)
{
	struct store_put puts[3] = { { .table = s->kind->table, .key = it->id } };
	struct arena a;
	struct why why;
	uint32_t n = 2;

	if (it->going)
		return;
	arena_init(&a, 0);
	it->op = making_fresh(&s->makings);
	if (makings_note_deletion(&s->makings, it->op, it->id, &puts[1], &a, &why)) {
		refuse(s->me, to, &why);
	} else {
		if (s->kind->going)
			s->kind->going(s, it, puts, &n);
		it->going = true;
		it->deleting = to;
		record_write(s->me, puts, n, deleted, (uint64_t)(uintptr_t)it);
	}
	arena_done(&a);
}

void shelf_forget_unused(struct shelf *s, struct shelf_item *it)
{
	if (s->waiting.ready && !it->named && it->machines == 0 && !busy(s, it))
		shelf_forget(s, it, (struct reply_to){ 0 });
}

void shelf_delete(struct shelf *s, struct shelf_item *it, struct reply_to to)
{
	const char *noun = s->kind->area;
	struct why why;

	if (it->machines > 0) {
		fail_field(&why, ERR_conflict, noun, "%llu machine%s on %s '%s'",
			(unsigned long long)it->machines, it->machines == 1 ? " stands" : "s stand",
			noun, it->name);
		fail_hint(&why, "delete %s first: `banger vm list`",
			it->machines == 1 ? "it" : "them");
	} else if (busy(s, it)) {
		fail_field(&why, ERR_busy, noun, "%s '%s' is being renewed", noun, it->name);
		fail_hint(&why, "try again when that is done: `banger events` tells");
	} else {
		shelf_forget(s, it, to);
		return;
	}
	refuse(s->me, to, &why);
}

/* ---- machines ---- */

static void let_go(struct shelf *s, struct shelf_item *it)
{
	must(it->machines > 0);
	it->machines--;
	shelf_forget_unused(s, it);
}

enum err shelf_hold(struct shelf *s, struct shelf_item *it, const char *vm, struct why *why)
{
	struct shelf_item *before = holders_get(&s->holders, vm);
	enum err e = holders_put(&s->holders, vm, it, why);

	if (e)
		return e;
	it->machines++;
	if (before)
		let_go(s, before);
	return OK;
}

void shelf_drop(struct shelf *s, const char *vm)
{
	struct shelf_item *it = holders_take(&s->holders, vm);

	if (it)
		let_go(s, it);
}

/* ---- letters ---- */

void shelf_on_cancel(void *state, const struct letter *l, const void *body)
{
	makings_cancel(&((struct shelf *)state)->makings, l, body);
}

void shelf_on_data(void *state, const struct letter *l, const void *body)
{
	makings_data(&((struct shelf *)state)->makings, l->client, body);
}

void shelf_on_credit(void *state, const struct letter *l, const void *body)
{
	makings_credit(&((struct shelf *)state)->makings, l->client, body);
}

/* A making has no terminal, and no program that the client could signal. */
void shelf_on_nothing(void *state UNUSED, const struct letter *l UNUSED, const void *body UNUSED)
{
}

/* ---- its life ---- */

void shelf_close(struct shelf *s)
{
	struct link *l, *next;

	makings_done(&s->makings);
	waiting_done(&s->waiting);
	holders_done(&s->holders);
	for (l = table_next(&s->by_id, NULL); l; l = next) {
		next = table_next(&s->by_id, l);
		s->kind->free(CONTAINER_OF(l, struct shelf_item, by_id));
	}
	table_done(&s->by_id);
	table_done(&s->by_name);
}

void shelf_verify(const struct shelf *s)
{
	uint32_t named = 0;
	uint64_t held = 0;

	for (struct link *l = table_next(&s->by_id, NULL); l; l = table_next(&s->by_id, l)) {
		const struct shelf_item *it = CONTAINER_OF(l, struct shelf_item, by_id);

		named += it->named;
		held += it->machines;
		must(!it->named || name_owner(s, it->name) == it);
		must(!it->going || (it->machines == 0 && !busy(s, it)));
	}
	must(named == s->by_name.count);
	must(held == s->holders.by_vm.count);
	makings_verify(&s->makings);
}
