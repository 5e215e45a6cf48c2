/*
 * bench_run.c - one run of a bench: so many machines, so many of them at once, on one connection.
 *
 * Every machine is begun with rm, so that it belongs to this connection: however this process
 * ends, the daemon undoes or deletes what it began. Asks wait in a queue, since a connection has
 * room for a limited number of them. Times are this side's; stages are the daemon's own.
 */
#include "cli/bench_engine.h"
#include "cli/report.h"

enum { ASKS_MAX = 192, LOOKS_MAX = 64, TICK_MS = 200, LINE_TICK_MS = 10000, PART_BYTES = 65536 };

static void fill(struct engine *e);
static void pump(struct engine *e);

/* ---- slots ---- */

static void slot_free(struct slot *s)
{
	struct engine *e = s->e;

	*s = (struct slot){ .e = e, .next_free = e->free };
	e->free = s;
	e->active--;
}

void slot_want(struct slot *s, enum todo todo)
{
	s->todo = todo;
	s->state = todo == DO_DELETE ? SLOT_GOES : todo == DO_BEGIN ? SLOT_MAKES : SLOT_ASKS;
	TAILQ_INSERT_TAIL(&s->e->queue, s, waits);
}

void slot_failed(struct slot *s, const char *what, const struct why *why)
{
	bench_fault(s->e->r, what, why);
	slot_want(s, DO_DELETE);
	pump(s->e);
}

void slot_settle(struct slot *s)
{
	struct engine *e = s->e;

	if (e->over)
		slot_want(s, DO_DELETE);
	else if (e->r->soak)
		soak_choose(s);
	else if (e->b->hold)
		s->state = SLOT_HELD;
	else
		slot_want(s, DO_DELETE);
	pump(e);
}

static void release_held(struct engine *e)
{
	for (uint32_t i = 0; i < e->slots_n; i++)
		if (e->slots[i].state == SLOT_HELD)
			slot_want(&e->slots[i], DO_DELETE);
	pump(e);
}

static struct slot *slot_of(struct engine *e, uint64_t op)
{
	for (uint32_t i = 0; i < e->slots_n; i++)
		if (e->slots[i].op == op && e->slots[i].state == SLOT_MAKES)
			return &e->slots[i];
	return NULL;
}

/* ---- the whole is made ---- */

static void daemon_told(void *ctx, const struct why *why, struct bytes result)
{
	struct engine *e = ctx;
	struct arena a = { .max = PART_BYTES };
	struct daemon_status st;

	if (!why && shape_read(&shape_daemon_status, mp_over(result.p, result.n), LENIENT, &a, &st,
			    NULL) == OK)
		e->r->daemon_after = st.rss_own;
	arena_done(&a);
	release_held(e);
}

/* What the daemon takes is asked while the machines are still there. */
static void creation_over(struct engine *e)
{
	struct nothing none;

	e->making--;
	if (!e->counted && (e->over || e->r->made + e->r->failed == e->r->wanted)) {
		e->counted = true;
		if (rpc_ask(e->c->link->rpc, &letter_kinds[LETTER_daemon_status], &none,
			    daemon_told, e, NULL))
			release_held(e);
	}
	fill(e);
}

static void made(struct slot *s)
{
	struct engine *e = s->e;

	e->last = bench_now_ms();
	e->r->made++;
	series_add(&e->r->whole, e->last - s->began);
	if (!e->over && e->looks < LOOKS_MAX) {
		e->looks++;
		slot_want(s, DO_SHOW);
		pump(e);
	} else {
		slot_settle(s);
	}
	creation_over(e);
}

static void not_made(struct slot *s, const struct why *why)
{
	struct engine *e = s->e;

	e->last = bench_now_ms();
	if (!s->cancelled) {
		e->r->failed++;
		bench_fault(e->r, s->stage[0] ? s->stage : "begin", why);
	}
	slot_free(s);
	creation_over(e);
}

/* ---- notifications ---- */

static void on_stage(struct engine *e, const struct op_stage *m)
{
	struct slot *s = slot_of(e, m->op);
	struct series *x;

	if (!s || m->has_total) /* a layer of a pull is no stage of the machine's */
		return;
	if (m->state == stage_state_failed)
		snprintf(s->stage, sizeof(s->stage), "%s", m->stage);
	x = m->state == stage_state_done && !e->r->soak ? bench_stage(e->r, m->stage) : NULL;
	if (x)
		series_add(x, (double)m->ms);
}

static void on_done(struct engine *e, const struct op_done *m)
{
	struct slot *s = slot_of(e, m->op);
	struct why why;

	if (!s)
		return;
	s->op = 0;
	if (m->state == op_state_done) {
		made(s);
		return;
	}
	if (m->error)
		why_of(m->error, &why);
	else
		fail(&why, ERR_cancelled, "cancelled");
	not_made(s, &why);
}

static void on_note(void *ctx, enum letter_id letter, struct bytes params)
{
	struct engine *e = ctx;
	struct arena a = { .max = PART_BYTES };
	union {
		struct op_stage stage;
		struct op_done done;
	} u;

	if (soak_note(e, letter, params) || (letter != LETTER_op_stage && letter != LETTER_op_done))
		return;
	if (shape_read(
		    letter_kinds[letter].in, mp_over(params.p, params.n), LENIENT, &a, &u, NULL)) {
		arena_done(&a);
		return;
	}
	if (letter == LETTER_op_stage)
		on_stage(e, &u.stage);
	else
		on_done(e, &u.done);
	arena_done(&a);
}

/* ---- asks and answers ---- */

static void keep_id(struct bench_run *r, const char *id)
{
	if (r->ids_n == r->ids_cap) {
		uint64_t cap = r->ids_cap ? 2 * r->ids_cap : 256;
		void *p = realloc(r->ids, cap * sizeof(*r->ids));

		if (!p)
			return; /* its leftovers are found by its name then */
		r->ids = p;
		r->ids_cap = cap;
	}
	snprintf(r->ids[r->ids_n++], sizeof(*r->ids), "%s", id);
}

static void ignore(void *ctx UNUSED, const struct why *why UNUSED, struct bytes result UNUSED)
{
}

static void cancel(struct slot *s)
{
	struct op_cancel m = { s->op };
	struct link *l = s->e->c->link;

	if (s->state != SLOT_MAKES || !s->op || s->cancelled)
		return;
	s->cancelled =
		rpc_ask(l->rpc, &letter_kinds[LETTER_op_cancel], &m, ignore, s->e, NULL) == OK;
}

static void take_begun(struct slot *s, const struct vm_begun *begun)
{
	snprintf(s->id, sizeof(s->id), "%s", begun->vm);
	s->op = begun->op;
	keep_id(s->e->r, s->id);
	if (s->e->b->interrupts.first)
		cancel(s);
}

static void take_shown(struct slot *s, const struct vm_shown *shown)
{
	struct bench *b = s->e->b;

	if (shown->vm.has_rss)
		series_add(&s->e->r->memory, (double)shown->vm.rss);
	snprintf(b->image, sizeof(b->image), "%s", shown->vm.image);
	b->body.driver = shown->vm.driver; /* what auto has become */
	b->body.accel = shown->vm.accel;
	slot_settle(s);
}

static void refused(struct slot *s, enum todo todo, const struct why *why)
{
	struct engine *e = s->e;

	if (todo == DO_BEGIN && e->begun <= e->making && e->r->made == 0 && !e->refused) {
		e->refused = e->over = true;
		e->why = *why;
	}
	if (todo == DO_BEGIN) {
		not_made(s, why);
	} else if (todo == DO_DELETE) {
		if (why->code != ERR_not_found)
			bench_fault(e->r, "delete", why);
		slot_free(s);
		fill(e);
	} else {
		slot_failed(s, soak_word(todo), why);
	}
}

static void taken(struct slot *s, enum todo todo, struct bytes result)
{
	struct arena a = { .max = 4 * PART_BYTES };
	union {
		struct vm_begun begun;
		struct vm_shown shown;
	} u;
	const struct shape *shape = todo == DO_BEGIN ? &shape_vm_begun : &shape_vm_shown;
	struct why why;

	if (todo == DO_DELETE) {
		series_add(&s->e->r->removal, bench_now_ms() - s->began);
		slot_free(s);
		fill(s->e);
		return;
	}
	if (todo != DO_BEGIN && todo != DO_SHOW) {
		soak_answered(s, todo, result);
		return;
	}
	if (shape_read(shape, mp_over(result.p, result.n), LENIENT, &a, &u, &why))
		refused(s, todo, &why);
	else if (todo == DO_BEGIN)
		take_begun(s, &u.begun);
	else
		take_shown(s, &u.shown);
	arena_done(&a);
}

static void on_answer(void *ctx, const struct why *why, struct bytes result)
{
	struct slot *s = ctx;
	struct engine *e = s->e;
	enum todo todo = s->todo;

	e->asking--;
	s->todo = DO_NOTHING;
	if (why)
		refused(s, todo, why);
	else
		taken(s, todo, result);
	pump(e);
}

static enum err send(struct slot *s, struct why *why)
{
	struct engine *e = s->e;
	struct rpc *rpc = e->c->link->rpc;
	struct vm_create body = e->b->body;
	struct vm_delete which = { .vm = s->id };
	struct vm_only only = { s->id };
	char name[64];

	switch (s->todo) {
	case DO_BEGIN:
		snprintf(name, sizeof(name), "%s%llu", e->b->prefix,
			(unsigned long long)++e->b->serial);
		body.name = name;
		return rpc_ask(
			rpc, &letter_kinds[LETTER_vm_create_begin], &body, on_answer, s, why);
	case DO_SHOW:
		return rpc_ask(rpc, &letter_kinds[LETTER_vm_show], &only, on_answer, s, why);
	case DO_DELETE:
		return rpc_ask(rpc, &letter_kinds[LETTER_vm_delete], &which, on_answer, s, why);
	case DO_EXEC:
	case DO_HEALTH:
	case DO_KILL:
	case DO_START:
		return soak_send(s, on_answer, why);
	case DO_NOTHING:
		break;
	}
	must(!"a slot waits for nothing");
}

static void pump(struct engine *e)
{
	struct slot *s;
	struct why why;

	while (e->asking < ASKS_MAX && (s = TAILQ_FIRST(&e->queue)) != NULL) {
		TAILQ_REMOVE(&e->queue, s, waits);
		s->began = bench_now_ms();
		e->asking++;
		if (send(s, &why) == OK)
			continue;
		e->asking--;
		refused(s, s->todo, &why);
	}
}

/* As many creations as may be under way. */
static void fill(struct engine *e)
{
	while (!e->over && e->free && e->making < e->r->at_once && e->begun < e->r->wanted) {
		struct slot *s = e->free;

		e->free = s->next_free;
		e->active++;
		e->making++;
		e->begun++;
		if (e->begun == 1)
			e->first = bench_now_ms();
		slot_want(s, DO_BEGIN);
	}
	pump(e);
}

/* ---- progress, and the end ---- */

static void say(struct engine *e, const char *end)
{
	const struct bench_run *r = e->r;
	double s = (bench_now_ms() - e->first) / 1000;
	char left[48];

	if (r->soak)
		snprintf(left, sizeof(left), "%.0f of %.0f s", s, (double)e->b->soak_ms / 1000);
	else
		snprintf(left, sizeof(left), "of %llu", (unsigned long long)r->wanted);
	fprintf(stderr, "%s  %u at once: %llu made %s, %u there, %llu failed%s",
		end ? "" : "\r\033[K", r->at_once, (unsigned long long)r->made, left, e->active,
		(unsigned long long)r->failed, end ? end : "");
	fflush(stderr);
	e->line_open = !end;
}

static void tick(void *ctx)
{
	struct engine *e = ctx;
	bool lines = e->c->progress;

	say(e, lines ? "\n" : NULL);
	timer_start(e->c->loop, &e->tick, lines ? LINE_TICK_MS : TICK_MS, tick, e);
}

static void close_line(struct engine *e)
{
	timer_stop(&e->tick);
	if (e->line_open)
		fputs("\r\033[K", stderr);
	fflush(stderr);
}

/* Nothing new; what is there goes. What is being made is let be, but for a signal. */
static void wind_up(struct engine *e, bool cancels)
{
	e->over = true;
	for (uint32_t i = 0; i < e->slots_n; i++) {
		struct slot *s = &e->slots[i];

		if (cancels)
			cancel(s);
		if (s->state == SLOT_HELD || (cancels && s->state == SLOT_RUNS))
			slot_want(s, DO_DELETE);
	}
	pump(e);
}

static void on_signal(void *ctx, int signal UNUSED)
{
	struct engine *e = ctx;

	e->r->cut = true;
	wind_up(e, true);
}

static void soak_over(void *ctx)
{
	wind_up(ctx, false);
}

static enum err engine_init(struct engine *e, struct bench *b, struct bench_run *r, struct why *why)
{
	uint64_t n = b->hold && !r->soak ? r->wanted : MIN((uint64_t)r->at_once, r->wanted);

	*e = (struct engine){ .b = b, .r = r, .c = b->c, .random = b->seed | 1 };
	TAILQ_INIT(&e->queue);
	e->slots = calloc(n, sizeof(*e->slots));
	if (!e->slots)
		return fail(
			why, ERR_no_memory, "no memory for %llu machines", (unsigned long long)n);
	e->slots_n = (uint32_t)n;
	for (uint32_t i = e->slots_n; i-- > 0;) {
		e->slots[i] = (struct slot){ .e = e, .next_free = e->free };
		e->free = &e->slots[i];
	}
	return bench_daemon(b, &r->daemon_before, &r->fds_before, why);
}

static void turn(struct engine *e)
{
	struct cli *c = e->c;
	struct interrupts *i = &e->b->interrupts;

	c->link->note = on_note;
	c->link->note_ctx = e;
	interrupts_to(i, on_signal, e);
	if (i->first)
		on_signal(e, i->first);
	if (!c->quiet && (c->progress || (c->err_live && !c->json)))
		timer_start(c->loop, &e->tick, c->progress ? LINE_TICK_MS : TICK_MS, tick, e);
	if (e->r->soak) {
		timer_start(c->loop, &e->end, e->b->soak_ms, soak_over, e);
		soak_look(e);
	}
	fill(e);
	while (e->active > 0 && !c->link->gone && !i->gave_up)
		loop_turn(c->loop, true);
	interrupts_to(i, NULL, NULL);
	timer_stop(&e->end);
	timer_stop(&e->look);
	close_line(e);
	if (c->progress && !c->quiet)
		say(e, "\n");
	c->link->note = NULL;
	for (uint32_t k = 0; k < e->slots_n; k++)
		rpc_forget(c->link->rpc, &e->slots[k]);
	rpc_forget(c->link->rpc, e);
}

int bench_run(struct bench *b, struct bench_run *r)
{
	struct engine e;
	struct why why;
	int code = 0;

	if (engine_init(&e, b, r, &why))
		return report(b->c, &why);
	turn(&e);
	r->ms = e.last > e.first ? e.last - e.first : 0;
	if (r->daemon_after == 0 && !b->c->link->gone &&
		bench_daemon(b, &r->daemon_after, &r->fds_after, &why))
		r->daemon_after = r->daemon_before;
	if (e.refused)
		code = report(b->c, &e.why);
	else if (e.active > 0 && b->c->link->gone)
		code = report(b->c, &b->c->link->gone_why);
	else if (e.active > 0)
		code = EXIT_SIGNAL + b->interrupts.first; /* the daemon deletes them */
	free(e.slots);
	return code;
}
