/*
 * bench_soak.c - what a soak does with machines that are ready: runs a program, ends the VMM and
 * boots it again, deletes; by chance, from a seed. Now and then it notes how the daemon fares.
 */
#include "cli/bench_engine.h"

enum { LOOK_LEAST_MS = 1000, PART_BYTES = 65536 };

const char *soak_word(enum todo todo)
{
	switch (todo) {
	case DO_BEGIN:
		return "create";
	case DO_SHOW:
		return "show";
	case DO_EXEC:
		return "exec";
	case DO_HEALTH:
		return "health";
	case DO_KILL:
		return "kill";
	case DO_START:
		return "start";
	case DO_DELETE:
		return "delete";
	case DO_NOTHING:
		break;
	}
	return "?";
}

/* xorshift: the same seed does the same, as far as the host's timing lets it. */
static unsigned chance(struct engine *e, unsigned of)
{
	e->random ^= e->random << 13;
	e->random ^= e->random >> 7;
	e->random ^= e->random << 17;
	return (unsigned)((e->random >> 16) % of);
}

void soak_choose(struct slot *s)
{
	struct engine *e = s->e;
	unsigned n = chance(e, 100);

	if (s->stopped)
		slot_want(s, n < 70 ? DO_START : DO_DELETE);
	else if (n < 60)
		slot_want(s, e->b->stub ? DO_HEALTH : DO_EXEC);
	else if (n < 75)
		slot_want(s, DO_KILL);
	else
		slot_want(s, DO_DELETE);
}

enum err soak_send(struct slot *s, rpc_answer_fn *fn, struct why *why)
{
	static const char *const usual[] = { "sh", "-c", ":" };
	struct engine *e = s->e;
	struct rpc *rpc = e->c->link->rpc;
	struct vm_only only = { s->id };
	struct vm_start start = { .vm = s->id, .no_services = e->b->stub, .has_no_services = true };
	struct vm_exec exec = { .vm = s->id };

	if (s->todo == DO_KILL)
		return rpc_ask(rpc, &letter_kinds[LETTER_vm_kill], &only, fn, s, why);
	if (s->todo == DO_HEALTH)
		return rpc_ask(rpc, &letter_kinds[LETTER_vm_health], &only, fn, s, why);
	if (s->todo == DO_START)
		return rpc_ask(rpc, &letter_kinds[LETTER_vm_start], &start, fn, s, why);
	exec.argv.v = e->c->has_tail ? e->c->tail : (const char **)(uintptr_t)usual;
	exec.argv.n = e->c->has_tail ? e->c->tail_n : COUNT(usual);
	return rpc_ask(rpc, &letter_kinds[LETTER_vm_exec], &exec, fn, s, why);
}

static void done(struct slot *s, const char *word)
{
	struct series *x = bench_stage(s->e->r, word);

	s->e->r->works++;
	if (x)
		series_add(x, bench_now_ms() - s->began);
	slot_settle(s);
}

/* The answer to an exec is only its beginning. */
void soak_answered(struct slot *s, enum todo todo, struct bytes result)
{
	struct arena a = { .max = PART_BYTES };
	struct stream_begun begun = { 0 };
	struct why why;

	if (todo != DO_EXEC) {
		s->stopped = todo == DO_KILL;
		done(s, soak_word(todo));
	} else if (shape_read(&shape_stream_begun, mp_over(result.p, result.n), LENIENT, &a, &begun,
			   &why)) {
		slot_failed(s, "exec", &why);
	} else {
		s->stream = begun.stream;
		s->state = SLOT_RUNS;
		if (s->e->b->interrupts.first)
			slot_want(s, DO_DELETE);
	}
	arena_done(&a);
}

/* ---- streams ---- */

static struct slot *slot_of(struct engine *e, uint64_t stream)
{
	for (uint32_t i = 0; i < e->slots_n; i++)
		if (e->slots[i].state == SLOT_RUNS && e->slots[i].stream == stream)
			return &e->slots[i];
	return NULL;
}

static void on_end(struct engine *e, const struct stream_end *m)
{
	struct slot *s = slot_of(e, m->stream);
	struct why why;

	if (!s)
		return;
	s->stream = 0;
	if (m->has_code && m->code == 0) {
		done(s, "exec");
		return;
	}
	if (m->error)
		why_of(m->error, &why);
	else if (m->signal)
		fail(&why, ERR_guest_failed, "the program was ended by %s", m->signal);
	else
		fail(&why, ERR_guest_failed, "the program ended with %llu",
			(unsigned long long)m->code);
	slot_failed(s, "exec", &why);
}

/* What the program says is not wanted, and must not stop it. */
static void on_data(struct engine *e, const struct stream_data *m)
{
	struct stream_credit more = { .stream = m->stream, .ch = m->ch, .bytes = m->data.n };

	if (m->data.n > 0 && slot_of(e, m->stream))
		(void)!rpc_note(e->c->link->rpc, &letter_kinds[LETTER_stream_credit], &more, NULL);
}

bool soak_note(struct engine *e, enum letter_id letter, struct bytes params)
{
	struct arena a = { .max = PART_BYTES };
	union {
		struct stream_end end;
		struct stream_data data;
	} u;

	if (letter != LETTER_stream_end && letter != LETTER_stream_data)
		return false;
	if (shape_read(letter_kinds[letter].in, mp_over(params.p, params.n), LENIENT, &a, &u,
		    NULL) == OK) {
		if (letter == LETTER_stream_end)
			on_end(e, &u.end);
		else
			on_data(e, &u.data);
	}
	arena_done(&a);
	return true;
}

/* ---- how the daemon fares ---- */

static void looked(void *ctx, const struct why *why, struct bytes result)
{
	struct engine *e = ctx;
	struct bench_run *r = e->r;
	struct arena a = { .max = PART_BYTES };
	struct daemon_status st;

	if (!why && r->history_n < BENCH_HISTORY_MAX &&
		shape_read(&shape_daemon_status, mp_over(result.p, result.n), LENIENT, &a, &st,
			NULL) == OK)
		r->history[r->history_n++] = (struct bench_moment){
			.seconds = (bench_now_ms() - e->first) / 1000,
			.memory = st.rss_own,
			.done = r->made + r->works,
			.machines = (uint32_t)st.machines,
		};
	arena_done(&a);
}

void soak_look(void *ctx)
{
	struct engine *e = ctx;
	uint64_t pause = MAX(e->b->soak_ms / (BENCH_HISTORY_MAX / 2), (uint64_t)LOOK_LEAST_MS);
	struct nothing none;

	if (!e->r->history)
		e->r->history = calloc(BENCH_HISTORY_MAX, sizeof(*e->r->history));
	if (!e->r->history)
		return;
	if (e->begun > 0)
		(void)!rpc_ask(e->c->link->rpc, &letter_kinds[LETTER_daemon_status], &none, looked,
			e, NULL);
	timer_start(e->c->loop, &e->look, pause, soak_look, e);
}
