/*
 * stream.c - bytes between descriptors and a stream's channels.
 *
 * Standard output may be shared with other processes, so its flags are never changed: pipes and
 * terminals are opened anew through /proc for a description of our own that does not block, sockets
 * are written with MSG_DONTWAIT, and files do not block for long.
 */
#include "cli/stream.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/check.h"

void stream_init(struct stream *s, struct link *l, const uint64_t *id)
{
	*s = (struct stream){ .link = l, .id = id, .in = { .s = s, .fd = -1 } };
	window_init(&s->in.window);
	for (unsigned i = 0; i < COUNT(s->out); i++) {
		s->out[i] = (struct outlet){ .s = s, .ch = i + 1, .fd = -1 };
		window_init(&s->out[i].window);
		buf_init(&s->out[i].pending, 2 * WINDOW_BYTES + CHUNK_BYTES);
	}
}

static void tell(struct stream *s, enum letter_id letter, const void *body)
{
	struct why why;

	if (s->ended || s->link->gone)
		return;
	if (rpc_note(s->link->rpc, &letter_kinds[letter], body, &why) == OK)
		return;
	s->why = why;
	s->ended = true;
}

/* In. */

size_t stream_room(const struct stream *s)
{
	return MIN(s->in.window.left, (size_t)CHUNK_BYTES);
}

void stream_send(struct stream *s, const void *p, size_t n)
{
	struct stream_data d = { *s->id, 0, { p, n } };

	must(window_use(&s->in.window, n));
	s->in.sent += n;
	tell(s, LETTER_stream_data, &d);
}

static void on_readable(void *ctx, int events UNUSED)
{
	struct inlet *in = ctx;
	uint8_t chunk[CHUNK_BYTES];
	size_t want = stream_room(in->s);
	ssize_t n;

	if (want == 0) {
		watch_stop(&in->watch); /* until credit comes */
		return;
	}
	n = read(in->fd, chunk, want);
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n > 0) {
		stream_send(in->s, chunk, (size_t)n);
		return;
	}
	/* EIO: a terminal that hung up, or that belongs to another process group */
	if (n < 0 && errno != EIO)
		in->error = errno;
	watch_stop(&in->watch);
	in->ended = true;
	if (!in->error && (!in->may_end || in->may_end(in->may_end_ctx)))
		stream_send(in->s, "", 0);
}

void stream_input(struct stream *s, int fd)
{
	s->in.fd = fd;
	watch_start(s->link->c->loop, &s->in.watch, fd, WATCH_READ, on_readable, &s->in);
}

static bool credit(struct stream *s, const struct stream_credit *c)
{
	struct inlet *in = &s->in;

	if (c->ch != 0 || !window_grant(&in->window, c->bytes))
		return false;
	if (in->fd >= 0 && !in->ended && !ev_is_active(&in->watch.ev))
		watch_start(s->link->c->loop, &in->watch, in->fd, WATCH_READ, on_readable, in);
	return true;
}

/* Out. */

static ssize_t put(struct outlet *o, const uint8_t *p, size_t n)
{
	ssize_t r;

	do
		r = o->kind == TO_SOCKET ? send(o->fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL) :
					   write(o->fd, p, n);
	while (r < 0 && errno == EINTR);
	return r;
}

/* Writes what the descriptor takes; answers how much. A failure is remembered. */
static size_t put_some(struct outlet *o, const uint8_t *p, size_t n)
{
	size_t done = 0;

	while (done < n) {
		ssize_t r = put(o, p + done, n - done);

		if (r < 0 && errno == EAGAIN)
			break;
		if (r < 0) {
			o->error = errno;
			break;
		}
		done += (size_t)r;
	}
	return done;
}

static void passed(struct outlet *o, size_t n)
{
	struct stream_credit c = { *o->s->id, o->ch, window_passed(&o->window, n) };

	if (c.bytes > 0)
		tell(o->s, LETTER_stream_credit, &c);
}

/* What cannot be written any more counts as passed on, so that the guest's program is not stuck. */
static void on_writable(void *ctx, int events UNUSED)
{
	struct outlet *o = ctx;
	size_t left = o->pending.n - o->at, n = put_some(o, o->pending.p + o->at, left);

	if (o->error)
		n = left;
	o->at += n;
	passed(o, n);
	if (o->at < o->pending.n)
		return;
	watch_stop(&o->watch);
	o->at = o->pending.n = 0;
}

static void open_outlet(struct outlet *o, int fd)
{
	struct stat st = { 0 };
	char path[40];
	int own = -1;

	fstat(fd, &st);
	o->fd = fd;
	o->kind = S_ISSOCK(st.st_mode) ? TO_SOCKET : TO_FILE;
	if (!S_ISFIFO(st.st_mode) && !isatty(fd))
		return;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	own = open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (own < 0)
		return;
	o->fd = own;
	o->kind = TO_PRIVATE;
}

void stream_output(struct stream *s, unsigned ch, int fd)
{
	struct outlet *o = &s->out[ch - 1];

	open_outlet(o, fd);
	o->held = false;
	if (o->pending.n > 0)
		on_writable(o, WATCH_WRITE);
	if (o->pending.n > 0)
		watch_start(s->link->c->loop, &o->watch, o->fd, WATCH_WRITE, on_writable, o);
}

void stream_hold(struct stream *s, unsigned ch)
{
	s->out[ch - 1].held = true;
}

size_t stream_take(struct stream *s, unsigned ch, void *to, size_t max)
{
	struct outlet *o = &s->out[ch - 1];
	size_t n = MIN(o->pending.n - o->at, max);

	if (n == 0)
		return 0;
	memcpy(to, o->pending.p + o->at, n);
	o->at += n;
	passed(o, n);
	if (o->at == o->pending.n)
		o->at = o->pending.n = 0;
	return n;
}

static void keep(struct outlet *o, const uint8_t *p, size_t n)
{
	if (o->pending.n > WINDOW_BYTES) {
		buf_drop(&o->pending, o->at);
		o->at = 0;
	}
	buf_add(&o->pending, p, n);
	if (o->pending.failed)
		o->error = ENOMEM;
	else if (o->fd >= 0 && !ev_is_active(&o->watch.ev))
		watch_start(o->s->link->c->loop, &o->watch, o->fd, WATCH_WRITE, on_writable, o);
}

static bool data(struct stream *s, const struct stream_data *d)
{
	struct outlet *o;
	size_t n = 0;

	if (d->ch == 0)
		return false;
	o = &s->out[d->ch - 1];
	if (!window_use(&o->window, d->data.n))
		return false;
	o->ended |= d->data.n == 0;
	if (o->fd >= 0 && !o->error && o->pending.n == 0)
		n = put_some(o, d->data.p, d->data.n);
	if (o->fd < 0 && o->sink)
		o->sink(o->sink_ctx, d->data.p, d->data.n);
	if ((o->fd < 0 && !o->held) || o->error)
		n = d->data.n;
	passed(o, n);
	if (n < d->data.n)
		keep(o, d->data.p + n, d->data.n - n);
	return true;
}

/* Both. */

static void end(struct stream *s, const struct stream_end *e)
{
	s->ended = true;
	s->has_code = e->has_code;
	s->code = e->code;
	s->signal = e->signal ? signal_number(e->signal) : 0;
	if (e->error)
		why_of(e->error, &s->why);
	watch_stop(&s->in.watch);
}

static bool broken(struct stream *s, const char *what)
{
	s->ended = true;
	fail(&s->why, ERR_malformed, "the daemon broke the stream: %s", what);
	watch_stop(&s->in.watch);
	return true;
}

bool stream_note(struct stream *s, enum letter_id letter, struct bytes params)
{
	union {
		struct stream_data data;
		struct stream_credit credit;
		struct stream_end end;
	} u;
	bool ours = letter == LETTER_stream_data || letter == LETTER_stream_credit ||
		    letter == LETTER_stream_end;
	struct why why;

	if (!ours || s->ended || *s->id == 0)
		return false;
	if (shape_read(letter_kinds[letter].in, mp_over(params.p, params.n), LENIENT,
		    &s->link->c->mem, &u, &why))
		return broken(s, why.text);
	if (letter == LETTER_stream_data && u.data.stream == *s->id)
		return data(s, &u.data) || broken(s, "data beyond its window");
	if (letter == LETTER_stream_credit && u.credit.stream == *s->id)
		return credit(s, &u.credit) || broken(s, "absurd credit");
	if (letter != LETTER_stream_end || u.end.stream != *s->id)
		return false;
	end(s, &u.end);
	return true;
}

void stream_signal(struct stream *s, int signal)
{
	struct stream_signal m = { *s->id, signal_word(signal) };

	if (m.signal)
		tell(s, LETTER_stream_signal, &m);
}

void stream_resize(struct stream *s, uint64_t rows, uint64_t cols)
{
	struct stream_resize m = { *s->id, rows, cols };

	tell(s, LETTER_stream_resize, &m);
}

bool stream_flushed(const struct stream *s)
{
	for (unsigned i = 0; i < COUNT(s->out); i++)
		if (s->out[i].pending.n > 0 && !s->out[i].error)
			return false;
	return true;
}

void stream_shut(struct stream *s, unsigned ch)
{
	struct outlet *o = &s->out[ch - 1];

	watch_stop(&o->watch);
	if (o->kind == TO_SOCKET)
		shutdown(o->fd, SHUT_WR);
	else if (o->kind == TO_PRIVATE)
		close(o->fd);
	o->kind = TO_FILE;
	o->fd = -1;
}

void stream_close(struct stream *s)
{
	watch_stop(&s->in.watch);
	for (unsigned i = 0; i < COUNT(s->out); i++) {
		watch_stop(&s->out[i].watch);
		if (s->out[i].kind == TO_PRIVATE)
			close(s->out[i].fd);
		s->out[i].fd = -1;
		buf_done(&s->out[i].pending);
	}
}
