/*
 * house.c - the choke point: every letter between actors is sent, checked, decoded, traced, counted
 * and turned into a call here, and nowhere else.
 *
 * Invariants: an ask is answered exactly once, and never from inside ask(); a letter that the
 * roster does not allow reaches nobody; between letters the arena is empty.
 */
#include "actor/actor.h"

#include "actor/asks.h"
#include "actor/mailbox.h"
#include "base/log.h"
#include "letter/error.h"

struct actor {
	struct house *house;
	const struct actor_class *class;
	void *state;
	struct mailbox mail;
	unsigned index;
	uint64_t handled, refused;
	bool open;
	letter_fn **on; /* by letter kind */
};

struct house {
	struct house_setup setup;
	struct actor actors[ACTORS_MAX];
	struct asks asks;
	struct arena arena;
	const struct route **routes; /* by letter kind */
	uint64_t wake_at; /* what the world was last told; UINT64_MAX = nothing */
};

enum err house_new(const struct house_setup *setup, struct house **ret, struct why *why)
{
	struct house *h = calloc(1, sizeof(*h));

	must(setup->actors <= ACTORS_MAX);
	if (!h)
		return fail(why, ERR_no_memory, "no memory for the actors");
	h->setup = *setup;
	h->wake_at = UINT64_MAX;
	arena_init(&h->arena, 0);
	h->routes = calloc(setup->kinds_n, sizeof(*h->routes));
	if (!h->routes || !asks_init(&h->asks, ASKS_MAX))
		goto fail_memory;
	for (unsigned i = 0; i < setup->routes_n; i++)
		h->routes[setup->routes[i].kind] = &setup->routes[i];
	for (unsigned i = 0; i < setup->actors; i++) {
		struct actor *a = &h->actors[i];

		*a = (struct actor){ .house = h, .class = setup->classes[i], .index = i };
		must(a->class->mail >= 4 * TURN_LETTERS); /* mail_full leaves a turn of room */
		mailbox_init(&a->mail, a->class->mail, MAIL_BYTES_MAX);
		a->state = calloc(1, a->class->state);
		a->on = calloc(setup->kinds_n, sizeof(*a->on));
		if (!a->state || !a->on)
			goto fail_memory;
		for (const struct handler *on = a->class->on; on->fn; on++)
			a->on[on->kind] = on->fn;
	}
	*ret = h;
	return OK;
fail_memory:
	house_free(h);
	return fail(why, ERR_no_memory, "no memory for the actors");
}

enum err house_open(struct house *h, struct why *why)
{
	for (unsigned i = 0; i < h->setup.actors; i++) {
		struct actor *a = &h->actors[i];
		enum err e;

		a->open = true; /* close takes what is half built */
		e = a->class->open(a->state, a, h->setup.env, why);
		if (e)
			return e;
	}
	return OK;
}

void house_free(struct house *h)
{
	if (!h)
		return;
	for (unsigned i = h->setup.actors; i-- > 0;)
		if (h->actors[i].open)
			h->actors[i].class->close(h->actors[i].state);
	/* who closes may still have written to who was closed before */
	for (unsigned i = 0; i < h->setup.actors; i++) {
		struct actor *a = &h->actors[i];

		mailbox_done(&a->mail);
		free(a->state);
		free(a->on);
	}
	asks_done(&h->asks);
	arena_done(&h->arena);
	free(h->routes);
	free(h);
}

/* Sending. */

static const struct route *route_of(struct actor *me, unsigned kind)
{
	const struct route *r = me->house->routes[kind];

	return r && (r->from >> me->index & 1) ? r : NULL;
}

/* Puts one letter into one mailbox; body is a struct (shape given) or packed bytes. */
static enum err put(struct actor *to, const struct mail *head, const struct shape *shape,
	const void *body, struct bytes packed, bool beyond, struct why *why)
{
	struct buf *b = mailbox_begin(&to->mail, head, beyond);
	enum err e;

	if (!b) {
		to->refused++;
		return fail(why, ERR_busy, "the %s actor has no room for more letters",
			to->class->name);
	}
	if (shape) {
		e = shape_pack(shape, body, b, why);
		if (e) {
			mailbox_undo(&to->mail);
			return e;
		}
	} else {
		buf_add(b, packed.p, packed.n);
	}
	if (mailbox_sent(&to->mail) == OK)
		return OK;
	to->refused++;
	return fail(why, ERR_busy, "the %s actor has no room for more bytes", to->class->name);
}

static enum err post(struct actor *me, uint32_t to, struct mail *head, const struct shape *shape,
	const void *body, struct bytes packed, struct why *why)
{
	enum err worst = OK;

	head->from = (uint8_t)me->index;
	head->what = MAIL_LETTER;
	for (; to; to &= to - 1) {
		struct actor *a = &me->house->actors[__builtin_ctz(to)];
		enum err e = put(a, head, shape, body, packed, false, why);

		worst = e ? e : worst;
	}
	return worst;
}

static enum err denied(struct actor *me, unsigned kind, struct why *why)
{
	log_line(LOG_ERROR, me->class->name, "letter not allowed", "letter",
		me->house->setup.kinds[kind].method, NULL);
	return fail(why, ERR_denied, "the %s actor may not send %s", me->class->name,
		me->house->setup.kinds[kind].method);
}

enum err tell(struct actor *me, unsigned kind, const void *body)
{
	return tell_for(me, UINT32_MAX, kind, 0, body);
}

enum err tell_for(struct actor *me, uint32_t only, unsigned kind, uint64_t client, const void *body)
{
	const struct route *r = route_of(me, kind);
	struct mail head = { .kind = (uint16_t)kind, .client = client };
	struct why why;

	if (!r)
		return denied(me, kind, &why);
	return post(me, r->to & only, &head, me->house->setup.kinds[kind].in, body,
		(struct bytes){ 0 }, &why);
}

void tell_last(struct actor *me, uint32_t only, unsigned kind, uint64_t client, const void *body)
{
	const struct route *r = route_of(me, kind);
	struct mail head = { .kind = (uint16_t)kind, .client = client, .from = (uint8_t)me->index };
	struct why why;

	if (!r) {
		denied(me, kind, &why);
		return;
	}
	must(__builtin_popcount(r->to & only) == 1);
	if (put(&me->house->actors[__builtin_ctz(r->to & only)], &head,
		    me->house->setup.kinds[kind].in, body, (struct bytes){ 0 }, true, &why))
		log_line(LOG_ERROR, me->class->name, "last word lost", "letter",
			me->house->setup.kinds[kind].method, "why", why.text, NULL);
}

enum err tell_packed(
	struct actor *me, uint32_t only, unsigned kind, uint64_t client, struct bytes body)
{
	const struct route *r = route_of(me, kind);
	struct mail head = { .kind = (uint16_t)kind, .client = client };
	struct why why;

	if (!r)
		return denied(me, kind, &why);
	return post(me, r->to & only, &head, NULL, NULL, body, &why);
}

/* Tells the world when the next deadline is, when it is sooner than what it knows. */
static void arm(struct house *h, uint64_t deadline)
{
	if (deadline >= h->wake_at)
		return;
	h->wake_at = deadline;
	h->setup.world.wake_at(h->setup.world.ctx, deadline);
}

static struct open_ask *open_ask(
	struct actor *me, unsigned kind, uint64_t deadline_ms, void *fn, bool packed, uint64_t ctx)
{
	struct house *h = me->house;
	uint64_t deadline =
		deadline_ms ? h->setup.world.now(h->setup.world.ctx) + deadline_ms : UINT64_MAX;
	struct open_ask *o = asks_open(&h->asks, deadline);

	if (!o)
		return NULL;
	o->fn = fn;
	o->packed = packed;
	o->ctx = ctx;
	o->kind = (uint16_t)kind;
	o->asker = (uint8_t)me->index;
	arm(h, deadline);
	return o;
}

/* The answer that an ask gets when its letter could not be sent: by mail, like every answer. */
static void return_to_sender(struct actor *me, struct open_ask *o, const struct why *why)
{
	refuse(me, (struct reply_to){ o->serial, (uint8_t)me->index, o->kind }, why);
}

void ask(struct actor *me, unsigned kind, const void *body, uint64_t deadline_ms, answer_fn *fn,
	uint64_t ctx)
{
	const struct route *r = route_of(me, kind);
	struct open_ask *o = open_ask(me, kind, deadline_ms, (void *)fn, false, ctx);
	struct mail head = { .kind = (uint16_t)kind };
	struct why why;

	must(o); /* the gate leaves a quarter of the slots to the actors themselves */
	must(deadline_ms > 0);
	head.serial = o->serial;
	if (!r)
		denied(me, kind, &why);
	else if (post(me, r->to, &head, me->house->setup.kinds[kind].in, body, (struct bytes){ 0 },
			 &why) == OK)
		return;
	return_to_sender(me, o, &why);
}

enum err ask_packed(struct actor *me, uint32_t only, unsigned kind, uint64_t client,
	struct bytes body, uint64_t deadline_ms, packed_answer_fn *fn, uint64_t ctx,
	struct why *why)
{
	const struct route *r = route_of(me, kind);
	struct mail head = { .kind = (uint16_t)kind, .client = client };
	struct asks *asks = &me->house->asks;
	struct open_ask *o;
	enum err e;

	if (!r)
		return denied(me, kind, why);
	if (asks->open_n >= asks->max / 4 * 3)
		return fail(why, ERR_busy, "too many requests are open");
	o = open_ask(me, kind, deadline_ms, (void *)fn, true, ctx);
	must(o);
	head.serial = o->serial;
	must(__builtin_popcount(r->to & only) == 1);
	e = post(me, r->to & only, &head, NULL, NULL, body, why);
	if (e)
		asks_close(asks, o);
	return e;
}

static void reply(struct actor *me, struct reply_to to, uint8_t what, const struct shape *shape,
	const void *body, struct bytes packed)
{
	struct mail head = { .kind = to.kind, .serial = to.serial, .what = what };
	struct why why;

	if (to.serial == 0)
		return;
	head.from = (uint8_t)me->index;
	if (put(&me->house->actors[to.actor], &head, shape, body, packed, true, &why))
		log_line(LOG_ERROR, me->class->name, "answer lost", "letter",
			me->house->setup.kinds[to.kind].method, "why", why.text, NULL);
}

void answer(struct actor *me, struct reply_to to, const void *result)
{
	reply(me, to, MAIL_ANSWER, me->house->setup.kinds[to.kind].out, result,
		(struct bytes){ 0 });
}

void refuse(struct actor *me, struct reply_to to, const struct why *why)
{
	own_buf b = { .max = 8 * KiB };
	msgpack_packer pk = packer_on(&b);

	if (to.serial == 0)
		return;
	error_pack(&pk, why);
	reply(me, to, MAIL_REFUSAL, NULL, NULL, (struct bytes){ b.p, b.n });
}

bool mail_full(struct actor *me, uint32_t actors)
{
	for (unsigned i = 0; i < me->house->setup.actors; i++) {
		const struct mailbox *m = &me->house->actors[i].mail;

		if ((actors >> i & 1) && (m->count + TURN_LETTERS >= m->count_max ||
						 m->filling.n >= MAIL_BYTES_MAX / 2))
			return true;
	}
	return false;
}

/* Receiving. */

static void deliver_letter(struct actor *a, const struct mail *head, struct bytes packed)
{
	struct house *h = a->house;
	const struct letter_kind *kind = &h->setup.kinds[head->kind];
	struct letter l = { .kind = head->kind,
		.from = head->from,
		.client = head->client,
		.reply = { head->serial, head->from, head->kind },
		.packed = packed,
		.arena = &h->arena };
	struct why why;
	void *body;

	must(a->on[head->kind]);
	body = arena_take(&h->arena, MAX(kind->in->size, 1u));
	if (!body) {
		fail(&why, ERR_no_memory, "no memory to read %s", kind->method);
		refuse(a, l.reply, &why);
		return;
	}
	if (shape_read(kind->in, mp_over(packed.p, packed.n), STRICT, &h->arena, body, &why)) {
		log_line(LOG_DEBUG, a->class->name, "letter refused", "letter", kind->method,
			"field", why.field, "why", why.text, NULL);
		refuse(a, l.reply, &why);
		return;
	}
	a->on[head->kind](a->state, &l, body);
}

static void deliver_answer(struct actor *a, const struct mail *head, struct bytes packed)
{
	struct house *h = a->house;
	struct open_ask *o = asks_find(&h->asks, head->serial);
	const struct shape *shape;
	struct open_ask was;
	struct why why;
	void *result = NULL;
	bool good = head->what == MAIL_ANSWER;

	if (!o)
		return; /* it was late: the asker has heard of the time-out */
	was = *o;
	asks_close(&h->asks, o);
	if (!good)
		error_read(packed, &why);
	if (was.packed) {
		((packed_answer_fn *)was.fn)(a->state, was.ctx, good ? NULL : &why, packed);
		return;
	}
	shape = h->setup.kinds[was.kind].out;
	if (good) {
		result = arena_take(&h->arena, MAX(shape->size, 1u));
		if (!result)
			good = fail(&why, ERR_no_memory, "no memory to read an answer") == OK;
		else if (shape_read(shape, mp_over(packed.p, packed.n), STRICT, &h->arena, result,
				 &why))
			good = false;
	}
	((answer_fn *)was.fn)(
		a->state, was.ctx, good ? NULL : &why, good ? result : NULL, &h->arena);
}

static void trace(const struct actor *a, const struct mail *head)
{
	static const char *const what[] = {
		[MAIL_LETTER] = "letter", [MAIL_ANSWER] = "answer", [MAIL_REFUSAL] = "refusal"
	};

	log_line(LOG_DEBUG, a->class->name, what[head->what], "method",
		a->house->setup.kinds[head->kind].method, "from",
		a->house->setup.classes[head->from]->name, "client",
		head->client ? log_u64(head->client).s : NULL, NULL);
}

static void handle(struct actor *a, const struct mail *head, struct bytes body)
{
	if (log_wants(LOG_DEBUG))
		trace(a, head);
	a->handled++;
	if (head->what == MAIL_LETTER)
		deliver_letter(a, head, body);
	else
		deliver_answer(a, head, body);
	arena_reset(&a->house->arena);
#ifdef DEV_CHECKS
	if (a->class->verify)
		a->class->verify(a->state);
#endif
}

bool house_turn(struct house *h)
{
	bool more = false;

	for (unsigned i = 0; i < h->setup.actors; i++) {
		struct actor *a = &h->actors[i];
		struct mail head;
		struct bytes body;

		for (int n = 0; n < TURN_LETTERS && mailbox_take(&a->mail, &head, &body); n++)
			handle(a, &head, body);
	}
	for (unsigned i = 0; i < h->setup.actors; i++)
		if (h->actors[i].class->turn)
			h->actors[i].class->turn(h->actors[i].state);
	for (unsigned i = 0; i < h->setup.actors; i++)
		more |= h->actors[i].mail.count > 0;
	if (h->asks.open_n == 0 && h->wake_at != UINT64_MAX) {
		/* nothing is due: no deadline of the past wakes an idle loop */
		h->wake_at = UINT64_MAX;
		h->setup.world.wake_at(h->setup.world.ctx, UINT64_MAX);
	}
	return more;
}

void house_deadlines(struct house *h)
{
	uint64_t now = h->setup.world.now(h->setup.world.ctx);
	struct open_ask *o;

	h->wake_at = UINT64_MAX;
	while ((o = asks_first(&h->asks)) != NULL && o->deadline <= now) {
		struct open_ask was = *o;
		struct actor *a = &h->actors[was.asker];
		struct why why;

		asks_close(&h->asks, o);
		fail(&why, ERR_timeout, "no answer to %s in time", h->setup.kinds[was.kind].method);
		if (was.packed)
			((packed_answer_fn *)was.fn)(a->state, was.ctx, &why, (struct bytes){ 0 });
		else
			((answer_fn *)was.fn)(a->state, was.ctx, &why, NULL, &h->arena);
		arena_reset(&h->arena);
	}
	o = asks_first(&h->asks);
	if (o && o->deadline != UINT64_MAX)
		arm(h, o->deadline);
}

void house_give_up(struct house *h, const struct why *why)
{
	for (uint32_t i = 0; i < h->asks.max; i++) {
		struct open_ask was = h->asks.slots[i];

		if (was.serial == 0 || !was.packed)
			continue;
		asks_close(&h->asks, &h->asks.slots[i]);
		((packed_answer_fn *)was.fn)(
			h->actors[was.asker].state, was.ctx, why, (struct bytes){ 0 });
	}
}

unsigned house_counts(struct actor *me, struct actor_counts *ret, unsigned max)
{
	unsigned n = MIN(max, me->house->setup.actors);

	for (unsigned i = 0; i < n; i++) {
		struct actor *a = &me->house->actors[i];

		ret[i] = (struct actor_counts){ a->class->name, a->handled, a->refused,
			a->mail.count, a->mail.peak };
	}
	return n;
}
