/*
 * unit/rpc_life.c - how a connection ends, and what happens when callbacks pull the floor away,
 * when a peer does not read, and when we do not want to.
 */
#include <unistd.h>

#include "tests/lib/rig.h"

static void open_asks_fail_with_the_connection(void **state)
{
	struct rig *r = *state;
	struct why why;

	r->e.free_on_closed = false;
	for (int i = 0; i < 5; i++)
		assert_int_equal(
			rpc_ask_packed(r->e.rpc, "ping", BYTES("\x80"), rig_on_answer, &r->e, NULL),
			OK);
	close(take_fd(&r->peer));
	rig_turns(r, 3);
	assert_int_equal(r->e.answers, 5);
	assert_int_equal(r->e.closed, 1);
	assert_int_equal(r->e.why.code, OK);
	assert_int_equal(
		rpc_ask_packed(r->e.rpc, "ping", BYTES("\x80"), rig_on_answer, &r->e, &why),
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
			assert_int_equal(rpc_ask_packed(r->e.rpc, "ping", BYTES("\x80"),
						 rig_on_answer, &r->e, NULL),
				OK);
		if (which == 1 || which == 2)
			rig_send(r, BYTES("\x93\x02\xa1m\x90\x94\x00\x01\xa1m\x90"
					    "\x94\x00\x02\xa1m\x90\x93\x02\xa1m\x90"));
		else if (which == 3)
			rig_send(r, BYTES("\x94\x01\x01\xc0\x80\x94\x01\x00\xc0\x80"));
		else if (which == 5)
			rig_send(r, BYTES("\xc1\xc1"));
		else
			close(take_fd(&r->peer));
		rig_turns(r, 3);
		check_row(r->e.rpc == NULL, "case %d", which);
		check_row(r->e.answers == (which == 0 || which == 5 ? 3 : which >= 3),
			"case %d: %u", which, r->e.answers);
		check_row(r->e.closed == (which == 0 || which == 5), "case %d", which);
		check_row(r->e.requests <= 1 && r->e.notes <= 1, "case %d", which);
		rig_anew(state);
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
		rig_turns(r, 1);
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
		rig_turns(r, 1);
	}
	assert_int_equal(r->e.closed, 1);
	assert_int_equal(r->e.why.code, ERR_too_large);
	assert_null(r->e.rpc);
	/* the same by small answers alone */
	rig_anew(state);
	r = *state;
	r->e.answer_at_once = true;
	for (uint32_t i = 0; i < 200; i++)
		rig_request(&b, i, "ping");
	for (int i = 0; i < 2000 && r->e.rpc; i++) {
		if (write(r->peer, b.p, b.n) != (ssize_t)b.n)
			rig_turns(r, 1);
		rig_turns(r, 1);
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
		rig_request(&b, i, "hold");
	rig_send(r, (struct bytes){ b.p, b.n });
	assert_int_equal(r->e.requests, 0);
	r->e.is_full = false;
	rpc_resume(r->e.rpc);
	rig_turns(r, 3);
	assert_int_equal(r->e.requests, 10);
	/* also with half a frame left over, and the end behind it */
	r->e.is_full = true;
	b.n = 0;
	rig_request(&b, 77, "hold");
	rig_send(r, (struct bytes){ b.p, 4 });
	rig_send(r, (struct bytes){ b.p + 4, b.n - 4 });
	close(take_fd(&r->peer));
	rig_turns(r, 3);
	assert_int_equal(r->e.requests, 10);
	r->e.is_full = false;
	rpc_resume(r->e.rpc);
	rig_turns(r, 4);
	assert_int_equal(r->e.requests, 11);
	assert_int_equal(r->e.closed, 1);
}

static void half_frames_are_told(void **state)
{
	struct rig *r = *state;
	struct bytes in = BYTES("\xdc\x00\x04\x00\x01\xa4hold\x90");

	for (size_t i = 0; i < in.n; i++) {
		assert_int_equal(r->e.partial, i > 0);
		rig_send(r, (struct bytes){ in.p + i, 1 });
	}
	assert_false(r->e.partial);
	assert_int_equal(r->e.requests, 1);
	/* what waits because we are full is not the peer's fault */
	r->e.is_full = true;
	rig_send(r, in);
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
				 rig_on_answer, &r->e, &why), ERR_too_large);
	rig_turns(r, 2);
	assert_int_equal(read(r->peer, &c, 1), -1);
	assert_int_equal(r->e.closed, 0);
	assert_int_equal(r->e.answers, 0);
	assert_int_equal(rpc_note(r->e.rpc, &letter_kinds[LETTER_tree_end], NULL, &why), OK);
	rig_turns(r, 2);
	assert_int_equal(read(r->peer, &c, 1), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_RIG(open_asks_fail_with_the_connection),
		ON_RIG(freeing_inside_each_callback),
		ON_RIG(freeing_inside_drained),
		ON_RIG(a_peer_that_never_reads),
		ON_RIG(full_holds_back_and_resume_goes_on),
		ON_RIG(half_frames_are_told),
		ON_RIG(messages_over_the_frame_do_not_leave),
	};

	return RUN(tests);
}
