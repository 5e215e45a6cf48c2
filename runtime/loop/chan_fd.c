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

/* Descriptors on their way; in the order of their bytes. */
struct fd_queue {
	struct {
		size_t at; /* outgoing: the byte of c->out that it goes with */
		int fd;
	} v[CHAN_FDS_MAX];
	unsigned n;
};

struct fd_chan {
	struct chan c;
	struct loop *loop;
	int in, out;
	struct fd_queue *came, *going; /* NULL: none wanted, none sent yet */
	struct watch readable, writable;
	bool resumed; /* leftovers wait to be given again after a pause */
	struct timer resume;
};

static void fd_close(struct chan *c);

static void fd_end(struct fd_chan *f, const char *doing, int e)
{
	struct why why = { .code = OK };

	watch_stop(&f->readable);
	if (e || !f->c.half)
		watch_stop(&f->writable);
	if (e) {
		errno = e;
		fail_errno(&why, "%s", doing);
	}
	chan_end(&f->c, &why);
}

static void queue_free(struct fd_queue *q)
{
	for (unsigned i = 0; q && i < q->n; i++)
		close(q->v[i].fd);
	free(q);
}

static int queue_pop(struct fd_queue *q)
{
	int fd = q->v[0].fd;

	memmove(&q->v[0], &q->v[1], --q->n * sizeof(q->v[0]));
	return fd;
}

/* False when more came than may wait. */
static bool keep_fds(struct fd_queue *q, struct msghdr *m)
{
	bool room = !(m->msg_flags & MSG_CTRUNC);

	for (struct cmsghdr *h = CMSG_FIRSTHDR(m); h; h = CMSG_NXTHDR(m, h)) {
		size_t n = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(h) + i * sizeof(int), sizeof(int));
			if (q->n < COUNT(q->v)) {
				q->v[q->n++].fd = fd;
				continue;
			}
			close(fd);
			room = false;
		}
	}
	return room;
}

static ssize_t read_with_fds(struct fd_chan *f, void *p, size_t max)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(CHAN_FDS_MAX * sizeof(int))];
	} control;
	struct iovec v = { p, max };
	struct msghdr m = { .msg_iov = &v,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes) };
	ssize_t n = recvmsg(f->in, &m, MSG_CMSG_CLOEXEC);

	if (n >= 0 && !keep_fds(f->came, &m)) {
		errno = ETOOMANYREFS;
		return -1;
	}
	return n;
}

static void on_readable(void *ctx, int events UNUSED)
{
	struct fd_chan *f = ctx;
	uint8_t chunk[CHAN_TURN_BYTES];
	ssize_t n;

	do
		n = f->came ? read_with_fds(f, chunk, sizeof(chunk)) :
			      read(f->in, chunk, sizeof(chunk));
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
	if (f->in < 0 || f->c.halved) /* nothing is read any more that could tell */
		fd_end(f, "writing", e);
	else
		chan_drop(&f->c, f->c.out.n);
}

/* One descriptor goes with the first of n bytes. */
static ssize_t write_with_fd(struct fd_chan *f, const void *p, size_t n, int fd)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = { .bytes = { 0 } };
	struct iovec v = { (void *)(uintptr_t)p, n };
	struct msghdr m = { .msg_iov = &v,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes) };
	struct cmsghdr *h = CMSG_FIRSTHDR(&m);

	h->cmsg_level = SOL_SOCKET;
	h->cmsg_type = SCM_RIGHTS;
	h->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(h), &fd, sizeof(int));
	return sendmsg(f->out, &m, MSG_NOSIGNAL);
}

/* As many of the bytes from `sent` on as go together: up to the next descriptor's. */
static ssize_t write_some(struct fd_chan *f, size_t sent)
{
	struct fd_queue *q = f->going;
	const uint8_t *p = f->c.out.p + sent;
	size_t end = f->c.out.n;
	ssize_t n;

	if (!q || q->n == 0)
		return write(f->out, p, end - sent);
	if (q->v[0].at > sent)
		return write(f->out, p, MIN(q->v[0].at, end) - sent);
	if (q->n > 1)
		end = MIN(end, q->v[1].at);
	n = write_with_fd(f, p, end - sent, q->v[0].fd);
	if (n > 0)
		close(queue_pop(q));
	return n;
}

static void drop_sent(struct fd_chan *f, size_t sent)
{
	for (unsigned i = 0; f->going && i < f->going->n; i++)
		f->going->v[i].at -= MIN(f->going->v[i].at, sent);
	chan_drop(&f->c, sent);
}

/* f->out is -1 after our direction has ended; what is written then goes nowhere. */
static void flush(struct fd_chan *f)
{
	struct chan *c = &f->c;
	size_t sent = 0;

	while (f->out >= 0 && sent < c->out.n) {
		ssize_t n = write_some(f, sent);

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
		drop_sent(f, sent);
		return;
	}
	watch_stop(&f->writable);
	if (c->finishing)
		close_out(f);
	drop_sent(f, c->out.n);
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

	if (f->in < 0 || c->ended || c->halved)
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
	queue_free(f->came);
	queue_free(f->going);
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

static bool queue_ready(struct fd_queue **q)
{
	if (!*q)
		*q = calloc(1, sizeof(**q));
	return *q != NULL;
}

void chan_fds_want(struct chan *c)
{
	struct fd_chan *f = (struct fd_chan *)c;
	struct why why;

	if (queue_ready(&f->came))
		return;
	fail(&why, ERR_no_memory, "no memory for descriptors");
	chan_end(c, &why);
}

int chan_fd_take(struct chan *c)
{
	struct fd_chan *f = (struct fd_chan *)c;

	return f->came && f->came->n > 0 ? queue_pop(f->came) : -1;
}

enum err chan_fd_send(struct chan *c, size_t at, int fd, struct why *why)
{
	struct fd_chan *f = (struct fd_chan *)c;
	struct fd_queue *q;
	int copy;

	must(at < c->out.n);
	if (!queue_ready(&f->going))
		return fail(why, ERR_no_memory, "no memory for descriptors");
	q = f->going;
	if (q->n == COUNT(q->v))
		return fail(why, ERR_busy, "%zu descriptors wait to be sent", COUNT(q->v));
	must(q->n == 0 || q->v[q->n - 1].at < at);
	copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (copy < 0)
		return fail_errno(why, "cannot copy a descriptor");
	q->v[q->n].at = at;
	q->v[q->n++].fd = copy;
	return OK;
}

int chan_fd(const struct chan *c)
{
	return ((const struct fd_chan *)c)->in;
}

void chan_read_now(struct chan *c)
{
	struct fd_chan *f = (struct fd_chan *)c;

	if (c->ops == &fd_ops && f->in >= 0 && !c->ended && !c->paused)
		on_readable(f, WATCH_READ);
}
