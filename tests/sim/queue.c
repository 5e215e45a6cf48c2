/*
 * queue.c - virtual time: a heap of events by due time and seeded tie, chance from the seed, and
 * the trace of what happened.
 */
#include <stdarg.h>
#include <unistd.h>

#include "tests/sim/sim.h"

/* ---- chance: xorshift64* ---- */

uint64_t sim_random(struct sim *s)
{
	s->rng ^= s->rng >> 12;
	s->rng ^= s->rng << 25;
	s->rng ^= s->rng >> 27;
	return s->rng * 0x2545f4914f6cdd1d;
}

uint64_t sim_roll(struct sim *s, uint64_t n)
{
	return n > 1 ? (sim_random(s) >> 11) % n : 0;
}

uint64_t sim_between(struct sim *s, uint64_t lo, uint64_t hi)
{
	return lo + sim_roll(s, hi - lo + 1);
}

bool sim_chance(struct sim *s, unsigned in_a_thousand)
{
	return in_a_thousand && sim_roll(s, 1000) < in_a_thousand;
}

/* ---- the heap ---- */

static bool before(const struct sim_event *a, const struct sim_event *b)
{
	return a->at != b->at ? a->at < b->at : a->tie < b->tie;
}

static void sift_up(struct sim *s, uint32_t i)
{
	while (i > 0 && before(&s->queue[i], &s->queue[(i - 1) / 2])) {
		struct sim_event e = s->queue[i];

		s->queue[i] = s->queue[(i - 1) / 2];
		i = (i - 1) / 2;
		s->queue[i] = e;
	}
}

static void sift_down(struct sim *s)
{
	uint32_t i = 0;

	for (;;) {
		uint32_t least = i;
		struct sim_event e = s->queue[i];

		for (uint32_t j = 2 * i + 1; j <= 2 * i + 2 && j < s->queue_n; j++)
			if (before(&s->queue[j], &s->queue[least]))
				least = j;
		if (least == i)
			return;
		s->queue[i] = s->queue[least];
		s->queue[least] = e;
		i = least;
	}
}

void sim_after(struct sim *s, uint64_t ms, event_fn *fn, void *ctx, uint64_t arg)
{
	if (s->queue_n == s->queue_cap) {
		s->queue_cap = s->queue_cap ? s->queue_cap * 2 : 64;
		s->queue = realloc(s->queue, s->queue_cap * sizeof(*s->queue));
		must(s->queue);
	}
	s->queue[s->queue_n] = (struct sim_event){ s->now + ms, sim_random(s), fn, ctx, arg };
	sift_up(s, s->queue_n++);
}

void sim_forget(struct sim *s, const void *ctx)
{
	for (uint32_t i = 0; i < s->queue_n; i++)
		if (s->queue[i].ctx == ctx)
			s->queue[i].fn = NULL;
}

static struct sim_event take_first(struct sim *s)
{
	struct sim_event e = s->queue[0];

	s->queue[0] = s->queue[--s->queue_n];
	if (s->queue_n)
		sift_down(s);
	return e;
}

bool sim_step(struct sim *s, uint64_t until)
{
	uint64_t timer, deadline;
	struct sim_event e;

	while (s->queue_n && !s->queue[0].fn)
		take_first(s);
	timer = s->world ? world_next_timer(s->world) : UINT64_MAX;
	deadline = s->world ? s->world->deadlines_at : UINT64_MAX;
	timer = MIN(timer, deadline);
	if (timer != UINT64_MAX && (!s->queue_n || timer <= s->queue[0].at)) {
		if (timer > until)
			return false;
		s->now = MAX(s->now, timer);
		world_fire_timer(s->world);
	} else {
		if (!s->queue_n || s->queue[0].at > until)
			return false;
		e = take_first(s);
		s->now = e.at;
		e.fn(e.ctx, e.arg);
	}
	sim_mark(s, MARK_events);
	daemon_turn(s);
	return true;
}

/* ---- what is told ---- */

void sim_mark(struct sim *s, enum mark_id mark)
{
	s->marks[mark]++;
}

/* What the daemon logged since, each line behind the virtual time. */
static void pass_log_on(struct sim *s)
{
	char b[4096];
	ssize_t n;
	bool begins = true;

	while ((n = read(s->log_read, b, sizeof(b))) > 0)
		for (ssize_t i = 0; i < n; i++) {
			if (begins)
				printf("%9llu  ", (unsigned long long)s->now);
			putchar(b[i]);
			begins = b[i] == '\n';
		}
}

void sim_trace(struct sim *s, const char *who, const char *fmt, ...)
{
	va_list ap;

	if (!s->trace)
		return;
	pass_log_on(s);
	if (!fmt)
		return;
	printf("%9llu  %s: ", (unsigned long long)s->now, who);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
}

void sim_fail(struct sim *s, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(s->fault, sizeof(s->fault), fmt, ap);
	va_end(ap);
	sim_trace(s, "sim", "%s", s->fault);
	longjmp(s->over, 1);
}
