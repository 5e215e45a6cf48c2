/*
 * session.c - letters of one opening: hello first, then each request to its handler.
 *
 * Requests are read strictly, notifications leniently (row A6). What is not in the table is not
 * served here, however valid it is elsewhere.
 */
#include "agent/session.h"

#include <fcntl.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "agent/handlers.h"
#include "base/build.h"
#include "base/log.h"

enum { ARENA_BYTES_MAX = 4 * 1048576 };

static const struct {
	enum letter_id id;
	handler *fn;
} handlers[] = {
	{ LETTER_agent_exec, on_exec },
	{ LETTER_agent_put, on_put },
	{ LETTER_agent_get, on_get },
	{ LETTER_agent_health, on_health },
	{ LETTER_agent_ports, on_ports },
	{ LETTER_agent_stats, on_stats },
	{ LETTER_agent_dial, on_dial },
	{ LETTER_agent_ssh, on_ssh },
	{ LETTER_agent_services, on_services },
	{ LETTER_agent_clock, on_clock },
	{ LETTER_agent_grow, on_grow },
	{ LETTER_agent_shutdown, on_shutdown },
	{ LETTER_agent_where, on_where },
	{ LETTER_agent_space_put, on_space_put },
	{ LETTER_agent_survey, on_survey },
	{ LETTER_agent_pick, on_pick },
};

void refuse(struct session *s, uint32_t msgid, const struct why *why)
{
	rpc_refuse(s->rpc, msgid, why);
}

void answer(struct session *s, uint32_t msgid, enum letter_id id, const void *body)
{
	struct why why;

	if (rpc_answer(s->rpc, msgid, &letter_kinds[id], body, &why))
		log_line(LOG_WARN, "session", "answer not sent", "method", letter_kinds[id].method,
			"why", why.text, NULL);
}

void pending_add(struct session *s, struct pending *p, uint32_t msgid,
	void (*drop)(struct pending *p))
{
	p->session = s;
	p->msgid = msgid;
	p->drop = drop;
	LIST_INSERT_HEAD(&s->pendings, p, entry);
}

void pending_done(struct pending *p)
{
	LIST_REMOVE(p, entry);
	p->session = NULL;
}

static handler *handler_of(enum letter_id id)
{
	for (size_t i = 0; i < COUNT(handlers); i++)
		if (handlers[i].id == id)
			return handlers[i].fn;
	return NULL;
}

static void on_request(void *ctx, uint32_t msgid, struct bytes method, struct bytes params)
{
	struct session *s = ctx;
	enum letter_id id = letter_by_method((const char *)method.p, method.n);
	handler *fn = id == LETTER_COUNT ? NULL : handler_of(id);
	const struct shape *shape;
	struct why why;
	void *body;

	if (!fn) {
		fail(&why, ERR_unknown_method, "the agent knows no such method");
		refuse(s, msgid, &why);
		return;
	}
	arena_reset(&s->arena);
	shape = letter_kinds[id].in;
	body = arena_take(&s->arena, MAX(shape->size, 1u));
	if (!body)
		fail(&why, ERR_no_memory, "no memory for a request");
	if (!body || shape_read(shape, mp_over(params.p, params.n), STRICT, &s->arena, body, &why))
		refuse(s, msgid, &why);
	else
		fn(&(struct request){ s, msgid, id, body });
}

static void on_note(void *ctx, struct bytes method, struct bytes params)
{
	struct session *s = ctx;
	enum letter_id id = letter_by_method((const char *)method.p, method.n);
	union {
		struct stream_data data;
		struct stream_credit credit;
		struct stream_resize resize;
		struct stream_signal signal;
	} body;
	struct why why;

	if (id != LETTER_stream_data && id != LETTER_stream_credit && id != LETTER_stream_resize &&
		id != LETTER_stream_signal)
		return;
	arena_reset(&s->arena);
	if (shape_read(letter_kinds[id].in, mp_over(params.p, params.n), LENIENT, &s->arena, &body,
		    &why))
		log_line(LOG_WARN, "session", "a notification that does not fit", "why", why.text,
			NULL);
	else
		stream_note(s, id, &body);
}

static void on_drained(void *ctx)
{
	streams_drained(ctx);
}

static void on_closed(void *ctx, const struct why *why)
{
	struct session *s = ctx;

	log_line(LOG_INFO, "session", "closed", "why", why->code ? why->text : NULL, NULL);
	session_free(s);
}

static const struct rpc_user rpc_user = {
	.request = on_request,
	.note = on_note,
	.drained = on_drained,
	.closed = on_closed,
};

static void read_boot_id(char out[64])
{
	own_fd fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, out, 63);

	out[n > 0 ? n : 0] = '\0';
	out[strcspn(out, "\n")] = '\0';
	if (!out[0])
		(void)snprintf(out, 64, "unknown");
}

static enum err say_hello(struct session *s, struct why *why)
{
	struct agent *a = s->agent;
	const char *warnings[WARNINGS_MAX];
	struct utsname u = { .release = "unknown" };
	char boot_id[64];
	struct agent_hello hello = {
		.version = { build_version, build_commit, build_time_ms },
		.boot_id = boot_id,
		.kernel = u.release,
		.init = a->init,
		.boot_ms = a->ready_ms,
		.warnings = { warnings, a->warnings.n },
	};

	read_boot_id(boot_id);
	(void)uname(&u);
	for (unsigned i = 0; i < a->warnings.n; i++)
		warnings[i] = a->warnings.text[i];
	return rpc_note(s->rpc, &letter_kinds[LETTER_agent_hello], &hello, why);
}

enum err session_new(struct agent *a, struct chan *c, struct why *why)
{
	struct session *s = a->sessions_n < SESSIONS_MAX ? calloc(1, sizeof(*s)) : NULL;
	enum err e;

	if (s)
		s->rpc = rpc_new(c, FRAME_BYTES_MAX, &rpc_user, s);
	if (!s || !s->rpc) {
		free(s);
		chan_close(c);
		return fail(why, ERR_busy, "no room for another session");
	}
	s->agent = a;
	arena_init(&s->arena, ARENA_BYTES_MAX);
	TAILQ_INIT(&s->streams);
	LIST_INIT(&s->pendings);
	LIST_INSERT_HEAD(&a->sessions, s, entry);
	a->sessions_n++;
	e = say_hello(s, why);
	if (e)
		session_free(s);
	return e;
}

void session_free(struct session *s)
{
	struct pending *p;

	streams_gone(s);
	while ((p = LIST_FIRST(&s->pendings)) != NULL) {
		pending_done(p);
		p->drop(p);
	}
	LIST_REMOVE(s, entry);
	s->agent->sessions_n--;
	rpc_free(s->rpc);
	arena_done(&s->arena);
	free(s);
}
