/*
 * unit/loop.c - timers, hooks, signals and bells: each once, in order, and none after it stopped.
 */
#include "tests/unit/unit.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "loop/loop.h"

struct note {
	char text[64];
	struct loop *l;
	unsigned n;
};

static void add(struct note *note, const char *s)
{
	strncat(note->text, s, sizeof(note->text) - strlen(note->text) - 1);
}

static void on_a(void *ctx)
{
	add(ctx, "a");
}

static void on_b(void *ctx)
{
	add(ctx, "b");
}

static void on_last(void *ctx)
{
	add(ctx, "!");
	loop_stop(((struct note *)ctx)->l);
}

static struct loop *make(void)
{
	struct loop *l;

	assert_int_equal(loop_new(&l, NULL), OK);
	return l;
}

static void timers_fire_once_in_order(void **state UNUSED)
{
	struct timer a = { .loop = NULL }, b = { .loop = NULL }, last = { .loop = NULL };
	struct note note = { .l = make() };

	timer_stop(&a);
	timer_start(note.l, &last, 30, on_last, &note);
	timer_start(note.l, &b, 20, on_b, &note);
	timer_start(note.l, &a, 500000, on_b, &note);
	timer_start(note.l, &a, 5, on_a, &note);
	loop_run(note.l);
	assert_string_equal(note.text, "ab!");
	timer_start(note.l, &a, 0, on_a, &note);
	timer_stop(&a);
	loop_turn(note.l, false);
	loop_turn(note.l, false);
	assert_string_equal(note.text, "ab!");
	loop_free(note.l);
	loop_free(NULL);
}

static bool hook_a(void *ctx)
{
	add(ctx, "a");
	return false;
}

static bool hook_b(void *ctx)
{
	struct note *note = ctx;

	add(note, "b");
	return ++note->n < 3;
}

/* A hook that asks for it gets another turn at once, though nothing else happens. */
static void hooks_run_in_order_and_ask_for_more(void **state UNUSED)
{
	struct turn_hook a, b;
	struct note note = { .l = make() };

	turn_hook_add(note.l, &a, hook_a, &note);
	turn_hook_add(note.l, &b, hook_b, &note);
	loop_turn(note.l, true);
	loop_turn(note.l, true);
	assert_string_equal(note.text, "abab");
	turn_hook_del(&a);
	turn_hook_del(&a);
	loop_turn(note.l, false);
	assert_string_equal(note.text, "ababb");
	turn_hook_del(&b);
	loop_turn(note.l, false);
	assert_string_equal(note.text, "ababb");
	loop_free(note.l);
}

static void on_signal(void *ctx, int signal)
{
	add(ctx, signal == SIGUSR1 ? "1" : "?");
}

static void signals_arrive_on_the_loop(void **state UNUSED)
{
	struct sigwatch w = { .loop = NULL };
	struct note note = { .l = make() };

	sigwatch_stop(&w);
	sigwatch_start(note.l, &w, SIGUSR1, on_signal, &note);
	loop_turn(note.l, false);
	kill(getpid(), SIGUSR1);
	for (int i = 0; i < 5; i++)
		loop_turn(note.l, false);
	assert_string_equal(note.text, "1");
	sigwatch_stop(&w);
	loop_free(note.l);
}

static void *ring(void *bell)
{
	bell_ring(bell);
	return NULL;
}

static void a_bell_wakes_the_loop(void **state UNUSED)
{
	struct note note = { .l = make() };
	struct bell bell;
	pthread_t thread;

	bell_start(note.l, &bell, on_last, &note);
	assert_int_equal(pthread_create(&thread, NULL, ring, &bell), 0);
	loop_run(note.l);
	pthread_join(thread, NULL);
	assert_string_equal(note.text, "!");
	bell_stop(&bell);
	bell_stop(&bell);
	loop_free(note.l);
}

static void a_loop_with_nothing_to_do_returns(void **state UNUSED)
{
	struct loop *l = make();

	loop_run(l);
	loop_turn(l, false);
	assert_true(loop_now_ms(l) > 0);
	loop_free(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = { TEST(timers_fire_once_in_order),
		TEST(hooks_run_in_order_and_ask_for_more), TEST(signals_arrive_on_the_loop),
		TEST(a_bell_wakes_the_loop), TEST(a_loop_with_nothing_to_do_returns) };

	return RUN(tests);
}
