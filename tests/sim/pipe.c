/*
 * pipe.c - connections in memory: two channels, each with what a socket would keep for its reader.
 *
 * Bytes arrive late and in pieces as the seed says, in order always. An end that is closed loses
 * what it had not sent; its peer reads what had arrived, then the end. A reader who pauses fills
 * its buffer, and then the writer's own grows.
 */
#include "tests/sim/sim.h"

static void deliver(void *ctx, uint64_t arg);
static void carry(void *ctx, uint64_t arg);

static uint64_t delay(struct sim *s)
{
	return s->weather.delays && sim_chance(s, 100) ? sim_between(s, 1, 40) : sim_roll(s, 2);
}

static void deliver_soon(struct pipe_end *e)
{
	if (e->delivering || e->c.ended)
		return;
	e->delivering = true;
	sim_after(e->sim, delay(e->sim), deliver, e, 0);
}

static void carry_soon(struct pipe_end *e)
{
	if (e->carrying || e->c.ended)
		return;
	e->carrying = true;
	sim_after(e->sim, 0, carry, e, 0);
}

static size_t piece(struct sim *s, size_t n)
{
	return n > 1 && s->weather.cuts && sim_chance(s, 200) ? sim_between(s, 1, n) : n;
}

/* From an end's own buffer into its peer's. What is scheduled comes first: the user may close. */
static void carry(void *ctx, uint64_t arg UNUSED)
{
	struct pipe_end *e = ctx;
	struct why why;
	size_t n;

	e->carrying = false;
	if (e->c.out.failed) {
		fail(&why, ERR_too_large, "the peer does not read what is sent to it");
		chan_end(&e->c, &why);
		return;
	}
	if (!e->peer || e->said_eof) {
		chan_drop(&e->c, e->c.out.n);
		return;
	}
	n = MIN(e->c.out.n, PIPE_BYTES - e->peer->rx.n);
	if (!e->world || !e->world->last_words)
		n = piece(e->sim, n);
	buf_add(&e->peer->rx, e->c.out.p, n);
	must(!e->peer->rx.failed);
	if (e->c.finishing && n == e->c.out.n)
		e->said_eof = e->peer->eof = true;
	if (n > 0 || e->said_eof)
		deliver_soon(e->peer);
	if (n > 0 && n < e->c.out.n)
		carry_soon(e);
	chan_drop(&e->c, n);
}

static void deliver(void *ctx, uint64_t arg UNUSED)
{
	struct pipe_end *e = ctx;
	struct why why = { .code = OK };
	uint8_t bytes[CHAN_TURN_BYTES];
	size_t n = piece(e->sim, MIN(e->rx.n, sizeof(bytes)));

	e->delivering = false;
	if (e->c.paused)
		return;
	if (n == 0 && (e->c.in.n == 0 || !e->resumed)) {
		if (e->reset)
			fail(&why, ERR_unavailable, "reading: connection reset");
		if (e->eof)
			chan_end(&e->c, &why);
		return;
	}
	e->resumed = false;
	memcpy(bytes, e->rx.p ? e->rx.p : bytes, n);
	buf_drop(&e->rx, n);
	if (e->peer && e->peer->c.out.n)
		carry_soon(e->peer);
	if (e->rx.n || e->eof)
		deliver_soon(e);
	chan_feed(&e->c, bytes, n);
}

static void on_write(struct chan *c)
{
	struct pipe_end *e = (struct pipe_end *)c;

	if (e->world && e->world->last_words && !e->world->dead)
		carry(e, 0);
	else if (!e->world || !e->world->dead)
		carry_soon(e);
}

static void on_pause(struct chan *c, bool paused)
{
	struct pipe_end *e = (struct pipe_end *)c;

	if (paused)
		return;
	e->resumed = true; /* what the user left is given again */
	deliver_soon(e);
}

static void on_close(struct chan *c)
{
	struct pipe_end *e = (struct pipe_end *)c;
	struct pipe_end *peer = e->peer;

	if (peer) {
		peer->peer = NULL;
		peer->eof = true;
		peer->reset = e->rx.n > 0;
		if (peer->c.out.n)
			carry_soon(peer);
		deliver_soon(peer);
	}
	sim_forget(e->sim, e);
	buf_done(&e->rx);
	chan_done(c);
	e->sim->ends--;
	if (e->world)
		e->world->chans--;
	free(e);
}

static const struct chan_ops ops = { on_write, on_pause, on_close };

static size_t keep_all(void *ctx UNUSED, const uint8_t *p UNUSED, size_t n UNUSED)
{
	return 0;
}

static void ignore_end(void *ctx UNUSED, const struct why *why UNUSED)
{
}

static const struct chan_user nobody = { keep_all, NULL, ignore_end };

void pipe_pair(struct sim *s, struct world *near_world, struct pipe_end *ret[2])
{
	for (int i = 0; i < 2; i++) {
		struct pipe_end *e = calloc(1, sizeof(*e));

		must(e);
		chan_init(&e->c, &ops, &nobody, NULL);
		e->sim = s;
		buf_init(&e->rx, PIPE_BYTES);
		ret[i] = e;
		s->ends++;
	}
	ret[0]->peer = ret[1];
	ret[1]->peer = ret[0];
	ret[0]->world = near_world;
	if (near_world)
		near_world->chans++;
}
