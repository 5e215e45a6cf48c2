/*
 * job.c - the worker's one conversation: a request in, stream and progress, an answer out.
 *
 * Letters are handled between pieces of work, never inside libarchive or libext2fs. Malformed
 * letters and the end of the connection end the process: the daemon cleans the directory up.
 */
#include "worker/job.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TICK_MS = 100, ANSWER_MS = 10000, COMING_MAX = 2 * WINDOW_BYTES };

static void on_request(void *ctx, uint32_t msgid, struct bytes method, struct bytes params)
{
	struct job *j = ctx;
	enum letter_id kind = letter_by_method((const char *)method.p, method.n);
	struct why why;

	if (j->kind != LETTER_COUNT) {
		fail(&why, ERR_conflict, "a worker does one job");
		rpc_refuse(j->rpc, msgid, &why);
		return;
	}
	switch ((int)kind) {
	case LETTER_work_image:
	case LETTER_work_inspect:
	case LETTER_work_seed:
	case LETTER_work_kernel:
	case LETTER_work_initramfs:
	case LETTER_work_fetch:
	case LETTER_work_export:
	case LETTER_work_copy:
	case LETTER_work_pull:
	case LETTER_work_registry:
		break;
	default:
		fail(&why, ERR_unknown_method, "no such job");
		rpc_refuse(j->rpc, msgid, &why);
		return;
	}
	buf_add(&j->params, params.p, params.n);
	j->kind = kind;
	j->msgid = msgid;
	j->held = kind == LETTER_work_pull || kind == LETTER_work_registry;
}

/* What comes behind the request is for the job, which has not begun. */
static bool on_full(void *ctx)
{
	const struct job *j = ctx;

	return j->held;
}

static NORETURN void out_of_step(void)
{
	_exit(1);
}

/* What one worker tells another, by way of the daemon. */
static void on_told(struct job *j, enum letter_id id, struct bytes params)
{
	struct arena a;
	union {
		struct work_want want;
		struct work_have have;
	} body;

	if (!j->told)
		return;
	arena_init(&a, 64 * KiB);
	if (shape_read(letter_kinds[id].in, mp_over(params.p, params.n), LENIENT, &a, &body, NULL))
		out_of_step();
	j->told(j->told_ctx, id, &body);
	arena_done(&a);
}

static void on_credit(struct job *j, struct bytes params)
{
	struct stream_credit c;
	struct arena a;

	arena_init(&a, 64 * KiB);
	if (shape_read(&shape_stream_credit, mp_over(params.p, params.n), LENIENT, &a, &c, NULL) ||
		c.stream != 1 || c.ch != 1 || !window_grant(&j->out, c.bytes))
		out_of_step();
	arena_done(&a);
}

static void on_data(struct job *j, struct bytes params)
{
	struct stream_data d;
	struct arena a;

	arena_init(&a, 64 * KiB);
	if (shape_read(&shape_stream_data, mp_over(params.p, params.n), LENIENT, &a, &d, NULL) ||
		d.stream != 1 || d.ch != 0 || j->ended || !window_use(&j->window, d.data.n))
		out_of_step();
	if (d.data.n == 0)
		j->ended = true;
	buf_add(&j->coming, d.data.p, d.data.n);
	if (j->coming.failed)
		out_of_step();
	arena_done(&a);
}

static void on_note(void *ctx, struct bytes method, struct bytes params)
{
	enum letter_id id = letter_by_method((const char *)method.p, method.n);

	if (id == LETTER_work_want || id == LETTER_work_have)
		on_told(ctx, id, params);
	else if (id == LETTER_stream_data)
		on_data(ctx, params);
	else if (id == LETTER_stream_credit)
		on_credit(ctx, params);
}

static void on_closed(void *ctx, const struct why *why UNUSED)
{
	struct job *j = ctx;

	if (!j->answered)
		out_of_step();
	j->over = true;
}

static const struct rpc_user user = {
	.request = on_request, .note = on_note, .closed = on_closed, .full = on_full
};
static const struct chan_user nobody = { .closed = on_closed };

enum err job_open(struct job *j, struct why *why)
{
	struct chan *c;
	enum err e;

	memset(j, 0, sizeof(*j));
	j->kind = LETTER_COUNT;
	buf_init(&j->params, FRAME_BYTES_MAX);
	buf_init(&j->coming, COMING_MAX);
	buf_init(&j->handed, COMING_MAX);
	arena_init(&j->arena, 4 * MiB);
	window_init(&j->window);
	window_init(&j->out);
	e = loop_new(&j->loop, why);
	if (!e)
		e = chan_open(j->loop, FD_LETTERS, FD_LETTERS, &nobody, j, &c, why);
	if (e)
		return e;
	j->rpc = rpc_new(c, FRAME_BYTES_MAX, &user, j);
	return j->rpc ? OK : fail(why, ERR_no_memory, "no memory for letters");
}

void job_close(struct job *j)
{
	rpc_free(j->rpc);
	loop_free(j->loop);
	buf_done(&j->params);
	buf_done(&j->coming);
	buf_done(&j->handed);
	arena_done(&j->arena);
}

enum err job_wait(struct job *j, struct why *why)
{
	while (j->kind == LETTER_COUNT)
		loop_turn(j->loop, true);
	return j->params.failed ? fail(why, ERR_no_memory, "no memory for the request") : OK;
}

enum err job_read(struct job *j, void *obj, struct why *why)
{
	return shape_read(letter_kinds[j->kind].in, mp_over(j->params.p, j->params.n), STRICT,
		&j->arena, obj, why);
}

static enum err stream_next(struct source *s, const uint8_t **p, size_t *n, struct why *why)
{
	struct job *j = s->ctx;
	struct buf full;
	uint64_t grant;

	while (j->coming.n == 0 && !j->ended)
		loop_turn(j->loop, true);
	j->handed.n = 0;
	full = j->coming;
	j->coming = j->handed;
	j->handed = full;
	*p = full.p;
	*n = full.n;
	grant = window_passed(&j->window, full.n);
	if (grant == 0 || j->ended)
		return OK;
	return rpc_note(j->rpc, &letter_kinds[LETTER_stream_credit],
		&(struct stream_credit){ .stream = 1, .ch = 0, .bytes = grant }, why);
}

enum err job_source(struct job *j, struct source *s, uint64_t max, struct why *why)
{
	source_init(s, stream_next, j, max);
	return source_hash(s, why);
}

enum err job_put(struct job *j, const void *p, size_t n, struct why *why)
{
	const uint8_t *from = p;

	while (n > 0) {
		size_t part = MIN(n, (size_t)CHUNK_BYTES);
		struct stream_data d = { .stream = 1, .ch = 1, .data = { from, part } };
		enum err e;

		while (j->out.left < part)
			loop_turn(j->loop, true);
		must(window_use(&j->out, part));
		e = rpc_note(j->rpc, &letter_kinds[LETTER_stream_data], &d, why);
		if (e)
			return e;
		from += part;
		n -= part;
	}
	return OK;
}

void job_tick(struct job *j, uint64_t done, const char *detail)
{
	uint64_t now = loop_now_ms(j->loop);

	if (now < j->told_ms + TICK_MS)
		return;
	j->told_ms = now;
	(void)!rpc_note(j->rpc, &letter_kinds[LETTER_work_progress],
		&(struct work_progress){ .done = done, .detail = detail }, NULL);
	loop_turn(j->loop, false);
}

void job_listen(struct job *j, void (*fn)(void *ctx, enum letter_id id, const void *body),
	void *ctx)
{
	j->told = fn;
	j->told_ctx = ctx;
	j->held = false;
	rpc_resume(j->rpc);
}

enum err job_tell(struct job *j, enum letter_id id, const void *body, struct why *why)
{
	return rpc_note(j->rpc, &letter_kinds[id], body, why);
}

static enum err pack_answer(struct job *j, const void *result, struct why *why)
{
	return rpc_answer(j->rpc, j->msgid, &letter_kinds[j->kind], result, why);
}

static void give_up(void *ctx UNUSED)
{
	out_of_step();
}

void job_answer(struct job *j, enum err e, const void *result, struct why *why)
{
	struct timer deadline = { .fn = NULL };

	if (e)
		rpc_refuse(j->rpc, j->msgid, why);
	else
		(void)!pack_answer(j, result, why);
	j->answered = true;
	/*
	 * The daemon hangs up when it has read this; an end before that would overtake the
	 * answer.
	 */
	timer_start(j->loop, &deadline, ANSWER_MS, give_up, j);
	while (!j->over)
		loop_turn(j->loop, true);
	timer_stop(&deadline);
}

enum err job_temp(struct job *j UNUSED, int *ret_fd, struct why *why)
{
	static const char name[] = ".spool";
	int fd = openat(FD_DIR, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL)) {
		(void)!unlinkat(FD_DIR, name, 0);
		fd = openat(FD_DIR, name, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0600);
		if (fd >= 0)
			(void)!unlinkat(FD_DIR, name, 0);
	}
	if (fd < 0)
		return fail_errno(why, "cannot make a temporary file");
	*ret_fd = fd;
	return OK;
}

enum err job_create(struct job *j UNUSED, const char *name, int *ret_fd, struct why *why)
{
	int fd;

	(void)!unlinkat(FD_DIR, name, 0);
	fd = openat(FD_DIR, name, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return fail_errno(why, "cannot make %s", name);
	*ret_fd = fd;
	return OK;
}

void job_remove(struct job *j UNUSED, const char *name)
{
	(void)!unlinkat(FD_DIR, name, 0);
}
