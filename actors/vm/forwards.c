/*
 * forwards.c - ports of the host that lead to ports of a guest (`-p`), and who comes in there.
 *
 * The daemon listens, not the command that asked: a forward lives as its machine does, whoever made
 * it has gone or not, and is there again after a start of either. It listens from before a boot to
 * the VMM's end; who connects before the agent answers waits. Each connection is a stream of
 * agent.dial (a session without a client), with its windows: a program of the host that does not
 * read stops the guest's, and the other way round. A machine of user mode is also reached at its
 * own address, where ports of two machines do not meet: at the port of the host and, where the host
 * allows that, at the guest's, so that NAME.vm:80 is what it says.
 */
#include "actors/vm/forwards.h"
#include "base/log.h"
#include "base/text.h"
#include "proto/check.h"

enum {
	PASSAGES_MAX = 128, /* of a machine; half of its streams are left for others */
	PASSAGES_ALL = 512, /* of the daemon: each is a descriptor */
	UNSENT_MAX = 65536, /* what waits for a slow reader beside the window */
	LINGER_MS = 60000, /* how long it may take to read the guest's last words */
	EACH = 3 /* listeners of one forward */
};

/* ---- what is wanted ---- */

static void add(struct machine *m, uint32_t address, uint16_t port, uint16_t guest, bool wanted)
{
	for (uint32_t i = 0; i < m->forwards_n; i++)
		if (m->forwards[i].address == address && m->forwards[i].port == port)
			return;
	m->forwards[m->forwards_n++] = (struct forward){
		.m = m, .address = address, .port = port, .guest = guest, .wanted = wanted
	};
}

enum err forwards_take(struct machine *m, const char *const *publish, uint32_t n, struct why *why)
{
	uint16_t host, guest;
	uint32_t address;

	m->r.publish.v = NULL;
	m->r.publish.n = 0;
	if (n == 0)
		return OK;
	m->publish = calloc(n, sizeof(*m->publish));
	m->forwards = calloc((size_t)n * EACH, sizeof(*m->forwards));
	for (uint32_t i = 0; m->publish && m->forwards && i < n; i++) {
		must(parse_publish(publish[i], &address, &host, &guest));
		m->publish[i] = strdup(publish[i]);
		if (!m->publish[i])
			return fail(why, ERR_no_memory, "no memory for forwards");
		m->r.publish.v = m->publish;
		m->r.publish.n++;
		add(m, address, host, guest, true);
	}
	return m->publish && m->forwards ? OK : fail(why, ERR_no_memory, "no memory for forwards");
}

void forwards_done(struct machine *m)
{
	forwards_close(m);
	for (uint32_t i = 0; i < m->r.publish.n; i++)
		free((void *)(uintptr_t)m->publish[i]);
	free(m->publish);
	free(m->forwards);
	m->publish = NULL;
	m->forwards = NULL;
	m->r.publish.v = NULL;
	m->r.publish.n = m->forwards_n = 0;
}

/* Beside each forward, at the machine's own address; one for all addresses has that already. */
static void add_own(struct machine *m)
{
	uint32_t own, n = m->forwards_n;

	if (m->v->env->mode != mode_user || !m->r.address ||
		!parse_ipv4(m->r.address, strlen(m->r.address), &own))
		return;
	for (uint32_t i = 0; i < n && n == m->r.publish.n; i++) {
		const struct forward *f = &m->forwards[i];

		if (f->address != 0)
			add(m, own, f->port, f->guest, false);
	}
	for (uint32_t i = 0; i < n && n == m->r.publish.n; i++)
		add(m, own, m->forwards[i].guest, m->forwards[i].guest, false);
}

static void address_text(uint32_t a, char out[16])
{
	snprintf(out, 16, "%u.%u.%u.%u", a >> 24, a >> 16 & 255, a >> 8 & 255, a & 255);
}

uint32_t forwards_show(const struct machine *m, struct arena *a, struct vm_forward **ret)
{
	struct vm_forward *v = arena_take(a, (m->forwards_n + 1) * sizeof(*v));
	char text[16];

	for (uint32_t i = 0; v && i < m->forwards_n; i++) {
		const struct forward *f = &m->forwards[i];

		address_text(f->address, text);
		v[i] = (struct vm_forward){ arena_str(a, text), f->port, f->guest,
			f->listener != NULL };
		if (!v[i].address)
			return 0;
	}
	*ret = v;
	return v ? m->forwards_n : 0;
}

/* ---- a connection ---- */

static size_t passage_bytes(void *ctx, const uint8_t *p, size_t n);
static void passage_half(void *ctx);
static void passage_broke(void *ctx, const struct why *why);
static void passage_drained(void *ctx);

static const struct chan_user passage_user = { passage_bytes, passage_drained, passage_broke };

void passage_closed(struct session *s)
{
	struct machine *m = s->m;

	if (!s->chan)
		return;
	chan_close(s->chan);
	s->chan = NULL;
	m->passages_n--;
	m->v->passages_n--;
	m->crowd_told &= m->passages_n > PASSAGES_MAX / 2;
}

/* Into the guest, as far as its window goes; the rest waits, and so does who sends it. */
static void push(struct session *s)
{
	size_t at = 0;

	if (s->passage != PASSAGE_OPEN || s->in_ended || s->agent_stream == 0)
		return;
	while (at < s->pending.n && s->in.left > 0) {
		size_t n = MIN(MIN(s->pending.n - at, (size_t)s->in.left), (size_t)CHUNK_BYTES);

		session_to_agent(s, s->pending.p + at, n);
		at += n;
	}
	buf_drop(&s->pending, at);
	if (s->pending.n > 0)
		return;
	buf_done(&s->pending);
	if (s->half) {
		s->in_ended = true;
		session_to_agent(s, NULL, 0);
	} else if (s->chan) {
		chan_pause(s->chan, false);
	}
}

static size_t passage_bytes(void *ctx, const uint8_t *p, size_t n)
{
	struct session *s = ctx;

	buf_add(&s->pending, p, n);
	if (s->pending.failed) {
		passage_closed(s);
		session_leave(s);
		return n;
	}
	chan_pause(s->chan, true); /* push goes on when all of it went */
	push(s);
	return n;
}

static void passage_half(void *ctx)
{
	struct session *s = ctx;

	s->half = true;
	push(s);
}

/* Who came in has gone, or broke off. */
static void passage_broke(void *ctx, const struct why *why UNUSED)
{
	struct session *s = ctx;
	bool begun = s->passage == PASSAGE_OPEN;

	passage_closed(s);
	if (begun) {
		session_leave(s); /* should its stream begin later, it is ended then */
		return;
	}
	session_free(s);
}

static void grant(struct session *s, uint64_t n)
{
	uint64_t bytes = window_passed(&s->out[0], n);

	if (bytes)
		session_credit_agent(s, bytes);
}

static void passage_drained(void *ctx)
{
	struct session *s = ctx;

	if (s->passage == PASSAGE_LINGERS)
		session_free(s);
	else
		grant(s, 0);
}

void passage_begun(struct session *s)
{
	if (s->chan)
		push(s);
	else
		session_leave(s);
}

void passage_data(struct session *s, struct bytes data)
{
	if (data.n == 0) {
		chan_finish(s->chan);
		return;
	}
	chan_write(s->chan, data.p, data.n);
	if (chan_crowded(s->chan))
		s->out[0].owed += data.n; /* passage_drained grants it */
	else
		grant(s, data.n);
}

void passage_room(struct session *s)
{
	if (s->chan)
		push(s);
}

static void lingered(void *ctx)
{
	session_free(ctx);
}

void passage_ended(struct session *s)
{
	if (!s->chan || chan_pending(s->chan) == 0) {
		session_free(s);
		return;
	}
	s->passage = PASSAGE_LINGERS;
	s->agent_stream = 0;
	s->chan->crowd = 0;
	chan_wrote(s->chan); /* passage_drained is told when the last byte has gone */
	world_timer(s->m->v->world, &s->kill, LINGER_MS, lingered, s);
}

static void dial(struct session *s)
{
	struct why why;

	s->passage = PASSAGE_OPEN;
	if (session_dial_for(s, &why))
		session_free(s);
}

void forwards_begin(struct machine *m)
{
	struct session *s, *next;

	for (s = TAILQ_FIRST(&m->sessions); s && m->link.rpc; s = next) {
		next = TAILQ_NEXT(s, entry);
		if (s->kind == SESSION_FORWARD && s->passage == PASSAGE_WAITS)
			dial(s);
	}
}

static bool is_crowded(struct machine *m)
{
	bool crowded = m->passages_n >= PASSAGES_MAX || m->v->passages_n >= PASSAGES_ALL;

	if (crowded && !m->crowd_told)
		log_line(LOG_WARN, "vm", "too many connections to its forwarded ports", "vm", m->id,
			"name", m->name, "open", log_u64(m->passages_n).s, NULL);
	m->crowd_told |= crowded;
	return crowded;
}

static void on_accept(void *ctx, struct chan *c, const struct world_peer *peer UNUSED)
{
	static const struct letter nobody;
	struct forward *f = ctx;
	struct machine *m = f->m;
	struct why why;
	struct session *s = is_crowded(m) ? NULL : session_new(m, SESSION_FORWARD, &nobody, &why);

	if (!s) {
		chan_close(c);
		return;
	}
	s->chan = c;
	s->port = f->guest;
	m->passages_n++;
	m->v->passages_n++;
	buf_init(&s->pending, CHAN_IN_MAX);
	c->crowd = UNSENT_MAX;
	chan_user_set(c, &passage_user, s);
	chan_let_half(c, passage_half);
	if (link_up(m))
		dial(s);
}

/* ---- listening ---- */

static enum err explain(const struct forward *f, struct why *why)
{
	const struct why was = *why;
	char address[16];

	address_text(f->address, address);
	if (was.code == ERR_denied) {
		fail_field(why, ERR_denied, "publish",
			"port %u of this host is for root: ports of other users begin at 1024",
			f->port);
		return fail_hint(why,
			"use a greater one, or lower sysctl net.ipv4.ip_unprivileged_port_start");
	}
	if (was.code == ERR_conflict) {
		fail_field(why, ERR_conflict, "publish", "%s:%u is taken by another program",
			address, f->port);
		return fail_hint(
			why, "`ss -ltnp sport = :%u` shows which; use another port", f->port);
	}
	fail_field(
		why, was.code, "publish", "cannot listen at %s:%u: %s", address, f->port, was.text);
	return fail_hint(why, "the address must be one of this host's");
}

enum err forwards_open(struct machine *m, struct why *why)
{
	add_own(m);
	for (uint32_t i = 0; i < m->forwards_n; i++) {
		struct forward *f = &m->forwards[i];
		enum err e = f->listener ? OK :
					   world_listen_tcp(m->v->world, f->address, f->port,
						   on_accept, f, &f->listener, why);

		if (e)
			f->listener = NULL;
		if (e && f->wanted) {
			explain(f, why);
			forwards_close(m);
			return why->code;
		}
	}
	return OK;
}

static void turn_away(void *ctx UNUSED, struct chan *c, const struct world_peer *peer UNUSED)
{
	chan_close(c);
}

enum err forward_try(struct vmd *v, const char *publish, struct why *why)
{
	struct forward f = { .listener = NULL };
	enum err e;

	must(parse_publish(publish, &f.address, &f.port, &f.guest));
	e = world_listen_tcp(v->world, f.address, f.port, turn_away, NULL, &f.listener, why);
	if (e)
		return explain(&f, why);
	world_listener_free(f.listener);
	return OK;
}

void forwards_close(struct machine *m)
{
	struct session *s, *next;

	for (uint32_t i = 0; i < m->forwards_n; i++) {
		world_listener_free(m->forwards[i].listener);
		m->forwards[i].listener = NULL;
	}
	for (s = TAILQ_FIRST(&m->sessions); s && m->forwards_n; s = next) {
		next = TAILQ_NEXT(s, entry);
		if (s->kind == SESSION_FORWARD && s->passage != PASSAGE_OPEN)
			session_free(s);
	}
}
