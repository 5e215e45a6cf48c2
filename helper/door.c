/*
 * door.c - the helper's socket: who may come in, and how long they may take.
 *
 * Only root and the owner, by the kernel's word at the time of the connection (SO_PEERCRED); anyone
 * else is turned away before a byte is read. A frame that was begun must be whole within
 * FRAME_DEADLINE_MS, and so must the first one. Descriptors that a peer sends are never received.
 */
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "helper/call.h"
#include "wire/rpc.h"

enum {
	CONNS_MAX = 2048,
	FRAME_BYTES = 65536, /* row A5 */
	FRAME_DEADLINE_MS = 5000,
	NO_PASSING_RIGHTS = 83 /* SO_PASSRIGHTS, Linux 6.16 and newer; read() closes them anyway */
};

struct conn {
	TAILQ_ENTRY(conn) entry;
	struct door *d;
	struct rpc *rpc;
	uid_t uid;
	pid_t pid;
	struct timer deadline;
	bool spoke; /* a whole frame has come */
};

struct door {
	struct helper *h;
	struct calls *calls;
	int fd;
	struct watch watch;
	struct timer again;
	TAILQ_HEAD(, conn) conns;
	unsigned count;
	unsigned turned_away; /* since the last line about it */
	uint64_t told_ms;
};

static void close_conn(struct conn *c)
{
	struct door *d = c->d;

	timer_stop(&c->deadline);
	calls_conn_gone(d->calls, c);
	rpc_free(c->rpc);
	TAILQ_REMOVE(&d->conns, c, entry);
	d->count--;
	free(c);
}

static void on_request(void *ctx, uint32_t msgid, struct bytes method, struct bytes params)
{
	struct conn *c = ctx;

	c->spoke = true;
	timer_stop(&c->deadline);
	calls_request(c->d->calls, c, c->uid, msgid, method, params);
}

static void on_closed(void *ctx, const struct why *why)
{
	struct conn *c = ctx;

	if (why->code)
		log_line(LOG_WARN, "helper", "connection closed", "uid", log_u64(c->uid).s, "pid",
			log_u64((uint64_t)c->pid).s, "why", why->text, NULL);
	close_conn(c);
}

static void late(void *ctx)
{
	struct conn *c = ctx;

	log_line(LOG_WARN, "helper", "connection too slow", "uid", log_u64(c->uid).s, "pid",
		log_u64((uint64_t)c->pid).s, NULL);
	close_conn(c);
}

static void on_partial(void *ctx, bool open)
{
	struct conn *c = ctx;

	if (open)
		timer_start(c->d->h->loop, &c->deadline, FRAME_DEADLINE_MS, late, c);
	else if (c->spoke)
		timer_stop(&c->deadline);
}

static const struct rpc_user rpc_user = {
	.request = on_request,
	.closed = on_closed,
	.partial = on_partial,
};

void conn_answer(struct call *c, struct bytes result, int fd)
{
	rpc_answer_fd(c->conn->rpc, c->msgid, result, fd);
}

void conn_refuse(struct call *c, const struct why *why)
{
	rpc_refuse(c->conn->rpc, c->msgid, why);
}

/* At most one line a second, however many come. */
static void turn_away(struct door *d, int fd, uid_t uid, pid_t pid)
{
	uint64_t now = loop_now_ms(d->h->loop);

	close(fd);
	d->turned_away++;
	if (now < d->told_ms + 1000)
		return;
	log_line(LOG_WARN, "helper", "turned away", "uid", log_u64(uid).s, "pid",
		log_u64((uint64_t)pid).s, "count", log_u64(d->turned_away).s, NULL);
	d->told_ms = now;
	d->turned_away = 0;
}

static void admit(struct door *d, int fd, const struct ucred *peer)
{
	static const struct chan_user nobody;
	struct conn *c = calloc(1, sizeof(*c));
	struct chan *chan = NULL;
	int off = 0;
	struct why why;

	setsockopt(fd, SOL_SOCKET, NO_PASSING_RIGHTS, &off, sizeof(off));
	if (!c || chan_open(d->h->loop, fd, fd, &nobody, NULL, &chan, &why)) {
		free(c);
		close(fd);
		return;
	}
	c->d = d;
	c->uid = peer->uid;
	c->pid = peer->pid;
	c->rpc = rpc_new(chan, FRAME_BYTES, &rpc_user, c);
	if (!c->rpc) {
		chan_close(chan);
		free(c);
		return;
	}
	TAILQ_INSERT_TAIL(&d->conns, c, entry);
	d->count++;
	timer_start(d->h->loop, &c->deadline, FRAME_DEADLINE_MS, late, c);
}

static void on_connection(void *ctx, int events);

static void accept_again(void *ctx)
{
	struct door *d = ctx;

	watch_start(d->h->loop, &d->watch, d->fd, WATCH_READ, on_connection, d);
}

static void on_connection(void *ctx, int events UNUSED)
{
	struct door *d = ctx;

	for (int i = 0; i < 64; i++) {
		int fd = accept4(d->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		struct ucred peer = { .uid = (uid_t)-1 };
		socklen_t n = sizeof(peer);

		if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM)) {
			watch_stop(&d->watch);
			timer_start(d->h->loop, &d->again, 100, accept_again, d);
			return;
		}
		if (fd < 0)
			return;
		if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) < 0 ||
			(peer.uid != 0 && peer.uid != d->h->owner) || d->count >= CONNS_MAX)
			turn_away(d, fd, peer.uid, peer.pid);
		else
			admit(d, fd, &peer);
	}
}

enum err door_open(struct helper *h, int listener, struct door **ret, struct why *why)
{
	struct door *d = calloc(1, sizeof(*d));
	enum err e;

	if (!d)
		return fail(why, ERR_no_memory, "no memory for the socket");
	d->h = h;
	d->fd = listener;
	TAILQ_INIT(&d->conns);
	e = calls_new(h, &d->calls, why);
	if (e) {
		free(d);
		return e;
	}
	watch_start(h->loop, &d->watch, d->fd, WATCH_READ, on_connection, d);
	*ret = d;
	return OK;
}

void door_close(struct door *d)
{
	struct conn *c;

	if (!d)
		return;
	watch_stop(&d->watch);
	timer_stop(&d->again);
	while ((c = TAILQ_FIRST(&d->conns)) != NULL)
		close_conn(c);
	calls_free(d->calls);
	free(d);
}
