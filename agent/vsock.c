/*
 * vsock.c - listens on vsock; serves the host and nobody else.
 *
 * Each connection is a session of its own and begins with an opening, as on a serial port.
 */
#include <sys/socket.h>
#include <linux/vm_sockets.h>
#include <unistd.h>

#include "agent/link.h"
#include "agent/session.h"
#include "base/log.h"
#include "wire/mark.h"

enum { LETTERS_PORT = 1024, HTTP_PORT = 80, HOST_CID = VMADDR_CID_HOST, OPENING_MS = 10000 };

struct vsock {
	struct agent *agent;
	int letters, http;
	struct watch on_letters, on_http;
	unsigned opening_n;
};

struct opening { /* a connection that has not said its mark and nonce yet */
	struct vsock *vsock;
	struct chan *chan;
	struct mark_finder finder;
	struct timer deadline;
};

static void opening_free(struct opening *o)
{
	timer_stop(&o->deadline);
	o->vsock->opening_n--;
	free(o);
}

static void give_up(struct opening *o)
{
	chan_close(o->chan);
	opening_free(o);
}

static size_t on_data(void *ctx, const uint8_t *p, size_t n)
{
	struct opening *o = ctx;
	struct agent *a = o->vsock->agent;
	struct chan *c = o->chan;
	uint8_t nonce[NONCE_BYTES], answer[OPENING_BYTES];
	bool found;
	size_t used = mark_find(&o->finder, p, n, &found, nonce);
	struct why why;

	if (!found)
		return used;
	opening_free(o);
	mark_opening(answer, nonce);
	chan_write(c, answer, sizeof(answer));
	if (session_new(a, c, &why))
		log_line(LOG_WARN, "vsock", "no session", "why", why.text, NULL);
	return used;
}

static void on_closed(void *ctx, const struct why *why UNUSED)
{
	give_up(ctx);
}

static void on_late(void *ctx)
{
	give_up(ctx);
}

static const struct chan_user opening_user = { .data = on_data, .closed = on_closed };

static int accept_host(int listener)
{
	struct sockaddr_vm peer = { .svm_family = AF_UNSPEC };
	socklen_t n = sizeof(peer);
	own_fd fd = accept4(listener, (struct sockaddr *)&peer, &n, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd >= 0 && (peer.svm_family != AF_VSOCK || peer.svm_cid != HOST_CID)) {
		log_line(LOG_WARN, "vsock", "refused a peer that is not the host", NULL);
		return -1;
	}
	return take_fd(&fd);
}

static void on_letters(void *ctx, int events UNUSED)
{
	struct vsock *v = ctx;
	own_fd fd = accept_host(v->letters);
	struct opening *o;

	if (fd < 0 || v->opening_n + v->agent->sessions_n >= SESSIONS_MAX)
		return;
	o = calloc(1, sizeof(*o));
	if (!o)
		return;
	o->vsock = v;
	if (chan_open(v->agent->loop, fd, fd, &opening_user, o, &o->chan, NULL)) {
		free(o);
		return;
	}
	take_fd(&fd);
	v->opening_n++;
	timer_start(v->agent->loop, &o->deadline, OPENING_MS, on_late, o);
}

static void on_http(void *ctx, int events UNUSED)
{
	struct vsock *v = ctx;
	int fd = accept_host(v->http);

	if (fd >= 0)
		http_serve(v->agent, fd);
}

static int listen_on(unsigned port)
{
	struct sockaddr_vm at = { .svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_ANY,
		.svm_port = port };
	own_fd fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0 || listen(fd, 16) < 0)
		return -1;
	return take_fd(&fd);
}

enum err vsock_start(struct agent *a, struct why *why)
{
	struct vsock *v = calloc(1, sizeof(*v));

	if (!v)
		return fail(why, ERR_no_memory, "no memory for the vsock link");
	v->agent = a;
	v->letters = listen_on(LETTERS_PORT);
	v->http = v->letters < 0 ? -1 : listen_on(HTTP_PORT);
	if (v->http < 0) {
		bool absent = errno == EAFNOSUPPORT;

		fd_done(&v->letters);
		free(v);
		return absent ? fail(why, ERR_unsupported, "the kernel knows no vsock") :
				fail_errno(why, "cannot listen on vsock");
	}
	watch_start(a->loop, &v->on_letters, v->letters, WATCH_READ, on_letters, v);
	watch_start(a->loop, &v->on_http, v->http, WATCH_READ, on_http, v);
	return OK;
}
