/*
 * serial.c - letters over the virtio-serial port: a device, not a connection.
 *
 * The port stays open for good. An opening (mark and nonce) begins a session wherever it stands in
 * the input, and ends the one before; so does the host's going away. A port without a host reads
 * as ended and polls as hung up all the time: it is watched edge-triggered, by an epoll of its own,
 * and the edge comes when the host returns. Writing then gives EAGAIN, and nothing is kept for it.
 */
#include <dirent.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "agent/link.h"
#include "agent/session.h"
#include "agent/uevent.h"
#include "base/log.h"
#include "wire/mark.h"

#define PORTS "/sys/class/virtio-ports"

enum { ARRIVAL_MS = 2000 };

struct serial {
	struct agent *agent;
	int uevents, port, edges;
	struct watch on_uevent, on_edge;
	struct turn_hook end_of_turn;
	struct timer again; /* more is to be read than one turn took */
	struct timer arrival; /* the session began before the kernel knew that the host is there */
	struct mark_finder finder;
	struct port_chan *chan; /* of the session now, or NULL */
};

struct port_chan {
	struct chan c; /* first */
	struct serial *serial;
	bool unsent; /* written to since the last flush */
	bool met; /* the kernel has shown the port as connected since the session began */
};

/* The carrier. */

static void port_write(struct chan *c)
{
	((struct port_chan *)c)->unsent = true;
}

static void on_again(void *ctx);

static void port_pause(struct chan *c, bool paused)
{
	struct serial *s = ((struct port_chan *)c)->serial;

	if (!paused)
		timer_start(s->agent->loop, &s->again, 0, on_again, s);
}

/*
 * Tells a host that still believes in a session that there is none: an opening with a nonce of
 * zeros, which is no msgpack. A host that waits for the answer to its own opening passes over it.
 */
static void say_over(struct serial *s)
{
	static const uint8_t nobody[NONCE_BYTES];
	uint8_t opening[OPENING_BYTES];

	mark_opening(opening, nobody);
	(void)!write(s->port, opening, sizeof(opening));
}

static void port_close(struct chan *c)
{
	struct port_chan *p = (struct port_chan *)c;

	if (p->serial->chan == p) { /* closed by us, neither by the host nor for a new opening */
		p->serial->chan = NULL;
		say_over(p->serial);
	}
	chan_done(c);
	free(p);
}

static const struct chan_ops port_ops = { port_write, port_pause, port_close };

static void end_session(struct serial *s, const struct why *why)
{
	struct port_chan *p = s->chan;

	s->chan = NULL;
	if (p)
		chan_end(&p->c, why);
}

static void flush(struct serial *s)
{
	struct port_chan *p = s->chan;
	size_t sent = 0;

	if (!p)
		return;
	p->unsent = false;
	if (p->c.out.failed) {
		struct why why;

		fail(&why, ERR_too_large, "the host does not read what is sent to it");
		end_session(s, &why);
		return;
	}
	while (sent < p->c.out.n) {
		ssize_t n = write(s->port, p->c.out.p + sent, p->c.out.n - sent);

		if (n <= 0 && !(n < 0 && errno == EINTR))
			break; /* full: the next edge goes on */
		sent += n > 0 ? (size_t)n : 0;
	}
	chan_drop(&p->c, sent);
}

static bool end_of_turn(void *ctx)
{
	struct serial *s = ctx;

	if (s->chan && s->chan->unsent)
		flush(s);
	return s->chan && s->chan->unsent; /* written to while it was flushed */
}

static void open_session(struct serial *s, const uint8_t nonce[NONCE_BYTES])
{
	struct port_chan *p = calloc(1, sizeof(*p));
	uint8_t opening[OPENING_BYTES];
	struct why why = { .code = OK };

	end_session(s, &why);
	timer_stop(&s->arrival);
	if (!p) {
		log_line(LOG_ERROR, "serial", "no memory for a session", NULL);
		return;
	}
	chan_init(&p->c, &port_ops, NULL, NULL);
	p->serial = s;
	s->chan = p;
	mark_opening(opening, nonce);
	buf_add(chan_out(&p->c), opening, sizeof(opening));
	p->unsent = true;
	if (session_new(s->agent, &p->c, &why))
		log_line(LOG_ERROR, "serial", "no session", "why", why.text, NULL);
	else
		log_line(LOG_INFO, "serial", "opened", NULL);
}

/* Reading. */

static void feed(struct serial *s, const uint8_t *p, size_t n)
{
	while (n > 0) {
		uint8_t nonce[NONCE_BYTES];
		bool found;
		size_t used = mark_find(&s->finder, p, n, &found, nonce);

		if (found)
			open_session(s, nonce);
		else if (s->chan)
			chan_feed(&s->chan->c, p, used);
		p += used;
		n -= used;
	}
}

static void host_left(void *ctx)
{
	struct serial *s = ctx;
	struct why why = { .code = OK };

	s->finder.n = 0;
	end_session(s, &why);
}

static void host_is_here(struct serial *s)
{
	timer_stop(&s->arrival);
	if (s->chan)
		s->chan->met = true;
}

/*
 * Nobody is connected. The host's bytes may overtake the news that it has come: a session that has
 * just begun is given a while.
 */
static void host_is_away(struct serial *s)
{
	if (!s->chan || s->chan->met)
		host_left(s);
	else if (!ev_is_active(&s->arrival.ev))
		timer_start(s->agent->loop, &s->arrival, ARRIVAL_MS, host_left, s);
}

static void read_port(struct serial *s)
{
	uint8_t chunk[16384];
	size_t all = 0;
	ssize_t n;

	while (all < CHAN_TURN_BYTES && !(s->chan && s->chan->c.paused)) {
		n = read(s->port, chunk, sizeof(chunk));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			host_is_here(s);
			return;
		}
		if (n <= 0) {
			host_is_away(s);
			return;
		}
		feed(s, chunk, (size_t)n);
		all += (size_t)n;
	}
	if (!(s->chan && s->chan->c.paused))
		timer_start(s->agent->loop, &s->again, 0, on_again, s);
}

static void on_again(void *ctx)
{
	struct serial *s = ctx;

	if (s->chan && s->chan->c.in.n > 0)
		chan_feed(&s->chan->c, NULL, 0);
	read_port(s);
}

static void on_edge(void *ctx, int events UNUSED)
{
	struct serial *s = ctx;
	struct epoll_event e;

	while (epoll_wait(s->edges, &e, 1, 0) > 0)
		;
	read_port(s);
	flush(s);
}

/* Finding the port. */

static int open_named(const char *name)
{
	char path[300], text[32];
	own_dir dir = opendir(PORTS);
	struct dirent *e;

	while (dir && (e = readdir(dir)) != NULL) {
		own_fd fd = -1;
		ssize_t n;

		snprintf(path, sizeof(path), "%s/name", e->d_name);
		fd = openat(dirfd(dir), path, O_RDONLY | O_CLOEXEC);
		n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
		if (n < 0)
			continue;
		text[n] = '\0';
		text[strcspn(text, "\n")] = '\0';
		if (!str_eq(text, name))
			continue;
		snprintf(path, sizeof(path), "/dev/%s", e->d_name);
		return open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	}
	errno = ENOENT;
	return -1;
}

static bool try_port(struct serial *s)
{
	struct epoll_event e = { .events = EPOLLIN | EPOLLOUT | EPOLLET };

	s->port = open_named("banger");
	if (s->port < 0)
		return false;
	s->edges = epoll_create1(EPOLL_CLOEXEC);
	if (s->edges < 0 || epoll_ctl(s->edges, EPOLL_CTL_ADD, s->port, &e) < 0) {
		log_line(LOG_ERROR, "serial", "cannot watch the port", "why", strerror(errno),
			NULL);
		fd_done(&s->edges);
		fd_done(&s->port);
		return false;
	}
	watch_stop(&s->on_uevent);
	fd_done(&s->uevents);
	watch_start(s->agent->loop, &s->on_edge, s->edges, WATCH_READ, on_edge, s);
	turn_hook_add(s->agent->loop, &s->end_of_turn, end_of_turn, s);
	log_line(LOG_INFO, "serial", "port is there", NULL);
	say_over(s); /* the agent before this one may have had a session */
	return true;
}

static void on_uevent(void *ctx, int events UNUSED)
{
	struct serial *s = ctx;

	uevent_drain(s->uevents);
	(void)try_port(s);
}

enum err serial_start(struct agent *a, struct why *why)
{
	struct serial *s = calloc(1, sizeof(*s));

	if (!s)
		return fail(why, ERR_no_memory, "no memory for the serial link");
	s->agent = a;
	s->port = s->edges = -1;
	s->uevents = uevent_open();
	if (s->uevents < 0) {
		free(s);
		return fail_errno(why, "cannot listen to the kernel's device news");
	}
	watch_start(a->loop, &s->on_uevent, s->uevents, WATCH_READ, on_uevent, s);
	(void)try_port(s);
	return OK;
}
