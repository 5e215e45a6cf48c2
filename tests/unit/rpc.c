/*
 * unit/rpc.c - the RPC engine on a real loop, with a peer that writes raw bytes: what closes a
 * connection (row A6), what does not, and what happens when callbacks pull the floor away.
 */
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "letter/error.h"
#include "letter/pack.h"
#include "proto/proto.h"
#include "wire/rpc.h"

enum { HELD_MAX = 512 };

struct end {
	struct rpc *rpc;
	unsigned requests, notes, drained, closed, answers;
	uint32_t held[HELD_MAX]; /* requests that wait for an answer */
	uint32_t held_n;
	char method[80]; /* of the last letter */
	struct buf params; /* of the last letter */
	struct why why; /* of the end, or of the last answer that failed */
	bool answer_at_once, is_full, partial;
	bool free_on_request, free_on_note, free_on_answer, free_on_closed, free_on_drained;
};

struct rig {
	struct loop *l;
	struct end e;
	int peer;
};

static const struct pong a_pong = { .version = { "1.0", "abc", 5 }, .uptime_ms = 7, .pid = 1 };

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
		assert_int_equal(rpc_answer(e->rpc, msgid, &letter_kinds[LETTER_ping], &a_pong, NULL),
			OK);
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

static void on_answer(void *ctx, const struct why *why, struct bytes result)
{
	struct end *e = ctx;

	e->answers++;
	if (why)
		e->why = *why;
	else
		assert_true(result.n > 0);
	free_if(e, e->free_on_answer);
}

static void turns(struct rig *r, int n)
{
	while (n-- > 0)
		loop_turn(r->l, false);
}

static int setup(void **state)
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

static int teardown(void **state)
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

static void anew(void **state)
{
	teardown(state);
	setup(state);
}

static void send_bytes(struct rig *r, struct bytes b)
{
	while (b.n > 0) {
		ssize_t n = write(r->peer, b.p, b.n);

		assert_true(n > 0 || errno == EAGAIN);
		turns(r, 1);
		b.p += MAX(n, 0);
		b.n -= (size_t)MAX(n, 0);
	}
	turns(r, 2);
}

static void request(struct buf *b, uint32_t msgid, const char *method)
{
	msgpack_packer pk = packer_on(b);

	msgpack_pack_array(&pk, 4);
	msgpack_pack_int(&pk, 0);
	msgpack_pack_uint32(&pk, msgid);
	pack_str(&pk, method, strlen(method));
	msgpack_pack_array(&pk, 0);
}

/* Reads one frame that the rpc sent; the answer's msgid and its error word, "" for none. */
static bool take_answer(struct rig *r, struct buf *in, uint32_t *msgid, char *word, size_t size)
{
	struct mp_scan s = { .depth = 0 };
	struct mp c;
	struct bytes error = { NULL, 0 };
	struct why why;
	uint64_t v;
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

static void malformed_closes(void **state)
{
	static const struct {
		const char *what;
		struct bytes in;
	} rows[] = {
#define M(what, literal) { what, { (const uint8_t *)(literal), sizeof(literal) - 1 } }
		M("text", "GET / HTTP/1.0\r\n\r\n"),
		M("0xc1", "\xc1"),
		M("an ext type", "\x94\x00\x01\xa4ping\x91\xd4\x00\x00"),
		M("an ext type deep inside", "\x93\x02\xa1m\x91\x81\xa1k\xc7\x01\x00\x00"),
		M("a number", "\x05"),
		M("nil", "\xc0"),
		M("a map", "\x80"),
		M("an empty array", "\x90"),
		M("a 1-array", "\x91\x00"),
		M("a 2-array", "\x92\x00\x01"),
		M("a 5-array", "\x95\x00\x01\xa4ping\x90\xc0"),
		M("type 3", "\x94\x03\x01\xa4ping\x90"),
		M("type -1", "\x94\xff\x01\xa4ping\x90"),
		M("type 0.0", "\x94\xca\0\0\0\0\x01\xa4ping\x90"),
		M("type as text", "\x94\xa1" "0\x01\xa4ping\x90"),
		M("request as 3-array", "\x93\x00\x01\xa4ping"),
		M("notification as 4-array", "\x94\x02\xa4ping\x90\xc0"),
		M("response as 3-array", "\x93\x01\x01\xc0"),
		M("msgid -1", "\x94\x00\xff\xa4ping\x90"),
		M("msgid 2^32", "\x94\x00\xcf\0\0\0\x01\0\0\0\0\xa4ping\x90"),
		M("msgid nil", "\x94\x00\xc0\xa4ping\x90"),
		M("msgid text", "\x94\x00\xa1" "1\xa4ping\x90"),
		M("msgid float", "\x94\x00\xca\x3f\x80\0\0\xa4ping\x90"),
		M("msgid in flight", "\x94\x00\x01\xa4hold\x90\x94\x00\x01\xa4ping\x90"),
		M("method nil", "\x94\x00\x01\xc0\x90"),
		M("method bin", "\x94\x00\x01\xc4\x04ping\x90"),
		M("method of 65 bytes", "\x94\x00\x01\xd9\x41" "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
			"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\x90"),
		M("params nil", "\x94\x00\x01\xa4ping\xc0"),
		M("params a map", "\x94\x00\x01\xa4ping\x80"),
		M("params [nil]", "\x94\x00\x01\xa4ping\x91\xc0"),
		M("params [[]]", "\x94\x00\x01\xa4ping\x91\x90"),
		M("params [1]", "\x94\x00\x01\xa4ping\x91\x01"),
		M("params [{}, {}]", "\x94\x00\x01\xa4ping\x92\x80\x80"),
		M("notification params nil", "\x93\x02\xa4ping\xc0"),
		M("notification method 5", "\x93\x02\x05\x90"),
		M("an answer nobody asked for", "\x94\x01\x07\xc0\x80"),
		M("an answer with error 5", "\x94\x01\x07\x05\xc0"),
		M("a declared array of 2^32-1", "\xdd\xff\xff\xff\xff"),
		M("a declared map of 2^28", "\xdf\x10\0\0\0"),
		M("a declared str of 2^32-1", "\xdb\xff\xff\xff\xff"),
		M("a declared bin one over", "\x94\x00\x01\xa4ping\x91\xc6\x00\x10\x00\x01"),
		M("17 deep", "\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\xc0"),
#undef M
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct rig *r = *state;
		char c;

		send_bytes(r, rows[i].in);
		check_row(r->e.closed == 1, "%s: still open", rows[i].what);
		check_row(r->e.why.code == ERR_malformed, "%s: %s", rows[i].what, r->e.why.text);
		turns(r, 1);
		check_row(read(r->peer, &c, 1) == 0, "%s: the socket is open", rows[i].what);
		anew(state);
	}
}

/* What is only wrong inside the map is handed on, for its user to refuse; the connection lives. */
static void the_rest_is_not_malformed(void **state)
{
	static const struct bytes rows[] = {
#define B(literal) { (const uint8_t *)(literal), sizeof(literal) - 1 }
		B("\x94\x00\x01\xa4ping\x90"), B("\x94\x00\x01\xa4ping\x91\x80"),
		B("\x94\x00\x01\xa0\x90"), B("\x94\x00\x01\xa3\0\xff\xfe\x90"),
		B("\x94\x00\x01\xa4ping\x91\x81\x05\x06"), B("\x94\x00\x01\xa4ping\x91\x82\xa1k\xc0\xa1k\xc0"),
		B("\x94\x00\x01\xa4ping\x91\x81\xa1k\xcb\x7f\xf8\0\0\0\0\0\0"),
		B("\xdc\x00\x04\xcc\x00\xce\xff\xff\xff\xff\xda\x00\x04ping\xdd\0\0\0\0"),
		B("\x94\xd0\x00\xd3\0\0\0\0\0\0\0\x05\xa4ping\xdc\0\x01\xde\0\0"),
#undef B
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct rig *r = *state;

		send_bytes(r, rows[i]);
		check_row(r->e.requests == 1 && r->e.closed == 0, "row %zu: %s", i, r->e.why.text);
		anew(state);
	}
}

static void empty_params_are_an_empty_map(void **state)
{
	struct rig *r = *state;

	send_bytes(r, BYTES("\x94\x00\x01\xa4ping\x90"));
	assert_int_equal(r->e.params.n, 1);
	assert_int_equal(r->e.params.p[0], 0x80);
	send_bytes(r, BYTES("\x93\x02\xa4tell\x91\x81\xa1k\x05"));
	assert_string_equal(r->e.method, "tell");
	assert_int_equal(r->e.params.n, 4);
}

static void single_bytes_make_the_same_frames(void **state)
{
	struct rig *r = *state;
	own_buf b = { .p = NULL };

	for (uint32_t i = 0; i < 5; i++)
		request(&b, i, "ping");
	buf_add(&b, "\x93\x02\xa4tell\x90", 8);
	for (size_t i = 0; i < b.n; i++)
		send_bytes(r, (struct bytes){ b.p + i, 1 });
	assert_int_equal(r->e.requests, 5);
	assert_int_equal(r->e.notes, 1);
	assert_int_equal(r->e.closed, 0);
}

static void the_largest_frame_and_one_more(void **state)
{
	struct rig *r = *state;
	static uint8_t body[FRAME_BYTES_MAX];
	size_t head = 9 + 3 + 5;
	own_buf b = { .max = 4 * MiB };
	msgpack_packer pk;

	for (size_t more = 0; more < 2; more++) {
		pk = packer_on(&b);
		b.n = 0;
		r = *state;
		msgpack_pack_array(&pk, 3);
		msgpack_pack_int(&pk, 2);
		pack_str(&pk, "tell", 4);
		msgpack_pack_array(&pk, 1);
		msgpack_pack_map(&pk, 1);
		pack_str(&pk, "k", 1);
		head = b.n + 5;
		pack_bin(&pk, body, FRAME_BYTES_MAX - head + more);
		assert_int_equal(b.n, FRAME_BYTES_MAX + more);
		for (size_t at = 0; at < b.n && !r->e.closed; at += 60000)
			send_bytes(r, (struct bytes){ b.p + at, MIN(b.n - at, (size_t)60000) });
		assert_int_equal(r->e.notes, more ? 0 : 1);
		assert_int_equal(r->e.closed, more);
		anew(state);
	}
}

static void three_hundred_in_flight(void **state)
{
	struct rig *r = *state;
	own_buf b = { .p = NULL }, in = { .p = NULL };
	uint32_t msgid, busy = 0;
	char word[40];

	for (uint32_t i = 0; i < 300; i++)
		request(&b, i, "hold");
	send_bytes(r, (struct bytes){ b.p, b.n });
	assert_int_equal(r->e.requests, REQUESTS_MAX);
	while (take_answer(r, &in, &msgid, word, sizeof(word))) {
		assert_string_equal(word, "busy");
		assert_int_equal(msgid, REQUESTS_MAX + busy);
		busy++;
	}
	assert_int_equal(busy, 300 - REQUESTS_MAX);
	assert_int_equal(r->e.closed, 0);
	/* one answered makes room for one */
	rpc_answer_packed(r->e.rpc, 5, BYTES("\x80"));
	b.n = 0;
	request(&b, 5, "again");
	send_bytes(r, (struct bytes){ b.p, b.n });
	assert_int_equal(r->e.requests, REQUESTS_MAX + 1);
}

static void answers_in_any_order(void **state)
{
	struct rig *r = *state;
	own_buf b = { .p = NULL }, in = { .p = NULL };
	struct why no;
	char word[40];
	uint32_t id;

	for (uint32_t i = 0; i < 3; i++)
		request(&b, 10 + i, "hold");
	send_bytes(r, (struct bytes){ b.p, b.n });
	rpc_answer_packed(r->e.rpc, 12, BYTES("\x80"));
	rpc_answer_packed(r->e.rpc, 12, BYTES("\x80")); /* a second one does not leave */
	fail(&no, ERR_not_found, "no such thing");
	rpc_refuse(r->e.rpc, 10, &no);
	rpc_refuse(r->e.rpc, 99, &no); /* never asked */
	assert_int_equal(rpc_answer(r->e.rpc, 11, &letter_kinds[LETTER_ping], &a_pong, NULL), OK);
	turns(r, 2);
	assert_true(take_answer(r, &in, &id, word, sizeof(word)) && id == 12 && !word[0]);
	assert_true(take_answer(r, &in, &id, word, sizeof(word)) && id == 10);
	assert_string_equal(word, "not_found");
	assert_true(take_answer(r, &in, &id, word, sizeof(word)) && id == 11 && !word[0]);
	assert_false(take_answer(r, &in, &id, word, sizeof(word)));
}

/* An answer that cannot be packed, or is over the frame, becomes a refusal; nothing half leaves. */
static void bad_answers_become_refusals(void **state)
{
	struct rig *r = *state;
	own_buf b = { .p = NULL }, in = { .p = NULL };
	static uint8_t huge[FRAME_BYTES_MAX];
	const struct pong wrong = { .version = { "1.0", "abc", 5 }, .pid = 0 };
	char word[40];
	uint32_t id;

	request(&b, 1, "hold");
	request(&b, 2, "hold");
	send_bytes(r, (struct bytes){ b.p, b.n });
	assert_int_not_equal(rpc_answer(r->e.rpc, 1, &letter_kinds[LETTER_ping], &wrong, NULL), OK);
	rpc_answer_packed(r->e.rpc, 2, (struct bytes){ huge, sizeof(huge) });
	turns(r, 2);
	assert_true(take_answer(r, &in, &id, word, sizeof(word)) && id == 1);
	assert_string_equal(word, "internal");
	assert_true(take_answer(r, &in, &id, word, sizeof(word)) && id == 2);
	assert_string_equal(word, "too_large");
	assert_int_equal(r->e.closed, 0);
}

static void asks_are_matched(void **state)
{
	struct rig *r = *state;
	struct end other = { .answers = 0 };

	for (int i = 0; i < 3; i++)
		assert_int_equal(rpc_ask(r->e.rpc, &letter_kinds[LETTER_ping], NULL, on_answer,
					 i == 2 ? &other : &r->e, NULL), OK);
	turns(r, 1);
	rpc_forget(r->e.rpc, &other);
	send_bytes(r, BYTES("\x94\x01\x02\xc0\x80\x94\x01\x01\xc0\x80"));
	assert_int_equal(r->e.answers, 1);
	assert_int_equal(other.answers, 0);
	send_bytes(r, BYTES("\x94\x01\x00\x82\xa4" "code\xa4" "busy\xa7message\xa3no\x07\xc0"));
	assert_int_equal(r->e.answers, 2);
	assert_int_equal(r->e.why.code, ERR_busy);
	assert_string_equal(r->e.why.text, "no\\x07");
	assert_int_equal(r->e.closed, 0);
	/* the same answer again was not asked for */
	send_bytes(r, BYTES("\x94\x01\x00\xc0\x80"));
	assert_int_equal(r->e.closed, 1);
}

static void asks_have_a_ceiling(void **state)
{
	struct rig *r = *state;
	struct why why;

	for (int i = 0; i < REQUESTS_MAX; i++)
		assert_int_equal(rpc_ask_packed(r->e.rpc, "ping", BYTES("\x80"), on_answer, &r->e,
					 NULL), OK);
	assert_int_equal(rpc_ask_packed(r->e.rpc, "ping", BYTES("\x80"), on_answer, &r->e, &why),
		ERR_busy);
}

static void open_asks_fail_with_the_connection(void **state)
{
	struct rig *r = *state;
	struct why why;

	r->e.free_on_closed = false;
	for (int i = 0; i < 5; i++)
		assert_int_equal(rpc_ask_packed(r->e.rpc, "ping", BYTES("\x80"), on_answer, &r->e,
					 NULL), OK);
	close(take_fd(&r->peer));
	turns(r, 3);
	assert_int_equal(r->e.answers, 5);
	assert_int_equal(r->e.closed, 1);
	assert_int_equal(r->e.why.code, OK);
	assert_int_equal(rpc_ask_packed(r->e.rpc, "ping", BYTES("\x80"), on_answer, &r->e, &why),
		ERR_unavailable);
	assert_int_equal(rpc_note(r->e.rpc, &letter_kinds[LETTER_tree_end], NULL, &why),
		ERR_unavailable);
	assert_int_equal(r->e.answers, 5);
}

static void freeing_inside_each_callback(void **state)
{
	for (int which = 0; which < 6; which++) {
		struct rig *r = *state;

		r->e.free_on_closed = which == 0 || which == 5;
		r->e.free_on_request = which == 1;
		r->e.free_on_note = which == 2;
		r->e.free_on_answer = which == 3 || which == 4;
		for (int i = 0; i < 3; i++)
			assert_int_equal(rpc_ask_packed(r->e.rpc, "ping", BYTES("\x80"), on_answer,
						 &r->e, NULL), OK);
		if (which == 1 || which == 2)
			send_bytes(r, BYTES("\x93\x02\xa1m\x90\x94\x00\x01\xa1m\x90"
					    "\x94\x00\x02\xa1m\x90\x93\x02\xa1m\x90"));
		else if (which == 3)
			send_bytes(r, BYTES("\x94\x01\x01\xc0\x80\x94\x01\x00\xc0\x80"));
		else if (which == 5)
			send_bytes(r, BYTES("\xc1\xc1"));
		else
			close(take_fd(&r->peer));
		turns(r, 3);
		check_row(r->e.rpc == NULL, "case %d", which);
		check_row(r->e.answers == (which == 0 || which == 5 ? 3 : which >= 3), "case %d: %u",
			which, r->e.answers);
		check_row(r->e.closed == (which == 0 || which == 5), "case %d", which);
		check_row(r->e.requests <= 1 && r->e.notes <= 1, "case %d", which);
		anew(state);
	}
}

static void freeing_inside_drained(void **state)
{
	struct rig *r = *state;
	static char sink[65536];
	static uint8_t big[700000] = { 0xc6, 0x00, 0x0a, 0xae, 0x5b };

	r->e.free_on_drained = true;
	for (int i = 0; i < 3; i++)
		rpc_note_packed(r->e.rpc, BYTES("m"), (struct bytes){ big, sizeof(big) });
	assert_true(chan_crowded(rpc_chan(r->e.rpc)));
	for (int i = 0; i < 1000 && r->e.rpc; i++) {
		turns(r, 1);
		while (read(r->peer, sink, sizeof(sink)) > 0)
			;
	}
	assert_int_equal(r->e.drained, 1);
	assert_null(r->e.rpc);
}

static void a_peer_that_never_reads(void **state)
{
	struct rig *r = *state;
	static uint8_t big[700000];
	own_buf b = { .p = NULL };

	for (int i = 0; i < 20 && r->e.rpc; i++) {
		rpc_note_packed(r->e.rpc, BYTES("m"), (struct bytes){ big, sizeof(big) });
		turns(r, 1);
	}
	assert_int_equal(r->e.closed, 1);
	assert_int_equal(r->e.why.code, ERR_too_large);
	assert_null(r->e.rpc);
	/* the same by small answers alone */
	anew(state);
	r = *state;
	r->e.answer_at_once = true;
	for (uint32_t i = 0; i < 200; i++)
		request(&b, i, "ping");
	for (int i = 0; i < 2000 && r->e.rpc; i++) {
		if (write(r->peer, b.p, b.n) != (ssize_t)b.n)
			turns(r, 1);
		turns(r, 1);
	}
	assert_int_equal(r->e.closed, 1);
	assert_int_equal(r->e.why.code, ERR_too_large);
}

static void full_holds_back_and_resume_goes_on(void **state)
{
	struct rig *r = *state;
	own_buf b = { .p = NULL };

	r->e.is_full = true;
	for (uint32_t i = 0; i < 10; i++)
		request(&b, i, "hold");
	send_bytes(r, (struct bytes){ b.p, b.n });
	assert_int_equal(r->e.requests, 0);
	r->e.is_full = false;
	rpc_resume(r->e.rpc);
	turns(r, 3);
	assert_int_equal(r->e.requests, 10);
	/* also with half a frame left over, and the end behind it */
	r->e.is_full = true;
	b.n = 0;
	request(&b, 77, "hold");
	send_bytes(r, (struct bytes){ b.p, 4 });
	send_bytes(r, (struct bytes){ b.p + 4, b.n - 4 });
	close(take_fd(&r->peer));
	turns(r, 3);
	assert_int_equal(r->e.requests, 10);
	r->e.is_full = false;
	rpc_resume(r->e.rpc);
	turns(r, 4);
	assert_int_equal(r->e.requests, 11);
	assert_int_equal(r->e.closed, 1);
}

/* From a frame's first byte to its last it is open: what a deadline against dawdlers stands on. */
static void half_frames_are_told(void **state)
{
	struct rig *r = *state;
	struct bytes in = BYTES("\xdc\x00\x04\x00\x01\xa4hold\x90");

	for (size_t i = 0; i < in.n; i++) {
		assert_int_equal(r->e.partial, i > 0);
		send_bytes(r, (struct bytes){ in.p + i, 1 });
	}
	assert_false(r->e.partial);
	assert_int_equal(r->e.requests, 1);
	/* what waits because we are full is not the peer's fault */
	r->e.is_full = true;
	send_bytes(r, in);
	assert_false(r->e.partial);
}

static void messages_over_the_frame_do_not_leave(void **state)
{
	struct rig *r = *state;
	static uint8_t huge[FRAME_BYTES_MAX];
	struct why why;
	char c;

	rpc_note_packed(r->e.rpc, BYTES("m"), (struct bytes){ huge, sizeof(huge) });
	assert_int_equal(rpc_ask_packed(r->e.rpc, "m", (struct bytes){ huge, sizeof(huge) },
				 on_answer, &r->e, &why), ERR_too_large);
	turns(r, 2);
	assert_int_equal(read(r->peer, &c, 1), -1);
	assert_int_equal(r->e.closed, 0);
	assert_int_equal(r->e.answers, 0);
	assert_int_equal(rpc_note(r->e.rpc, &letter_kinds[LETTER_tree_end], NULL, &why), OK);
	turns(r, 2);
	assert_int_equal(read(r->peer, &c, 1), 1);
}

#define ON_RIG(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = { ON_RIG(malformed_closes),
		ON_RIG(the_rest_is_not_malformed), ON_RIG(empty_params_are_an_empty_map),
		ON_RIG(single_bytes_make_the_same_frames), ON_RIG(the_largest_frame_and_one_more),
		ON_RIG(three_hundred_in_flight), ON_RIG(answers_in_any_order),
		ON_RIG(bad_answers_become_refusals), ON_RIG(asks_are_matched),
		ON_RIG(asks_have_a_ceiling), ON_RIG(open_asks_fail_with_the_connection),
		ON_RIG(freeing_inside_each_callback), ON_RIG(freeing_inside_drained),
		ON_RIG(a_peer_that_never_reads), ON_RIG(full_holds_back_and_resume_goes_on),
		ON_RIG(half_frames_are_told), ON_RIG(messages_over_the_frame_do_not_leave) };

	return RUN(tests);
}
