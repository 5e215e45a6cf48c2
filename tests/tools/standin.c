/*
 * standin.c - the smallest daemon: serves ping and vm.list on a unix socket, so that the foreign
 * client's tests can try the wire without the rest of banger.
 *
 *	standin PATH	prints "ready" when it listens, and runs until it is ended
 */
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/build.h"
#include "base/text.h"
#include "proto/proto.h"
#include "wire/rpc.h"

struct standin {
	struct loop *l;
	struct watch listener;
	int fd;
};

struct client {
	struct rpc *rpc;
};

static void answer_ping(struct client *c, uint32_t msgid, struct bytes params)
{
	const struct pong pong = {
		.version = { build_version, build_commit, build_time_ms },
		.pid = (uint64_t)getpid(),
	};
	struct nothing none;
	struct arena a;
	struct why why;

	arena_init(&a, 0);
	if (shape_read(&shape_nothing, mp_over(params.p, params.n), STRICT, &a, &none, &why))
		rpc_refuse(c->rpc, msgid, &why);
	else
		(void)!rpc_answer(c->rpc, msgid, &letter_kinds[LETTER_ping], &pong, &why);
	arena_done(&a);
}

static void answer_list(struct client *c, uint32_t msgid, struct bytes params)
{
	const struct vm_listed listed = { .more = false };
	struct vm_list in;
	struct arena a;
	struct why why;

	arena_init(&a, 0);
	if (shape_read(&shape_vm_list, mp_over(params.p, params.n), STRICT, &a, &in, &why))
		rpc_refuse(c->rpc, msgid, &why);
	else
		(void)!rpc_answer(c->rpc, msgid, &letter_kinds[LETTER_vm_list], &listed, &why);
	arena_done(&a);
}

static void on_request(void *ctx, uint32_t msgid, struct bytes method, struct bytes params)
{
	enum letter_id id = letter_by_method((const char *)method.p, method.n);
	struct client *c = ctx;
	struct why why;

	if (id == LETTER_ping) {
		answer_ping(c, msgid, params);
	} else if (id == LETTER_vm_list) {
		answer_list(c, msgid, params);
	} else {
		fail(&why, ERR_unknown_method, "no such method");
		rpc_refuse(c->rpc, msgid, &why);
	}
}

static void on_closed(void *ctx, const struct why *why UNUSED)
{
	struct client *c = ctx;

	rpc_free(c->rpc);
	free(c);
}

static const struct rpc_user user = { .request = on_request, .closed = on_closed };

static size_t no_data(void *ctx UNUSED, const uint8_t *p UNUSED, size_t n)
{
	return n;
}

static const struct chan_user nobody = { .data = no_data };

static void serve(struct standin *s, int fd)
{
	struct client *c = calloc(1, sizeof(*c));
	struct chan *chan;

	if (!c || chan_open(s->l, fd, fd, &nobody, NULL, &chan, NULL)) {
		free(c);
		close(fd);
		return;
	}
	c->rpc = rpc_new(chan, FRAME_BYTES_MAX, &user, c);
	if (!c->rpc) {
		chan_close(chan);
		free(c);
	}
}

static void on_client(void *ctx, int events UNUSED)
{
	struct standin *s = ctx;
	int fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC);

	if (fd >= 0)
		serve(s, fd);
}

static void on_signal(void *ctx, int signal UNUSED)
{
	loop_stop(ctx);
}

int main(int argc, char **argv)
{
	struct standin s = { .fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0) };
	struct sockaddr_un name = { .sun_family = AF_UNIX };
	struct sigwatch term = { .loop = NULL };

	signal(SIGPIPE, SIG_IGN);
	if (argc != 2 || !str_copy(name.sun_path, sizeof(name.sun_path), argv[1]) ||
		bind(s.fd, (struct sockaddr *)&name, sizeof(name)) || listen(s.fd, 1024) ||
		loop_new(&s.l, NULL)) {
		perror("standin");
		return 1;
	}
	watch_start(s.l, &s.listener, s.fd, WATCH_READ, on_client, &s);
	sigwatch_start(s.l, &term, SIGTERM, on_signal, s.l);
	puts("ready");
	fflush(stdout);
	loop_run(s.l);
	watch_stop(&s.listener);
	sigwatch_stop(&term);
	close(s.fd);
	/* clients that are still there go with the process */
	_exit(0);
}
