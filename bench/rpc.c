/*
 * rpc.c - one client program for two servers, `ping` at banger's daemon and PING at redis, each
 * over a unix socket, so that both pay the same for the client.
 *
 *	rpc banger|redis SOCKET CLIENTS REQUESTS
 *
 * Every client has one request in flight. Prints requests a second and percentiles in microseconds
 * as JSON. One client alone waits in read(), several in epoll.
 */
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/text.h"
#include "letter/mp.h"

enum { CLIENTS_MAX = 256, REPLY_MAX = 4096 };

struct client {
	int fd;
	uint64_t sent_ns;
	uint8_t reply[REPLY_MAX];
	size_t n;
};

struct run {
	bool redis;
	uint64_t clients, requests, begun, ended;
	struct client *all;
	uint32_t *ns; /* of each request */
	int poll;
};

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static bool dial(struct client *c, const char *path)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };

	c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	return c->fd >= 0 && str_copy(to.sun_path, sizeof(to.sun_path), path) &&
	       connect(c->fd, (struct sockaddr *)&to, sizeof(to)) == 0;
}

static bool send_ping(struct run *r, struct client *c)
{
	static const char banger[] = "\x94\x00\x01\xa4ping\x90", redis[] = "*1\r\n$4\r\nPING\r\n";
	const char *p = r->redis ? redis : banger;
	size_t n = (r->redis ? sizeof(redis) : sizeof(banger)) - 1;

	r->begun++;
	c->n = 0;
	c->sent_ns = now_ns();
	return write(c->fd, p, n) == (ssize_t)n;
}

static bool whole(const struct run *r, const struct client *c)
{
	struct mp_scan s = { .depth = 0 };

	if (r->redis)
		return c->n >= 2 && memcmp(c->reply + c->n - 2, "\r\n", 2) == 0;
	return mp_scan(&s, c->reply, c->n, REPLY_MAX) == MP_WHOLE;
}

/* Reads what is there; when the answer is whole, notes its time and sends the next request. */
static bool receive(struct run *r, struct client *c)
{
	ssize_t n = read(c->fd, c->reply + c->n, sizeof(c->reply) - c->n);

	if (n <= 0)
		return false;
	c->n += (size_t)n;
	if (!whole(r, c))
		return true;
	r->ns[r->ended++] = (uint32_t)(now_ns() - c->sent_ns);
	return r->begun >= r->requests || send_ping(r, c);
}

static bool begin(struct run *r, const char *path)
{
	r->poll = epoll_create1(EPOLL_CLOEXEC);
	for (uint64_t i = 0; i < r->clients; i++) {
		struct epoll_event e = { .events = EPOLLIN, .data.u64 = i };

		if (!dial(&r->all[i], path) ||
			epoll_ctl(r->poll, EPOLL_CTL_ADD, r->all[i].fd, &e) < 0)
			return false;
	}
	return true;
}

static bool serve(struct run *r)
{
	struct epoll_event events[CLIENTS_MAX];

	for (uint64_t i = 0; i < r->clients; i++)
		if (!send_ping(r, &r->all[i]))
			return false;
	while (r->ended < r->requests) {
		int n = 1;

		events[0].data.u64 = 0;
		if (r->clients > 1)
			n = epoll_wait(r->poll, events, CLIENTS_MAX, 10000);
		if (n <= 0)
			return false;
		for (int i = 0; i < n; i++)
			if (!receive(r, &r->all[events[i].data.u64]))
				return false;
	}
	return true;
}

static int by_size(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
	struct run r = { .poll = -1 };
	uint64_t began, half, most;

	if (argc != 5 || parse_u64(argv[3], &r.clients, NULL) ||
		parse_u64(argv[4], &r.requests, NULL) || r.clients == 0 ||
		r.clients > CLIENTS_MAX || r.requests < r.clients) {
		fputs("usage: rpc banger|redis SOCKET CLIENTS REQUESTS\n", stderr);
		return 2;
	}
	r.redis = str_eq(argv[1], "redis");
	r.all = calloc(r.clients, sizeof(*r.all));
	r.ns = calloc(r.requests, sizeof(*r.ns));
	if (!r.all || !r.ns || !begin(&r, argv[2])) {
		perror("rpc: begin");
		return 1;
	}
	began = now_ns();
	if (!serve(&r)) {
		perror("rpc: serve");
		return 1;
	}
	began = now_ns() - began;
	qsort(r.ns, r.requests, sizeof(*r.ns), by_size);
	half = r.requests / 2;
	most = r.requests * 99 / 100;
	printf("{\"rate\": %.0f, \"p50_us\": %.2f, \"p99_us\": %.2f}\n",
		(double)r.requests * 1e9 / (double)began, (double)r.ns[half] / 1e3,
		(double)r.ns[most] / 1e3);
	return 0;
}
