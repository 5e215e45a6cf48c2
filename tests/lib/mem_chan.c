/*
 * mem_chan.c - the smallest carrier there can be, for fuzzing and torture of what stands on one.
 */
#include "tests/lib/mem_chan.h"

static size_t no_data(void *ctx UNUSED, const uint8_t *p UNUSED, size_t n)
{
	return n;
}

static void no_closed(void *ctx UNUSED, const struct why *why UNUSED)
{
}

static const struct chan_user nobody = { .data = no_data, .closed = no_closed };

static void mem_write(struct chan *c UNUSED)
{
}

static void mem_pause(struct chan *c, bool paused)
{
	((struct mem_chan *)c)->resumed = !paused;
}

static void mem_close(struct chan *c)
{
	((struct mem_chan *)c)->closed = true;
}

static const struct chan_ops mem_ops = {
	.write = mem_write,
	.pause = mem_pause,
	.close = mem_close,
};

void mem_chan_init(struct mem_chan *m, size_t sent_max)
{
	memset(m, 0, sizeof(*m));
	chan_init(&m->c, &mem_ops, &nobody, m);
	buf_init(&m->sent, sent_max);
}

void mem_chan_done(struct mem_chan *m)
{
	chan_done(&m->c);
	buf_done(&m->sent);
}

void mem_chan_feed(struct mem_chan *m, const uint8_t *p, size_t n)
{
	if (m->closed)
		return;
	if (m->resumed) {
		m->resumed = false;
		chan_feed(&m->c, NULL, 0);
	}
	if (!m->closed && n > 0)
		chan_feed(&m->c, p, n);
}

void mem_chan_flush(struct mem_chan *m)
{
	struct why why;

	if (m->closed || m->c.ended)
		return;
	if (m->c.out.failed) {
		fail(&why, ERR_too_large, "the peer does not read what is sent to it");
		chan_end(&m->c, &why);
		return;
	}
	if (m->c.out.n <= m->sent.max - m->sent.n)
		buf_add(&m->sent, m->c.out.p, m->c.out.n);
	chan_drop(&m->c, m->c.out.n);
}

void mem_chan_end(struct mem_chan *m)
{
	struct why why = { .code = OK };

	if (!m->closed)
		chan_end(&m->c, &why);
}
