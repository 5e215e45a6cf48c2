/*
 * torture/dns.c - names come and go, and are asked for over UDP and TCP, while memory and system
 * calls say no: what was refused is not there, what was taken is, and nothing is left.
 */
#include "tests/torture/torture.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include "actors/dns/dns.h"
#include "tests/lib/dns_look.h"
#include "world/world_linux.h"

static const uint64_t seeds[3] = { 1, 2, 3 };

static bool has(const struct names *n, const char *name)
{
	uint32_t address;

	return n->zones.address_of(n->zones.ctx, name, strlen(name), &address);
}

static bool put(struct names *n, const char *name, const char *address, const char *subnet)
{
	struct dns_publish p = { name, address, subnet };
	struct why why = { .text = "" };

	if (names_put(n, &p, &why) == OK)
		return true;
	torture_must(torture_struck() && why.code == ERR_no_memory);
	return false;
}

static void come_and_go(void)
{
	bool alpha, beta, moved;
	struct names n;

	names_init(&n, seeds);
	alpha = put(&n, "alpha", "127.64.0.1", NULL);
	beta = put(&n, "beta", "172.30.0.7", "172.30.0.0/20");
	names_verify(&n);
	torture_must(has(&n, "alpha") == alpha && has(&n, "beta") == beta);
	moved = put(&n, "alpha", "127.65.1.1", NULL);
	names_verify(&n);
	torture_must(has(&n, "alpha") == (alpha || moved));
	torture_must(moved == (n.zones.name_at(&n, 0x7f410101) != NULL));
	names_drop(&n, "alpha");
	names_drop(&n, "alpha");
	names_verify(&n);
	torture_must(!has(&n, "alpha") && has(&n, "beta") == beta);
	names_done(&n);
}

/* ---- services ---- */

struct rig {
	struct world world; /* of which only the loop is there */
	struct names names;
	struct streams streams;
	struct world_datagrams *datagrams;
	uint16_t port;
};

static size_t on_datagram(void *ctx, struct bytes in, uint8_t out[DATAGRAM_OUT_MAX])
{
	struct rig *r = ctx;

	return dns_respond(&r->names.zones, in, out, DATAGRAM_OUT_MAX, false);
}

/* A port that is free now; the test's own. */
static uint16_t free_port(void)
{
	struct sockaddr_in sa = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(sa);
	own_fd fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	must(fd >= 0 && bind(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0);
	must(getsockname(fd, (struct sockaddr *)&sa, &n) == 0);
	return ntohs(sa.sin_port);
}

static int connected(int kind, uint16_t port)
{
	struct sockaddr_in sa = { .sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, kind | SOCK_CLOEXEC, 0);

	must(fd >= 0 && connect(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0);
	return fd;
}

/* Asks, turns the loop under torture, and looks whether an answer came. */
static bool asked(struct rig *r, int kind)
{
	uint8_t query[2 + 512], answer[2048];
	size_t head = kind == SOCK_STREAM ? 2 : 0,
	       n = dns_ask(query + head, "alpha.vm", DNS_A, 1232);
	struct dns_seen seen;
	ssize_t got;
	own_fd fd = -1;

	torture_off();
	fd = connected(kind, r->port);
	if (head)
		memcpy(query, &(uint8_t[]){ (uint8_t)(n >> 8), (uint8_t)n }, 2);
	must(send(fd, query, head + n, 0) == (ssize_t)(head + n));
	torture_on();
	for (int i = 0; i < 8; i++) {
		loop_turn(r->world.loop, false);
		streams_turn(&r->streams);
	}
	torture_off();
	got = recv(fd, answer, sizeof(answer), MSG_DONTWAIT);
	if (got > (ssize_t)head)
		torture_must(!dns_look((struct bytes){ query + head, n },
			(struct bytes){ answer + head, (size_t)got - head }, &seen));
	torture_on();
	return got > (ssize_t)head;
}

static void serve(struct rig *r)
{
	struct why why = { .text = "" };
	bool there = put(&r->names, "alpha", "127.64.0.1", NULL);

	if (world_datagrams(
		    &r->world, INADDR_LOOPBACK, r->port, on_datagram, r, &r->datagrams, &why)) {
		torture_must(torture_struck() && why.text[0]);
		return;
	}
	if (streams_listen(&r->streams, INADDR_LOOPBACK, r->port, &why)) {
		torture_must(torture_struck() && why.text[0]);
		return;
	}
	torture_must(asked(r, SOCK_DGRAM) || torture_struck());
	torture_must(asked(r, SOCK_STREAM) || torture_struck());
	torture_must(there || torture_struck());
	streams_verify(&r->streams);
}

static void services(void)
{
	struct rig r = { .port = 0 };
	struct why why;

	torture_off();
	r.port = free_port();
	must(loop_new(&r.world.loop, &why) == OK);
	torture_on();
	names_init(&r.names, seeds);
	streams_init(&r.streams, &r.world, &r.names.zones);
	serve(&r);
	streams_close(&r.streams);
	world_datagrams_free(r.datagrams);
	names_done(&r.names);
	loop_free(r.world.loop);
}

static const struct scenario scenarios[] = {
	{ .name = "names come and go", .run = come_and_go },
	{ .name = "names are asked for", .run = services },
};

TORTURE(scenarios)
