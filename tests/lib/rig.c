/*
 * rig.c - an rpc end that remembers everything, and may free itself in any callback.
 */
#include "tests/lib/rig.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "letter/error.h"
#include "letter/pack.h"

const struct pong rig_pong = { .version = { "1.0", "abc", 5 }, .uptime_ms = 7, .pid = 1 };

static void free_if(struct end *e, bool wanted)
{
	if (wanted)
		rpc_free(take_ptr(&e->rpc));
}

static void keep(struct end *e, struct bytes method, struct bytes params)
{
	snprintf(e->method, sizeof(e->method), "%.*s", (int)method.n, (const char *)method.p);
	e->params.n = 0;
	buf_add(&e->params, params.p, params.n);
}

static void on_request(void *ctx, uint32_t msgid, struct bytes method, struct bytes params)
{
	struct end *e = ctx;

	assert_int_equal(e->closed, 0);
	e->requests++;
	keep(e, method, params);
	if (e->answer_at_once)
		assert_int_equal(
			rpc_answer(e->rpc, msgid, &letter_kinds[LETTER_ping], &rig_pong, NULL), OK);
	else if (e->held_n < HELD_MAX)
		e->held[e->held_n++] = msgid;
	free_if(e, e->free_on_request);
}

static void on_note(void *ctx, struct bytes method, struct bytes params)
{
	struct end *e = ctx;

	e->notes++;
	keep(e, method, params);
	free_if(e, e->free_on_note);
}

static void on_drained(void *ctx)
{
	struct end *e = ctx;

	e->drained++;
	free_if(e, e->free_on_drained);
}

static void on_closed(void *ctx, const struct why *why)
{
	struct end *e = ctx;

	e->closed++;
	e->why = *why;
	free_if(e, e->free_on_closed);
}

static bool full(void *ctx)
{
	return ((struct end *)ctx)->is_full;
}

static void on_partial(void *ctx, bool open)
{
	struct end *e = ctx;

	assert_true(e->partial != open);
	e->partial = open;
}

static const struct rpc_user user = {
	.request = on_request,
	.note = on_note,
	.drained = on_drained,
	.closed = on_closed,
	.full = full,
	.partial = on_partial,
};

void rig_on_answer(void *ctx, const struct why *why, struct bytes result)
{
	struct end *e = ctx;

	e->answers++;
	if (why)
		e->why = *why;
	else
		assert_true(result.n > 0);
	free_if(e, e->free_on_answer);
}

void rig_turns(struct rig *r, int n)
{
	while (n-- > 0)
		loop_turn(r->l, false);
}

int rig_setup(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));
	struct chan *c;
	int fds[2];

	assert_non_null(r);
	signal(SIGPIPE, SIG_IGN);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	assert_int_equal(loop_new(&r->l, NULL), OK);
	assert_int_equal(chan_open(r->l, fds[0], fds[0], NULL, NULL, &c, NULL), OK);
	r->e.rpc = rpc_new(c, FRAME_BYTES_MAX, &user, &r->e);
	assert_non_null(r->e.rpc);
	r->e.params.max = 2 * MiB;
	r->e.free_on_closed = true;
	r->peer = fds[1];
	fcntl(r->peer, F_SETFL, O_NONBLOCK);
	*state = r;
	return 0;
}

int rig_teardown(void **state)
{
	struct rig *r = *state;

	rpc_free(r->e.rpc);
	buf_done(&r->e.params);
	if (r->peer >= 0)
		close(r->peer);
	loop_free(r->l);
	free(r);
	return 0;
}

void rig_anew(void **state)
{
	rig_teardown(state);
	rig_setup(state);
}

void rig_send(struct rig *r, struct bytes b)
{
	while (b.n > 0) {
		ssize_t n = write(r->peer, b.p, b.n);

		assert_true(n > 0 || errno == EAGAIN);
		rig_turns(r, 1);
		b.p += MAX(n, 0);
		b.n -= (size_t)MAX(n, 0);
	}
	rig_turns(r, 2);
}

void rig_request(struct buf *b, uint32_t msgid, const char *method)
{
	msgpack_packer pk = packer_on(b);

	msgpack_pack_array(&pk, 4);
	msgpack_pack_int(&pk, 0);
	msgpack_pack_uint32(&pk, msgid);
	pack_str(&pk, method, strlen(method));
	msgpack_pack_array(&pk, 0);
}

/* Reads one frame that the rpc sent; the answer's msgid and its error word, "" for none. */
bool rig_take_answer(struct rig *r, struct buf *in, uint32_t *msgid, char *word, size_t size)
{
	struct mp_scan s = { .depth = 0 };
	struct mp c;
	struct bytes error = { NULL, 0 };
	struct why why;
	uint64_t v = 0;
	uint32_t n;
	char chunk[4096];
	ssize_t got;

	while ((got = read(r->peer, chunk, sizeof(chunk))) > 0)
		buf_add(in, chunk, (size_t)got);
	if (mp_scan(&s, in->p, in->n, FRAME_BYTES_MAX) != MP_WHOLE)
		return false;
	c = mp_over(in->p, s.at);
	assert_true(mp_array(&c, &n) && n == 4 && mp_u64(&c, &v) && v == 1 && mp_u64(&c, &v));
	*msgid = (uint32_t)v;
	word[0] = '\0';
	if (!mp_nil(&c)) {
		error.p = c.p;
		assert_true(mp_skip(&c));
		error.n = (size_t)(c.p - error.p);
		snprintf(word, size, "%s", err_name(error_read(error, &why)));
	}
	assert_true(mp_skip(&c) && c.p == c.end);
	buf_drop(in, s.at);
	return true;
}
