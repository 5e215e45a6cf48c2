/*
 * visitors.c - programs of the host that come in at forwarded ports: they send, end their half or
 * leave in the middle, read slowly or not at all. What comes back is never more than was
 * sent, but for an agent that the seed makes greedy.
 */
#include "tests/sim/sim.h"

struct visitor {
	TAILQ_ENTRY(visitor) entry;
	struct sim *s;
	struct chan *chan;
	uint64_t sent, came;
};

static void visitor_free(struct visitor *v)
{
	TAILQ_REMOVE(&v->s->visitors, v, entry);
	sim_forget(v->s, v);
	chan_close(v->chan);
	free(v);
}

static size_t on_data(void *ctx, const uint8_t *p UNUSED, size_t n)
{
	struct visitor *v = ctx;

	v->came += n;
	if (v->came > v->sent && v->s->weather.rude == 0)
		sim_fail(v->s, "more came out of a forwarded port than went in");
	if (v->came == v->sent)
		sim_mark(v->s, MARK_forwarded);
	return n;
}

static void on_closed(void *ctx, const struct why *why UNUSED)
{
	visitor_free(ctx);
}

static const struct chan_user user = { .data = on_data, .closed = on_closed };

static void leave(void *ctx, uint64_t arg UNUSED)
{
	visitor_free(ctx);
}

static void say_more(void *ctx, uint64_t left)
{
	static const uint8_t bytes[CHAN_TURN_BYTES];
	struct visitor *v = ctx;
	struct sim *s = v->s;
	size_t n = sim_between(s, 1, sizeof(bytes));

	if (chan_pending(v->chan) < MiB) {
		v->sent += n;
		chan_write(v->chan, bytes, n);
	}
	chan_pause(v->chan, left > 0 && sim_chance(s, 200));
	if (left > 0)
		sim_after(s, sim_roll(s, 400), say_more, v, left - 1);
	else if (sim_chance(s, 600))
		chan_finish(v->chan);
}

static void come_in(struct sim *s)
{
	struct chan *c = host_connect_tcp(s, 0);
	struct visitor *v = c ? calloc(1, sizeof(*v)) : NULL;

	if (!v)
		return;
	v->s = s;
	v->chan = c;
	chan_user_set(c, &user, v);
	TAILQ_INSERT_TAIL(&s->visitors, v, entry);
	say_more(v, sim_roll(s, 12));
	if (sim_chance(s, 400))
		sim_after(s, sim_roll(s, 20000), leave, v, 0);
}

static void come_and_go(void *ctx, uint64_t arg UNUSED)
{
	struct sim *s = ctx;

	if (s->calm)
		return;
	for (uint64_t n = sim_chance(s, 20) ? 200 : 1; n > 0; n--)
		come_in(s);
	sim_after(s, sim_between(s, 50, 3000), come_and_go, s, 0);
}

void visitors_begin(struct sim *s)
{
	sim_after(s, sim_roll(s, 3000), come_and_go, s, 0);
}

void visitors_end(struct sim *s)
{
	while (!TAILQ_EMPTY(&s->visitors))
		visitor_free(TAILQ_FIRST(&s->visitors));
}
