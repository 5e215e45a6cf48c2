/*
 * world_linux_loopback.c - services on 127/8: datagrams, answered many at a time, and connections.
 *
 * A turn takes what one recvmmsg brings and answers it with one sendmmsg: at most 64 KiB, so that
 * no flood starves what else there is to do. An answer that the kernel does not take at once is
 * lost, as datagrams are.
 */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "world/world_linux.h"

enum {
	BATCH = 65536 / DATAGRAM_IN_MAX,
	RECEIVE_BYTES =
		1048576, /* asked of the kernel: what waits while a turn is busy elsewhere */
	BACKLOG = 256
};

struct slot { /* one datagram, and its answer */
	struct sockaddr_in from;
	struct iovec in_bytes, out_bytes;
	uint8_t in[DATAGRAM_IN_MAX], out[DATAGRAM_OUT_MAX];
};

struct world_datagrams {
	int fd;
	struct watch watch;
	datagram_fn *fn;
	void *ctx;
	struct mmsghdr in[BATCH], out[BATCH];
	struct slot slots[BATCH];
};

static enum err bound_socket(int kind, uint32_t address, uint16_t port, int *ret, struct why *why)
{
	own_fd fd = socket(AF_INET, kind | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_in sa = {
		.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(address)
	};
	int on = 1;

	must(kind == SOCK_STREAM || address >> 24 == IN_LOOPBACKNET);
	if (fd < 0)
		return fail_errno(why, "cannot make a socket");
	/* connections that have ended keep no port from us; a datagram port has one owner */
	if (kind == SOCK_STREAM)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		return fail_errno(
			why, "cannot bind %s port %u", kind == SOCK_STREAM ? "TCP" : "UDP", port);
	*ret = take_fd(&fd);
	return OK;
}

static void send_all(struct world_datagrams *d, unsigned n)
{
	unsigned sent = 0;

	while (sent < n) {
		int r = sendmmsg(d->fd, d->out + sent, n - sent, MSG_DONTWAIT);

		if (r < 0 && errno == EINTR)
			continue;
		sent += r > 0 ? (unsigned)r : 1; /* what cannot be sent is passed over */
	}
}

static void on_datagrams(void *ctx, int events UNUSED)
{
	struct world_datagrams *d = ctx;
	unsigned answers = 0;
	int n = recvmmsg(d->fd, d->in, BATCH, MSG_DONTWAIT, NULL);

	for (int i = 0; i < n; i++) {
		struct msghdr *in = &d->in[i].msg_hdr;
		struct slot *s = &d->slots[i];
		size_t length = 0;

		if (!(in->msg_flags & MSG_TRUNC) && in->msg_namelen == sizeof(s->from))
			length = d->fn(d->ctx, (struct bytes){ s->in, d->in[i].msg_len }, s->out);
		if (length > 0) {
			must(length <= sizeof(s->out));
			s->out_bytes.iov_len = length;
			d->out[answers++].msg_hdr = (struct msghdr){ .msg_name = &s->from,
				.msg_namelen = sizeof(s->from),
				.msg_iov = &s->out_bytes,
				.msg_iovlen = 1 };
		}
		in->msg_namelen = sizeof(s->from);
	}
	send_all(d, answers);
}

enum err world_datagrams(struct world *w, uint32_t address, uint16_t port, datagram_fn *fn,
	void *ctx, struct world_datagrams **ret, struct why *why)
{
	own_fd fd = -1;
	enum err e = bound_socket(SOCK_DGRAM, address, port, &fd, why);
	int room = RECEIVE_BYTES;
	struct world_datagrams *d;

	if (e)
		return e;
	d = calloc(1, sizeof(*d));
	if (!d)
		return fail(why, ERR_no_memory, "no memory for datagrams");
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
	for (int i = 0; i < BATCH; i++) {
		struct slot *s = &d->slots[i];

		s->in_bytes = (struct iovec){ s->in, sizeof(s->in) };
		s->out_bytes = (struct iovec){ s->out, sizeof(s->out) };
		d->in[i].msg_hdr = (struct msghdr){ .msg_name = &s->from,
			.msg_namelen = sizeof(s->from),
			.msg_iov = &s->in_bytes,
			.msg_iovlen = 1 };
	}
	d->fn = fn;
	d->ctx = ctx;
	d->fd = take_fd(&fd);
	watch_start(w->loop, &d->watch, d->fd, WATCH_READ, on_datagrams, d);
	*ret = d;
	return OK;
}

void world_datagrams_free(struct world_datagrams *d)
{
	if (!d)
		return;
	watch_stop(&d->watch);
	close(d->fd);
	free(d);
}

enum err world_listen_tcp(struct world *w, uint32_t address, uint16_t port,
	void (*accept)(void *ctx, struct chan *c, const struct world_peer *peer), void *ctx,
	struct world_listener **ret, struct why *why)
{
	own_fd fd = -1;
	int on = 1;
	enum err e = bound_socket(SOCK_STREAM, address, port, &fd, why);

	if (e)
		return e;
	if (listen(fd, BACKLOG) < 0)
		return fail_errno(why, "cannot listen at TCP port %u", port);
	/* inherited by what is accepted: an answer is one write, and does not wait for another */
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	e = world_listen(w, NULL, fd, accept, ctx, ret, why);
	if (!e)
		take_fd(&fd);
	return e;
}
