/*
 * cmd_daemon.c - the daemon itself: start, stop, status, restart; and ping.
 */
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/text.h"
#include "cli/link.h"
#include "cli/report.h"
#include "conf/places.h"

enum { STOP_TIMEOUT_MS = 30000 };

static const char *version_text(struct cli *c, const struct version *v)
{
	char built[40];
	char *text;

	show_time(built, sizeof(built), v->built);
	text = arena_fmt(&c->mem, "%s (commit %s, built %.19sZ)", v->version, v->commit, built);
	return text ? text : v->version;
}

static void print_listeners(struct cli *c, const struct listener *v, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		line_text(c, i ? "" : "listens", "%s %s%s", v[i].name, v[i].address,
			v[i].up ? "" : " (down)");
}

static int ping(struct cli *c)
{
	struct nothing none;
	struct pong pong;
	struct why why;
	char text[40];

	c->silent_version = true; /* the answer says it */
	if (ask(c, LETTER_ping, &none, &pong, &why))
		return report(c, &why);
	if (c->json) {
		print_document(c, &shape_pong, &pong);
		return EXIT_DONE;
	}
	line_text(c, "version", "%s", version_text(c, &pong.version));
	show_duration(text, sizeof(text), pong.uptime_ms);
	line_text(c, "uptime", "%s", text);
	line_text(c, "mode", "%s", word_of(mode, pong.mode));
	line_text(c, "pid", "%llu", (unsigned long long)pong.pid);
	print_listeners(c, pong.listeners.v, pong.listeners.n);
	return EXIT_DONE;
}

const struct command cmd_ping = {
	.words = "ping",
	.args = "",
	.doc = "whether the daemon answers, and which build it is",
	.example = "banger ping",
	.run = ping,
};

/* No daemon serves: exit code 3, and a document with --json. */
static int not_running(struct cli *c)
{
	struct why why;

	c->unreachable = true;
	fail(&why, ERR_unavailable, "bangerd is not running");
	fail_hint(&why, "banger daemon start");
	return report(c, &why);
}

static void print_status(struct cli *c, const struct daemon_status *s)
{
	char text[40], own[24];

	show_duration(text, sizeof(text), s->uptime_ms);
	line_text(c, "running", "%s, pid %llu, %s mode", text, (unsigned long long)s->pid,
		word_of(mode, s->mode));
	line_text(c, "version", "%s", version_text(c, &s->version));
	line_text(c, "machines", "%llu, %llu running", (unsigned long long)s->machines,
		(unsigned long long)s->running);
	line_text(c, "clients", "%llu", (unsigned long long)s->clients);
	show_size(text, sizeof(text), s->rss);
	show_size(own, sizeof(own), s->rss_own);
	line_text(c, "memory", "%s resident, %s of its own", text, own);
	line_text(c, "state", "%s", s->state_dir);
	line_text(c, "runtime", "%s", s->runtime_dir);
	print_listeners(c, s->listeners.v, s->listeners.n);
	if (s->dns)
		line_text(c, "names", "%llu, %llu queries answered",
			(unsigned long long)s->dns->records, (unsigned long long)s->dns->queries);
	for (uint32_t i = 0; i < s->warnings.n; i++)
		line_text(c, "warning", "%s", s->warnings.v[i]);
}

static int status(struct cli *c)
{
	struct daemon_status s;
	struct nothing none;
	struct why why;
	bool there;

	if (link_try(c, &there, &why))
		return report(c, &why);
	if (!there)
		return not_running(c);
	if (ask(c, LETTER_daemon_status, &none, &s, &why))
		return report(c, &why);
	if (c->json)
		print_document(c, &shape_daemon_status, &s);
	else
		print_status(c, &s);
	return EXIT_DONE;
}

const struct command cmd_daemon_status = {
	.words = "daemon status",
	.args = "",
	.doc = "how the daemon fares; exit code 3 when there is none",
	.example = "banger daemon status\nbanger daemon status --json | jq .running",
	.run = status,
};

/* A socket of systemd's takes connections before its service runs: the answer is what counts. */
static enum err await_service(struct cli *c, struct why *why)
{
	struct nothing none;
	struct pong pong;

	return c->link->system ? ask(c, LETTER_ping, &none, &pong, why) : OK;
}

static int start(struct cli *c)
{
	struct why why;
	bool there;

	if (link_try(c, &there, &why))
		return report(c, &why);
	if (!there && link_open(c, &why))
		return report(c, &why);
	if (await_service(c, &why))
		return report(c, &why);
	if (!c->json && !c->quiet)
		printf("%s, pid %d\n", there ? "already running" : "started", (int)c->link->pid);
	else if (c->json)
		return ping(c);
	return EXIT_DONE;
}

const struct command cmd_daemon_start = {
	.words = "daemon start",
	.args = "",
	.doc = "start the daemon; other commands do so by themselves",
	.example = "banger daemon start",
	.run = start,
};

/* Waits for the process behind the descriptor to be gone. */
static enum err await_exit(int pidfd, pid_t pid, struct why *why)
{
	struct pollfd pf = { .fd = pidfd, .events = POLLIN };
	int r;

	do
		r = poll(&pf, 1, STOP_TIMEOUT_MS);
	while (r < 0 && errno == EINTR);
	if (r > 0)
		return OK;
	fail(why, ERR_timeout, "bangerd (pid %d) did not end within %d s", (int)pid,
		STOP_TIMEOUT_MS / 1000);
	return fail_hint(why, "see `banger daemon logs`");
}

/* Tells the daemon to end and waits until it did; *was is false when there was none. */
static enum err stop_daemon(struct cli *c, bool *was, struct why *why)
{
	struct nothing none;
	own_fd pidfd = -1;
	pid_t pid;
	enum err e = link_try(c, was, why);

	if (e || !*was)
		return e;
	pid = c->link->pid;
	pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (pidfd < 0)
		return fail_errno(why, "cannot watch bangerd (pid %d)", (int)pid);
	e = ask(c, LETTER_daemon_stop, &none, NULL, why);
	/* a daemon that ends may close before it answers */
	if (e && !c->link->gone)
		return e;
	link_close(c);
	return await_exit(pidfd, pid, why);
}

/* systemd would start an installed one at once. */
static enum err may_stop(struct cli *c, struct why *why)
{
	struct place socket;
	bool system = false;
	enum err e = c->socket ? OK : place_socket(&socket, &system, why);

	if (e || !system)
		return e;
	fail(why, ERR_unsupported, "the daemon is a service, which systemd keeps running");
	return fail_hint(why, "sudo systemctl stop bangerd.socket bangerd.service, or "
			      "`banger daemon restart`");
}

static int stop(struct cli *c)
{
	struct why why;
	bool was;

	if (may_stop(c, &why) || stop_daemon(c, &was, &why))
		return report(c, &why);
	if (c->json)
		print_document(c, &shape_nothing, &(struct nothing){});
	else if (!c->quiet)
		printf("%s\n", was ? "stopped; machines go on" : "not running");
	c->unreachable = false;
	return EXIT_DONE;
}

const struct command cmd_daemon_stop = {
	.words = "daemon stop",
	.args = "",
	.doc = "end the daemon; machines go on",
	.more = "Done when its process is gone. The next command starts it again, and it takes up "
		"the machines.",
	.example = "banger daemon stop",
	.run = stop,
};

static int restart(struct cli *c)
{
	struct why why;
	bool was;

	if (stop_daemon(c, &was, &why))
		return report(c, &why);
	return start(c);
}

const struct command cmd_daemon_restart = {
	.words = "daemon restart",
	.args = "",
	.doc = "replace the daemon, by another build perhaps; machines go on",
	.example = "banger daemon restart",
	.run = restart,
};
