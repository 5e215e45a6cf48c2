/*
 * services.c - agent.services: waits until something listens on every port that the image's
 * services are known by (row B4).
 *
 * The kernel tells nobody when a socket begins to listen, so its table is looked at again and again
 * while somebody waits. An image without an init has nothing that would start a service but its own
 * command: that is begun here, once, with its output on the console.
 */
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/exec.h"
#include "agent/handlers.h"
#include "agent/sockets.h"
#include "agent/uevent.h"
#include "base/log.h"
#include "proto/check.h"

enum { AGAIN_MS = 100, WANTED_MAX = 16 };

struct wait {
	struct pending pending; /* first */
	struct agent *agent;
	uint64_t until;
	struct timer timer;
	unsigned n;
	uint16_t ports[WANTED_MAX];
	char texts[WANTED_MAX][SERVICE_NAME_MAX + 8]; /* NAME:PORT */
};

static void wait_free(struct wait *w)
{
	timer_stop(&w->timer);
	free(w);
}

static void drop(struct pending *p)
{
	wait_free((struct wait *)p);
}

/* ---- the image's command ---- */

static enum err begin_command(struct session *s, const struct agent_exec *x, struct why *why)
{
	struct agent *a = s->agent;
	struct account who;
	struct launch l;
	own_fd null = -1, console = -1;
	enum err e = exec_prepare(a->root, x, &s->arena, &who, &l, why);

	if (e)
		return e;
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	console = open("/dev/console", O_WRONLY | O_NOCTTY | O_CLOEXEC);
	if (null < 0)
		return fail_errno(why, "cannot open /dev/null");
	l.in = null;
	l.out = l.err = console < 0 ? null : console;
	a->serving.pid = spawn(&l);
	if (a->serving.pid < 0)
		return fail_errno(why, "cannot begin the image's command");
	a->serving.begun = true;
	return OK;
}

bool serving_reaped(struct agent *a, pid_t pid, int status)
{
	if (!a->serving.begun || a->serving.ended || pid != a->serving.pid)
		return false;
	a->serving.ended = true;
	a->serving.status = status;
	return true;
}

static void say_how_it_ended(const struct agent *a, struct why *why)
{
	int status = a->serving.status;

	if (WIFSIGNALED(status))
		fail(why, ERR_guest_failed, "the image's command was ended by signal %d",
			WTERMSIG(status));
	else
		fail(why, ERR_guest_failed, "the image's command ended with exit code %d",
			WEXITSTATUS(status));
}

/* ---- waiting ---- */

static void over(struct wait *w)
{
	struct session *s = w->pending.session;
	const char *down[WANTED_MAX];
	struct agent_services_said said = { .down = { down, 0 } };
	struct why why;

	for (unsigned i = 0; i < w->n; i++)
		if (!sockets_serve(w->ports[i]))
			down[said.down.n++] = w->texts[i];
	pending_done(&w->pending);
	if (said.down.n > 0 && w->agent->serving.ended) {
		say_how_it_ended(w->agent, &why);
		refuse(s, w->pending.msgid, &why);
	} else {
		answer(s, w->pending.msgid, LETTER_agent_services, &said);
	}
	wait_free(w);
}

static bool all_up(const struct wait *w)
{
	for (unsigned i = 0; i < w->n; i++)
		if (!sockets_serve(w->ports[i]))
			return false;
	return true;
}

/* A command may end well and leave a daemon behind: only a failure ends the wait. */
static bool hopeless(const struct agent *a)
{
	return a->serving.ended &&
	       (!WIFEXITED(a->serving.status) || WEXITSTATUS(a->serving.status) != 0);
}

static void look(void *ctx)
{
	struct wait *w = ctx;
	uint64_t now = monotonic_ms();

	if (now >= w->until || hopeless(w->agent) || all_up(w))
		over(w);
	else
		timer_start(w->agent->loop, &w->timer, MIN(AGAIN_MS, w->until - now), look, w);
}

void on_services(const struct request *r)
{
	const struct agent_services *q = r->body;
	struct session *s = r->session;
	struct agent *a = s->agent;
	bool begins = q->serve && a->init == init_kind_none && !a->serving.begun;
	struct wait *w = calloc(1, sizeof(*w));
	struct why why;

	if (!w || (begins && begin_command(s, q->serve, &why))) {
		if (!w)
			fail(&why, ERR_no_memory, "no memory to wait for services");
		free(w);
		refuse(s, r->msgid, &why);
		return;
	}
	w->agent = a;
	w->until = monotonic_ms() + q->wait_ms;
	for (uint32_t i = 0; i < q->services.n; i++) {
		const char *text = q->services.v[i];
		char name[SERVICE_NAME_MAX + 1];

		must(parse_service(text, strlen(text), name, &w->ports[i]));
		snprintf(w->texts[i], sizeof(w->texts[i]), "%s", text);
	}
	w->n = q->services.n;
	pending_add(s, &w->pending, r->msgid, drop);
	timer_start(a->loop, &w->timer, 0, look, w);
}
