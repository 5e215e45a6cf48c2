/*
 * dial.c - agent.dial: a TCP connection inside the guest as a stream. What ssh, forwards and the
 * names of user mode stand on.
 *
 * Each direction ends on its own (half-close); the stream ends when both have, or when one breaks.
 * The socket is read only while the channel has room, so a slow reader slows the guest's program
 * and nothing else. A port that nobody serves yet is tried again until the time is over.
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/handlers.h"

enum { DIALS_MAX = 256, AGAIN_MS = 100, CONNECT_MS = 10000, PLACES = 3 };

struct dial {
	struct stream stream; /* once it is connected */
	struct pending pending; /* until then */
	struct agent *agent;
	uint16_t port;
	unsigned place; /* which address is being tried */
	uint64_t until; /* for a port that nobody serves yet */
	struct timer timer;
	int fd;
	struct watch readable, writable;
	struct buf input; /* came from the client, not written yet; bounded by the window */
	bool input_ended, output_ended;
	bool deaf; /* the other side takes nothing any more */
};

static void try_place(struct dial *d);
static void next_place(struct dial *d, int error);

static void dial_free(struct dial *d)
{
	watch_stop(&d->readable);
	watch_stop(&d->writable);
	timer_stop(&d->timer);
	fd_done(&d->fd);
	buf_done(&d->input);
	d->agent->dials_n--;
	free(d);
}

/* ---- bytes ---- */

static void broken(struct dial *d, const char *what)
{
	struct why why;

	fail_errno(&why, "%s port %u of the guest", what, d->port);
	why.code = ERR_guest_failed;
	stream_end_error(&d->stream, &why);
	dial_free(d);
}

static bool ended_if_over(struct dial *d)
{
	if (!d->output_ended || !(d->deaf || (d->input_ended && d->input.n == 0)))
		return false;
	stream_end_code(&d->stream, 0);
	dial_free(d);
	return true;
}

static void write_input(struct dial *d);

static void on_writable(void *ctx, int events UNUSED)
{
	write_input(ctx);
}

/* What cannot be delivered any more must not stall its sender. */
static void give_up_input(struct dial *d)
{
	d->deaf = true;
	stream_passed(&d->stream, d->input.n);
	d->input.n = 0;
}

/* It may end the stream. */
static void write_input(struct dial *d)
{
	watch_stop(&d->writable);
	while (d->input.n > 0 && !d->deaf) {
		ssize_t n = send(d->fd, d->input.p, d->input.n, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			watch_start(
				d->agent->loop, &d->writable, d->fd, WATCH_WRITE, on_writable, d);
			return;
		}
		if (n < 0)
			break;
		buf_drop(&d->input, (size_t)n);
		stream_passed(&d->stream, (size_t)n);
	}
	if (d->input.n > 0)
		give_up_input(d);
	else if (d->input_ended && !d->deaf)
		(void)shutdown(d->fd, SHUT_WR);
	(void)ended_if_over(d);
}

static void on_data(struct stream *st, const uint8_t *p, size_t n)
{
	struct dial *d = (struct dial *)st;

	if (n == 0)
		d->input_ended = true;
	buf_add(&d->input, p, n);
	if (d->input.failed) {
		errno = ENOMEM;
		broken(d, "cannot write to");
		return;
	}
	if (!ev_is_active(&d->writable.ev))
		write_input(d);
}

static void on_readable(void *ctx, int events UNUSED)
{
	struct dial *d = ctx;
	uint8_t chunk[CHUNK_BYTES];
	size_t room = stream_room(&d->stream, 1);
	ssize_t n;

	if (room == 0) { /* on_room comes back to it */
		watch_stop(&d->readable);
		return;
	}
	n = recv(d->fd, chunk, room, 0);
	if (n > 0) {
		stream_send(&d->stream, 1, chunk, (size_t)n);
	} else if (n == 0) {
		watch_stop(&d->readable);
		d->output_ended = true;
		stream_send(&d->stream, 1, NULL, 0);
		(void)ended_if_over(d);
	} else if (errno != EAGAIN && errno != EINTR) {
		broken(d, "the connection broke to");
	}
}

static void on_room(struct stream *st)
{
	struct dial *d = (struct dial *)st;

	if (!d->output_ended && !ev_is_active(&d->readable.ev))
		watch_start(d->agent->loop, &d->readable, d->fd, WATCH_READ, on_readable, d);
}

/* Whoever had it is gone. */
static void on_signal(struct stream *st, int number UNUSED)
{
	stream_end_code(st, 0);
	dial_free((struct dial *)st);
}

static void on_gone(struct stream *st)
{
	dial_free((struct dial *)st);
}

static const struct stream_calls calls = { on_data, on_room, NULL, on_signal, on_gone };

/* ---- connecting ---- */

static void drop(struct pending *p)
{
	dial_free(CONTAINER_OF(p, struct dial, pending));
}

static void refuse_dial(struct dial *d, const struct why *why)
{
	struct session *s = d->pending.session;

	pending_done(&d->pending);
	refuse(s, d->pending.msgid, why);
	dial_free(d);
}

/* On a loopback an ephemeral port that nobody serves may meet itself. */
static bool met_itself(int fd)
{
	struct sockaddr_storage here = { 0 }, there = { 0 };
	socklen_t n = sizeof(here), m = sizeof(there);

	return getsockname(fd, (struct sockaddr *)&here, &n) == 0 &&
	       getpeername(fd, (struct sockaddr *)&there, &m) == 0 && n == m &&
	       memcmp(&here, &there, n) == 0;
}

static void connected(struct dial *d)
{
	struct session *s = d->pending.session;
	struct why why;

	if (met_itself(d->fd)) {
		next_place(d, ECONNREFUSED);
		return;
	}
	timer_stop(&d->timer);
	watch_stop(&d->writable);
	(void)setsockopt(d->fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
	pending_done(&d->pending);
	if (stream_open(s, d->pending.msgid, LETTER_agent_dial, &d->stream, &calls, &why)) {
		refuse(s, d->pending.msgid, &why);
		dial_free(d);
		return;
	}
	on_room(&d->stream);
}

static void on_again(void *ctx)
{
	struct dial *d = ctx;

	d->place = 0;
	try_place(d);
}

static void on_late(void *ctx)
{
	struct dial *d = ctx;
	struct why why;

	fail_field(&why, ERR_timeout, "port", "port %u of the guest does not answer", d->port);
	refuse_dial(d, &why);
}

/* This address does not work; it may not be the last one, or not the last time. */
static void next_place(struct dial *d, int error)
{
	uint64_t now = loop_now_ms(d->agent->loop);
	struct why why;

	watch_stop(&d->writable);
	fd_done(&d->fd);
	if (++d->place < PLACES) {
		try_place(d);
		return;
	}
	if (now < d->until) {
		timer_start(d->agent->loop, &d->timer, MIN((uint64_t)AGAIN_MS, d->until - now),
			on_again, d);
		return;
	}
	if (error == ECONNREFUSED || error == EADDRNOTAVAIL || error == EAFNOSUPPORT) {
		fail_field(&why, ERR_unavailable, "port", "nothing in the guest listens on port %u",
			d->port);
	} else {
		errno = error;
		fail_errno(&why, "cannot connect to port %u of the guest", d->port);
	}
	refuse_dial(d, &why);
}

static void on_connected(void *ctx, int events UNUSED)
{
	struct dial *d = ctx;
	socklen_t n = sizeof(int);
	int error = 0;

	if (getsockopt(d->fd, SOL_SOCKET, SO_ERROR, &error, &n) < 0)
		error = errno;
	if (error)
		next_place(d, error);
	else
		connected(d);
}

static socklen_t address_of(const struct dial *d, struct sockaddr_storage *ret)
{
	struct sockaddr_in6 six = { .sin6_family = AF_INET6,
		.sin6_port = htons(d->port),
		.sin6_addr = IN6ADDR_LOOPBACK_INIT };
	struct sockaddr_in four = { .sin_family = AF_INET,
		.sin_port = htons(d->port),
		.sin_addr.s_addr =
			htonl(d->place == 0 ? INADDR_LOOPBACK : d->agent->conf.address) };

	if (d->place == PLACES - 1) {
		memcpy(ret, &six, sizeof(six));
		return sizeof(six);
	}
	if (d->place > 0 && !d->agent->conf.has_address)
		return 0;
	memcpy(ret, &four, sizeof(four));
	return sizeof(four);
}

static void try_place(struct dial *d)
{
	struct sockaddr_storage to;
	socklen_t n = address_of(d, &to);

	if (n == 0) {
		next_place(d, EADDRNOTAVAIL);
		return;
	}
	d->fd = socket(to.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (d->fd >= 0 && connect(d->fd, (struct sockaddr *)&to, n) == 0) {
		connected(d);
	} else if (d->fd >= 0 && errno == EINPROGRESS) {
		timer_start(d->agent->loop, &d->timer, CONNECT_MS, on_late, d);
		watch_start(d->agent->loop, &d->writable, d->fd, WATCH_WRITE, on_connected, d);
	} else {
		next_place(d, errno);
	}
}

void on_dial(const struct request *r)
{
	const struct agent_dial *x = r->body;
	struct agent *a = r->session->agent;
	struct dial *d = a->dials_n < DIALS_MAX ? calloc(1, sizeof(*d)) : NULL;
	struct why why;

	if (!d) {
		fail(&why, ERR_busy, "%d connections into this guest are open", DIALS_MAX);
		refuse(r->session, r->msgid, &why);
		return;
	}
	a->dials_n++;
	d->agent = a;
	d->fd = -1;
	d->port = (uint16_t)x->port;
	d->until = loop_now_ms(a->loop) + (x->has_wait_ms ? x->wait_ms : 0);
	buf_init(&d->input, 2 * (size_t)WINDOW_BYTES);
	pending_add(r->session, &d->pending, r->msgid, drop);
	try_place(d);
}
