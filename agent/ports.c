/*
 * ports.c - agent.ports: the listening sockets, and which of them speak HTTP.
 *
 * Each TCP listener is asked once, all at the same time and with one deadline; a socket that says
 * nothing by then simply has no URL.
 */
#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/handlers.h"
#include "agent/sockets.h"

enum { PROBES_MAX = 64, PROBE_MS = 300 };

struct probe {
	struct ports *all;
	struct open_port *listener;
	int fd;
	struct watch watch;
};

struct ports { /* an agent.ports that is being answered */
	struct pending pending; /* first */
	struct arena arena;
	struct open_port list[SOCKETS_MAX];
	uint32_t n;
	struct probe probes[PROBES_MAX];
	unsigned probes_n, open;
	struct timer deadline;
};

static void end_probe(struct probe *p)
{
	if (p->fd < 0)
		return;
	watch_stop(&p->watch);
	fd_done(&p->fd);
	p->all->open--;
}

static void ports_free(struct ports *x)
{
	for (unsigned i = 0; i < x->probes_n; i++)
		end_probe(&x->probes[i]);
	timer_stop(&x->deadline);
	arena_done(&x->arena);
	free(x);
}

static void drop(struct pending *p)
{
	ports_free((struct ports *)p);
}

static void finish(void *ctx)
{
	struct ports *x = ctx;
	struct session *s = x->pending.session;
	struct vm_port *v = arena_take(&x->arena, MAX(x->n, 1u) * sizeof(*v));
	struct vm_ports ports = { .ports = { v, x->n } };
	struct why why;

	pending_done(&x->pending);
	for (uint32_t i = 0; v && i < x->n; i++)
		v[i] = x->list[i].port;
	if (v) {
		answer(s, x->pending.msgid, LETTER_agent_ports, &ports);
	} else {
		fail(&why, ERR_no_memory, "no memory for the list of ports");
		refuse(s, x->pending.msgid, &why);
	}
	ports_free(x);
}

static void end_probe_and_all(struct probe *p)
{
	struct ports *x = p->all;

	end_probe(p);
	if (x->open == 0) /* not from in here: the caller may still walk the probes */
		timer_start(x->pending.session->agent->loop, &x->deadline, 0, finish, x);
}

static void on_answer(void *ctx, int events UNUSED)
{
	struct probe *p = ctx;
	struct open_port *l = p->listener;
	char start[8], host[65];
	ssize_t n = recv(p->fd, start, sizeof(start), 0);

	if (n >= 5 && memcmp(start, "HTTP/", 5) == 0 && gethostname(host, sizeof(host)) == 0) {
		host[sizeof(host) - 1] = '\0';
		l->port.url = arena_fmt(&p->all->arena, "http://%s.vm:%u/", host,
			(unsigned)l->port.port);
	}
	end_probe_and_all(p);
}

static void on_connected(void *ctx, int events UNUSED)
{
	static const char question[] = "HEAD / HTTP/1.0\r\nHost: localhost\r\n\r\n";
	struct probe *p = ctx;

	if (send(p->fd, question, sizeof(question) - 1, MSG_NOSIGNAL) != sizeof(question) - 1)
		end_probe_and_all(p);
	else
		watch_start(p->all->pending.session->agent->loop, &p->watch, p->fd, WATCH_READ,
			on_answer, p);
}

/* Where to reach the listener from inside the guest. */
static socklen_t address_of(const struct open_port *l, struct sockaddr_storage *ret)
{
	struct sockaddr_in6 six = { .sin6_family = AF_INET6,
		.sin6_port = htons((uint16_t)l->port.port), .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	struct sockaddr_in four = { .sin_family = AF_INET,
		.sin_port = htons((uint16_t)l->port.port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	bool any = str_eq(l->port.address, "*");

	if (l->six && !any && inet_pton(AF_INET6, l->port.address, &six.sin6_addr) != 1)
		return 0;
	if (!l->six && !any && inet_pton(AF_INET, l->port.address, &four.sin_addr) != 1)
		return 0;
	if (l->six && !any) {
		memcpy(ret, &six, sizeof(six));
		return sizeof(six);
	}
	memcpy(ret, &four, sizeof(four)); /* one on [::] takes IPv4 too, as a rule */
	return sizeof(four);
}

static void begin_probe(struct ports *x, struct loop *loop, struct open_port *l)
{
	struct probe *p = &x->probes[x->probes_n];
	struct sockaddr_storage to;
	socklen_t len = address_of(l, &to);
	own_fd fd = -1;

	if (len == 0 || x->probes_n == PROBES_MAX)
		return;
	fd = socket(to.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0 || (connect(fd, (struct sockaddr *)&to, len) < 0 && errno != EINPROGRESS))
		return;
	*p = (struct probe){ .all = x, .listener = l, .fd = take_fd(&fd) };
	x->probes_n++;
	x->open++;
	watch_start(loop, &p->watch, p->fd, WATCH_WRITE, on_connected, p);
}

void on_ports(const struct request *r)
{
	struct ports *x = calloc(1, sizeof(*x));
	struct loop *loop = r->session->agent->loop;
	struct why why;

	if (!x) {
		fail(&why, ERR_no_memory, "no memory for the list of ports");
		refuse(r->session, r->msgid, &why);
		return;
	}
	arena_init(&x->arena, MiB);
	x->n = sockets_list(x->list, &x->arena);
	pending_add(r->session, &x->pending, r->msgid, drop);
	for (uint32_t i = 0; i < x->n; i++)
		if (str_eq(x->list[i].port.proto, "tcp"))
			begin_probe(x, loop, &x->list[i]);
	timer_start(loop, &x->deadline, x->open ? PROBE_MS : 0, finish, x);
}
