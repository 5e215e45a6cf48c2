/*
 * chan_fd.c - channels over descriptors: non-blocking reads and writes on the loop.
 *
 * Reading takes at most CHAN_TURN_BYTES a turn, so that one busy peer cannot starve the others. A
 * channel that was written to is flushed once, at the end of the turn, and is watched for room only
 * when the kernel took less than all.
 */
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "loop/chan.h"
#include "loop/chan_list.h"

struct fd_chan {
	struct chan c;
	struct loop *loop;
	int in, out;
	struct watch readable, writable;
	bool resumed; /* leftovers wait to be given again after a pause */
	struct timer resume;
};

static void fd_close(struct chan *c);

static void fd_end(struct fd_chan *f, const char *doing, int e)
{
	struct why why = { .code = OK };

	watch_stop(&f->readable);
	watch_stop(&f->writable);
	if (e) {
		errno = e;
		fail_errno(&why, "%s", doing);
	}
	chan_end(&f->c, &why);
}

static void on_readable(void *ctx, int events UNUSED)
{
	struct fd_chan *f = ctx;
	uint8_t chunk[CHAN_TURN_BYTES];
	ssize_t n;

	do
		n = read(f->in, chunk, sizeof(chunk));
	while (n < 0 && errno == EINTR);
	if (n > 0) {
		chan_feed(&f->c, chunk, (size_t)n);
		return;
	}
	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return;
	fd_end(f, "reading", n < 0 ? errno : 0);
}

static void close_out(struct fd_chan *f)
{
	if (f->out < 0)
		return;
	if (f->out == f->in)
		shutdown(f->out, SHUT_WR);
	else
		close(f->out);
	f->out = -1;
}

/* What the peer said before it stopped reading is still to be read; its end comes behind that. */
static void write_failed(struct fd_chan *f, int e)
{
	watch_stop(&f->writable);
	close_out(f);
	if (f->in < 0)
		fd_end(f, "writing", e);
	else
		chan_drop(&f->c, f->c.out.n);
}

/* f->out is -1 after our direction has ended; what is written then goes nowhere. */
static void flush(struct fd_chan *f)
{
	struct chan *c = &f->c;
	size_t sent = 0;

	while (f->out >= 0 && sent < c->out.n) {
		ssize_t n = write(f->out, c->out.p + sent, c->out.n - sent);

		if (n >= 0) {
			sent += (size_t)n;
			continue;
		}
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN && errno != EWOULDBLOCK) {
			write_failed(f, errno);
			return;
		}
		if (!ev_is_active(&f->writable.ev))
			watch_start(f->loop, &f->writable, f->out, WATCH_WRITE, f->writable.fn, f);
		chan_drop(c, sent);
		return;
	}
	watch_stop(&f->writable);
	if (c->finishing)
		close_out(f);
	chan_drop(c, c->out.n);
}

static void on_writable(void *ctx, int events UNUSED)
{
	flush(ctx);
}

void chan_list_flush(struct chan_list *list)
{
	struct chan *c;

	while ((c = TAILQ_FIRST(list)) != NULL) {
		TAILQ_REMOVE(list, c, dirty);
		c->is_dirty = false;
		if (c->out.failed) {
			struct why why;

			fail(&why, ERR_too_large, "the peer does not read what is sent to it");
			chan_end(c, &why);
			continue;
		}
		if (!c->ended && !ev_is_active(&((struct fd_chan *)c)->writable.ev))
			flush((struct fd_chan *)c);
	}
}

static void fd_write(struct chan *c)
{
	struct fd_chan *f = (struct fd_chan *)c;
	struct chan_list *list = loop_dirty(f->loop);

	if (c->is_dirty)
		return;
	if (!list->tqh_last)
		TAILQ_INIT(list);
	c->is_dirty = true;
	TAILQ_INSERT_TAIL(list, c, dirty);
}

static void on_resume(void *ctx)
{
	struct fd_chan *f = ctx;

	f->resumed = false;
	if (!f->c.paused)
		chan_feed(&f->c, NULL, 0);
}

static void fd_pause(struct chan *c, bool paused)
{
	struct fd_chan *f = (struct fd_chan *)c;

	if (f->in < 0 || c->ended)
		return;
	if (paused) {
		watch_stop(&f->readable);
		return;
	}
	watch_start(f->loop, &f->readable, f->in, WATCH_READ, on_readable, f);
	if (c->in.n > 0)
		timer_start(f->loop, &f->resume, 0, on_resume, f);
}

static void fd_close(struct chan *c)
{
	struct fd_chan *f = (struct fd_chan *)c;

	if (c->is_dirty)
		TAILQ_REMOVE(loop_dirty(f->loop), c, dirty);
	watch_stop(&f->readable);
	watch_stop(&f->writable);
	timer_stop(&f->resume);
	if (f->out >= 0 && f->out != f->in)
		close(f->out);
	if (f->in >= 0)
		close(f->in);
	chan_done(c);
	free(f);
}

static const struct chan_ops fd_ops = { fd_write, fd_pause, fd_close };

static bool set_nonblocking(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	return flags >= 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0;
}

enum err chan_open(struct loop *l, int in, int out, const struct chan_user *user, void *ctx,
	struct chan **ret, struct why *why)
{
	struct fd_chan *f;

	if ((in >= 0 && !set_nonblocking(in)) || (out >= 0 && !set_nonblocking(out)))
		return fail_errno(why, "cannot prepare a channel");
	f = calloc(1, sizeof(*f));
	if (!f)
		return fail(why, ERR_no_memory, "no memory for a channel");
	chan_init(&f->c, &fd_ops, user, ctx);
	f->loop = l;
	f->in = in;
	f->out = out;
	f->writable.fn = on_writable;
	if (in >= 0)
		watch_start(l, &f->readable, in, WATCH_READ, on_readable, f);
	*ret = &f->c;
	return OK;
}

int chan_fd(const struct chan *c)
{
	return ((const struct fd_chan *)c)->in;
}
