/*
 * unit/http.c - HTTP over unix sockets against a server of this file: answers whole and in pieces,
 * without a body, too long, never, and none of HTTP; a socket that comes late; a given connection.
 */
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "sys/beneath.h"
#include "world/world_linux.h"

struct place {
	struct world w;
	char dir[64];
	int listener;
	struct watch on_client;
	const char *reply; /* to each request; NULL: none */
	bool hang_up; /* after the reply */
	size_t piece; /* bytes written at a time */
	char asked[2048]; /* the last request */
	unsigned clients, requests;
	struct timer late;
	/* what the client was told */
	unsigned answers, status;
	char body[256];
	struct why why;
	struct http *h;
	bool free_inside;
};

static size_t take(void *ctx UNUSED, const uint8_t *p UNUSED, size_t n UNUSED);

struct client {
	struct place *p;
	struct chan *c;
};

static void closed(void *ctx, const struct why *why UNUSED)
{
	struct client *c = ctx;

	chan_close(c->c);
	free(c);
}

static const struct chan_user user = { take, NULL, closed };

static size_t take(void *ctx, const uint8_t *bytes, size_t n)
{
	struct client *c = ctx;
	struct place *p = c->p;
	const char *end = memmem(bytes, n, "\r\n\r\n", 4), *length;
	size_t all;

	if (!end)
		return 0;
	length = memmem(bytes, n, "Content-Length: ", 16);
	all = (size_t)((const uint8_t *)end + 4 - bytes) +
	      (length ? strtoul(length + 16, NULL, 10) : 0);
	if (n < all)
		return 0;
	snprintf(p->asked, sizeof(p->asked), "%.*s", (int)all, (const char *)bytes);
	p->requests++;
	if (p->reply)
		chan_write(c->c, p->reply, strlen(p->reply));
	if (p->hang_up)
		chan_finish(c->c);
	return all;
}

static void on_client(void *ctx, int events UNUSED)
{
	struct place *p = ctx;
	struct client *c = calloc(1, sizeof(*c));
	int fd = accept4(p->listener, NULL, NULL, SOCK_CLOEXEC);
	struct why why;

	assert_non_null(c);
	assert_true(fd >= 0);
	c->p = p;
	p->clients++;
	assert_int_equal(chan_open(p->w.loop, fd, fd, &user, c, &c->c, &why), OK);
}

static void serve(struct place *p, const char *leaf)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };

	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/vm/%s", p->dir, leaf);
	p->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(p->listener, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(listen(p->listener, 8), 0);
	watch_start(p->w.loop, &p->on_client, p->listener, WATCH_READ, on_client, p);
}

static int setup(void **state)
{
	struct place *p = calloc(1, sizeof(*p));
	struct why why;

	assert_non_null(p);
	p->listener = -1;
	snprintf(p->dir, sizeof(p->dir), "/tmp/banger-http-XXXXXX");
	assert_non_null(mkdtemp(p->dir));
	assert_int_equal(loop_new(&p->w.loop, &why), OK);
	snprintf(p->w.paths[RUNTIME], sizeof(p->w.paths[RUNTIME]), "%s", p->dir);
	p->w.dirs[RUNTIME] = open(p->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(make_dirs(p->w.dirs[RUNTIME], "vm", &why), OK);
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	struct place *p = *state;
	own_fd tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct why why;

	http_free(p->h);
	if (p->listener >= 0)
		watch_stop(&p->on_client);
	for (int i = 0; i < 20; i++) /* the server sees its clients go */
		loop_turn(p->w.loop, false);
	fd_done(&p->listener);
	timer_stop(&p->late);
	http_world_done(&p->w);
	close(p->w.dirs[RUNTIME]);
	loop_free(p->w.loop);
	assert_int_equal(remove_tree(tmp, p->dir + strlen("/tmp/"), &why), OK);
	free(p);
	return 0;
}

static void answered(void *ctx, const struct why *why, const struct http_answer *a)
{
	struct place *p = ctx;

	p->answers++;
	p->why = (struct why){ .code = OK };
	if (why)
		p->why = *why;
	p->status = a ? a->status : 0;
	snprintf(p->body, sizeof(p->body), "%.*s", a ? (int)a->body.n : 0,
		a && a->body.p ? (const char *)a->body.p : "");
	if (p->free_inside) {
		http_free(p->h);
		p->h = NULL;
	}
}

static void ask_for(struct place *p, const char *method, const char *body, uint64_t ms)
{
	struct http_request q = {
		.method = method, .path = "/x", .body = body, .ms = ms, .answer_max = 100
	};
	unsigned before = p->answers;

	http_ask(p->h, &q, answered, p);
	assert_int_equal(p->answers, before); /* never from inside */
	while (p->answers == before)
		loop_turn(p->w.loop, true);
}

static void begin(struct place *p)
{
	struct why why;

	assert_int_equal(world_http(&p->w, "vm/api.sock", &p->h, &why), OK);
}

static void whole_answers(void **state)
{
	struct place *p = *state;

	serve(p, "api.sock");
	begin(p);
	p->reply = "HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\n{}";
	ask_for(p, "GET", NULL, 5000);
	assert_int_equal(p->status, 200);
	assert_string_equal(p->body, "{}");
	assert_null(strstr(p->asked, "Content-Length"));
	assert_null(strstr(p->asked, "Expect"));
	p->reply = "HTTP/1.1 204 \r\n\r\n"; /* neither body nor length: nothing to wait for */
	ask_for(p, "PUT", "{\"a\":1}", 5000);
	assert_int_equal(p->status, 204);
	assert_string_equal(p->body, "");
	assert_memory_equal(p->asked, "PUT /x HTTP/1.1\r\n", 17);
	assert_non_null(strstr(p->asked, "Content-Length: 7\r\n"));
	assert_non_null(strstr(p->asked, "Content-Type: application/json\r\n"));
	assert_non_null(strstr(p->asked, "\r\n\r\n{\"a\":1}"));
	p->reply = "HTTP/1.1 400 \r\nContent-Length: 3\r\n\r\nbad";
	ask_for(p, "PUT", "{}", 5000);
	assert_int_equal(p->status, 400);
	assert_string_equal(p->body, "bad");
	assert_int_equal(p->clients, 1);
}

static void a_new_connection(void **state)
{
	struct place *p = *state;

	serve(p, "api.sock");
	begin(p);
	p->reply = "HTTP/1.1 204 \r\nConnection: close\r\n\r\n";
	p->hang_up = true;
	for (unsigned i = 1; i <= 20; i++) {
		ask_for(p, "GET", NULL, 5000);
		assert_int_equal(p->status, 204);
		assert_int_equal(p->clients, i);
	}
}

static void faults(void **state)
{
	static const struct {
		const char *reply;
		bool hang_up;
		enum err e;
	} rows[] = {
		{ NULL, false, ERR_timeout },
		{ NULL, true, ERR_unavailable },
		{ "nothing of HTTP\r\n\r\n", true, ERR_unavailable },
		{ "HTTP/1.1 200 \r\nContent-Length: 101\r\n\r\n", false, ERR_too_large },
		{ "HTTP/1.1 200 \r\nContent-Length: 4\r\n\r\n{}", true, ERR_unavailable },
		{ "HTTP/1.1 200 \r\nContent-Length: 99999999999999999999\r\n\r\n{}", false,
			ERR_too_large },
		{ "HTTP/1.1 100 \r\n\r\n", false, ERR_timeout },
		{ "HTTP/1.1 200 \r\n\r\n"
		  "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
		  "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
			true, ERR_too_large },
	};
	struct place *p = *state;

	serve(p, "api.sock");
	for (size_t i = 0; i < COUNT(rows); i++) {
		begin(p);
		p->reply = rows[i].reply;
		p->hang_up = rows[i].hang_up;
		p->free_inside = i % 2;
		ask_for(p, "GET", NULL, 300);
		check_row(p->why.code == rows[i].e, "row %zu: %s: %s", i, err_name(p->why.code),
			p->why.text);
		http_free(take_ptr(&p->h));
	}
}

static void come_late(void *ctx)
{
	serve(ctx, "api.sock");
}

static void a_late_socket(void **state)
{
	struct place *p = *state;
	own_fd other = -1;

	begin(p);
	p->reply = "HTTP/1.1 204 \r\n\r\n";
	other = openat(p->w.dirs[RUNTIME], "vm/other", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	timer_start(p->w.loop, &p->late, 50, come_late, p);
	ask_for(p, "GET", NULL, 5000);
	assert_int_equal(p->status, 204);
}

static void no_socket(void **state)
{
	struct place *p = *state;

	begin(p);
	ask_for(p, "GET", NULL, 100);
	assert_int_equal(p->why.code, ERR_timeout);
	ask_for(p, "GET", NULL, 100);
	assert_int_equal(p->why.code, ERR_timeout);
}

static void a_given_connection(void **state)
{
	struct place *p = *state;
	struct client *c = calloc(1, sizeof(*c));
	int pair[2];
	uint64_t ticket;
	struct why why;

	assert_non_null(c);
	c->p = p;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(chan_open(p->w.loop, pair[1], pair[1], &user, c, &c->c, &why), OK);
	fcntl(pair[0], F_SETFL, O_NONBLOCK);
	ticket = world_parcel_keep(&p->w, pair[0]);
	assert_int_not_equal(ticket, 0);
	assert_int_equal(world_parcel_http(&p->w, ticket + 1, &p->h, &why), ERR_unavailable);
	assert_int_equal(world_parcel_http(&p->w, ticket, &p->h, &why), OK);
	p->reply = "HTTP/1.1 204 \r\n\r\n";
	for (int i = 0; i < 3; i++) {
		ask_for(p, "PUT", "{}", 5000);
		assert_int_equal(p->status, 204);
	}
	assert_int_equal(p->requests, 3);
	p->hang_up = true; /* there is no second connection */
	ask_for(p, "PUT", "{}", 5000);
	ask_for(p, "PUT", "{}", 5000);
	assert_int_equal(p->why.code, ERR_unavailable);
}

static void parcels_have_a_ceiling(void **state)
{
	struct place *p = *state;

	for (int i = 0; i < PARCELS_MAX; i++)
		assert_int_not_equal(
			world_parcel_keep(&p->w, open("/dev/null", O_RDONLY | O_CLOEXEC)), 0);
	assert_int_equal(world_parcel_keep(&p->w, -1), 0);
	parcels_done(&p->w);
	assert_int_equal(world_parcel_keep(&p->w, -1), PARCELS_MAX + 1);
	parcels_done(&p->w);
}

#define HERE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		HERE(whole_answers),
		HERE(a_new_connection),
		HERE(faults),
		HERE(a_late_socket),
		HERE(no_socket),
		HERE(a_given_connection),
		HERE(parcels_have_a_ceiling),
	};

	return RUN(tests);
}
