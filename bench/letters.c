/*
 * letters.c - what a letter between actors costs: two actors of one house, without a daemon.
 *
 *	letters ask N	round trips, one after the other
 *	letters tell N	one way, a turn's worth at a time
 *
 * Prints nanoseconds a letter: packed, checked, handed over, checked again, handled. The letters
 * are real ones (image.drop, stream.credit), so that what is measured is what the daemon pays.
 */
#include <stdio.h>
#include <time.h>

#include "actor/actor.h"
#include "base/text.h"
#include "proto/proto.h"

enum { WRITER, READER, BOTH, DEADLINE_MS = 60000 };

struct goal {
	uint64_t letters, seen;
	bool by_asking;
};

struct side {
	struct actor *me;
	struct goal *goal;
	uint64_t sent;
};

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static uint64_t now_ms(void *ctx UNUSED)
{
	return now_ns() / 1000000;
}

static void wake_at(void *ctx UNUSED, uint64_t ms UNUSED)
{
}

static void ask_next(struct side *s);

static void on_answer(void *state, uint64_t ctx UNUSED, const struct why *why,
	const void *result UNUSED, struct arena *arena UNUSED)
{
	struct side *s = state;

	must(!why);
	s->goal->seen++;
	ask_next(s);
}

static void ask_next(struct side *s)
{
	struct image_drop drop = { .vm = "k3x9q2" };

	if (s->goal->seen < s->goal->letters)
		ask(s->me, LETTER_image_drop, &drop, DEADLINE_MS, on_answer, 0);
}

static void on_drop(void *state, const struct letter *l, const void *body)
{
	const struct image_drop *drop = body;
	struct side *s = state;
	struct nothing done;

	must(drop->vm[0]);
	answer(s->me, l->reply, &done);
}

static void on_credit(void *state, const struct letter *l UNUSED, const void *body)
{
	const struct stream_credit *credit = body;
	struct side *s = state;

	must(credit->bytes > 0);
	s->goal->seen++;
}

static void writer_turn(void *state)
{
	struct stream_credit credit = { .stream = 7, .ch = 1, .bytes = 32768 };
	struct side *s = state;

	if (s->goal->by_asking)
		return;
	for (int i = 0; i < TURN_LETTERS && s->sent < s->goal->letters; i++, s->sent++)
		must(tell(s->me, LETTER_stream_credit, &credit) == OK);
}

static enum err side_open(void *state, struct actor *me, void *env, struct why *why UNUSED)
{
	struct side *s = state;

	s->me = me;
	s->goal = env;
	return OK;
}

static enum err writer_open(void *state, struct actor *me, void *env, struct why *why)
{
	enum err e = side_open(state, me, env, why);

	if (!e && ((struct goal *)env)->by_asking)
		ask_next(state);
	return e;
}

static void side_close(void *state UNUSED)
{
}

static const struct handler none[] = { { 0, NULL } };
static const struct handler reads[] = {
	{ LETTER_image_drop, on_drop },
	{ LETTER_stream_credit, on_credit },
	{ 0, NULL },
};

static const struct actor_class writer = { .name = "writer",
	.state = sizeof(struct side),
	.mail = 4096,
	.on = none,
	.open = writer_open,
	.close = side_close,
	.turn = writer_turn };
static const struct actor_class reader = { .name = "reader",
	.state = sizeof(struct side),
	.mail = 4096,
	.on = reads,
	.open = side_open,
	.close = side_close };

static enum err measure(struct goal *goal, struct why *why)
{
	static const struct actor_class *const classes[BOTH] = { &writer, &reader };
	static const struct route routes[] = {
		{ LETTER_image_drop, 1 << READER, 1 << WRITER },
		{ LETTER_stream_credit, 1 << READER, 1 << WRITER },
	};
	struct house_setup setup = { .classes = classes,
		.actors = BOTH,
		.routes = routes,
		.routes_n = COUNT(routes),
		.kinds = letter_kinds,
		.kinds_n = LETTER_COUNT,
		.world = { now_ms, wake_at, NULL },
		.env = goal };
	struct house *h;
	uint64_t began;
	enum err e = house_new(&setup, &h, why);

	if (e)
		return e;
	began = now_ns();
	e = house_open(h, why);
	while (!e && goal->seen < goal->letters)
		house_turn(h);
	printf("%.2f\n", (double)(now_ns() - began) / (double)goal->letters);
	house_free(h);
	return e;
}

int main(int argc, char **argv)
{
	struct goal goal = { 0 };
	struct why why;

	if (argc != 3 || parse_u64(argv[2], &goal.letters, NULL) || goal.letters == 0) {
		fputs("usage: letters ask|tell N\n", stderr);
		return 2;
	}
	goal.by_asking = str_eq(argv[1], "ask");
	if (measure(&goal, &why)) {
		fprintf(stderr, "letters: %s\n", why.text);
		return 1;
	}
	return 0;
}
