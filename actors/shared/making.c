/*
 * making.c - the life of a making: begun, told of, cancelled, ended.
 *
 * Invariants: a making is in the list from its beginning until `ended` was called; its client hears
 * one stream.end (when it has a stream) and one op.done; nothing of a job outlives its making.
 */
#include "actors/shared/making.h"

#include "actors/shared/notes.h"
#include "base/log.h"
#include "base/text.h"

/* ---- ids and paths ---- */

void making_id(struct makings *ms, char out[MAKING_ID_BYTES])
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789";
	enum { ID_CHARS = 8 };
	uint8_t dice[ID_CHARS];

	do {
		world_random(ms->world, dice, sizeof(dice));
		for (int i = 0; i < ID_CHARS; i++)
			out[i] = letters[dice[i] % (i ? 36 : 26)];
		out[ID_CHARS] = '\0';
	} while (ms->known(ms->state, out));
}

const char *making_path(const char *area, const char *id, const char *file,
	char out[MAKING_PATH_BYTES])
{
	snprintf(out, MAKING_PATH_BYTES, "%s/%s%s%s", area, id, file ? "/" : "", file ? file : "");
	return out;
}

const char *making_new_path(const struct making *m, const char *file, char out[MAKING_PATH_BYTES])
{
	snprintf(out, MAKING_PATH_BYTES, "%s/.new-%s%s%s", m->of->area, m->id, file ? "/" : "",
		file ? file : "");
	return out;
}

uint64_t making_fresh(struct makings *ms)
{
	ms->next = ms->next % (UINT32_MAX >> ID_MARK_BITS) + 1;
	return ms->next << ID_MARK_BITS | ms->mark;
}

/* ---- what is told ---- */

void making_tell(struct making *m, const char *stage, enum stage_state state, uint64_t ms,
	const char *detail)
{
	char kind[32];
	struct event event = { .kind = kind, .name = m->name, .op = m->op, .has_op = true,
		.stage = stage, .state = word_of(stage_state, state), .ms = ms, .has_ms = true,
		.detail = detail };

	snprintf(kind, sizeof(kind), "%s.stage", m->of->area);
	note_stage(m->of->me, m->quiet ? 0 : m->client, m->op, stage, state, ms, detail);
	note_event(m->of->me, m->of->world, &event);
}

static void on_news(void *owner UNUSED, struct flow *f, unsigned index, enum flow_news news,
	uint64_t ms)
{
	static const enum stage_state states[] = {
		[FLOW_STEP_BEGUN] = stage_state_begun,
		[FLOW_STEP_DONE] = stage_state_done,
		[FLOW_STEP_FAILED] = stage_state_failed,
		[FLOW_STEP_UNDONE] = stage_state_undone,
	};
	struct making *m = f->subject;

	if (news == FLOW_STEP_BEGUN)
		m->reached = index + 1;
	if (news == FLOW_STEP_UNDONE && index >= m->reached)
		return; /* it never acted */
	making_tell(m, f->kind->steps[index].name, states[news], ms, NULL);
}

static void tell_end(struct making *m, const struct why *why)
{
	struct makings *ms = m->of;
	uint64_t took = world_now_ms(ms->world) - m->flow.began_ms;
	enum op_state state = !why			     ? op_state_done :
			      why->code == ERR_cancelled ? op_state_cancelled :
							   op_state_failed;
	char kind[32];
	struct event event = { .kind = kind, .name = m->name, .op = m->op, .has_op = true,
		.state = word_of(op_state, state), .ms = took, .has_ms = true,
		.detail = why ? why->text : NULL };

	snprintf(kind, sizeof(kind), "%s.%s", ms->area, m->flow.kind->name + strlen(ms->area) + 1);
	if (m->reply.serial && why)
		refuse(ms->me, m->reply, why);
	if (m->stream)
		note_stream_end(ms->me, m->client, m->stream, 0, why);
	note_done(ms->me, m->quiet ? 0 : m->client, m->op, state, took, m->name, why);
	note_event(ms->me, ms->world, &event);
	log_line(why ? LOG_WARN : LOG_INFO, ms->area, kind, "name", m->name, "id", m->id, "ms",
		log_u64(took).s, "why", why ? why->text : NULL, NULL);
}

/* ---- its life ---- */

static void on_journal(void *owner, struct flow *f, bool over)
{
	struct makings *ms = owner;
	const struct making *m = f->subject;

	journal_flow(ms->me, f, m->id, over);
}

static void leave(struct making *m, const struct why *why)
{
	struct makings *ms = m->of;

	TAILQ_REMOVE(&ms->list, m, entry);
	ms->count--;
	ms->ended(ms->state, m, why);
}

static void on_ended(void *owner UNUSED, struct flow *f, const struct why *why)
{
	struct making *m = f->subject;

	tell_end(m, why);
	leave(m, why);
}

void makings_init(struct makings *ms, struct actor *me, struct world *w, void *state)
{
	ms->me = me;
	ms->world = w;
	ms->state = state;
	TAILQ_INIT(&ms->list);
	ms->host = (struct flow_host){ .owner = ms, .w = w, .journal = on_journal,
		.news = on_news, .ended = on_ended };
}

void makings_done(struct makings *ms)
{
	struct making *m;
	struct why why;

	ms->closing = true;
	fail(&why, ERR_cancelled, "the daemon stops");
	while (ms->count > 0) {
		m = TAILQ_FIRST(&ms->list);
		flow_stop(&m->flow);
		job_free(m->job);
		m->job = NULL;
		leave(m, &why);
	}
	buf_done(&ms->open);
}

struct making *making_by_name(struct makings *ms, const char *name)
{
	struct making *m;

	TAILQ_FOREACH(m, &ms->list, entry)
		if (str_eq(m->name, name))
			return m;
	return NULL;
}

enum err making_admit(struct makings *ms, const char *name, struct why *why)
{
	if (making_by_name(ms, name))
		return fail_field(why, ERR_busy, "name", "%s '%s' is being made already", ms->area,
			name);
	if (ms->count < MAKINGS_MAX)
		return OK;
	fail(why, ERR_busy, "%d %ss are being made already", MAKINGS_MAX, ms->area);
	return fail_hint(why, "try again when one is done");
}

void making_begin(struct makings *ms, struct making *m, const struct flow_kind *kind,
	const char *name, uint64_t client)
{
	m->of = ms;
	m->client = client;
	m->op = making_fresh(ms);
	if (!m->id[0])
		making_id(ms, m->id);
	must(str_copy(m->name, sizeof(m->name), name));
	TAILQ_INSERT_TAIL(&ms->list, m, entry);
	ms->count++;
	flow_start(&m->flow, kind, &ms->host, m, m->op, 0);
}

void making_cancel(struct making *m, const struct why *why)
{
	if (!m->final)
		flow_cancel(&m->flow, why);
}

/* ---- letters of clients ---- */

static struct making *by_stream(struct makings *ms, uint64_t client, uint64_t stream)
{
	struct making *m;

	TAILQ_FOREACH(m, &ms->list, entry)
	if (m->stream == stream && m->client == client)
		break;
	return m;
}

void makings_credit(struct makings *ms, uint64_t client, const struct stream_credit *c)
{
	struct making *m = by_stream(ms, client, c->stream);
	struct why why;

	if (m && m->job && !m->flow.undoing && job_grant(m->job, c, &why))
		making_cancel(m, &why);
}

bool makings_data(struct makings *ms, uint64_t client, const struct stream_data *d)
{
	struct making *m = by_stream(ms, client, d->stream);
	struct why why;
	enum err e;

	if (!m)
		return false;
	if (!m->job || m->flow.undoing)
		return true; /* too late: its end is on the way */
	e = d->ch == 0 ? job_feed(m->job, d->data, &why)
		       : fail_field(&why, ERR_invalid_value, "ch", "an import reads channel 0");
	if (e)
		making_cancel(m, &why);
	return true;
}

void makings_cancel(struct makings *ms, const struct letter *l, const struct op_cancel *q)
{
	struct nothing done;
	struct making *m;
	struct why why;

	TAILQ_FOREACH(m, &ms->list, entry)
		if (m->op == q->op)
			break;
	if (!m) {
		fail_field(&why, ERR_not_found, "op", "operation %llu is not there (any more)",
			(unsigned long long)q->op);
		refuse(ms->me, l->reply, &why);
	} else if (m->client != l->client) {
		fail_field(&why, ERR_not_owned, "op", "another connection began operation %llu",
			(unsigned long long)q->op);
		refuse(ms->me, l->reply, &why);
	} else {
		answer(ms->me, l->reply, &done);
		fail(&why, ERR_cancelled, "the operation was cancelled");
		making_cancel(m, &why);
	}
}

void makings_client_gone(struct makings *ms, uint64_t client)
{
	struct making *m, *next;
	struct why why;

	fail(&why, ERR_cancelled, "the client went");
	for (m = TAILQ_FIRST(&ms->list); m; m = next) {
		next = TAILQ_NEXT(m, entry);
		if (m->client != client || client == 0)
			continue;
		m->client = 0;
		making_cancel(m, &why);
	}
}

void makings_verify(const struct makings *ms)
{
	const struct making *m;
	uint32_t n = 0;

	TAILQ_FOREACH(m, &ms->list, entry) {
		must(m->of == ms && flow_active(&m->flow));
		must(m->id[0] && m->name[0]);
		n++;
	}
	must(n == ms->count);
}
