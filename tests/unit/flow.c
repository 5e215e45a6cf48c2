/*
 * unit/flow.c - the engine of operations with a host of its own: time, journal and steps are here,
 * so that each order of answers can be tried. In the log, small letters are acts, capitals undos.
 */
#include "tests/unit/unit.h"

#include "flow/flow.h"

enum { STEPS = 3, WRITES_MAX = 8, ROUNDS_MAX = 200 };

struct world {
	uint64_t now;
	struct wtimer *timers;
};

struct rig {
	struct world w;
	struct flow f;
	struct flow_host host;
	char log[256];
	unsigned writes, fail_write; /* journal writes so far; the one that fails, 0 for none */
	unsigned pending[WRITES_MAX], pending_n; /* what each unanswered write would leave */
	unsigned disk; /* steps that the journal on disk covers */
	enum flow_said said[STEPS];
	unsigned act_fails[STEPS], undo_fails[STEPS]; /* times */
	bool undo_waits;
	bool live[STEPS], ended, ended_well;
	struct why why;
	uint64_t rests[WRITES_MAX];
	unsigned rests_n;
};

uint64_t world_now_ms(struct world *w)
{
	return w->now;
}

void world_timer_stop(struct wtimer *t)
{
	if (!t->sim_at)
		return;
	for (struct wtimer **at = &t->w->timers; *at; at = &(*at)->sim_next)
		if (*at == t) {
			*at = t->sim_next;
			break;
		}
	t->sim_at = 0;
}

void world_timer(struct world *w, struct wtimer *t, uint64_t ms, void (*fn)(void *), void *ctx)
{
	struct rig *r = CONTAINER_OF(w, struct rig, w);

	world_timer_stop(t);
	t->w = w;
	t->fn = fn;
	t->ctx = ctx;
	t->sim_at = w->now + ms + 1;
	t->sim_next = w->timers;
	w->timers = t;
	if (t == &r->f.retry && r->rests_n < WRITES_MAX)
		r->rests[r->rests_n++] = ms;
}

/* The earliest timer fires; false when there is none. */
static bool pass_time(struct world *w)
{
	struct wtimer *first = w->timers;

	for (struct wtimer *t = first; t; t = t->sim_next)
		first = t->sim_at < first->sim_at ? t : first;
	if (!first)
		return false;
	w->now = first->sim_at;
	world_timer_stop(first);
	first->fn(first->ctx);
	return true;
}

static void note(struct rig *r, char c)
{
	size_t n = strlen(r->log);

	assert_true(n + 1 < sizeof(r->log));
	r->log[n] = c;
}

static enum flow_said act(void *owner, struct flow *f)
{
	struct rig *r = owner;
	unsigned i = f->at;

	note(r, (char)('a' + i));
	assert_true(r->disk > i); /* the journal on disk says that it may act */
	r->live[i] = true;
	if (r->act_fails[i] > 0) {
		r->act_fails[i]--;
		fail(&f->why, ERR_guest_failed, "it would not");
		return FLOW_FAILED;
	}
	if (r->said[i] == FLOW_FAILED)
		fail(&f->why, ERR_guest_failed, "it would not");
	return r->said[i];
}

static enum flow_said undo(void *owner, struct flow *f)
{
	struct rig *r = owner;
	unsigned i = f->at;

	note(r, (char)('A' + i));
	for (unsigned above = i + 1; above < STEPS; above++)
		assert_false(r->live[above]);
	if (r->undo_fails[i] > 0) {
		r->undo_fails[i]--;
		return FLOW_FAILED;
	}
	r->live[i] = false;
	return r->undo_waits ? FLOW_WAIT : FLOW_DONE;
}

static const struct flow_step steps[STEPS] = {
	{ "one", act, undo, 0 }, { "two", act, undo, 2 }, { "three", act, undo, 0 }
};
static const struct flow_kind back = { "back", steps, STEPS, false };
static const struct flow_kind forward = { "forward", steps, STEPS, true };

static void on_journal(void *owner, struct flow *f, bool over)
{
	struct rig *r = owner;

	assert_true(r->pending_n < WRITES_MAX);
	r->pending[r->pending_n++] = over ? 0 : f->journaled;
}

static void on_news(void *owner UNUSED, struct flow *f, unsigned index, enum flow_news news UNUSED,
	uint64_t ms UNUSED)
{
	assert_true(index < f->kind->count);
}

static void on_ended(void *owner, struct flow *f UNUSED, const struct why *why)
{
	struct rig *r = owner;

	assert_false(r->ended);
	r->ended = true;
	r->ended_well = why == NULL;
	if (why)
		r->why = *why;
}

static void rig_init(struct rig *r)
{
	*r = (struct rig){ .host = { r, &r->w, on_journal, on_news, on_ended } };
}

/* The oldest write is answered. */
static void write_out(struct rig *r)
{
	bool bad = ++r->writes == r->fail_write;
	unsigned left = r->pending[0];
	struct why why;

	memmove(r->pending, r->pending + 1, sizeof(r->pending) - sizeof(r->pending[0]));
	r->pending_n--;
	if (bad)
		fail(&why, ERR_no_space, "the store is full");
	else
		r->disk = left;
	flow_written(&r->f, bad ? &why : NULL);
}

/* One thing happens that the flow waits for; false when there is nothing. */
static bool move_on(struct rig *r)
{
	if (r->ended)
		return false;
	if (r->pending_n > 0)
		write_out(r);
	else if (r->f.state == FLOW_ACTING || r->f.state == FLOW_UNDOING)
		flow_done(&r->f, flow_ticket(&r->f));
	else
		return pass_time(&r->w);
	return true;
}

static void run(struct rig *r)
{
	for (int i = 0; i < ROUNDS_MAX && move_on(r); i++)
		;
	assert_true(r->ended);
	assert_int_equal(r->f.state, FLOW_IDLE);
	assert_null(r->w.timers);
	for (unsigned i = 0; i < STEPS; i++)
		assert_int_equal(r->live[i], r->ended_well);
}

static void every_order(void **state UNUSED)
{
	static const char *const want[STEPS + 1] = { "aA", "abCBA", "abcCBA", "abc" };

	for (unsigned n = 0; n < 27; n++) {
		enum flow_said said[STEPS] = { n % 3, n / 3 % 3, n / 9 };
		unsigned failing = 0;
		struct rig r;

		while (failing < STEPS && said[failing] != FLOW_FAILED)
			failing++;
		for (int waits = 0; waits < 2; waits++) {
			rig_init(&r);
			memcpy(r.said, said, sizeof(said));
			r.undo_waits = waits;
			flow_start(&r.f, &back, &r.host, NULL, 7, 0);
			run(&r);
			check_row(str_eq(r.log, want[failing]), "%u: %s", n, r.log);
			assert_int_equal(r.ended_well, failing == STEPS);
			assert_int_equal(r.disk, 0);
			if (failing < STEPS)
				assert_int_equal(r.why.code, ERR_guest_failed);
		}
	}
}

static void waiting_step_fails(void **state UNUSED)
{
	struct rig r;
	struct why why;

	rig_init(&r);
	r.said[1] = FLOW_WAIT;
	flow_start(&r.f, &back, &r.host, NULL, 7, 0);
	while (r.f.state != FLOW_ACTING)
		assert_true(move_on(&r));
	fail(&why, ERR_vmm_failed, "it died");
	flow_fail(&r.f, flow_ticket(&r.f), &why);
	run(&r);
	assert_string_equal(r.log, "abCBA");
	assert_int_equal(r.why.code, ERR_vmm_failed);
}

/* Cancelled after each number of events, it ends with all or nothing. */
static void cancelled_anywhere(void **state UNUSED)
{
	for (unsigned when = 0; when < 12; when++) {
		struct why why;
		struct rig r;
		unsigned n = 0;

		rig_init(&r);
		r.said[0] = r.said[1] = r.said[2] = FLOW_WAIT;
		flow_start(&r.f, &back, &r.host, NULL, 7, 0);
		while (n < when && move_on(&r))
			n++;
		fail(&why, ERR_cancelled, "no more of it");
		if (!r.ended) {
			flow_cancel(&r.f, &why);
			flow_cancel(&r.f, &why);
		}
		run(&r);
		assert_true(r.ended_well || r.why.code == ERR_cancelled);
		assert_int_equal(r.disk, 0);
		if (when == 0)
			assert_false(r.ended_well);
	}
}

static void journal_fails_anywhere(void **state UNUSED)
{
	for (unsigned n = 1; n <= 8; n++) {
		struct rig r;

		rig_init(&r);
		r.fail_write = n;
		r.said[1] = FLOW_WAIT;
		flow_start(&r.f, &back, &r.host, NULL, 7, 0);
		run(&r);
		assert_int_equal(r.ended_well, n > r.writes);
		if (!r.ended_well)
			assert_int_equal(r.why.code, ERR_no_space);
	}
}

static void undo_is_tried_again(void **state UNUSED)
{
	struct rig r;

	rig_init(&r);
	r.said[2] = FLOW_FAILED;
	r.undo_fails[1] = 9;
	flow_start(&r.f, &back, &r.host, NULL, 7, 0);
	run(&r);
	assert_string_equal(r.log, "abcCBBBBBBBBBBA");
	assert_int_equal(r.rests_n, WRITES_MAX);
	for (unsigned i = 0; i < r.rests_n; i++)
		assert_int_equal(r.rests[i], MIN(500 << i, FLOW_RETRY_MS_MAX));
}

static void forward_only_goes_on(void **state UNUSED)
{
	struct why why;
	struct rig r;

	rig_init(&r);
	r.act_fails[0] = 1;
	r.act_fails[2] = 3;
	flow_start(&r.f, &forward, &r.host, NULL, 7, 0);
	fail(&why, ERR_cancelled, "no more of it");
	flow_cancel(&r.f, &why);
	run(&r);
	assert_string_equal(r.log, "aabcccc");
	assert_true(r.ended_well);
}

/* What never goes back waits for its journal, too, and is no failure when it came through. */
static void forward_only_waits_for_its_journal(void **state UNUSED)
{
	for (unsigned n = 1; n <= 4; n++) {
		struct rig r;

		rig_init(&r);
		r.fail_write = n;
		flow_start(&r.f, &forward, &r.host, NULL, 7, 0);
		run(&r);
		check_row(str_eq(r.log, "abc"), "%u: %s", n, r.log);
		check_row(r.ended_well, "%u: %s", n, r.why.text);
	}
}

static void recovered_from_everywhere(void **state UNUSED)
{
	static const char *const want[STEPS + 2] = { "", "A", "BA", "CBA", "CBA" };

	for (unsigned at = 0; at < COUNT(want); at++) {
		struct why why;
		struct rig r;

		fail(&why, ERR_unavailable, "the daemon was started anew");
		rig_init(&r);
		r.disk = at;
		flow_recover(&r.f, &back, &r.host, NULL, 7, at, &why);
		run(&r);
		check_row(str_eq(r.log, want[at]), "%u: %s", at, r.log);
		assert_int_equal(r.why.code, ERR_unavailable);
		assert_int_equal(r.disk, 0);

		rig_init(&r);
		r.disk = MIN(at, (unsigned)STEPS);
		flow_recover(&r.f, &forward, &r.host, NULL, 7, at, &why);
		run(&r);
		check_row(str_eq(r.log, "abc"), "%u: %s", at, r.log);
		assert_true(r.ended_well);
	}
}

static void late_answers_are_ignored(void **state UNUSED)
{
	struct why why;
	struct rig r;
	uint32_t old;

	rig_init(&r);
	r.said[0] = r.said[1] = FLOW_WAIT;
	flow_start(&r.f, &back, &r.host, NULL, 7, 0);
	assert_true(move_on(&r));
	assert_int_equal(r.f.state, FLOW_ACTING);
	old = flow_ticket(&r.f);
	flow_done(&r.f, old);
	flow_done(&r.f, old);
	assert_int_equal(r.f.at, 1);
	assert_true(move_on(&r));
	assert_string_equal(r.log, "ab");
	fail(&why, ERR_vmm_failed, "it died");
	flow_fail(&r.f, old, &why);
	flow_done(&r.f, old);
	assert_int_equal(r.f.state, FLOW_ACTING);
	old = flow_ticket(&r.f);
	flow_cancel(&r.f, &why);
	flow_done(&r.f, old);
	assert_int_equal(r.f.state, FLOW_TURNING);
	run(&r);
	assert_string_equal(r.log, "abCBA");
}

static void deadline_turns_it(void **state UNUSED)
{
	struct rig r;

	rig_init(&r);
	r.said[1] = FLOW_WAIT;
	flow_start(&r.f, &back, &r.host, NULL, 7, 1000);
	while (r.f.state != FLOW_ACTING)
		assert_true(move_on(&r));
	assert_true(pass_time(&r.w));
	run(&r);
	assert_string_equal(r.log, "abCBA");
	assert_int_equal(r.why.code, ERR_timeout);
	assert_non_null(strstr(r.why.text, "two"));

	rig_init(&r); /* in time: the deadline is gone with it */
	flow_start(&r.f, &back, &r.host, NULL, 7, 1000);
	run(&r);
	assert_true(r.ended_well);
	assert_int_equal(r.w.now, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(every_order),
		TEST(waiting_step_fails),
		TEST(cancelled_anywhere),
		TEST(journal_fails_anywhere),
		TEST(undo_is_tried_again),
		TEST(forward_only_goes_on),
		TEST(forward_only_waits_for_its_journal),
		TEST(recovered_from_everywhere),
		TEST(late_answers_are_ignored),
		TEST(deadline_turns_it),
	};

	return RUN(tests);
}
