/*
 * torture/rpc.c - two ends of one connection talk while memory and the kernel say no: whatever
 * happens, each ask is answered once, each end is told once, and all is given back.
 */
#include "tests/torture/torture.h"

#include <sys/socket.h>

#include "proto/proto.h"
#include "wire/rpc.h"

enum { ASKS = 12, TURNS = 60 };

struct end {
	struct rpc *rpc;
	unsigned asked, answered, requests, notes, closed;
};

static const struct pong a_pong = { .version = { "1.0", "abc", 5 }, .uptime_ms = 7, .pid = 1 };

static void on_request(void *ctx, uint32_t msgid, struct bytes method, struct bytes params)
{
	struct end *e = ctx;
	struct vm_list in;
	struct arena a;
	struct why why;

	torture_must(!e->closed);
	e->requests++;
	arena_init(&a, 0);
	if (letter_by_method((const char *)method.p, method.n) == LETTER_ping)
		(void)!rpc_answer(e->rpc, msgid, &letter_kinds[LETTER_ping], &a_pong, &why);
	else if (shape_read(&shape_vm_list, mp_over(params.p, params.n), STRICT, &a, &in, &why))
		rpc_refuse(e->rpc, msgid, &why);
	else
		(void)!rpc_answer(e->rpc, msgid, &letter_kinds[LETTER_vm_list],
			&(struct vm_listed){ .more = false }, &why);
	arena_done(&a);
}

static void on_note(void *ctx, struct bytes method UNUSED, struct bytes params UNUSED)
{
	struct end *e = ctx;

	e->notes++;
}

static void on_closed(void *ctx, const struct why *why UNUSED)
{
	struct end *e = ctx;

	torture_must(!e->closed);
	torture_must(e->answered == e->asked);
	e->closed++;
	rpc_free(take_ptr(&e->rpc));
}

static void on_answer(void *ctx, const struct why *why, struct bytes result)
{
	struct end *e = ctx;

	e->answered++;
	torture_must(e->answered <= e->asked);
	torture_must(why || result.n > 0);
	torture_must(!why || torture_struck());
}

static const struct rpc_user user = {
	.request = on_request,
	.note = on_note,
	.closed = on_closed,
};

static size_t no_data(void *ctx UNUSED, const uint8_t *p UNUSED, size_t n)
{
	return n;
}

static const struct chan_user nobody = { .data = no_data };

/* An end over fd, which it takes over when it comes to be. */
static bool end_open(struct end *e, struct loop *l, int *fd)
{
	struct chan *c;
	struct why why;

	if (chan_open(l, *fd, *fd, &nobody, NULL, &c, &why))
		return false;
	take_fd(fd);
	e->rpc = rpc_new(c, FRAME_BYTES_MAX, &user, e);
	if (!e->rpc)
		chan_close(c);
	return e->rpc != NULL;
}

static void ask(struct end *e, int i)
{
	struct vm_list body = { .has_limit = true, .limit = 5 };
	struct why why;
	enum err got;

	if (!e->rpc)
		return;
	e->asked++;
	got = i % 2 ? rpc_ask(e->rpc, &letter_kinds[LETTER_ping], NULL, on_answer, e, &why)
		    : rpc_ask(e->rpc, &letter_kinds[LETTER_vm_list], &body, on_answer, e, &why);
	if (got) {
		torture_must(torture_struck() && why.code == got);
		e->asked--;
	}
	if (i % 3 == 0 && e->rpc && rpc_note(e->rpc, &letter_kinds[LETTER_tree_end], NULL, &why))
		torture_must(torture_struck());
}

static void talk(void)
{
	struct end client = { .closed = 0 }, server = { .closed = 0 };
	int fds[2] = { -1, -1 };
	struct loop *l = NULL;
	struct why why;

	if (loop_new(&l, &why) == OK && socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0 &&
		end_open(&client, l, &fds[0]) && end_open(&server, l, &fds[1])) {
		for (int i = 0; i < ASKS; i++) {
			ask(&client, i);
			for (int k = 0; k < 3; k++)
				loop_turn(l, false);
		}
		for (int i = 0; i < TURNS && client.answered < client.asked; i++)
			loop_turn(l, false);
		if (client.rpc && server.rpc)
			torture_must(client.answered == client.asked);
		if (!torture_struck())
			torture_must(client.answered == ASKS && server.notes == ASKS / 3);
	} else {
		torture_must(torture_struck());
	}
	rpc_free(client.rpc);
	rpc_free(server.rpc);
	loop_free(l);
	fd_done(&fds[0]);
	fd_done(&fds[1]);
}

static const struct scenario scenarios[] = {
	{ .name = "two ends of a connection", .run = talk },
};

TORTURE(scenarios)
