/*
 * job.c - starting a worker, speaking with it, and telling how it ended.
 *
 * Invariants: `ended` is called once, when the process is gone; the first outcome (an answer, a
 * stop, a broken link) stands, whatever comes after it.
 */
#include "actors/shared/job.h"

#include <signal.h>

#include "base/log.h"
#include "wire/rpc.h"
#include "wire/window.h"

#define WORKER_LOG "log/worker.log"

enum {
	JOB_SILENCE_MS = 600000, /* a job that owes work and says nothing for so long is ended */
	LAST_WORDS_MS = 2000, /* how long its link may outlive a process: a grandchild's doing */
	PROGRESS_MS = 250, /* between two that are passed on */
	WORKER_LOG_MAX = 1048576 /* then the log begins anew; the older one is kept */
};

struct job {
	struct world *world;
	const struct job_user *user;
	void *ctx;
	enum letter_id kind;
	struct child *child;
	struct rpc *rpc;
	struct window window; /* of what it is fed */
	struct window out; /* of what it writes */
	struct wtimer silence;
	struct buf answer; /* packed, when it is good */
	struct why why; /* when it is not */
	uint64_t told_ms; /* the last progress */
	char doing[128]; /* what the worker was busy with last */
	bool settled; /* the outcome stands: answer, or why */
	bool lost; /* the link broke before there was an answer */
	bool fed; /* the stream has ended, or there is none */
	bool gone; /* the process has ended; its last words may still lie in the socket */
	int status; /* then */
};

static void finish(void *ctx);

/* Its last words are read before its end is told; never told from inside the caller's own call. */
static void finish_when_gone(struct job *j)
{
	uint64_t ms = j->settled || j->lost ? 0 : LAST_WORDS_MS;

	if (j->gone)
		world_timer(j->world, &j->silence, ms, finish, j);
}

static void settle(struct job *j)
{
	j->settled = true;
	world_timer_stop(&j->silence);
	rpc_free(j->rpc);
	j->rpc = NULL;
	child_signal(j->child, SIGKILL);
	finish_when_gone(j);
}

void job_stop(struct job *j, const struct why *why)
{
	if (j->settled)
		return;
	j->why = *why;
	settle(j);
}

static void on_silence(void *ctx)
{
	struct why why;

	fail(&why, ERR_timeout, "the worker has not moved for %d minutes", JOB_SILENCE_MS / 60000);
	job_stop(ctx, &why);
}

/* A client may take its time to send and to read; a worker that has all it needs may not. */
static void expect_life(struct job *j)
{
	if (j->user->bytes && j->out.left < CHUNK_BYTES)
		world_timer_stop(&j->silence);
	else if (j->fed && !j->settled && !j->gone)
		world_timer(j->world, &j->silence, JOB_SILENCE_MS, on_silence, j);
}

/* ---- what the worker says ---- */

static void on_answer(void *ctx, const struct why *why, struct bytes result)
{
	struct job *j = ctx;

	if (j->settled)
		return;
	if (why && rpc_over(j->rpc)) {
		j->lost = true;
		return; /* its end tells more */
	}
	if (why)
		j->why = *why;
	else
		buf_add(&j->answer, result.p, result.n);
	if (j->answer.failed)
		fail(&j->why, ERR_no_memory, "no memory for a worker's answer");
	settle(j);
}

static void on_progress(struct job *j, const struct work_progress *p)
{
	uint64_t now = world_now_ms(j->world);

	if (p->detail)
		snprintf(j->doing, sizeof(j->doing), "%.*s", (int)sizeof(j->doing) - 1, p->detail);
	if (!j->user->progress || now < j->told_ms + PROGRESS_MS)
		return;
	j->told_ms = now;
	j->user->progress(j->ctx, p);
}

static void broken(struct job *j, const char *what)
{
	struct why why;

	fail(&why, ERR_internal, "the worker broke the rules: %s", what);
	job_stop(j, &why);
}

static void on_credit(struct job *j, const struct stream_credit *c)
{
	if (!j->user->credit || c->stream != 1 || c->ch != 0 ||
		!window_grant(&j->window, c->bytes))
		broken(j, "credit that makes no sense");
	else if (!j->fed)
		j->user->credit(j->ctx, c->bytes);
}

static void on_bytes(struct job *j, const struct stream_data *d)
{
	if (!j->user->bytes || d->stream != 1 || d->ch != 1 || d->data.n == 0 ||
		!window_use(&j->out, d->data.n))
		broken(j, "bytes that nobody asked for");
	else
		j->user->bytes(j->ctx, d->data);
}

static void on_note(void *ctx, struct bytes method, struct bytes params)
{
	enum letter_id id = letter_by_method((const char *)method.p, method.n);
	bool talk = id == LETTER_work_want || id == LETTER_work_have;
	struct job *j = ctx;
	struct arena a;
	union {
		struct work_progress progress;
		struct stream_credit credit;
		struct work_want want;
		struct work_have have;
		struct stream_data data;
	} body;

	if (j->settled || (id != LETTER_work_progress && id != LETTER_stream_credit &&
				  id != LETTER_stream_data && !talk))
		return;
	arena_init(&a, 64 * KiB);
	if (shape_read(letter_kinds[id].in, mp_over(params.p, params.n), LENIENT, &a, &body, NULL))
		broken(j, "a notification that cannot be read");
	else if (id == LETTER_work_progress)
		on_progress(j, &body.progress);
	else if (talk && j->user->told)
		j->user->told(j->ctx, id, &body);
	else if (talk)
		broken(j, "talk where none is expected");
	else if (id == LETTER_stream_credit)
		on_credit(j, &body.credit);
	else
		on_bytes(j, &body.data);
	arena_done(&a);
	expect_life(j);
}

static void on_closed(void *ctx, const struct why *why)
{
	struct job *j = ctx;

	if (why->code == ERR_malformed) {
		broken(j, why->text);
		return;
	}
	j->lost = true;
	child_signal(j->child, SIGKILL); /* it speaks no more; its exit is awaited */
	finish_when_gone(j);
}

static const struct rpc_user rpc_user = {
	.note = on_note,
	.closed = on_closed,
};

/* ---- its end ---- */

static void say_how_it_died(struct job *j)
{
	int status = j->status;
	bool killed = status > 128;

	fail(&j->why, ERR_internal, "the worker ended without an answer (%s %d)%s%s",
		killed ? "signal" : "exit code", killed ? status - 128 : status,
		j->doing[0] ? " at: " : "", j->doing);
	fail_hint(&j->why, "its last words are in " WORKER_LOG
			   " of the state directory; `banger daemon logs`");
	log_line(LOG_ERROR, "worker", "died", "job", letter_kinds[j->kind].method, "why",
		j->why.text, NULL);
}

/* What the worker answered, as its shape; NULL with j->why filled when it is not so. */
static const void *read_answer(struct job *j, struct arena *a)
{
	const struct shape *shape = letter_kinds[j->kind].out;
	void *result = arena_take(a, MAX(shape->size, 1u));

	if (!result)
		fail(&j->why, ERR_no_memory, "no memory for a worker's answer");
	else if (shape_read(shape, mp_over(j->answer.p, j->answer.n), LENIENT, a, result,
			 &j->why) == OK)
		return result;
	return NULL;
}

static void finish(void *ctx)
{
	struct job *j = ctx;
	const void *result = NULL;
	struct arena a;

	if (!j->settled)
		say_how_it_died(j);
	arena_init(&a, 4 * MiB);
	if (!j->why.code)
		result = read_answer(j, &a);
	j->user->ended(j->ctx, j->why.code ? &j->why : NULL, result);
	arena_done(&a);
	job_free(j);
}

static void process_ended(void *ctx, int status)
{
	struct job *j = ctx;

	j->gone = true;
	j->status = status;
	finish_when_gone(j);
}

void job_free(struct job *j)
{
	if (!j)
		return;
	world_timer_stop(&j->silence);
	rpc_free(j->rpc);
	if (j->child)
		child_signal(j->child, SIGKILL);
	child_free(j->child);
	buf_done(&j->answer);
	free(j);
}

/* ---- its beginning ---- */

static enum err ready_log(struct world *w, struct why *why)
{
	uint64_t size = 0, used;
	enum err e = world_mkdir(w, STATE, "log", why);

	if (!e && world_size(w, STATE, WORKER_LOG, &size, &used, NULL) == OK &&
		size > WORKER_LOG_MAX)
		e = world_rename(w, STATE, WORKER_LOG, WORKER_LOG ".1", why);
	return e;
}

static enum err spawn(struct job *j, const struct job_spec *spec, struct chan **ret_letters,
	struct why *why)
{
	static char name[] = "banger-worker";
	char *argv[] = { name, NULL };
	struct child_spec child = { .program = name, .argv = argv, .log = WORKER_LOG,
		.letters = true, .unprivileged = true, .files_n = 1 };
	enum err e = ready_log(j->world, why);

	if (e)
		return e;
	child.files[0] = (struct child_file){ .area = STATE, .path = spec->dir, .directory = true,
		.writable = true, .as = 3 };
	if (spec->extra) {
		child.files[child.files_n] = *spec->extra;
		child.files[child.files_n++].as = 4;
	}
	return world_spawn(j->world, &child, process_ended, j, &j->child, ret_letters, why);
}

enum err job_start(const struct job_spec *spec, const struct job_user *user, void *ctx,
	struct job **ret, struct why *why)
{
	struct job *j = calloc(1, sizeof(*j));
	struct chan *letters;
	enum err e;

	if (!j)
		return fail(why, ERR_no_memory, "no memory for a job");
	*j = (struct job){ .world = spec->world, .user = user, .ctx = ctx, .kind = spec->kind,
		.fed = !user->credit };
	window_init(&j->window);
	window_init(&j->out);
	buf_init(&j->answer, FRAME_BYTES_MAX);
	e = spawn(j, spec, &letters, why);
	if (e) {
		free(j);
		return e;
	}
	j->rpc = rpc_new(letters, FRAME_BYTES_MAX, &rpc_user, j);
	if (!j->rpc) {
		chan_close(letters);
		e = fail(why, ERR_no_memory, "no memory for a worker's letters");
	} else {
		e = rpc_ask(j->rpc, &letter_kinds[spec->kind], spec->body, on_answer, j, why);
	}
	if (e) {
		job_free(j);
		return e;
	}
	expect_life(j);
	*ret = j;
	return OK;
}

enum err job_grant(struct job *j, const struct stream_credit *c, struct why *why)
{
	struct stream_credit body = { .stream = 1, .ch = 1, .bytes = c->bytes };

	if (j->settled || j->lost)
		return OK;
	if (!j->user->bytes || c->ch != 1 || !window_grant(&j->out, c->bytes))
		return fail_field(why, ERR_invalid_value, "bytes", "credit that makes no sense");
	expect_life(j);
	return rpc_note(j->rpc, &letter_kinds[LETTER_stream_credit], &body, why);
}

enum err job_feed(struct job *j, struct bytes data, struct why *why)
{
	struct stream_data body = { .stream = 1, .ch = 0, .data = data };

	if (j->settled || j->lost)
		return OK;
	if (j->fed)
		return fail_field(why, ERR_invalid_value, "data", "bytes behind the stream's end");
	if (!window_use(&j->window, data.n))
		return fail_field(why, ERR_invalid_value, "data", "more bytes than were granted");
	j->fed = data.n == 0;
	expect_life(j);
	return rpc_note(j->rpc, &letter_kinds[LETTER_stream_data], &body, why);
}

enum err job_tell(struct job *j, enum letter_id id, const void *body, struct why *why)
{
	return j->settled || j->lost ? OK : rpc_note(j->rpc, &letter_kinds[id], body, why);
}
