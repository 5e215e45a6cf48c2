/*
 * unit/chan.c - channels over real descriptors on a real loop: order, leftovers, ceilings, ends.
 */
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "loop/chan.h"

struct user {
	struct chan *c;
	struct buf got;
	size_t at_once; /* most that is used up in one call; 0 = all */
	size_t pause_at; /* pauses when that much has come */
	bool stalled; /* uses nothing up */
	bool close_on_data, close_on_closed, close_on_drained;
	unsigned closed, drained;
	struct why why;
};

struct rig {
	struct loop *l;
	struct user u;
	int peer;
};

static size_t on_data(void *ctx, const uint8_t *p, size_t n)
{
	struct user *u = ctx;
	size_t used = u->at_once ? MIN(n, u->at_once) : n;

	assert_int_equal(u->closed, 0);
	if (u->stalled)
		return 0;
	buf_add(&u->got, p, used);
	if (u->pause_at && u->got.n >= u->pause_at)
		chan_pause(u->c, true);
	if (u->close_on_data)
		chan_close(take_ptr(&u->c));
	return used;
}

static void on_drained(void *ctx)
{
	struct user *u = ctx;

	u->drained++;
	if (u->close_on_drained)
		chan_close(take_ptr(&u->c));
}

static void on_closed(void *ctx, const struct why *why)
{
	struct user *u = ctx;

	u->closed++;
	u->why = *why;
	if (u->close_on_closed)
		chan_close(take_ptr(&u->c));
}

static const struct chan_user user = {
	.data = on_data,
	.drained = on_drained,
	.closed = on_closed,
};

static void turns(struct rig *r, int n)
{
	while (n-- > 0)
		loop_turn(r->l, false);
}

static int setup(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));
	int fds[2];

	assert_non_null(r);
	signal(SIGPIPE, SIG_IGN);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	assert_int_equal(loop_new(&r->l, NULL), OK);
	assert_int_equal(chan_open(r->l, fds[0], fds[0], &user, &r->u, &r->u.c, NULL), OK);
	r->peer = fds[1];
	r->u.got.max = 64 * MiB;
	r->u.close_on_closed = true;
	fcntl(r->peer, F_SETFL, O_NONBLOCK);
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	chan_close(r->u.c);
	if (r->peer >= 0)
		close(r->peer);
	buf_done(&r->u.got);
	loop_free(r->l);
	free(r);
	return 0;
}

static void send_text(struct rig *r, const char *s)
{
	assert_int_equal(write(r->peer, s, strlen(s)), (ssize_t)strlen(s));
}

static void expect_sent(struct rig *r, const char *want)
{
	char got[256] = "";
	ssize_t n = read(r->peer, got, sizeof(got) - 1);

	assert_true(n >= 0);
	assert_string_equal(got, want);
}

static void both_ways_in_order(void **state)
{
	struct rig *r = *state;

	chan_write(r->u.c, "one ", 4);
	chan_write(r->u.c, "two", 3);
	assert_int_equal(chan_pending(r->u.c), 7);
	send_text(r, "ab");
	turns(r, 2);
	send_text(r, "cd");
	turns(r, 2);
	expect_sent(r, "one two");
	assert_string_equal(buf_cstr(&r->u.got), "abcd");
	assert_int_equal(chan_pending(r->u.c), 0);
	assert_int_equal(r->u.closed, 0);
}

static void leftovers_come_again(void **state)
{
	struct rig *r = *state;

	r->u.at_once = 1;
	send_text(r, "abcdef");
	turns(r, 2);
	assert_string_equal(buf_cstr(&r->u.got), "abcdef");
}

static void pause_keeps_what_was_not_used(void **state)
{
	struct rig *r = *state;

	r->u.at_once = 2;
	r->u.pause_at = 2;
	send_text(r, "abcdef");
	turns(r, 3);
	assert_string_equal(buf_cstr(&r->u.got), "ab");
	send_text(r, "gh");
	turns(r, 3);
	assert_string_equal(buf_cstr(&r->u.got), "ab");
	r->u.pause_at = 0;
	chan_pause(r->u.c, false);
	chan_pause(r->u.c, false);
	turns(r, 4);
	assert_string_equal(buf_cstr(&r->u.got), "abcdefgh");
}

/* The peer's end comes behind what it said, also when that waited for the pause to end. */
static void leftovers_come_before_the_end(void **state)
{
	struct rig *r = *state;

	r->u.at_once = 1;
	r->u.pause_at = 1;
	send_text(r, "abc");
	turns(r, 2);
	send_text(r, "def");
	close(take_fd(&r->peer));
	turns(r, 2);
	assert_string_equal(buf_cstr(&r->u.got), "a");
	assert_int_equal(r->u.closed, 0);
	r->u.pause_at = 0;
	chan_pause(r->u.c, false);
	turns(r, 5);
	assert_string_equal(buf_cstr(&r->u.got), "abcdef");
	assert_int_equal(r->u.closed, 1);
	assert_int_equal(r->u.why.code, OK);
}

static void pausing_again_while_leftovers_are_due(void **state)
{
	struct rig *r = *state;

	r->u.at_once = 1;
	r->u.pause_at = 1;
	send_text(r, "abcdef");
	turns(r, 2);
	for (size_t n = 2; n <= 6; n++) {
		r->u.pause_at = n;
		chan_pause(r->u.c, false);
		turns(r, 3);
		assert_int_equal(r->u.got.n, n);
	}
	chan_pause(r->u.c, false);
	chan_pause(r->u.c, true);
	turns(r, 3);
	assert_string_equal(buf_cstr(&r->u.got), "abcdef");
}

static void finish_ends_one_direction(void **state)
{
	struct rig *r = *state;

	chan_write(r->u.c, "last", 4);
	chan_finish(r->u.c);
	chan_finish(r->u.c);
	chan_write(r->u.c, "never", 5);
	turns(r, 2);
	expect_sent(r, "last");
	expect_sent(r, "");
	send_text(r, "still heard");
	turns(r, 2);
	assert_string_equal(buf_cstr(&r->u.got), "still heard");
	assert_int_equal(r->u.closed, 0);
	close(take_fd(&r->peer));
	turns(r, 2);
	assert_int_equal(r->u.closed, 1);
}

/* Everything that waits goes out before the direction ends. */
static void finish_sends_all_first(void **state)
{
	struct rig *r = *state;
	static char chunk[3 * 1048576];
	size_t got = 0;
	ssize_t n = -1;

	chan_write(r->u.c, chunk, sizeof(chunk));
	chan_finish(r->u.c);
	for (int i = 0; i < 10000 && n != 0; i++) {
		static char sink[65536];

		turns(r, 1);
		while ((n = read(r->peer, sink, sizeof(sink))) > 0)
			got += (size_t)n;
	}
	assert_int_equal(n, 0);
	assert_int_equal(got, sizeof(chunk));
	assert_int_equal(r->u.drained, 1);
}

static void out_has_a_ceiling(void **state)
{
	struct rig *r = *state;
	static char chunk[1048576];

	for (int i = 0; i < 8 && r->u.c; i++) {
		chan_write(r->u.c, chunk, sizeof(chunk));
		turns(r, 1);
	}
	assert_int_equal(r->u.closed, 1);
	assert_int_equal(r->u.why.code, ERR_too_large);
	assert_null(r->u.c);
}

static void in_has_a_ceiling(void **state)
{
	struct rig *r = *state;
	static char chunk[65536];

	r->u.stalled = true;
	for (int i = 0; i < 100 && !r->u.closed; i++) {
		ssize_t n = write(r->peer, chunk, sizeof(chunk));

		assert_true(n > 0 || errno == EAGAIN);
		turns(r, 1);
	}
	assert_int_equal(r->u.closed, 1);
	assert_int_equal(r->u.why.code, ERR_too_large);
}

static void crowded_and_drained(void **state)
{
	struct rig *r = *state;
	static char chunk[2 * 1048576];
	char sink[65536];

	chan_write(r->u.c, chunk, sizeof(chunk));
	assert_true(chan_crowded(r->u.c));
	for (int i = 0; i < 1000 && !r->u.drained; i++) {
		turns(r, 1);
		while (read(r->peer, sink, sizeof(sink)) > 0)
			;
	}
	assert_int_equal(r->u.drained, 1);
	assert_false(chan_crowded(r->u.c));
	chan_write(r->u.c, "x", 1);
	turns(r, 2);
	assert_int_equal(r->u.drained, 1);
}

static void closing_inside_callbacks(void **state)
{
	struct rig *r = *state;

	r->u.close_on_data = true;
	chan_write(r->u.c, "unsent", 6);
	send_text(r, "abc");
	turns(r, 3);
	assert_string_equal(buf_cstr(&r->u.got), "abc");
	assert_null(r->u.c);
	assert_int_equal(r->u.closed, 0);
}

static void closing_inside_drained(void **state)
{
	struct rig *r = *state;
	static char chunk[2 * 1048576];
	char sink[65536];

	r->u.close_on_drained = true;
	chan_write(r->u.c, chunk, sizeof(chunk));
	for (int i = 0; i < 1000 && r->u.c; i++) {
		turns(r, 1);
		while (read(r->peer, sink, sizeof(sink)) > 0)
			;
	}
	assert_null(r->u.c);
	assert_int_equal(r->u.closed, 0);
}

/* A peer that stopped reading may still have said something. */
static void a_write_that_fails_does_not_lose_input(void **state)
{
	struct rig *r = *state;

	send_text(r, "goodbye");
	close(take_fd(&r->peer));
	chan_write(r->u.c, "x", 1);
	turns(r, 4);
	assert_string_equal(buf_cstr(&r->u.got), "goodbye");
	assert_int_equal(r->u.closed, 1);
}

static void pipes_and_one_way_channels(void **state)
{
	struct rig *r = *state;
	struct user in = { .got = { .max = 0 }, .close_on_closed = true }, out = { .at_once = 0 };
	int fds[2];

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	assert_int_equal(chan_open(r->l, fds[0], -1, &user, &in, &in.c, NULL), OK);
	assert_int_equal(chan_open(r->l, -1, fds[1], &user, &out, &out.c, NULL), OK);
	chan_write(out.c, "through", 7);
	chan_finish(out.c);
	turns(r, 3);
	assert_string_equal(buf_cstr(&in.got), "through");
	assert_int_equal(in.closed, 1);
	chan_close(out.c);
	chan_close(NULL);
	buf_done(&in.got);
}

static void bad_descriptors_are_refused(void **state)
{
	struct rig *r = *state;
	struct chan *c = NULL;
	struct why why;

	assert_int_not_equal(chan_open(r->l, 1000, 1000, &user, &r->u, &c, &why), OK);
	assert_null(c);
	assert_true(why.text[0]);
}

/* One read at the peer: its bytes, and the descriptor that came with them, or -1. */
static int receive(struct rig *r, char *got, size_t max)
{
	char control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec v = { got, max - 1 };
	struct msghdr m = { .msg_iov = &v,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control) };
	ssize_t n = recvmsg(r->peer, &m, 0);
	int fd = -1;

	assert_true(n >= 0);
	got[n] = '\0';
	if (CMSG_FIRSTHDR(&m))
		memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(fd));
	return fd;
}

static void descriptors_go_with_their_bytes(void **state)
{
	struct rig *r = *state;
	int ends[2], first, second;
	char got[64];

	assert_int_equal(pipe(ends), 0);
	chan_write(r->u.c, "plain", 5);
	chan_write(r->u.c, "with", 4);
	assert_int_equal(chan_fd_send(r->u.c, 5, ends[0], NULL), OK);
	chan_write(r->u.c, "more", 4);
	chan_write(r->u.c, "again", 5);
	assert_int_equal(chan_fd_send(r->u.c, 13, ends[1], NULL), OK);
	close(ends[0]);
	close(ends[1]);
	turns(r, 1);
	first = receive(r, got, sizeof(got));
	assert_string_equal(got, "plainwithmore");
	second = receive(r, got, sizeof(got));
	assert_string_equal(got, "again");
	assert_true(first >= 0 && second >= 0);
	assert_int_equal(write(second, "x", 1), 1);
	assert_int_equal(read(first, got, 1), 1);
	close(first);
	close(second);
}

static void send_fd(struct rig *r, int fd)
{
	char control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec v = { (char[]){ "f" }, 1 };
	struct msghdr m = { .msg_iov = &v,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control) };
	struct cmsghdr *h = CMSG_FIRSTHDR(&m);

	h->cmsg_level = SOL_SOCKET;
	h->cmsg_type = SCM_RIGHTS;
	h->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(h), &fd, sizeof(int));
	assert_int_equal(sendmsg(r->peer, &m, 0), 1);
}

static bool hung_up(int writer)
{
	return write(writer, "x", 1) < 0 && errno == EPIPE;
}

static void descriptors_wait_only_where_wanted(void **state)
{
	struct rig *r = *state;
	int ends[2], fd;

	assert_int_equal(pipe(ends), 0);
	send_fd(r, ends[0]);
	close(ends[0]);
	turns(r, 1);
	assert_true(hung_up(ends[1])); /* nobody wanted it: it was closed */
	close(ends[1]);
	assert_int_equal(chan_fd_take(r->u.c), -1);

	chan_fds_want(r->u.c);
	assert_int_equal(pipe(ends), 0);
	send_fd(r, ends[0]);
	close(ends[0]);
	turns(r, 1);
	fd = chan_fd_take(r->u.c);
	assert_true(fd >= 0 && !hung_up(ends[1]));
	assert_int_equal(chan_fd_take(r->u.c), -1);
	close(fd);
	close(ends[1]);
}

static void descriptors_have_a_ceiling(void **state)
{
	struct rig *r = *state;
	int ends[2];

	chan_fds_want(r->u.c);
	assert_int_equal(pipe(ends), 0);
	for (int i = 0; i <= CHAN_FDS_MAX; i++)
		send_fd(r, ends[0]);
	close(ends[0]);
	turns(r, CHAN_FDS_MAX + 4);
	assert_int_equal(r->u.closed, 1);
	r->u.c = NULL;
	assert_true(hung_up(ends[1])); /* the channel's end closed those that waited */
	close(ends[1]);
}

static void on_half(void *ctx)
{
	struct user *u = ctx;

	assert_int_equal(u->closed, 0);
	u->drained += 100;
}

/* The peer's end is no end of ours, where that is wanted; a break behind it is. */
static void a_half_may_end_alone(void **state)
{
	static const uint8_t bytes[65536];
	struct rig *r = *state;
	char got[8] = "";

	chan_let_half(r->u.c, on_half);
	assert_int_equal(write(r->peer, "abc", 3), 3);
	assert_int_equal(shutdown(r->peer, SHUT_WR), 0);
	turns(r, 4);
	assert_int_equal(r->u.got.n, 3);
	assert_int_equal(r->u.drained, 100);
	assert_int_equal(r->u.closed, 0);
	chan_pause(r->u.c, true);
	chan_pause(r->u.c, false); /* there is nothing to read again */
	chan_write(r->u.c, "defg", 4);
	turns(r, 4);
	assert_int_equal(read(r->peer, got, sizeof(got)), 4);
	assert_int_equal(r->u.closed, 0);
	close(r->peer);
	r->peer = -1;
	chan_write(r->u.c, bytes, sizeof(bytes));
	turns(r, 4);
	assert_int_equal(r->u.closed, 1);
	assert_int_equal(r->u.drained, 100);
}

#define ON_RIG(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = { ON_RIG(both_ways_in_order),
		ON_RIG(leftovers_come_again), ON_RIG(pause_keeps_what_was_not_used),
		ON_RIG(leftovers_come_before_the_end),
		ON_RIG(pausing_again_while_leftovers_are_due), ON_RIG(finish_ends_one_direction),
		ON_RIG(finish_sends_all_first), ON_RIG(out_has_a_ceiling), ON_RIG(in_has_a_ceiling),
		ON_RIG(crowded_and_drained), ON_RIG(closing_inside_callbacks),
		ON_RIG(closing_inside_drained), ON_RIG(a_write_that_fails_does_not_lose_input),
		ON_RIG(pipes_and_one_way_channels), ON_RIG(bad_descriptors_are_refused),
		ON_RIG(descriptors_go_with_their_bytes), ON_RIG(descriptors_wait_only_where_wanted),
		ON_RIG(descriptors_have_a_ceiling), ON_RIG(a_half_may_end_alone) };

	return RUN(tests);
}
