/*
 * chan.c - what every channel does, whoever carries it: leftovers, ceilings, telling the user.
 *
 * A user may close its channel inside a callback; `busy` and `doomed` hold the memory until the
 * callback has returned.
 */
#include "loop/chan.h"

void chan_init(struct chan *c, const struct chan_ops *ops, const struct chan_user *user, void *ctx)
{
	memset(c, 0, sizeof(*c));
	c->ops = ops;
	c->user = user;
	c->ctx = ctx;
	c->in_max = CHAN_IN_MAX;
	c->out_max = CHAN_OUT_MAX;
	c->crowd = CHAN_OUT_MAX / 4;
	buf_init(&c->in, c->in_max);
	buf_init(&c->out, c->out_max);
}

void chan_done(struct chan *c)
{
	buf_done(&c->in);
	buf_done(&c->out);
}

void chan_user_set(struct chan *c, const struct chan_user *user, void *ctx)
{
	c->user = user;
	c->ctx = ctx;
}

void chan_let_half(struct chan *c, void (*half)(void *ctx))
{
	c->half = half;
}

void chan_end(struct chan *c, const struct why *why)
{
	bool outer = !c->busy, half = c->half && !c->halved && why->code == OK;

	if (c->ended || c->doomed)
		return;
	c->halved |= half;
	c->ended = !half;
	c->busy = true;
	if (half)
		c->half(c->ctx);
	else
		c->user->closed(c->ctx, why);
	if (outer) {
		c->busy = false;
		if (c->doomed)
			c->ops->close(c);
	}
}

static void overrun(struct chan *c, const char *what)
{
	struct why why;

	fail(&why, ERR_too_large, "%s", what);
	chan_end(c, &why);
}

/* Gives bytes to the user; answers how many it used. */
static size_t give(struct chan *c, const uint8_t *p, size_t n)
{
	size_t used, all = 0;

	while (n > 0 && !c->doomed && !c->ended && !c->paused) {
		used = c->user->data(c->ctx, p, n);
		must(used <= n);
		if (used == 0)
			break;
		p += used;
		n -= used;
		all += used;
	}
	return all;
}

void chan_feed(struct chan *c, const uint8_t *p, size_t n)
{
	bool outer = !c->busy;
	size_t used;

	if (c->ended || c->doomed)
		return;
	c->busy = true;
	if (c->in.n == 0) {
		used = give(c, p, n);
		if (!c->doomed && used < n)
			buf_add(&c->in, p + used, n - used);
	} else {
		buf_add(&c->in, p, n);
		buf_drop(&c->in, give(c, c->in.p, c->in.n));
	}
	if (c->in.failed && !c->doomed)
		overrun(c, "the peer sent more than may wait unread");
	if (outer)
		c->busy = false;
	if (outer && c->doomed) {
		c->ops->close(c);
		return;
	}
	if (c->in.n == 0 && c->in.cap > 4 * KiB)
		buf_done(&c->in); /* idle channels cost no buffer */
}

void chan_write(struct chan *c, const void *p, size_t n)
{
	if (c->ended || c->doomed || c->finishing)
		return;
	buf_add(&c->out, p, n);
	chan_wrote(c);
}

struct buf *chan_out(struct chan *c)
{
	return &c->out;
}

void chan_wrote(struct chan *c)
{
	if (c->ended || c->doomed)
		return;
	if (c->out.n > c->crowd)
		c->wants_drained = true;
	c->ops->write(c);
}

size_t chan_pending(const struct chan *c)
{
	return c->out.n;
}

bool chan_crowded(const struct chan *c)
{
	return c->out.n > c->crowd;
}

void chan_drop(struct chan *c, size_t n)
{
	bool outer = !c->busy;

	buf_drop(&c->out, n);
	if (c->out.n == 0 && c->out.cap > 4 * KiB)
		buf_done(&c->out);
	if (!c->wants_drained || chan_crowded(c) || c->ended || c->doomed)
		return;
	c->wants_drained = false;
	if (!c->user->drained)
		return;
	c->busy = true;
	c->user->drained(c->ctx);
	if (outer)
		c->busy = false;
	if (outer && c->doomed)
		c->ops->close(c);
}

void chan_pause(struct chan *c, bool paused)
{
	if (c->paused == paused || c->doomed)
		return;
	c->paused = paused;
	c->ops->pause(c, paused);
}

void chan_finish(struct chan *c)
{
	if (c->ended || c->doomed || c->finishing)
		return;
	c->finishing = true;
	c->ops->write(c);
}

void chan_close(struct chan *c)
{
	if (!c || c->doomed)
		return;
	c->doomed = true;
	if (!c->busy)
		c->ops->close(c);
}
