/*
 * sessions.c - streams between clients and agents: programs and trees. The daemon passes bytes and
 * credit on and grants none itself, so a reader who stops stalls its own stream and nothing else;
 * it only counts, so that who sends more than was granted is found out.
 */
#include <signal.h>

#include "actors/shared/notes.h"
#include "base/log.h"
#include "actors/vm/forwards.h"
#include "actors/vm/vm.h"

enum { BEGIN_MS = 120000 }; /* an agent waits for the image's init before it begins a program */

void session_free(struct session *s)
{
	struct vmd *v = s->m->v;

	if (s->kind == SESSION_FORWARD)
		passage_closed(s);
	world_timer_stop(&s->kill);
	table_del(&v->sessions, &s->by_stream);
	TAILQ_REMOVE(&s->m->sessions, s, entry);
	s->m->sessions_n--;
	buf_done(&s->pending);
	free(s);
}

static struct session *session_find(struct vmd *v, uint64_t stream)
{
	struct link *l = table_get(&v->sessions, &stream, sizeof(stream));

	return l ? CONTAINER_OF(l, struct session, by_stream) : NULL;
}

struct session *session_new(
	struct machine *m, enum session_kind kind, const struct letter *l, struct why *why)
{
	struct vmd *v = m->v;
	struct session *s = m->sessions_n < SESSIONS_MAX ? calloc(1, sizeof(*s)) : NULL;

	if (!s) {
		fail(why, ERR_busy, "machine %s has %d streams open", m->name, SESSIONS_MAX);
		return NULL;
	}
	s->m = m;
	s->kind = kind;
	s->client = l->client;
	s->reply = l->reply;
	s->stream = v->next_stream++ << ID_MARK_BITS | ID_MARK_VM;
	window_init(&s->in);
	window_init(&s->out[0]);
	window_init(&s->out[1]);
	if (!table_add(&v->sessions, &s->by_stream, &s->stream, sizeof(s->stream))) {
		free(s);
		fail(why, ERR_no_memory, "no memory for a stream");
		return NULL;
	}
	TAILQ_INSERT_TAIL(&m->sessions, s, entry);
	m->sessions_n++;
	return s;
}

/* The last word to the client; the agent's side, where there is one, must be over. */
static void session_end(struct session *s, const struct why *why)
{
	struct vmd *v = s->m->v;

	if (s->reply.serial)
		refuse(v->me, s->reply, why);
	else if (s->client)
		note_stream_end(v->me, s->client, s->stream, 0, why);
	session_free(s);
}

void session_over(struct session *s)
{
	note_stream_end(s->m->v->me, s->client, s->stream, 0, NULL);
	session_free(s);
}

void sessions_end(struct machine *m, const struct why *why)
{
	struct session *s, *next;

	for (s = TAILQ_FIRST(&m->sessions); s; s = next) {
		next = TAILQ_NEXT(s, entry);
		if (s->kind != SESSION_LOGS)
			session_end(s, why);
	}
}

/* ---- beginning ---- */

/* The running machine that a letter names, with its agent there; else it is refused. */
static struct machine *with_agent(
	struct vmd *v, const struct letter *l, const char *ref, letter_fn *again)
{
	struct machine *m = machine_find(v, ref);
	struct why why;

	if (!m) {
		fail_field(&why, ERR_not_found, "vm", "no machine '%s'", ref);
		fail_hint(&why, "`banger vm list` shows the machines");
	} else if (!m->child) {
		fail_field(&why, ERR_conflict, "vm", "machine %s is %s", m->name,
			word_of(vm_state, machine_state(m)));
		fail_hint(&why, "start it with `banger vm start %s`", m->name);
	} else if (link_up(m)) {
		return m;
	} else if (link_waits(m, l, again)) {
		return NULL;
	} else {
		fail_field(&why, ERR_unavailable, "vm", "the agent of %s does not answer", m->name);
	}
	refuse(v->me, l->reply, &why);
	return NULL;
}

static void signal_agent(struct session *s, const char *name)
{
	struct stream_signal sig = { s->agent_stream, name };

	if (s->agent_stream && s->m->link.rpc &&
		rpc_note(s->m->link.rpc, &letter_kinds[LETTER_stream_signal], &sig, NULL))
		log_line(LOG_DEBUG, "vm", "signal not sent", "vm", s->m->id, NULL);
}

static void kill_due(void *ctx)
{
	signal_agent(ctx, "KILL");
}

/* Nobody listens any more: the program hears of it, and is ended when it does not care. */
static void hang_up(struct session *s)
{
	s->client = 0;
	signal_agent(s, "HUP");
	world_timer(s->m->v->world, &s->kill, HANGUP_GRACE_MS, kill_due, s);
}

/* Should it begin after all, it is ended at once: nobody waits for it any more. */
static void begin_due(void *ctx)
{
	struct session *s = ctx;
	struct why why;

	fail(&why, ERR_timeout, "the agent of %s did not answer within %d seconds", s->m->name,
		BEGIN_MS / 1000);
	if (s->kind == SESSION_FORWARD)
		passage_closed(s);
	else
		refuse(s->m->v->me, s->reply, &why);
	s->reply.serial = 0;
	s->client = 0;
}

static void begun(void *ctx, const struct why *why, struct bytes result)
{
	struct arena a = { .max = 4 * KiB };
	struct session *s = ctx;
	struct stream_begun b;
	struct why bad;

	if (!why &&
		shape_read(&shape_stream_begun, mp_over(result.p, result.n), LENIENT, &a, &b, &bad))
		why = &bad;
	arena_done(&a);
	if (why && why->code == ERR_unknown_method) {
		fail(&bad, ERR_unsupported, "the agent of %s is of an older build", s->m->name);
		fail_hint(&bad, "`banger vm restart %s` boots it with the present one", s->m->name);
		why = &bad;
	}
	if (why) {
		session_end(s, why);
		return;
	}
	world_timer_stop(&s->kill);
	s->agent_stream = b.stream;
	if (s->kind == SESSION_FORWARD) {
		passage_begun(s);
		return;
	}
	b.stream = s->stream;
	answer(s->m->v->me, s->reply, &b);
	s->reply.serial = 0;
	if (s->client == 0)
		hang_up(s);
}

static void begin(struct machine *m, enum session_kind kind, const struct letter *l,
	enum letter_id id, const void *body)
{
	struct why why;
	struct session *s = session_new(m, kind, l, &why);

	if (!s)
		refuse(m->v->me, l->reply, &why);
	else if (rpc_ask(m->link.rpc, &letter_kinds[id], body, begun, s, &why))
		session_end(s, &why);
	else
		world_timer(m->v->world, &s->kill, BEGIN_MS, begin_due, s);
}

static bool same_name(const char *a, const char *b)
{
	size_t n = strcspn(a, "=");

	return strncmp(a, b, n + 1) == 0;
}

/* The image's environment, with the request's over it. */
static enum err merge_env(const struct image_use *use, const struct vm_exec *q, struct arena *a,
	struct agent_exec *x, struct why *why)
{
	uint32_t from = use ? use->facts.config.env.n : 0;

	x->env.v = arena_take(a, (from + q->env.n + 1) * sizeof(*x->env.v));
	if (!x->env.v)
		return fail(why, ERR_no_memory, "no memory for the environment");
	for (uint32_t i = 0; i < from; i++) {
		const char *pair = use->facts.config.env.v[i];
		bool over = false;

		for (uint32_t j = 0; j < q->env.n; j++)
			over |= same_name(pair, q->env.v[j]);
		if (!over)
			x->env.v[x->env.n++] = pair;
	}
	for (uint32_t j = 0; j < q->env.n; j++)
		x->env.v[x->env.n++] = q->env.v[j];
	return OK;
}

static enum err check_sizes(const struct vm_exec *q, struct why *why)
{
	size_t bytes = 0;

	for (uint32_t i = 0; i < q->argv.n; i++)
		bytes += strlen(q->argv.v[i]) + 1;
	for (uint32_t i = 0; i < q->env.n; i++)
		bytes += strlen(q->env.v[i]) + 1;
	return bytes > 512 * KiB ? fail_field(why, ERR_too_large, "argv",
					   "argv and env are over 512 KiB together") :
				   OK;
}

void session_exec(void *state, const struct letter *l, const void *body)
{
	const struct vm_exec *q = body;
	struct vmd *v = state;
	struct machine *m = with_agent(v, l, q->vm, session_exec);
	struct agent_exec x = { .cwd = q->cwd,
		.user = q->user,
		.stdin = q->stdin,
		.pty = q->pty,
		.early = q->has_early && q->early };
	struct why why;

	if (!m)
		return;
	x.argv.v = q->argv.v;
	x.argv.n = q->argv.n;
	if (m->use && !x.user)
		x.user = m->use->facts.config.user;
	if (m->use && !x.cwd)
		x.cwd = m->use->facts.config.workdir;
	if (check_sizes(q, &why) || merge_env(m->use, q, l->arena, &x, &why))
		refuse(v->me, l->reply, &why);
	else
		begin(m, SESSION_EXEC, l, LETTER_agent_exec, &x);
}

void session_put(void *state, const struct letter *l, const void *body)
{
	const struct vm_put *q = body;
	struct vmd *v = state;
	struct machine *m = with_agent(v, l, q->vm, session_put);
	struct agent_put p = {
		.path = q->path, .user = q->user, .parents = q->has_parents && q->parents
	};

	if (m)
		begin(m, SESSION_PUT, l, LETTER_agent_put, &p);
}

void session_get(void *state, const struct letter *l, const void *body)
{
	const struct vm_get *q = body;
	struct vmd *v = state;
	struct machine *m = with_agent(v, l, q->vm, session_get);
	struct agent_get g = { .path = q->path,
		.follow = q->has_follow && q->follow,
		.bare = q->bare,
		.has_bare = q->has_bare };

	if (m)
		begin(m, SESSION_GET, l, LETTER_agent_get, &g);
}

void session_space(void *state, const struct letter *l, const void *body)
{
	/* each begins with its machine and a path */
	const struct space_survey *q = body;
	struct machine *m = with_agent(state, l, q->vm, session_space);
	const struct space_pick *pick = body;
	struct agent_space_put put = { .path = q->path };
	struct agent_survey survey = { q->path };
	struct agent_pick picked = { .path = q->path };

	if (!m)
		return;
	if (l->kind == LETTER_space_survey) {
		begin(m, SESSION_GET, l, LETTER_agent_survey, &survey);
	} else if (l->kind == LETTER_space_pick) {
		picked.paths.v = pick->paths.v;
		picked.paths.n = pick->paths.n;
		begin(m, SESSION_GET, l, LETTER_agent_pick, &picked);
	} else {
		put.user = m->use ? m->use->facts.config.user : NULL;
		put.fresh = ((const struct space_put *)body)->fresh;
		begin(m, SESSION_PUT, l, LETTER_agent_space_put, &put);
	}
}

void session_dial(void *state, const struct letter *l, const void *body)
{
	const struct vm_dial *q = body;
	struct vmd *v = state;
	struct machine *m = with_agent(v, l, q->vm, session_dial);
	struct agent_dial d = { q->port, q->wait_ms, q->has_wait_ms };

	if (m)
		begin(m, SESSION_DIAL, l, LETTER_agent_dial, &d);
}

enum err session_dial_for(struct session *s, struct why *why)
{
	struct agent_dial d = { s->port, 0, false };
	struct machine *m = s->m;
	enum err e = rpc_ask(m->link.rpc, &letter_kinds[LETTER_agent_dial], &d, begun, s, why);

	if (!e)
		world_timer(m->v->world, &s->kill, BEGIN_MS, begin_due, s);
	return e;
}

/* ---- from the client ---- */

static void to_agent(struct session *s, enum letter_id id, const void *body)
{
	struct why why;

	if (s->agent_stream && s->m->link.rpc &&
		rpc_note(s->m->link.rpc, &letter_kinds[id], body, &why))
		log_line(LOG_WARN, "vm", "letter to the agent lost", "vm", s->m->id, "why",
			why.text, NULL);
}

void session_to_agent(struct session *s, const uint8_t *p, size_t n)
{
	struct stream_data d = { s->agent_stream, 0, { p, n } };

	must(window_use(&s->in, n));
	to_agent(s, LETTER_stream_data, &d);
}

void session_credit_agent(struct session *s, uint64_t bytes)
{
	struct stream_credit c = { s->agent_stream, 1, bytes };

	to_agent(s, LETTER_stream_credit, &c);
}

void session_leave(struct session *s)
{
	hang_up(s);
}

static void broke_rules(struct session *s, const char *what)
{
	struct why why;

	fail(&why, ERR_invalid_value, "stream %llu: %s", (unsigned long long)s->stream, what);
	note_stream_end(s->m->v->me, s->client, s->stream, 0, &why);
	hang_up(s);
}

static void data_from_client(struct session *s, const struct stream_data *d)
{
	struct stream_data on = { s->agent_stream, 0, d->data };

	if (s->kind == SESSION_LOGS)
		return;
	if (d->ch != 0 || s->in_ended) {
		broke_rules(s, "data on a channel that is not open to the client");
		return;
	}
	if (!window_use(&s->in, d->data.n)) {
		broke_rules(s, "more data than was granted");
		return;
	}
	s->in_ended = d->data.n == 0;
	to_agent(s, LETTER_stream_data, &on);
}

static void credit_from_client(struct session *s, const struct stream_credit *c)
{
	struct stream_credit on = { s->agent_stream, c->ch, c->bytes };

	if (c->ch == 0 || !window_grant(&s->out[c->ch - 1], c->bytes))
		broke_rules(s, "credit for a channel that it does not read");
	else if (s->kind == SESSION_LOGS)
		logs_pump(s);
	else
		to_agent(s, LETTER_stream_credit, &on);
}

void session_from_client(void *state, const struct letter *l, const void *body)
{
	/* every stream.* shape begins with its stream */
	struct session *s = session_find(state, *(const uint64_t *)body);

	if (!s || s->client != l->client)
		return; /* it ended while the letter was under way */
	if (l->kind == LETTER_stream_data) {
		data_from_client(s, body);
	} else if (l->kind == LETTER_stream_credit) {
		credit_from_client(s, body);
	} else if (l->kind == LETTER_stream_resize) {
		struct stream_resize r = *(const struct stream_resize *)body;

		r.stream = s->agent_stream;
		to_agent(s, LETTER_stream_resize, &r);
	} else if (l->kind == LETTER_stream_signal) {
		signal_agent(s, ((const struct stream_signal *)body)->signal);
	}
}

void sessions_client_gone(struct vmd *v, uint64_t client)
{
	struct link *l, *next;

	for (l = table_next(&v->sessions, NULL); l; l = next) {
		struct session *s = CONTAINER_OF(l, struct session, by_stream);

		next = table_next(&v->sessions, l);
		if (s->client != client)
			continue;
		if (s->kind == SESSION_LOGS)
			session_free(s);
		else
			hang_up(s);
	}
}

/* ---- from the agent ---- */

static struct session *by_agent_stream(struct machine *m, uint64_t stream)
{
	struct session *s;

	TAILQ_FOREACH(s, &m->sessions, entry)
	if (s->agent_stream == stream && stream != 0)
		return s;
	return NULL;
}

/* What nobody reads any more is granted again, so that the program can come to its end. */
static void discard(struct session *s, const struct stream_data *d)
{
	struct stream_credit c = { s->agent_stream, d->ch, MAX(d->data.n, (size_t)1) };

	if (d->data.n)
		to_agent(s, LETTER_stream_credit, &c);
}

static void data_from_agent(struct session *s, const struct stream_data *d)
{
	struct stream_data on = { s->stream, d->ch, d->data };
	struct why why;

	if (s->kind == SESSION_FORWARD ? s->chan == NULL || d->ch == 2 : s->client == 0) {
		discard(s, d);
		return;
	}
	if (d->ch == 0 || s->out_ended[d->ch - 1] || !window_use(&s->out[d->ch - 1], d->data.n)) {
		fail(&why, ERR_guest_failed, "the agent sent more than was granted");
		if (s->kind == SESSION_FORWARD)
			passage_closed(s);
		else
			note_stream_end(s->m->v->me, s->client, s->stream, 0, &why);
		hang_up(s);
		return;
	}
	s->out_ended[d->ch - 1] = d->data.n == 0;
	if (s->kind == SESSION_FORWARD) {
		passage_data(s, d->data);
		return;
	}
	tell_for(s->m->v->me, GATE_BIT, LETTER_stream_data, s->client, &on);
}

static void end_from_agent(struct session *s, const struct stream_end *e)
{
	struct stream_end on = *e;

	if (s->kind == SESSION_FORWARD) {
		passage_ended(s);
		return;
	}
	on.stream = s->stream;
	if (s->client)
		tell_last(s->m->v->me, GATE_BIT, LETTER_stream_end, s->client, &on);
	session_free(s);
}

static void credit_from_agent(struct session *s, const struct stream_credit *c)
{
	struct stream_credit on = { s->stream, 0, c->bytes };

	if (s->kind == SESSION_FORWARD && c->ch == 0 && window_grant(&s->in, c->bytes))
		passage_room(s);
	else if (s->client && c->ch == 0 && window_grant(&s->in, c->bytes))
		tell_for(s->m->v->me, GATE_BIT, LETTER_stream_credit, s->client, &on);
}

void session_from_agent(struct machine *m, struct bytes method, struct bytes params)
{
	enum letter_id id = letter_by_method((const char *)method.p, method.n);
	struct arena a = { .max = 64 * KiB };
	struct session *s;
	struct why why;
	void *body;

	if (id != LETTER_stream_data && id != LETTER_stream_credit && id != LETTER_stream_end)
		return;
	body = arena_take(&a, letter_kinds[id].in->size);
	if (body && shape_read(letter_kinds[id].in, mp_over(params.p, params.n), LENIENT, &a, body,
			    &why) == OK) {
		s = by_agent_stream(m, *(const uint64_t *)body);
		if (s && id == LETTER_stream_data)
			data_from_agent(s, body);
		else if (s && id == LETTER_stream_credit)
			credit_from_agent(s, body);
		else if (s)
			end_from_agent(s, body);
	}
	arena_done(&a);
}
