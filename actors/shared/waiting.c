/*
 * waiting.c - keeps letters as they came, packed, and hands them over in their order.
 */
#include "actors/shared/waiting.h"

enum { WAITING_MAX = 1024 };

struct waiting_letter {
	TAILQ_ENTRY(waiting_letter) entry;
	struct letter l;
	letter_fn *fn;
	uint8_t packed[];
};

void waiting_init(struct waiting *w, struct actor *me)
{
	*w = (struct waiting){ .me = me };
	TAILQ_INIT(&w->list);
}

void waiting_done(struct waiting *w)
{
	struct waiting_letter *k;

	while (w->count > 0) {
		k = TAILQ_FIRST(&w->list);
		TAILQ_REMOVE(&w->list, k, entry);
		w->count--;
		free(k);
	}
}

bool waiting_took(struct waiting *w, const struct letter *l, letter_fn *fn)
{
	struct waiting_letter *k;
	struct why why;

	if (w->ready)
		return false;
	if (w->why.code) {
		refuse(w->me, l->reply, &w->why);
		return true;
	}
	k = w->count < WAITING_MAX ? malloc(sizeof(*k) + l->packed.n) : NULL;
	if (!k) {
		fail(&why, ERR_busy, "too many requests wait already");
		refuse(w->me, l->reply, &why);
		return true;
	}
	k->l = *l;
	k->fn = fn;
	if (l->packed.n)
		memcpy(k->packed, l->packed.p, l->packed.n);
	k->l.packed.p = k->packed;
	TAILQ_INSERT_TAIL(&w->list, k, entry);
	w->count++;
	return true;
}

static void hand_over(struct waiting *w, void *state, struct waiting_letter *k)
{
	const struct shape *shape = letter_kinds[k->l.kind].in;
	struct arena a;
	struct why why;
	void *body;

	arena_init(&a, 0);
	body = arena_take(&a, MAX(shape->size, 1u));
	k->l.arena = &a;
	if (!body) {
		fail(&why, ERR_no_memory, "no memory to read %s", letter_kinds[k->l.kind].method);
		refuse(w->me, k->l.reply, &why);
	} else if (shape_read(shape, mp_over(k->packed, k->l.packed.n), STRICT, &a, body, &why)) {
		refuse(w->me, k->l.reply, &why);
	} else {
		k->fn(state, &k->l, body);
	}
	arena_done(&a);
}

void waiting_end(struct waiting *w, void *state, const struct why *why)
{
	struct waiting_letter *k;

	w->ready = !why;
	if (why)
		w->why = *why;
	while (w->count > 0) {
		k = TAILQ_FIRST(&w->list);
		TAILQ_REMOVE(&w->list, k, entry);
		w->count--;
		if (why)
			refuse(w->me, k->l.reply, why);
		else
			hand_over(w, state, k);
		free(k);
	}
}

void waiting_again(struct waiting *w)
{
	w->ready = false;
	w->why.code = OK;
}
