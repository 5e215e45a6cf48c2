/*
 * main.c - banger-stub: stands where a machine of driver `stub` has its VMM. No guest runs and
 * nothing is computed, so what a boot of it costs is banger's own.
 *
 *	banger-stub banger-ID	the word by which the daemon finds it again
 *
 * Descriptor 11 is a socket that listens for the daemon, as a VMM's agent port does; behind it is
 * the least agent: it answers the opening, says hello, and serves what needs no programs.
 * Programs, copies, connections and services are refused, never pretended. Its output is the
 * machine's console.
 */
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/build.h"
#include "base/text.h"
#include "loop/chan.h"
#include "proto/proto.h"
#include "wire/mark.h"
#include "wire/rpc.h"

enum { AGENT_FD = 11 };

static struct {
	struct loop *loop;
	struct watch listener;
	struct sigwatch term;
	struct chan *chan; /* until the opening */
	struct rpc *rpc; /* behind it */
	struct mark_finder finder;
	uint64_t began_ms;
} stub;

static struct version own_version(void)
{
	return (struct version){ build_version, build_commit, build_time_ms };
}

static void hang_up(void)
{
	struct chan *c = take_ptr(&stub.chan);
	struct rpc *r = take_ptr(&stub.rpc);

	stub.finder = (struct mark_finder){ .n = 0 };
	chan_close(c);
	rpc_free(r);
}

/* ---- letters ---- */

union answer {
	struct nothing nothing;
	struct vm_health health;
	struct vm_ports ports;
	struct guest_stats stats;
	struct agent_ssh_said ssh;
};

/* False: it would need a guest. */
static bool answer_of(enum letter_id id, union answer *a)
{
	uint64_t up = loop_now_ms(stub.loop) - stub.began_ms;

	memset(a, 0, sizeof(*a));
	if (id == LETTER_agent_health)
		a->health = (struct vm_health){ .ok = true,
			.uptime_ms = up,
			.init = init_kind_none,
			.mounted = true,
			.agent = own_version(),
			.kernel = "stub",
			.hostname = "stub" };
	else if (id == LETTER_agent_stats)
		a->stats = (struct guest_stats){ .uptime_ms = up };
	else if (id == LETTER_agent_ssh)
		a->ssh = (struct agent_ssh_said){ .user = "root" };
	else
		return id == LETTER_agent_clock || id == LETTER_agent_shutdown ||
		       id == LETTER_agent_ports;
	return true;
}

static void on_request(void *ctx UNUSED, uint32_t msgid, struct bytes method, struct bytes params)
{
	enum letter_id id = letter_by_method((const char *)method.p, method.n);
	union answer a;
	struct why why;

	(void)params;
	if (id == LETTER_COUNT || !answer_of(id, &a)) {
		fail(&why, ERR_unsupported, "this is a stub machine: it has no guest");
		fail_hint(&why, "make one with --driver qemu or --driver firecracker");
		rpc_refuse(stub.rpc, msgid, &why);
		return;
	}
	if (id == LETTER_agent_shutdown)
		_exit(0);
	if (rpc_answer(stub.rpc, msgid, &letter_kinds[id], &a, &why))
		fprintf(stderr, "stub: no answer: %s\n", why.text);
}

static void on_note(void *ctx UNUSED, struct bytes method UNUSED, struct bytes params UNUSED)
{
}

static void on_closed(void *ctx UNUSED, const struct why *why UNUSED)
{
	hang_up();
}

static const struct rpc_user letters = {
	.request = on_request,
	.note = on_note,
	.closed = on_closed,
};

/* ---- the opening ---- */

static size_t find_opening(void *ctx UNUSED, const uint8_t *p, size_t n)
{
	uint8_t nonce[NONCE_BYTES], opening[OPENING_BYTES];
	struct agent_hello hello = { .version = own_version(),
		.boot_id = "stub",
		.kernel = "stub",
		.init = init_kind_none };
	bool found;
	size_t used = mark_find(&stub.finder, p, n, &found, nonce);
	struct why why;

	if (!found)
		return used;
	mark_opening(opening, nonce);
	chan_write(stub.chan, opening, sizeof(opening));
	stub.rpc = rpc_new(stub.chan, FRAME_BYTES_MAX, &letters, NULL);
	if (!stub.rpc) {
		hang_up();
		return used;
	}
	stub.chan = NULL;
	if (rpc_note(stub.rpc, &letter_kinds[LETTER_agent_hello], &hello, &why))
		fprintf(stderr, "stub: no hello: %s\n", why.text);
	return used;
}

static const struct chan_user opening_user = { find_opening, NULL, on_closed };

/* A daemon that was started again connects anew; the one before is gone then. */
static void on_connection(void *ctx UNUSED, int events UNUSED)
{
	int fd = accept4(AGENT_FD, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return;
	hang_up();
	if (chan_open(stub.loop, fd, fd, &opening_user, NULL, &stub.chan, NULL))
		close(fd);
}

/* ---- life ---- */

static void on_term(void *ctx UNUSED, int signal)
{
	_exit(128 + signal);
}

static int show_version(void)
{
	char built[32];

	show_time(built, sizeof(built), build_time_ms);
	printf("banger-stub %s (commit %s, built %s)\n", build_version, build_commit, built);
	return fflush(stdout) == 0 ? 0 : 1;
}

static bool listens(int fd)
{
	socklen_t size = sizeof(int);
	int on = 0;

	return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &on, &size) == 0 && on;
}

int main(int argc, char **argv)
{
	struct why why;

	if (argc == 2 && str_eq(argv[1], "--version"))
		return show_version();
	if (argc != 2 || !listens(AGENT_FD)) {
		fputs("banger-stub stands in for a VMM, and the daemon starts it; see `banger help "
		      "bench`\n",
			stderr);
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	if (loop_new(&stub.loop, &why)) {
		fprintf(stderr, "stub: %s\n", why.text);
		return 1;
	}
	stub.began_ms = loop_now_ms(stub.loop);
	watch_start(stub.loop, &stub.listener, AGENT_FD, WATCH_READ, on_connection, NULL);
	sigwatch_start(stub.loop, &stub.term, SIGTERM, on_term, NULL);
	puts("This is a stub machine: no guest runs here.");
	fflush(stdout);
	loop_run(stub.loop);
	return 0;
}
