/*
 * unit/house.c - three small actors under one roof: whatever is asked is answered once, whatever is
 * not allowed reaches nobody, and between letters the heap is flat.
 */
#include "tests/unit/unit.h"

#include "actor/actor.h"
#include "letter/pack.h"
#include "proto/proto.h"

size_t __sanitizer_get_current_allocated_bytes(void); /* gcc ships no header for it */

enum { ECHO, DEAF, NOTE, SECRET, KINDS, A = 0, B, C, ACTORS };

static const struct letter_kind kinds[KINDS] = {
	{ "t.echo", ASK, &shape_setting, &shape_setting, "says it back" },
	{ "t.deaf", ASK, &shape_setting, &shape_nothing, "is not answered" },
	{ "t.note", TELL, &shape_setting, &shape_nothing, "to several" },
	{ "t.secret", ASK, &shape_nothing, &shape_nothing, "nobody but C may ask" },
};

static const struct route routes[] = {
	{ ECHO, 1 << B, 1 << A | 1 << B },
	{ DEAF, 1 << B, 1 << A },
	{ NOTE, 1 << B | 1 << C, 1 << A | 1 << B | 1 << C },
	{ SECRET, 1 << B, 1 << C },
};

struct rig {
	struct house *house;
	struct actor *me[ACTORS];
	uint64_t now, wake_at;
	unsigned notes[ACTORS], answers, closed, to_send;
	char heard[64], last[64];
	uint64_t client;
	enum err code; /* of the last answer */
	unsigned order; /* of the last open or close */
	struct reply_to waiting;
};

struct state {
	struct rig *rig;
	unsigned who;
};

static enum err open_one(struct state *s, struct actor *me, struct rig *r, unsigned who)
{
	must(r->order++ == who);
	*s = (struct state){ r, who };
	r->me[who] = me;
	return OK;
}

#define OPEN(who)                                                                            \
	static enum err open_##who(void *s, struct actor *me, void *env, struct why *why UNUSED) \
	{                                                                                    \
		return open_one(s, me, env, who);                                            \
	}
OPEN(A)
OPEN(B)
OPEN(C)

static void close_one(void *p)
{
	struct state *s = p;

	must(--s->rig->order == s->who);
	s->rig->closed++;
}

static void on_echo(void *p, const struct letter *l, const void *body)
{
	struct state *s = p;
	const struct setting *said = body;

	if (str_eq(said->value, "no")) {
		struct why why;

		fail(&why, ERR_conflict, "not that");
		refuse(s->rig->me[s->who], l->reply, &why);
		return;
	}
	s->rig->client = l->client;
	answer(s->rig->me[s->who], l->reply, said);
}

static void on_deaf(void *p, const struct letter *l, const void *body UNUSED)
{
	((struct state *)p)->rig->waiting = l->reply;
}

/* Notes are kept in order; one that begins with a number sends as many again to itself. */
static void on_note(void *p, const struct letter *l, const void *body)
{
	struct state *s = p;
	const struct setting *said = body;
	char before[64];

	snprintf(before, sizeof(before), "%s", said->value);
	s->rig->notes[s->who]++;
	s->rig->client = l->client;
	if (s->who == B && s->rig->to_send > 0)
		for (unsigned n = s->rig->to_send--; n > 0; n--) {
			struct setting more = { .value = "more of it, to make the letters grow" };

			must(!tell_for(s->rig->me[B], 1 << B, NOTE, 0, &more));
		}
	must(str_eq(before, said->value)); /* what is being read did not move */
	snprintf(s->rig->heard, sizeof(s->rig->heard), "%s%s", s->rig->last, said->value);
	memcpy(s->rig->last, s->rig->heard, sizeof(s->rig->last));
}

static void on_secret(void *p, const struct letter *l, const void *body UNUSED)
{
	struct state *s = p;

	answer(s->rig->me[s->who], l->reply, &(struct nothing){});
}

static const struct handler on_a[] = { { 0, NULL } };
static const struct handler on_b[] = { { ECHO, on_echo }, { DEAF, on_deaf }, { NOTE, on_note },
	{ SECRET, on_secret }, { 0, NULL } };
static const struct handler on_c[] = { { NOTE, on_note }, { 0, NULL } };

static const struct actor_class class_a = { "a", sizeof(struct state), 256, on_a, open_A,
	close_one, NULL, NULL };
static const struct actor_class class_b = { "b", sizeof(struct state), 300, on_b, open_B,
	close_one, NULL, NULL };
static const struct actor_class class_c = { "c", sizeof(struct state), 256, on_c, open_C,
	close_one, NULL, NULL };
static const struct actor_class *const classes[ACTORS] = { &class_a, &class_b, &class_c };

static uint64_t now(void *ctx)
{
	return ((struct rig *)ctx)->now;
}

static void wake_at(void *ctx, uint64_t ms)
{
	((struct rig *)ctx)->wake_at = ms;
}

static int setup(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));
	struct house_setup s = { .classes = classes, .actors = ACTORS, .routes = routes,
		.routes_n = COUNT(routes), .kinds = kinds, .kinds_n = KINDS,
		.world = { now, wake_at, r }, .env = r };
	struct why why;

	assert_non_null(r);
	assert_int_equal(house_new(&s, &r->house, &why), OK);
	assert_int_equal(house_open(r->house, &why), OK);
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	house_free(r->house);
	assert_int_equal(r->closed, ACTORS);
	free(r);
	return 0;
}

static void run(struct rig *r)
{
	while (house_turn(r->house))
		;
}

static void on_answer(void *p, uint64_t ctx, const struct why *why, const void *result,
	struct arena *a UNUSED)
{
	struct rig *r = ((struct state *)p)->rig;
	const struct setting *said = result;

	assert_int_equal(ctx, 42);
	assert_true((why == NULL) != (said == NULL));
	r->answers++;
	r->code = why ? why->code : OK;
	if (said && said->value)
		snprintf(r->last, sizeof(r->last), "%s", said->value);
}

static void ask_of_b(struct rig *r, unsigned from, unsigned kind, const char *text)
{
	struct setting body = { .value = text };
	unsigned before = r->answers;

	ask(r->me[from], kind, &body, 1000, on_answer, 42);
	assert_int_equal(r->answers, before); /* never from inside */
}

static void asked_and_answered(void **state)
{
	struct rig *r = *state;

	ask_of_b(r, A, ECHO, "hello");
	run(r);
	assert_int_equal(r->answers, 1);
	assert_int_equal(r->code, OK);
	assert_string_equal(r->last, "hello");
	ask_of_b(r, A, ECHO, "no");
	run(r);
	assert_int_equal(r->answers, 2);
	assert_int_equal(r->code, ERR_conflict);
	ask_of_b(r, B, ECHO, "myself");
	run(r);
	assert_string_equal(r->last, "myself");
	assert_int_equal(r->answers, 3);
}

static void not_allowed(void **state)
{
	struct rig *r = *state;
	struct setting note = { .value = "x" };

	ask_of_b(r, A, SECRET, NULL);
	run(r);
	assert_int_equal(r->answers, 1);
	assert_int_equal(r->code, ERR_denied);
	ask_of_b(r, C, ECHO, "x");
	run(r);
	assert_int_equal(r->answers, 2);
	assert_int_equal(r->code, ERR_denied);
	assert_int_equal(tell(r->me[A], DEAF, &note), OK); /* allowed: nobody waits for an answer */
	assert_int_equal(tell(r->me[C], DEAF, &note), ERR_denied);
}

static void deadlines(void **state)
{
	struct rig *r = *state;
	struct setting late = { .value = "late" };

	ask_of_b(r, A, DEAF, "x");
	r->now = 500;
	ask_of_b(r, A, DEAF, "y");
	run(r);
	assert_int_equal(r->wake_at, 1000);
	r->now = 999;
	house_deadlines(r->house);
	assert_int_equal(r->answers, 0);
	r->now = 1000;
	house_deadlines(r->house);
	assert_int_equal(r->answers, 1);
	assert_int_equal(r->code, ERR_timeout);
	assert_int_equal(r->wake_at, 1500);
	r->now = 2000;
	house_deadlines(r->house);
	assert_int_equal(r->answers, 2);
	answer(r->me[B], r->waiting, &late); /* nobody waits any more */
	run(r);
	assert_int_equal(r->answers, 2);
}

static void masks_and_order(void **state)
{
	struct rig *r = *state;
	struct setting one = { .value = "1" }, two = { .value = "2" }, three = { .value = "3" };

	assert_int_equal(tell_for(r->me[A], 1 << C, NOTE, 77, &one), OK);
	run(r);
	assert_int_equal(r->notes[B], 0);
	assert_int_equal(r->notes[C], 1);
	assert_int_equal(r->client, 77);
	assert_int_equal(tell(r->me[A], NOTE, &two), OK);
	run(r);
	assert_int_equal(r->notes[B], 1);
	assert_int_equal(r->notes[C], 2);
	r->last[0] = '\0';
	assert_int_equal(tell_for(r->me[A], 1 << B, NOTE, 0, &one), OK);
	assert_int_equal(tell_for(r->me[A], 1 << B, NOTE, 0, &two), OK);
	assert_int_equal(tell_for(r->me[C], 1 << B, NOTE, 0, &three), OK);
	run(r);
	assert_string_equal(r->last, "123");
}

static void sends_to_itself_while_it_handles(void **state)
{
	struct rig *r = *state;
	struct setting one = { .value = "1" };

	r->to_send = 20;
	assert_int_equal(tell_for(r->me[A], 1 << B, NOTE, 0, &one), OK);
	run(r);
	assert_int_equal(r->notes[B], 1 + 20 * 21 / 2);
}

static void full_mailbox_is_an_answer(void **state)
{
	struct rig *r = *state;
	struct setting one = { .value = "1" };
	struct actor_counts counts[ACTORS];
	unsigned sent = 0;

	assert_false(mail_full(r->me[A], 1 << B));
	while (tell_for(r->me[A], 1 << B, NOTE, 0, &one) == OK)
		assert_int_equal(mail_full(r->me[A], 1 << B), ++sent + TURN_LETTERS >= 300);
	assert_int_equal(sent, 300);
	assert_false(mail_full(r->me[A], 1 << C));
	ask_of_b(r, A, ECHO, "x");
	assert_true(house_turn(r->house)); /* fair: a turn takes TURN_LETTERS of each */
	assert_int_equal(r->notes[B], TURN_LETTERS);
	run(r);
	assert_int_equal(r->answers, 1);
	assert_int_equal(r->code, ERR_busy);
	assert_int_equal(r->notes[B], 300);
	assert_int_equal(house_counts(r->me[A], counts, ACTORS), ACTORS);
	assert_int_equal(counts[B].handled, 300);
	assert_int_equal(counts[B].refused, 2);
	assert_int_equal(counts[B].queue_max, 300);
}

/* Who waits for it would wait for ever. */
static void last_word_passes_a_full_mailbox(void **state)
{
	struct rig *r = *state;
	struct setting one = { .value = "1" }, last = { .value = "2" };

	while (tell_for(r->me[A], 1 << B, NOTE, 0, &one) == OK)
		;
	tell_last(r->me[A], 1 << B, NOTE, 7, &last);
	tell_last(r->me[A], 1 << B, SECRET, 7, &(struct nothing){}); /* is not allowed */
	run(r);
	assert_int_equal(r->notes[B], 301);
	assert_int_equal(r->client, 7);
}

static void on_packed(void *p, uint64_t ctx, const struct why *why, struct bytes result)
{
	struct rig *r = ((struct state *)p)->rig;

	assert_int_equal(ctx, 43);
	r->answers++;
	r->code = why ? why->code : OK;
	assert_true(why || result.n > 0);
}

static enum err ask_packed_of_b(struct rig *r, struct bytes body, unsigned kind)
{
	struct why why;

	return ask_packed(r->me[A], 1 << B, kind, 9, body, 0, on_packed, 43, &why);
}

static void packed(void **state)
{
	struct rig *r = *state;
	struct setting said = { .value = "packed" };
	own_buf b = { .p = NULL };
	struct why why;

	assert_int_equal(shape_pack(&shape_setting, &said, &b, &why), OK);
	assert_int_equal(ask_packed_of_b(r, (struct bytes){ b.p, b.n }, ECHO), OK);
	run(r);
	assert_int_equal(r->answers, 1);
	assert_int_equal(r->code, OK);
	assert_int_equal(r->client, 9);
	/* bytes that are not what the letter says are refused before the handler */
	assert_int_equal(ask_packed_of_b(r, (struct bytes){ b.p, b.n - 1 }, ECHO), OK);
	assert_int_equal(ask_packed_of_b(r, BYTES("\x80"), ECHO), OK);
	assert_int_equal(ask_packed_of_b(r, BYTES("\x81\xa1x\xc0"), ECHO), OK);
	run(r);
	assert_int_equal(r->answers, 4);
	assert_int_equal(r->code, ERR_unknown_field);
	assert_int_equal(ask_packed_of_b(r, BYTES("\x80"), SECRET), ERR_denied);
	assert_int_equal(tell_packed(r->me[A], 1 << C, NOTE, 5, (struct bytes){ b.p, b.n }), OK);
	run(r);
	assert_int_equal(r->notes[C], 1);
	assert_int_equal(r->client, 5);
}

static void asks_have_a_ceiling(void **state)
{
	struct rig *r = *state;
	struct setting said = { .value = "x" };
	own_buf b = { .p = NULL };
	struct why why;
	unsigned open = 0;

	assert_int_equal(shape_pack(&shape_setting, &said, &b, &why), OK);
	while (ask_packed_of_b(r, (struct bytes){ b.p, b.n }, DEAF) == OK) {
		open++;
		run(r);
	}
	assert_int_equal(open, ASKS_MAX / 4 * 3);
	ask_of_b(r, A, ECHO, "still"); /* the actors' own */
	run(r);
	assert_string_equal(r->last, "still");
}

/* Every request from outside is answered, once, and no letter that waits is handled. */
static void gives_up(void **state)
{
	struct rig *r = *state;
	struct setting said = { .value = "x" };
	struct why why = { .code = ERR_unavailable };
	own_buf b = { .p = NULL };

	assert_int_equal(shape_pack(&shape_setting, &said, &b, &why), OK);
	for (int i = 0; i < 3; i++)
		assert_int_equal(ask_packed_of_b(r, (struct bytes){ b.p, b.n }, DEAF), OK);
	run(r);
	assert_int_equal(ask_packed_of_b(r, (struct bytes){ b.p, b.n }, ECHO), OK);
	ask_of_b(r, A, ECHO, "the actors' own");
	fail(&why, ERR_unavailable, "it ends");
	house_give_up(r->house, &why);
	assert_int_equal(r->answers, 4);
	assert_int_equal(r->code, ERR_unavailable);
	house_give_up(r->house, &why);
	assert_int_equal(r->answers, 4);
	assert_string_equal(r->last, "");
}

static void heap_is_flat(void **state)
{
	struct rig *r = *state;
	size_t before = 0;

	for (unsigned i = 0; i < 10000; i++) {
		ask_of_b(r, A, ECHO, i % 7 ? "a word" : "no");
		run(r);
		if (i == 100)
			before = __sanitizer_get_current_allocated_bytes();
	}
	assert_int_equal(r->answers, 10000);
	assert_int_equal(__sanitizer_get_current_allocated_bytes(), before);
}

#define IN_HOUSE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_HOUSE(asked_and_answered),
		IN_HOUSE(not_allowed),
		IN_HOUSE(deadlines),
		IN_HOUSE(masks_and_order),
		IN_HOUSE(sends_to_itself_while_it_handles),
		IN_HOUSE(full_mailbox_is_an_answer),
		IN_HOUSE(last_word_passes_a_full_mailbox),
		IN_HOUSE(packed),
		IN_HOUSE(asks_have_a_ceiling),
		IN_HOUSE(gives_up),
		IN_HOUSE(heap_is_flat),
	};

	return RUN(tests);
}
