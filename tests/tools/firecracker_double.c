/*
 * firecracker_double.c - stands in for Firecracker where there is no KVM: its command line, its API
 * on a unix socket (tests/lib/fc_rules.h holds the rules), hybrid vsock with an agent behind it, a
 * console on stdout, and its ends.
 *
 *	firecracker_double --id ID --api-sock PATH
 *
 * Faults are lines of a file `faults` beside the program, each "WHERE WHAT [ARGUMENT]":
 *	PATH refuse TEXT	a fault message	|	PATH hang	no answer
 *	PATH close		the connection	|	PATH garbage	no HTTP
 *	PATH big		a long answer	|	PATH exit N	the process ends
 *	start exit N, start silent (no socket)	|	version is 1.7.0
 *	guest absent, guest halts (stays after its power-off), guest panics, guest floods
 */
#include <getopt.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/text.h"
#include "loop/chan.h"
#include "tests/lib/fc_guest.h"
#include "tests/lib/fc_rules.h"
#include "vmm/hybrid.h"

enum { EXIT_ARGUMENTS = 153, LETTERS_PORT = 1024, FAULTS_MAX = 16, BIG_BYTES = 1048576 };

struct fault {
	char where[64], what[16], argument[200];
};

struct listener {
	struct watch watch;
	int fd;
	void (*serve)(struct chan *c);
};

static struct {
	struct loop *loop;
	struct fc_state api;
	struct fault faults[FAULTS_MAX];
	unsigned faults_n, connections;
	struct listener api_socket, vsock;
	struct sigwatch term;
} d;

struct connection { /* of the API */
	struct chan *chan;
};

static const struct fault *fault_at(const char *where)
{
	for (unsigned i = 0; i < d.faults_n; i++)
		if (str_eq(d.faults[i].where, where))
			return &d.faults[i];
	return NULL;
}

static bool guest_is(const char *what)
{
	const struct fault *f = fault_at("guest");

	return f && str_eq(f->what, what);
}

static void read_faults(void)
{
	char path[4096], line[300];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 16);
	own_file f = NULL;

	path[MAX(n, 0)] = '\0';
	if (!strrchr(path, '/'))
		return;
	memcpy(strrchr(path, '/'), "/faults", sizeof("/faults"));
	f = fopen(path, "re");
	while (f && d.faults_n < FAULTS_MAX && fgets(line, sizeof(line), f)) {
		struct fault *x = &d.faults[d.faults_n];

		d.faults_n +=
			sscanf(line, "%63s %15s %199[^\n]", x->where, x->what, x->argument) >= 2;
	}
}

static int number(const char *text)
{
	return (int)strtol(text, NULL, 10);
}

/* ---- the guest ---- */

static void print(const char *line)
{
	(void)!write(1, line, strlen(line));
}

static void guest_down(void *ctx UNUSED, bool reboot UNUSED)
{
	/* an agent whose kernel was told reboot=k resets, which ends the process */
	bool resets = strstr(d.api.cmdline, "reboot=k") != NULL;

	if (guest_is("halts") || !resets) {
		print("[    9.000000] reboot: Power down\r\n");
		return;
	}
	print("[    9.000000] reboot: Restarting system\r\n");
	_exit(0);
}

static size_t take_line(void *ctx, const uint8_t *p, size_t n)
{
	struct chan *c = ctx;
	const uint8_t *end = memchr(p, '\n', n);
	unsigned port;
	char line[HYBRID_LINE_MAX + 1];

	if (!end && n < HYBRID_LINE_MAX)
		return 0;
	snprintf(line, sizeof(line), "%.*s", (int)MIN(n, (size_t)HYBRID_LINE_MAX), (const char *)p);
	if (!end || sscanf(line, "CONNECT %u\n", &port) != 1 || port != LETTERS_PORT ||
		(guest_is("absent") || guest_is("panics"))) {
		chan_close(c);
		return n;
	}
	chan_write(c, "OK 1073741824\n", 14);
	fc_guest_serve(c, guest_down, NULL);
	return (size_t)(end - p) + 1;
}

static void line_closed(void *ctx, const struct why *why UNUSED)
{
	chan_close(ctx);
}

static const struct chan_user line_user = { take_line, NULL, line_closed };

static void serve_vsock(struct chan *c)
{
	chan_user_set(c, &line_user, c);
}

static void flood(void)
{
	char line[120];

	memset(line, 'x', sizeof(line) - 1);
	line[sizeof(line) - 1] = '\n';
	for (int i = 0; i < 100000; i++)
		(void)!write(1, line, sizeof(line));
}

static void panic(void *ctx UNUSED)
{
	print("[    0.500000] Kernel panic - not syncing: no init\r\n");
	_exit(0);
}

static void boot(void)
{
	static struct timer panics;

	print("[    0.000000] Linux version 6.1.0-double\r\n");
	if (guest_is("panics")) /* a guest does so after its start was answered */
		timer_start(d.loop, &panics, 50, panic, NULL);
	if (guest_is("floods"))
		flood();
}

/* ---- sockets ---- */

static size_t no_data(void *ctx UNUSED, const uint8_t *p UNUSED, size_t n)
{
	return n;
}

static const struct chan_user nobody = { .data = no_data };

static void on_connection(void *ctx, int events UNUSED)
{
	struct listener *l = ctx;
	int fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct chan *c;

	if (fd < 0)
		return;
	if (chan_open(d.loop, fd, fd, &nobody, NULL, &c, NULL))
		close(fd);
	else
		l->serve(c);
}

static bool listen_at(struct listener *l, const char *path, void (*serve)(struct chan *))
{
	struct sockaddr_un name = { .sun_family = AF_UNIX };

	l->serve = serve;
	l->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (l->fd < 0 || !str_copy(name.sun_path, sizeof(name.sun_path), path) ||
		bind(l->fd, (struct sockaddr *)&name, sizeof(name)) || listen(l->fd, 64))
		return false;
	watch_start(d.loop, &l->watch, l->fd, WATCH_READ, on_connection, l);
	return true;
}

/* ---- the API ---- */

static void hang_up(struct connection *c)
{
	d.connections--;
	chan_close(c->chan);
	free(c);
}

static void respond(struct connection *c, unsigned status, const char *body)
{
	char head[256];
	int n;

	if (status == 204) /* neither body nor a length of one */
		n = snprintf(head, sizeof(head),
			"HTTP/1.1 204 \r\nServer: Firecracker API\r\n"
			"Connection: keep-alive\r\n\r\n");
	else
		n = snprintf(head, sizeof(head),
			"HTTP/1.1 %u \r\nServer: Firecracker API\r\nConnection: keep-alive\r\n"
			"Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
			status, strlen(body));
	chan_write(c->chan, head, (size_t)n);
	chan_write(c->chan, body, status == 204 ? 0 : strlen(body));
}

static void bad_http(struct connection *c, const char *text)
{
	char body[200];

	snprintf(body, sizeof(body), "{ \"error\": \"%s\" }", text);
	respond(c, 400, body);
	chan_finish(c->chan);
}

/* True: the fault has taken the request's place; c may be gone. */
static bool play_fault(struct connection *c, const char *path)
{
	const struct fault *f = fault_at(path);
	char body[300];

	if (!f)
		return false;
	if (str_eq(f->what, "exit"))
		_exit(number(f->argument));
	if (str_eq(f->what, "refuse")) {
		snprintf(body, sizeof(body), "{\"fault_message\":\"%s\"}", f->argument);
		respond(c, 400, body);
	} else if (str_eq(f->what, "close")) {
		hang_up(c);
	} else if (str_eq(f->what, "garbage")) {
		chan_write(c->chan, "\x00\xffnothing of HTTP\n\n", 19);
	} else if (str_eq(f->what, "big")) {
		char *text = calloc(1, BIG_BYTES + 1);

		must(text);
		memset(text, ' ', BIG_BYTES);
		respond(c, 200, text);
		free(text);
	}
	return true;
}

struct request {
	char method[8], path[256];
	size_t head, length; /* bytes up to the body; of the body */
	bool has_length;
};

/* False: it is none, and was answered so. r->head 0: more must come. */
static bool parse(struct connection *c, const uint8_t *p, size_t n, struct request *r)
{
	const char *text = (const char *)p, *end = memmem(p, n, "\r\n\r\n", 4), *line = text;

	r->head = 0;
	if (!end) {
		if (n > 16 * FC_LINE_MAX)
			bad_http(c, "Invalid header.");
		return n <= 16 * FC_LINE_MAX;
	}
	if (sscanf(text, "%7s %255s HTTP/1.", r->method, r->path) != 2) {
		bad_http(c, "Invalid request.");
		return false;
	}
	for (; line < end; line = (const char *)memmem(line, n, "\r\n", 2) + 2) {
		size_t len =
			(size_t)((const char *)memmem(line, (size_t)(text + n - line), "\r\n", 2) -
				 line);

		if (len > FC_LINE_MAX) {
			bad_http(c, "Invalid header.");
			return false;
		}
		if (len > 15 && strncasecmp(line, "Content-Length:", 15) == 0) {
			r->length = (size_t)strtoul(line + 15, NULL, 10);
			r->has_length = true;
		}
		if (len > 18 && strncasecmp(line, "Transfer-Encoding:", 18) == 0) {
			bad_http(c, "Unsupported header.");
			return false;
		}
	}
	if (r->length > FC_BODY_MAX) {
		bad_http(c, "Request payload is too large.");
		return false;
	}
	r->head = (size_t)(end + 4 - text);
	return true;
}

static size_t take_request(void *ctx, const uint8_t *p, size_t n)
{
	struct connection *c = ctx;
	struct request r = { .head = 0 };
	char body[1024];
	unsigned status;
	bool start;

	if (!parse(c, p, n, &r))
		return n;
	if (r.head == 0 || n < r.head + r.length)
		return 0;
	if (play_fault(c, r.path))
		return r.head + r.length;
	status = fc_rules_take(&d.api, r.method, r.path, r.length ? (const char *)p + r.head : NULL,
		r.length, body, sizeof(body), &start);
	if (status == 204 && str_eq(r.path, "/vsock") &&
		!listen_at(&d.vsock, d.api.vsock, serve_vsock)) {
		status = 400;
		snprintf(body, sizeof(body), "{\"fault_message\":\"cannot bind\"}");
	}
	respond(c, status, body);
	if (start)
		boot();
	return r.head + r.length;
}

static void api_closed(void *ctx, const struct why *why UNUSED)
{
	hang_up(ctx);
}

static const struct chan_user api_user = { take_request, NULL, api_closed };

static void serve_api(struct chan *chan)
{
	struct connection *c = calloc(1, sizeof(*c));

	must(c);
	c->chan = chan;
	chan_user_set(chan, &api_user, c);
	if (++d.connections <= FC_CONNECTIONS_MAX)
		return;
	chan_write(chan, "HTTP/1.1 503 \r\nContent-Length: 0\r\n\r\n", 37);
	chan_finish(chan);
}

/* ---- life ---- */

static bool id_is_fine(const char *id)
{
	size_t n = strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-");

	return n > 0 && n <= 64 && !id[n];
}

static void choose_version(void)
{
	const struct fault *f = fault_at("version");

	snprintf(d.api.version, sizeof(d.api.version), "%.31s", f ? f->argument : "1.16.1");
	d.api.minor = 16;
	sscanf(d.api.version, "1.%u.", &d.api.minor);
}

static void on_term(void *ctx UNUSED, int signal)
{
	_exit(128 + signal);
}

int main(int argc, char **argv)
{
	static const struct option options[] = { { "id", required_argument, NULL, 'i' },
		{ "api-sock", required_argument, NULL, 'a' }, { "version", no_argument, NULL, 'v' },
		{ NULL, 0, NULL, 0 } };
	const char *id = "anonymous-instance", *socket = NULL;
	const struct fault *f;
	int o;

	read_faults();
	choose_version();
	while ((o = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (o == 'v') {
			printf("Firecracker v%s\n", d.api.version);
			return 0;
		}
		if (o == '?')
			return EXIT_ARGUMENTS;
		*(o == 'i' ? &id : &socket) = optarg;
	}
	if (optind < argc || !socket || !id_is_fine(id))
		return EXIT_ARGUMENTS;
	signal(SIGPIPE, SIG_IGN);
	if (loop_new(&d.loop, NULL))
		return 1;
	f = fault_at("start");
	if (f && str_eq(f->what, "exit"))
		return number(f->argument);
	if (!(f && str_eq(f->what, "silent")) && !listen_at(&d.api_socket, socket, serve_api)) {
		fprintf(stderr, "Failed to open the API socket at: %s.\n", socket);
		return 1;
	}
	sigwatch_start(d.loop, &d.term, SIGTERM, on_term, NULL);
	loop_run(d.loop);
	return 0;
}
