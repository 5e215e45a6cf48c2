/*
 * unit/rpc.c - the RPC engine on a real loop, with a peer that writes raw bytes: what closes a
 * connection (row A6), what does not, and how asks and answers find each other.
 */
#include <unistd.h>

#include "letter/pack.h"
#include "tests/lib/rig.h"

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
		M("type as text", "\x94\xa1"
				  "0\x01\xa4ping\x90"),
		M("request as 3-array", "\x93\x00\x01\xa4ping"),
		M("notification as 4-array", "\x94\x02\xa4ping\x90\xc0"),
		M("response as 3-array", "\x93\x01\x01\xc0"),
		M("msgid -1", "\x94\x00\xff\xa4ping\x90"),
		M("msgid 2^32", "\x94\x00\xcf\0\0\0\x01\0\0\0\0\xa4ping\x90"),
		M("msgid nil", "\x94\x00\xc0\xa4ping\x90"),
		M("msgid text", "\x94\x00\xa1"
				"1\xa4ping\x90"),
		M("msgid float", "\x94\x00\xca\x3f\x80\0\0\xa4ping\x90"),
		M("msgid in flight", "\x94\x00\x01\xa4hold\x90\x94\x00\x01\xa4ping\x90"),
		M("method nil", "\x94\x00\x01\xc0\x90"),
		M("method bin", "\x94\x00\x01\xc4\x04ping\x90"),
		M("method of 65 bytes", "\x94\x00\x01\xd9\x41"
					"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
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
		M("17 deep",
			"\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\xc0"),
#undef M
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct rig *r = *state;
		char c;

		rig_send(r, rows[i].in);
		check_row(r->e.closed == 1, "%s: still open", rows[i].what);
		check_row(r->e.why.code == ERR_malformed, "%s: %s", rows[i].what, r->e.why.text);
		rig_turns(r, 1);
		check_row(read(r->peer, &c, 1) == 0, "%s: the socket is open", rows[i].what);
		rig_anew(state);
	}
}

static void the_rest_is_not_malformed(void **state)
{
	static const struct bytes rows[] = {
#define B(literal) { (const uint8_t *)(literal), sizeof(literal) - 1 }
		B("\x94\x00\x01\xa4ping\x90"),
		B("\x94\x00\x01\xa4ping\x91\x80"),
		B("\x94\x00\x01\xa0\x90"),
		B("\x94\x00\x01\xa3\0\xff\xfe\x90"),
		B("\x94\x00\x01\xa4ping\x91\x81\x05\x06"),
		B("\x94\x00\x01\xa4ping\x91\x82\xa1k\xc0\xa1k\xc0"),
		B("\x94\x00\x01\xa4ping\x91\x81\xa1k\xcb\x7f\xf8\0\0\0\0\0\0"),
		B("\xdc\x00\x04\xcc\x00\xce\xff\xff\xff\xff\xda\x00\x04ping\xdd\0\0\0\0"),
		B("\x94\xd0\x00\xd3\0\0\0\0\0\0\0\x05\xa4ping\xdc\0\x01\xde\0\0"),
#undef B
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct rig *r = *state;

		rig_send(r, rows[i]);
		check_row(r->e.requests == 1 && r->e.closed == 0, "row %zu: %s", i, r->e.why.text);
		rig_anew(state);
	}
}

static void empty_params_are_an_empty_map(void **state)
{
	struct rig *r = *state;

	rig_send(r, BYTES("\x94\x00\x01\xa4ping\x90"));
	assert_int_equal(r->e.params.n, 1);
	assert_int_equal(r->e.params.p[0], 0x80);
	rig_send(r, BYTES("\x93\x02\xa4tell\x91\x81\xa1k\x05"));
	assert_string_equal(r->e.method, "tell");
	assert_int_equal(r->e.params.n, 4);
}

static void single_bytes_make_the_same_frames(void **state)
{
	struct rig *r = *state;
	own_buf b = { .p = NULL };

	for (uint32_t i = 0; i < 5; i++)
		rig_request(&b, i, "ping");
	buf_add(&b, "\x93\x02\xa4tell\x90", 8);
	for (size_t i = 0; i < b.n; i++)
		rig_send(r, (struct bytes){ b.p + i, 1 });
	assert_int_equal(r->e.requests, 5);
	assert_int_equal(r->e.notes, 1);
	assert_int_equal(r->e.closed, 0);
}

static void the_largest_frame_and_one_more(void **state)
{
	struct rig *r;
	static uint8_t body[FRAME_BYTES_MAX];
	size_t head;
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
			rig_send(r, (struct bytes){ b.p + at, MIN(b.n - at, (size_t)60000) });
		assert_int_equal(r->e.notes, more ? 0 : 1);
		assert_int_equal(r->e.closed, more);
		rig_anew(state);
	}
}

static void three_hundred_in_flight(void **state)
{
	struct rig *r = *state;
	own_buf b = { .p = NULL }, in = { .p = NULL };
	uint32_t msgid, busy = 0;
	char word[40];

	for (uint32_t i = 0; i < 300; i++)
		rig_request(&b, i, "hold");
	rig_send(r, (struct bytes){ b.p, b.n });
	assert_int_equal(r->e.requests, REQUESTS_MAX);
	while (rig_take_answer(r, &in, &msgid, word, sizeof(word))) {
		assert_string_equal(word, "busy");
		assert_int_equal(msgid, REQUESTS_MAX + busy);
		busy++;
	}
	assert_int_equal(busy, 300 - REQUESTS_MAX);
	assert_int_equal(r->e.closed, 0);
	/* one answered makes room for one */
	rpc_answer_packed(r->e.rpc, 5, BYTES("\x80"));
	b.n = 0;
	rig_request(&b, 5, "again");
	rig_send(r, (struct bytes){ b.p, b.n });
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
		rig_request(&b, 10 + i, "hold");
	rig_send(r, (struct bytes){ b.p, b.n });
	rpc_answer_packed(r->e.rpc, 12, BYTES("\x80"));
	rpc_answer_packed(r->e.rpc, 12, BYTES("\x80")); /* a second one does not leave */
	fail(&no, ERR_not_found, "no such thing");
	rpc_refuse(r->e.rpc, 10, &no);
	rpc_refuse(r->e.rpc, 99, &no); /* never asked */
	assert_int_equal(rpc_answer(r->e.rpc, 11, &letter_kinds[LETTER_ping], &rig_pong, NULL), OK);
	rig_turns(r, 2);
	assert_true(rig_take_answer(r, &in, &id, word, sizeof(word)) && id == 12 && !word[0]);
	assert_true(rig_take_answer(r, &in, &id, word, sizeof(word)) && id == 10);
	assert_string_equal(word, "not_found");
	assert_true(rig_take_answer(r, &in, &id, word, sizeof(word)) && id == 11 && !word[0]);
	assert_false(rig_take_answer(r, &in, &id, word, sizeof(word)));
}

static void bad_answers_become_refusals(void **state)
{
	struct rig *r = *state;
	own_buf b = { .p = NULL }, in = { .p = NULL };
	static uint8_t huge[FRAME_BYTES_MAX];
	const struct pong wrong = { .version = { "1.0", "abc", 5 }, .pid = 0 };
	char word[40];
	uint32_t id;

	rig_request(&b, 1, "hold");
	rig_request(&b, 2, "hold");
	rig_send(r, (struct bytes){ b.p, b.n });
	assert_int_not_equal(rpc_answer(r->e.rpc, 1, &letter_kinds[LETTER_ping], &wrong, NULL), OK);
	rpc_answer_packed(r->e.rpc, 2, (struct bytes){ huge, sizeof(huge) });
	rig_turns(r, 2);
	assert_true(rig_take_answer(r, &in, &id, word, sizeof(word)) && id == 1);
	assert_string_equal(word, "internal");
	assert_true(rig_take_answer(r, &in, &id, word, sizeof(word)) && id == 2);
	assert_string_equal(word, "too_large");
	assert_int_equal(r->e.closed, 0);
}

static void asks_are_matched(void **state)
{
	struct rig *r = *state;
	struct end other = { .answers = 0 };

	for (int i = 0; i < 3; i++)
		assert_int_equal(rpc_ask(r->e.rpc, &letter_kinds[LETTER_ping], NULL, rig_on_answer,
					 i == 2 ? &other : &r->e, NULL), OK);
	rig_turns(r, 1);
	rpc_forget(r->e.rpc, &other);
	rig_send(r, BYTES("\x94\x01\x02\xc0\x80\x94\x01\x01\xc0\x80"));
	assert_int_equal(r->e.answers, 1);
	assert_int_equal(other.answers, 0);
	rig_send(r, BYTES("\x94\x01\x00\x82\xa4" "code\xa4" "busy\xa7message\xa3no\x07\xc0"));
	assert_int_equal(r->e.answers, 2);
	assert_int_equal(r->e.why.code, ERR_busy);
	assert_string_equal(r->e.why.text, "no\\x07");
	assert_int_equal(r->e.closed, 0);
	/* the same answer again was not asked for */
	rig_send(r, BYTES("\x94\x01\x00\xc0\x80"));
	assert_int_equal(r->e.closed, 1);
}

static void asks_have_a_ceiling(void **state)
{
	struct rig *r = *state;
	struct why why;

	for (int i = 0; i < REQUESTS_MAX; i++)
		assert_int_equal(
			rpc_ask_packed(r->e.rpc, "ping", BYTES("\x80"), rig_on_answer, &r->e, NULL),
			OK);
	assert_int_equal(
		rpc_ask_packed(r->e.rpc, "ping", BYTES("\x80"), rig_on_answer, &r->e, &why),
		ERR_busy);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_RIG(malformed_closes),
		ON_RIG(the_rest_is_not_malformed),
		ON_RIG(empty_params_are_an_empty_map),
		ON_RIG(single_bytes_make_the_same_frames),
		ON_RIG(the_largest_frame_and_one_more),
		ON_RIG(three_hundred_in_flight),
		ON_RIG(answers_in_any_order),
		ON_RIG(bad_answers_become_refusals),
		ON_RIG(asks_are_matched),
		ON_RIG(asks_have_a_ceiling),
	};

	return RUN(tests);
}
