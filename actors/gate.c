/*
 * gate.c - the gate: the only actor that knows connections.
 *
 * It checks who connects, reads MessagePack-RPC (rows A5, A6), hands each request to the actor that
 * the roster names, and each answer and notification back. It knows no machine and no image: what
 * is not about the daemon itself passes through as packed bytes.
 *
 * Nothing that a client does reaches another: a client that sends too fast is not read, one that
 * does not read is not served, one that begins a frame and stalls is cut.
 */
#include <sys/queue.h>
#include <unistd.h>

#include "actors/roster.h"
#include "base/build.h"
#include "base/log.h"
#include "base/table.h"
#include "base/text.h"
#include "sys/process.h"
#include "wire/rpc.h"

enum {
	CLIENTS_MAX = 1024, /* one more is told "busy" */
	TURNED_AWAY_MAX = 64, /* connections that are being told so */
	FRAME_DEADLINE_MS = 5000, /* from a frame's first byte to its last */
	UNREAD_MAX = 1048576, /* answers that a client leaves unread before it is served no more */
	CLIENT_OUT_MAX = 33554432 /* with all stream windows open; over it the client is cut */
};

/* ---- state ---- */

struct client {
	TAILQ_ENTRY(client) entry;
	struct link by_id;
	struct gate *gate;
	uint64_t id;
	struct rpc *rpc;
	struct wtimer stalled;
	bool watches; /* wants events */
	bool turned_away; /* over CLIENTS_MAX */
	bool held; /* not read because an actor's mailbox is full */
};

struct gate {
	struct actor *me;
	struct env *env;
	struct world_listener *listener;
	TAILQ_HEAD(, client) clients;
	struct table by_id;
	uint32_t count, turned_away, held;
	uint64_t next_id;
	struct arena arena; /* for looking into notifications */
	struct dns_status dns; /* as the dns actor told; text points below */
	char dns_address[32], dns_why[400];
};

static void client_free(struct client *c)
{
	struct gate *g = c->gate;

	world_timer_stop(&c->stalled);
	TAILQ_REMOVE(&g->clients, c, entry);
	table_del(&g->by_id, &c->by_id);
	*(c->turned_away ? &g->turned_away : &g->count) -= 1;
	g->held -= c->held;
	rpc_free(c->rpc);
	free(c);
}

static struct client *client_by_id(struct gate *g, uint64_t id)
{
	struct link *l = table_get(&g->by_id, &id, sizeof(id));

	return l ? CONTAINER_OF(l, struct client, by_id) : NULL;
}

/* ---- the daemon's own letters ---- */

static struct version own_version(void)
{
	return (struct version){ build_version, build_commit, build_time_ms };
}

static uint64_t uptime_ms(struct gate *g)
{
	return world_now_ms(g->env->world) - g->env->started_ms;
}

static void socket_path(struct gate *g, char *out, size_t size)
{
	if (world_path(g->env->world, RUNTIME, SOCKET_NAME, out, size, NULL))
		out[0] = '\0';
}

enum { LISTENERS = 2 };

/* Where the daemon listens; the first one's address is written to `path`. */
static void listeners_of(struct gate *g, struct listener out[LISTENERS], char *path, size_t size)
{
	socket_path(g, path, size);
	out[0] = (struct listener){ "rpc", path, true };
	out[1] = (struct listener){ "dns", g->dns_address, g->dns.up };
}

static void take_dns(struct gate *g, const struct dns_status *s)
{
	g->dns = *s;
	str_copy(g->dns_address, sizeof(g->dns_address), s->address);
	str_copy(g->dns_why, sizeof(g->dns_why), s->why ? s->why : "");
	g->dns.address = g->dns_address;
	g->dns.why = s->why ? g->dns_why : NULL;
}

static void answer_ping(struct client *c, uint32_t msgid)
{
	struct gate *g = c->gate;
	char path[PLACE_BYTES + 32];
	struct listener listeners[LISTENERS];
	struct pong pong = { own_version(), uptime_ms(g), g->env->mode, (uint64_t)getpid(),
		{ listeners, LISTENERS } };
	struct why why;

	listeners_of(g, listeners, path, sizeof(path));
	if (rpc_answer(c->rpc, msgid, &letter_kinds[LETTER_ping], &pong, &why))
		log_line(LOG_ERROR, "gate", "cannot answer ping", "why", why.text, NULL);
}

/* The client and msgid that wait for daemon.status while the vm actor counts. */
static void counted(void *state, uint64_t ctx, const struct why *why, const void *result,
	struct arena *arena UNUSED)
{
	struct gate *g = state;
	struct client *c = client_by_id(g, ctx >> 32);
	const struct gate_counts *n = result;
	struct actor_counts counts[ACTOR_COUNT];
	struct actor_status actors[ACTOR_COUNT];
	char path[PLACE_BYTES + 32];
	struct listener listeners[LISTENERS];
	char warning[512];
	const char *warnings[] = { warning };
	struct daemon_status s = { .version = own_version(),
		.uptime_ms = uptime_ms(g),
		.mode = g->env->mode,
		.pid = (uint64_t)getpid(),
		.clients = g->count,
		.state_dir = g->env->state_dir,
		.runtime_dir = g->env->runtime_dir,
		.listeners = { listeners, LISTENERS },
		.dns = &g->dns };
	struct why problem;

	if (!c)
		return;
	if (why) {
		rpc_refuse(c->rpc, (uint32_t)ctx, why);
		return;
	}
	s.machines = n->machines;
	s.running = n->running;
	process_memory(&s.rss, &s.rss_own);
	listeners_of(g, listeners, path, sizeof(path));
	if (!g->dns.up) {
		snprintf(warning, sizeof(warning),
			"names of machines are not answered at %s: %s; tried again by itself",
			g->dns_address, g->dns_why);
		s.warnings.v = warnings;
		s.warnings.n = 1;
	}
	s.actors.n = house_counts(g->me, counts, ACTOR_COUNT);
	s.actors.v = actors;
	for (unsigned i = 0; i < s.actors.n; i++)
		actors[i] = (struct actor_status){ counts[i].name, counts[i].handled,
			counts[i].queued, counts[i].queue_max, counts[i].refused };
	if (rpc_answer(c->rpc, (uint32_t)ctx, &letter_kinds[LETTER_daemon_status], &s, &problem))
		log_line(LOG_ERROR, "gate", "cannot answer daemon.status", "why", problem.text,
			NULL);
}

static void dns_told(void *state, uint64_t ctx, const struct why *why, const void *result,
	struct arena *arena UNUSED)
{
	struct gate *g = state;
	struct nothing none;

	if (!why)
		take_dns(g, result);
	ask(g->me, LETTER_vm_counts, &none, 10000, counted, ctx);
}

static void serve_own(struct client *c, uint32_t msgid, enum letter_id id)
{
	struct gate *g = c->gate;
	struct nothing none;
	struct why why;

	if (id == LETTER_ping) {
		answer_ping(c, msgid);
		return;
	}
	if (id == LETTER_daemon_status) {
		ask(g->me, LETTER_dns_status, &none, 10000, dns_told, c->id << 32 | msgid);
		return;
	}
	if (id == LETTER_events_watch)
		c->watches = true;
	if (rpc_answer(c->rpc, msgid, &letter_kinds[id], &none, &why))
		return;
	if (id == LETTER_daemon_stop) {
		log_line(LOG_INFO, "gate", "stopping", "reason", "daemon.stop", NULL);
		g->env->stop(g->env->stop_ctx);
	}
}

/* ---- requests ---- */

static bool is_own(enum letter_id id)
{
	return id == LETTER_ping || id == LETTER_daemon_status || id == LETTER_daemon_stop ||
	       id == LETTER_events_watch;
}

/* What a client may ask for, over the letters that the gate serves itself. */
static bool is_public(enum letter_id id)
{
	return (id >= LETTER_vm_create_begin && id <= LETTER_vm_stats) ||
	       (id >= LETTER_image_list && id <= LETTER_image_delete) ||
	       (id >= LETTER_kernel_list && id <= LETTER_kernel_default) ||
	       (id >= LETTER_space_where && id <= LETTER_space_pick) || id == LETTER_net_status ||
	       id == LETTER_op_cancel || id == LETTER_doctor_look || id == LETTER_vm_explain;
}

/* The actor whose mark an operation or stream id bears; 0 when it bears none. */
static uint32_t actor_of_id(uint64_t id)
{
	switch (id & ((1 << ID_MARK_BITS) - 1)) {
	case ID_MARK_IMAGE:
		return IMAGE_BIT;
	case ID_MARK_KERNEL:
		return KERNEL_BIT;
	case ID_MARK_VM:
		return VM_BIT;
	default:
		return 0;
	}
}

static void answered(void *state, uint64_t ctx, const struct why *why, struct bytes result)
{
	struct client *c = client_by_id(state, ctx >> 32);

	if (!c)
		return;
	if (why)
		rpc_refuse(c->rpc, (uint32_t)ctx, why);
	else
		rpc_answer_packed(c->rpc, (uint32_t)ctx, result);
}

/* Reads a letter's body to look at it; NULL when it is not as its shape says. */
static const void *look(struct gate *g, enum letter_id id, struct bytes params, struct why *why)
{
	const struct shape *shape = letter_kinds[id].in;
	void *body;

	arena_reset(&g->arena);
	body = arena_take(&g->arena, MAX(shape->size, 1u));
	if (!body) {
		fail(why, ERR_no_memory, "no memory to read %s", letter_kinds[id].method);
		return NULL;
	}
	if (shape_read(shape, mp_over(params.p, params.n), STRICT, &g->arena, body, why))
		return NULL;
	return body;
}

static enum err pass_on(
	struct client *c, uint32_t msgid, enum letter_id id, struct bytes params, struct why *why)
{
	uint32_t only = UINT32_MAX;

	if (id == LETTER_op_cancel) {
		const struct op_cancel *cancel = look(c->gate, id, params, why);

		if (!cancel)
			return why->code;
		only = actor_of_id(cancel->op);
		if (!only)
			return fail_field(why, ERR_not_found, "op", "no operation %llu",
				(unsigned long long)cancel->op);
	}
	return ask_packed(
		c->gate->me, only, id, c->id, params, 0, answered, c->id << 32 | msgid, why);
}

static void on_request(void *ctx, uint32_t msgid, struct bytes method, struct bytes params)
{
	struct client *c = ctx;
	enum letter_id id = letter_by_method((const char *)method.p, method.n);
	char shown[METHOD_BYTES_MAX * 4 + 8];
	struct why why;

	if (c->turned_away) {
		fail(&why, ERR_busy, "%d clients are connected already", CLIENTS_MAX);
		rpc_refuse(c->rpc, msgid, &why);
	} else if (id == LETTER_COUNT || !(is_own(id) || is_public(id))) {
		log_escape(shown, sizeof(shown), method.p, method.n);
		fail(&why, ERR_unknown_method, "no method '%s'", shown);
		rpc_refuse(c->rpc, msgid, &why);
	} else if (is_own(id)) {
		if (look(c->gate, id, params, &why))
			serve_own(c, msgid, id);
		else
			rpc_refuse(c->rpc, msgid, &why);
	} else if (pass_on(c, msgid, id, params, &why)) {
		rpc_refuse(c->rpc, msgid, &why);
	}
}

/* The stream that a notification names; 0 when it is none of a stream, or not as it should be. */
static uint64_t stream_of(struct gate *g, enum letter_id id, struct bytes params, struct why *why)
{
	const void *body;

	if (id != LETTER_stream_data && id != LETTER_stream_credit && id != LETTER_stream_resize &&
		id != LETTER_stream_signal) {
		fail(why, ERR_unknown_method, "no such notification");
		return 0;
	}
	body = look(g, id, params, why);
	if (!body)
		return 0;
	switch ((int)id) { /* each begins with its stream, but let the compiler find it */
	case LETTER_stream_data:
		return ((const struct stream_data *)body)->stream;
	case LETTER_stream_credit:
		return ((const struct stream_credit *)body)->stream;
	case LETTER_stream_resize:
		return ((const struct stream_resize *)body)->stream;
	default:
		return ((const struct stream_signal *)body)->stream;
	}
}

static void on_note(void *ctx, struct bytes method, struct bytes params)
{
	struct client *c = ctx;
	enum letter_id id = letter_by_method((const char *)method.p, method.n);
	uint64_t stream;
	struct why why;

	if (c->turned_away)
		return;
	stream = stream_of(c->gate, id, params, &why);
	/* nobody waits for an answer to a notification: a wrong one is logged and dropped */
	if (stream == 0 || actor_of_id(stream) == 0)
		log_line(LOG_INFO, "gate", "notification dropped", "client", log_u64(c->id).s,
			"why", stream ? "no such stream" : why.text, NULL);
	else
		tell_packed(c->gate->me, actor_of_id(stream), id, c->id, params);
}

/* ---- connections ---- */

static void on_closed(void *ctx, const struct why *why)
{
	struct client *c = ctx;
	struct client_gone gone = { c->id };

	if (why->code)
		log_line(why->code == ERR_malformed ? LOG_WARN : LOG_INFO, "gate",
			"connection closed", "client", log_u64(c->id).s, "why", why->text, NULL);
	if (!c->turned_away)
		tell(c->gate->me, LETTER_client_gone, &gone);
	client_free(c);
}

static bool on_full(void *ctx)
{
	struct client *c = ctx;
	struct gate *g = c->gate;

	if (chan_pending(rpc_chan(c->rpc)) > UNREAD_MAX)
		return true; /* on_drained goes on */
	if (!mail_full(g->me, SERVES_CLIENTS))
		return false;
	g->held += !c->held;
	c->held = true;
	return true;
}

static void on_drained(void *ctx)
{
	struct client *c = ctx;

	if (!c->held)
		rpc_resume(c->rpc);
}

static void on_stalled(void *ctx)
{
	struct client *c = ctx;
	struct why why;

	fail(&why, ERR_timeout, "a frame was begun and not ended within %d ms", FRAME_DEADLINE_MS);
	on_closed(c, &why);
}

static void on_partial(void *ctx, bool open)
{
	struct client *c = ctx;

	if (open)
		world_timer(c->gate->env->world, &c->stalled, FRAME_DEADLINE_MS, on_stalled, c);
	else
		world_timer_stop(&c->stalled);
}

static const struct rpc_user rpc_user = {
	.request = on_request,
	.note = on_note,
	.drained = on_drained,
	.closed = on_closed,
	.full = on_full,
	.partial = on_partial,
};

static bool may_connect(const struct world_peer *peer)
{
	return peer->uid == 0 || peer->uid == geteuid();
}

static void on_accept(void *ctx, struct chan *chan, const struct world_peer *peer)
{
	struct gate *g = ctx;
	bool over = g->count >= CLIENTS_MAX;
	struct client *c;

	if (!may_connect(peer)) {
		log_line(LOG_WARN, "gate", "connection refused", "uid", log_u64(peer->uid).s, NULL);
		chan_close(chan);
		return;
	}
	c = over && g->turned_away >= TURNED_AWAY_MAX ? NULL : calloc(1, sizeof(*c));
	if (!c) {
		chan_close(chan);
		return;
	}
	c->gate = g;
	c->id = ++g->next_id & UINT32_MAX; /* shares 64 bits with an msgid */
	c->turned_away = over;
	chan->out_max = chan->out.max = CLIENT_OUT_MAX;
	chan->crowd = UNREAD_MAX;
	c->rpc = rpc_new(chan, FRAME_BYTES_MAX, &rpc_user, c);
	if (!c->rpc || client_by_id(g, c->id) ||
		!table_add(&g->by_id, &c->by_id, &c->id, sizeof(c->id))) {
		c->rpc ? rpc_free(c->rpc) : chan_close(chan);
		free(c);
		return;
	}
	*(over ? &g->turned_away : &g->count) += 1;
	TAILQ_INSERT_TAIL(&g->clients, c, entry);
}

/* ---- letters in ---- */

/* A notification for one client, from the actor that serves its stream or operation. */
static void on_client_note(void *state, const struct letter *l, const void *body UNUSED)
{
	struct client *c = client_by_id(state, l->client);
	const char *method = letter_kinds[l->kind].method;

	if (c)
		rpc_note_packed(c->rpc, (struct bytes){ (const uint8_t *)method, strlen(method) },
			l->packed);
}

static void on_event(void *state, const struct letter *l, const void *body UNUSED)
{
	struct gate *g = state;
	const char *method = letter_kinds[l->kind].method;
	struct client *c, *next;

	for (c = TAILQ_FIRST(&g->clients); c; c = next) {
		next = TAILQ_NEXT(c, entry);
		if (!c->watches)
			continue;
		if (chan_pending(rpc_chan(c->rpc)) > UNREAD_MAX) {
			struct why why;

			fail(&why, ERR_too_large, "a watcher does not read its events");
			on_closed(c, &why);
			continue;
		}
		rpc_note_packed(c->rpc, (struct bytes){ (const uint8_t *)method, strlen(method) },
			l->packed);
	}
}

static void on_dns_news(void *state, const struct letter *l UNUSED, const void *body)
{
	take_dns(state, body);
}

/* ---- class ---- */

/* The store was read and what was open is settled: clients may come. */
static void settled(void *state, uint64_t ctx UNUSED, const struct why *why,
	const void *result UNUSED, struct arena *arena UNUSED)
{
	struct gate *g = state;
	struct why problem;

	if (why)
		problem = *why;
	else if (world_listen(g->env->world, SOCKET_NAME, g->env->listener, on_accept, g,
			 &g->listener, &problem) == OK)
		problem.code = OK;
	g->env->listening(g->env->stop_ctx, problem.code ? &problem : NULL);
}

static enum err gate_open(void *state, struct actor *me, void *env, struct why *why UNUSED)
{
	struct nothing none;
	struct gate *g = state;
	uint64_t seed;

	g->me = me;
	g->env = env;
	TAILQ_INIT(&g->clients);
	arena_init(&g->arena, 2 * MiB);
	world_random(g->env->world, &seed, sizeof(seed));
	table_init(&g->by_id, seed);
	ask(me, LETTER_vm_counts, &none, 300000, settled, 0);
	return OK;
}

static void gate_close(void *state)
{
	struct gate *g = state;
	struct client *c;

	world_listener_free(g->listener);
	while ((c = TAILQ_FIRST(&g->clients)) != NULL)
		client_free(c);
	table_done(&g->by_id);
	arena_done(&g->arena);
}

/* Clients that were held back because a mailbox was full go on when there is room. */
static void gate_turn(void *state)
{
	struct gate *g = state;
	struct client *c, *next;

	if (g->held == 0 || mail_full(g->me, SERVES_CLIENTS))
		return;
	for (c = TAILQ_FIRST(&g->clients); c && g->held > 0; c = next) {
		next = TAILQ_NEXT(c, entry);
		if (!c->held)
			continue;
		c->held = false;
		g->held--;
		rpc_resume(c->rpc);
	}
}

static void gate_verify(const void *state)
{
	const struct gate *g = state;
	const struct client *c;
	uint32_t n = 0;

	TAILQ_FOREACH(c, &g->clients, entry)
	n++;
	must(n == g->count + g->turned_away && n == g->by_id.count);
}

static const struct handler handlers[] = {
	{ LETTER_stream_data, on_client_note },
	{ LETTER_stream_credit, on_client_note },
	{ LETTER_stream_end, on_client_note },
	{ LETTER_op_stage, on_client_note },
	{ LETTER_op_done, on_client_note },
	{ LETTER_event, on_event },
	{ LETTER_dns_news, on_dns_news },
	{ 0, NULL },
};

const struct actor_class gate_actor = {
	.name = "gate",
	.state = sizeof(struct gate),
	.mail = 4 * 8192, /* stages and events of a thousand machines that move on in one turn */
	.on = handlers,
	.open = gate_open,
	.close = gate_close,
	.turn = gate_turn,
	.verify = gate_verify,
};
