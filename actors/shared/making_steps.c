/*
 * making_steps.c - the steps that every making is built of: a directory, workers' jobs, a name, a
 * record. Each undo is harmless when its step never acted, so one journal entry covers a whole
 * flow.
 */
#include "actors/shared/making.h"

#include "actors/shared/notes.h"
#include "base/text.h"

#define SPACE_KEPT GiB
#define SPACE_LEAST (16 * MiB)

/* ---- the directory ---- */

enum err making_room(const struct making *m, uint64_t most, uint64_t *ret, struct why *why)
{
	uint64_t left = 0;
	enum err e = world_free_space(m->of->world, STATE, &left, why);

	if (e)
		return e;
	if (left < SPACE_KEPT + SPACE_LEAST) {
		fail(why, ERR_no_space,
			"only %llu MiB are free beside banger's state, of which %llu are kept",
			(unsigned long long)(left / MiB), (unsigned long long)(SPACE_KEPT / MiB));
		return fail_hint(why, "free some space, or delete images and machines");
	}
	*ret = MIN(left - SPACE_KEPT, most);
	return OK;
}

enum err making_has(const struct making *m, const char *file, struct why *why)
{
	char path[MAKING_PATH_BYTES];
	uint64_t size = 0, used;

	making_new_path(m, file, path);
	if (world_size(m->of->world, STATE, path, &size, &used, NULL) || size == 0)
		return fail(why, ERR_internal, "the worker has not made %s", file);
	return OK;
}

enum flow_said making_prepare(void *owner, struct flow *f)
{
	const struct making *m = f->subject;
	struct makings *ms = owner;
	char path[MAKING_PATH_BYTES];
	enum err e = world_mkdir(ms->world, STATE, making_new_path(m, NULL, path), &f->why);

	if (!e)
		e = world_give(ms->world, STATE, path, &f->why);
	return e ? FLOW_FAILED : FLOW_DONE;
}

static enum flow_said removed(struct makings *ms, const char *path, struct flow *f)
{
	struct why why;

	if (world_remove(ms->world, STATE, path, &why) == OK)
		return FLOW_DONE;
	if (!f->failed)
		f->why = why;
	return FLOW_FAILED;
}

enum flow_said making_undo_prepare(void *owner, struct flow *f)
{
	char path[MAKING_PATH_BYTES];

	return removed(owner, making_new_path(f->subject, NULL, path), f);
}

enum flow_said making_publish(void *owner, struct flow *f)
{
	const struct making *m = f->subject;
	struct makings *ms = owner;
	char from[MAKING_PATH_BYTES], to[MAKING_PATH_BYTES];

	making_new_path(m, NULL, from);
	making_path(ms->area, m->id, NULL, to);
	if (world_rename(ms->world, STATE, from, to, &f->why))
		return FLOW_FAILED;
	world_settle(ms->world, to); /* with the record that makes it visible */
	return FLOW_DONE;
}

enum flow_said making_undo_publish(void *owner, struct flow *f)
{
	const struct making *m = f->subject;
	struct makings *ms = owner;
	char path[MAKING_PATH_BYTES];

	return removed(ms, making_path(ms->area, m->id, NULL, path), f);
}

/* ---- jobs ---- */

static void on_progress(void *ctx, const struct work_progress *p)
{
	struct making *m = ctx;
	char done[16], total[16], text[256];

	if (m->flow.undoing)
		return;
	show_size(done, sizeof(done), p->done);
	show_size(total, sizeof(total), p->total);
	if (p->done == 0 && p->detail)
		snprintf(text, sizeof(text), "%.*s", 128, p->detail);
	else
		snprintf(text, sizeof(text), "%s%s%s%s%.*s", done, p->has_total ? " of " : "",
			p->has_total ? total : "", p->detail ? ", " : "", 128,
			p->detail ? p->detail : "");
	if (!utf8_valid(text, strlen(text)))
		snprintf(text, sizeof(text), "%s", done); /* the cut went through a character */
	making_tell(m, flow_step_name(&m->flow), stage_state_progress,
		world_now_ms(m->of->world) - m->flow.step_began_ms, text);
}

static void on_credit(void *ctx, uint64_t bytes)
{
	struct making *m = ctx;
	struct stream_credit body = { .stream = m->stream, .ch = 0, .bytes = bytes };

	if (m->client)
		(void)!tell_for(m->of->me, GATE_BIT, LETTER_stream_credit, m->client, &body);
}

/* Of a client that has gone nobody wants them; the making is being cancelled. */
static void on_bytes(void *ctx, struct bytes data)
{
	struct making *m = ctx;
	struct stream_data body = { .stream = m->stream, .ch = 1, .data = data };
	struct why why;

	if (!m->client || m->flow.undoing)
		return;
	if (tell_for(m->of->me, GATE_BIT, LETTER_stream_data, m->client, &body) == OK)
		return;
	fail(&why, ERR_busy, "the daemon is too busy to pass the bytes on");
	making_cancel(m, &why); /* a gap is no end */
}

static void on_job_ended(void *ctx, const struct why *why, const void *result)
{
	struct making *m = ctx;
	struct why problem;

	m->job = NULL;
	if (m->flow.undoing) {
		flow_done(&m->flow, m->ticket);
		return;
	}
	if (!why && m->take && m->take(m, result, &problem))
		why = &problem;
	if (why)
		flow_fail(&m->flow, m->ticket, why);
	else
		flow_done(&m->flow, m->ticket);
}

/* The client may send now. */
static void open_stream(struct making *m)
{
	struct makings *ms = m->of;
	struct import_begun begun;

	m->stream = making_fresh(ms);
	begun = (struct import_begun){ m->op, m->stream };
	answer(ms->me, m->reply, &begun);
	m->reply.serial = 0;
	m->quiet = false;
	note_stage(ms->me, m->client, m->op, flow_step_name(&m->flow), stage_state_begun, 0, NULL);
}

static enum flow_said work(struct making *m, enum letter_id kind, const void *body,
	const struct job_user *user, const struct child_file *extra)
{
	char dir[MAKING_PATH_BYTES];
	struct job_spec spec = { .world = m->of->world,
		.kind = kind,
		.body = body,
		.dir = making_new_path(m, NULL, dir),
		.extra = extra };

	m->ticket = flow_ticket(&m->flow);
	if (job_start(&spec, user, m, &m->job, &m->flow.why))
		return FLOW_FAILED;
	if (user->credit || user->bytes)
		open_stream(m);
	return FLOW_WAIT;
}

enum flow_said making_work(struct making *m, enum letter_id kind, const void *body, bool stream,
	const struct child_file *extra,
	enum err (*take)(struct making *m, const void *result, struct why *why))
{
	static const struct job_user fed = {
		.progress = on_progress, .credit = on_credit, .ended = on_job_ended
	};
	static const struct job_user alone = { .progress = on_progress, .ended = on_job_ended };

	m->take = take;
	return work(m, kind, body, stream ? &fed : &alone, extra);
}

enum flow_said making_read(
	struct making *m, enum letter_id kind, const void *body, const struct child_file *extra)
{
	static const struct job_user reader = {
		.progress = on_progress, .bytes = on_bytes, .ended = on_job_ended
	};

	m->take = NULL;
	return work(m, kind, body, &reader, extra);
}

enum flow_said making_undo_work(void *owner UNUSED, struct flow *f)
{
	struct making *m = f->subject;

	if (!m->job)
		return FLOW_DONE;
	m->ticket = flow_ticket(f);
	job_stop(m->job, &f->why);
	return FLOW_WAIT;
}

/* ---- records ---- */

enum flow_said making_write(struct making *m, struct store_put *puts, uint32_t n, answer_fn *fn)
{
	must(m->op <= UINT32_MAX);
	record_write(m->of->me, puts, n, fn, m->op << 32 | flow_ticket(&m->flow));
	return FLOW_WAIT;
}

static struct making *find(struct makings *ms, uint64_t ctx)
{
	struct making *m;

	TAILQ_FOREACH(m, &ms->list, entry)
	if (m->op == ctx >> 32)
		return m;
	return NULL;
}

void making_written(struct makings *ms, uint64_t ctx, const struct why *why)
{
	struct making *m = find(ms, ctx);

	if (!m)
		return;
	/*
	 * an undo that writes has done what it can: the store may be past writing until a restart
	 */
	if (why && !m->flow.undoing)
		flow_fail(&m->flow, (uint32_t)ctx, why);
	else
		flow_done(&m->flow, (uint32_t)ctx);
}
