/*
 * doctor_net.c - the network as any program sees it, and names by both ways: the responder asked
 * directly, and the host's resolver asked as every program asks it.
 */
#include <arpa/inet.h>
#include <poll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "cli/doctor.h"
#include "cli/file.h"
#include "cli/link.h"
#include "proto/check.h"

#define BRIDGE "br-bngr"

enum { ANSWER_MS = 2000, SERVERS_MAX = 3, DNS_BYTES = 512, DNS_PORT = 53 };

static bool first_line(const char *path, char *out, size_t size)
{
	own_buf text = { 0 };
	struct why why;
	bool there;

	buf_init(&text, FILE_BYTES_MAX);
	if (file_read(path, &text, &there, &why) || !there)
		return false;
	snprintf(out, size, "%.*s", (int)strcspn(buf_cstr(&text), "\n"), buf_cstr(&text));
	return true;
}

/* ---- network ---- */

/* A route of the main table that shares addresses with the subnet, through another link. */
static bool overlap(uint32_t net, unsigned bits, char *out, size_t size)
{
	own_buf text = { 0 };
	struct why why;
	bool there;
	uint32_t own = ~0u << (32 - bits);
	const char *line;

	buf_init(&text, FILE_BYTES_MAX);
	if (file_read("/proc/net/route", &text, &there, &why) || !there)
		return false;
	for (line = buf_cstr(&text); line && *line; line = strchr(line, '\n')) {
		unsigned long to, gateway, mask;
		char link[17];

		line += *line == '\n';
		if (sscanf(line, "%16s %lx %lx %*x %*d %*d %*d %lx", link, &to, &gateway, &mask) !=
				4 ||
			mask == 0 || str_eq(link, BRIDGE))
			continue;
		if (((ntohl((uint32_t)to) ^ net) & own & ntohl((uint32_t)mask)) == 0) {
			snprintf(out, size, "%s/%d through %s",
				inet_ntoa((struct in_addr){ (uint32_t)to }),
				__builtin_popcountl(mask), link);
			return true;
		}
	}
	return false;
}

static void subnet(struct part *p, bool system)
{
	const char *text = p->configured ? p->conf.v.subnet : SUBNET_DEFAULT;
	char other[64];
	unsigned bits;
	uint32_t net;

	if (!parse_subnet(text, strlen(text), &net, &bits))
		return;
	if (overlap(net, bits, other, sizeof(other)))
		finding(p, "subnet", system ? health_fail : health_note,
			"set `subnet` in config.yaml (and the helper's --subnet) to a network that "
			"nothing here uses",
			"%s overlaps the route to %s%s", text, other,
			system ? "" : "; only a system install would use it");
	else
		finding(p, "subnet", health_ok, NULL, "%s overlaps no route of this host", text);
}

void doctor_network(struct part *p)
{
	struct place socket;
	bool system = false;
	struct why why;
	char word[16] = "?";
	struct stat st;

	(void)!place_socket(&socket, &system, &why);
	subnet(p, system);
	if (!system) {
		finding(p, "network", health_ok, NULL,
			"each machine's VMM brings its own way out (user mode): no bridge, NAT or "
			"forwarding is needed");
		return;
	}
	(void)!first_line("/proc/sys/net/ipv4/ip_forward", word, sizeof(word));
	if (!str_eq(word, "1"))
		finding(p, "network", health_warn, "sudo systemctl restart banger-helper",
			"net.ipv4.ip_forward is %s; the helper sets it with its bridge", word);
	if (stat("/sys/class/net/" BRIDGE, &st) < 0)
		finding(p, "bridge", health_warn, "banger vm start makes it; see `network`",
			BRIDGE " is not there");
	else
		finding(p, "bridge", health_ok, NULL, BRIDGE " is there");
}

/* ---- names ---- */

enum reply { REPLY_NONE, REPLY_OURS, REPLY_OTHER };

/* SOA of vm.: one label, and nobody but banger's responder has authority there. */
static size_t put_query(uint8_t b[DNS_BYTES], uint16_t id)
{
	static const uint8_t rest[] = { 0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 0, 2, 'v', 'm', 0, 0, 6, 0,
		1 };

	b[0] = (uint8_t)(id >> 8);
	b[1] = (uint8_t)id;
	memcpy(b + 2, rest, sizeof(rest));
	return 2 + sizeof(rest);
}

/* NOERROR with an answer: the zone exists. A resolver that knows no such zone says NXDOMAIN. */
static enum reply ask_server(uint32_t address, uint16_t port)
{
	struct sockaddr_in to = {
		.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(address)
	};
	own_fd fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct pollfd pf = { .fd = fd, .events = POLLIN };
	uint8_t b[DNS_BYTES];
	uint16_t id = 0;
	ssize_t n;

	(void)!getrandom(&id, sizeof(id), 0);
	n = (ssize_t)put_query(b, id);
	if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0 ||
		send(fd, b, (size_t)n, 0) != n || poll(&pf, 1, ANSWER_MS) <= 0)
		return REPLY_NONE;
	n = recv(fd, b, sizeof(b), 0);
	if (n < 12 || b[0] != id >> 8 || b[1] != (id & 255))
		return REPLY_NONE;
	return (b[3] & 15) == 0 && (b[6] || b[7]) ? REPLY_OURS : REPLY_OTHER;
}

/* Where the daemon answers; false when there is none to ask. */
static bool responder(struct part *p, uint32_t *address, uint16_t *port, const char **text)
{
	const char *listen = p->configured ? p->conf.v.dns_listen : "127.0.0.1:42069";
	const char *colon = strchr(listen, ':');
	uint64_t number;

	*text = listen;
	if (!colon || !parse_ipv4(listen, (size_t)(colon - listen), address) ||
		parse_u64(colon + 1, &number, NULL))
		return false;
	*port = (uint16_t)number;
	return true;
}

/* Who has the port: the address can be bound, or cannot. */
static bool taken(uint32_t address, uint16_t port)
{
	struct sockaddr_in at = {
		.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(address)
	};
	own_fd fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	return fd >= 0 && bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0 && errno == EADDRINUSE;
}

static void direct(struct part *p, uint32_t address, uint16_t port, const char *text, bool served)
{
	switch (ask_server(address, port)) {
	case REPLY_OURS:
		finding(p, "names", health_ok, NULL, "the responder at %s answers for .vm", text);
		return;
	case REPLY_OTHER:
		finding(p, "names", health_warn,
			"give one of them another port: `dns_listen` in config.yaml",
			"somebody else answers at %s", text);
		return;
	case REPLY_NONE:
		break;
	}
	if (taken(address, port))
		finding(p, "names", health_warn,
			"see who has it: ss -ulpn; or another `dns_listen` in config.yaml",
			"port %s is taken, and nobody answers there", text);
	else
		finding(p, "names", served ? health_warn : health_note,
			served ? "see `banger daemon status`" : "banger daemon start",
			"nobody answers at %s", text);
}

/* The resolvers that programs of this host ask. */
static unsigned resolvers(uint32_t out[SERVERS_MAX])
{
	own_buf text = { 0 };
	struct why why;
	unsigned n = 0;
	bool there;

	buf_init(&text, FILE_BYTES_MAX);
	if (file_read("/etc/resolv.conf", &text, &there, &why) || !there)
		return 0;
	for (const char *line = buf_cstr(&text); line && *line && n < SERVERS_MAX;
		line = strchr(line, '\n')) {
		char word[64];

		line += *line == '\n';
		if (sscanf(line, "nameserver %63s", word) == 1 &&
			parse_ipv4(word, strlen(word), &out[n]))
			n++;
	}
	return n;
}

static const char *one_line(struct part *p, const char *text)
{
	struct stat st;

	if (stat("/run/systemd/resolve", &st) == 0)
		return arena_fmt(&p->c->mem,
			"in /etc/systemd/resolved.conf.d/banger.conf: [Resolve] DNS=%s "
			"Domains=~vm; then systemctl restart systemd-resolved",
			text);
	if (stat("/etc/dnsmasq.conf", &st) == 0)
		return arena_fmt(&p->c->mem, "one line in /etc/dnsmasq.conf: server=/vm/%.*s#%s",
			(int)strcspn(text, ":"), text, strchr(text, ':') + 1);
	return "one line in a resolver that forwards by domain (systemd-resolved: Domains=~vm; "
	       "dnsmasq: server=/vm/ADDRESS#PORT); `ssh NAME.vm` works by banger ssh-config";
}

static void by_resolver(struct part *p, const char *text)
{
	uint32_t servers[SERVERS_MAX];
	unsigned n = resolvers(servers);

	for (unsigned i = 0; i < n; i++)
		if (ask_server(servers[i], DNS_PORT) == REPLY_OURS) {
			finding(p, "resolver", health_ok, NULL,
				"this host's resolver leads NAME.vm to banger");
			return;
		}
	finding(p, "resolver", health_note, one_line(p, text), "%s",
		n ? "this host's resolver does not know NAME.vm" :
		    "/etc/resolv.conf names no resolver");
}

void doctor_names(struct part *p)
{
	struct nothing none;
	struct pong pong;
	struct why why;
	const char *text;
	uint32_t address;
	uint16_t port;
	bool served;

	if (!responder(p, &address, &port, &text))
		return;
	served = ask(p->c, LETTER_ping, &none, &pong, &why) == OK; /* it is started on demand */
	direct(p, address, port, text, served);
	by_resolver(p, text);
}
