/*
 * programs.c - what runs in a simulated guest: programs that print so much, echo, stay or end, and
 * trees that are copied in and out. Each keeps to its windows, unless the seed wants it greedy.
 */
#include "tests/sim/guest.h"

static void stream_free(struct guest_stream *t)
{
	sim_forget(t->g->sim, t);
	TAILQ_REMOVE(&t->g->streams, t, entry);
	free(t);
}

void programs_end(struct guest *g)
{
	struct guest_stream *t;

	while ((t = TAILQ_FIRST(&g->streams)) != NULL)
		stream_free(t);
}

static void note(struct guest *g, enum letter_id id, const void *body)
{
	struct why why;

	must(rpc_note(g->rpc, &letter_kinds[id], body, &why) == OK);
}

static void send_data(struct guest_stream *t, uint64_t ch, size_t n)
{
	static const uint8_t bytes[CHUNK_BYTES];
	struct stream_data d = { t->id, ch, { bytes, n } };

	note(t->g, LETTER_stream_data, &d);
}

static void finish(struct guest_stream *t, const char *signal)
{
	struct stream_end e = { .stream = t->id, .code = t->code, .has_code = !signal,
		.signal = signal };

	note(t->g, LETTER_stream_end, &e);
	stream_free(t);
}

static bool send_more(struct guest_stream *t, int i)
{
	struct sim *s = t->g->sim;
	size_t n = MIN(t->due[i], (size_t)CHUNK_BYTES);

	if (t->due[i] && !s->calm && sim_chance(s, s->weather.rude / 4)) {
		sim_mark(s, MARK_agent_greedy);
		for (int k = 0; k < 12; k++)
			send_data(t, (uint64_t)i + 1, CHUNK_BYTES);
	}
	n = MIN(n, (size_t)t->out[i].left);
	if (n == 0)
		return false;
	must(window_use(&t->out[i], n));
	t->due[i] -= n;
	send_data(t, (uint64_t)i + 1, n);
	return true;
}

static void work(void *ctx, uint64_t arg UNUSED)
{
	struct guest_stream *t = ctx;
	struct sim *s = t->g->sim;
	bool moved = false;

	if (t->g->hung)
		return;
	for (int i = 0; i < 2; i++)
		moved |= send_more(t, i);
	for (int i = 0; i < 2; i++)
		if (!t->due[i] && !t->reads && !t->stays && !t->shut[i]) {
			send_data(t, (uint64_t)i + 1, 0);
			t->shut[i] = true;
		}
	if (t->shut[0] && t->shut[1])
		finish(t, NULL);
	else if (moved)
		sim_after(s, sim_roll(s, 20), work, t, 0);
}

static void work_soon(struct guest_stream *t)
{
	sim_forget(t->g->sim, t);
	sim_after(t->g->sim, sim_roll(t->g->sim, 10), work, t, 0);
}

static uint64_t some_bytes(struct sim *s)
{
	return sim_chance(s, 700) ? sim_roll(s, 3000) : sim_roll(s, 800000);
}

void programs_begin(struct guest *g, enum letter_id id, uint32_t msgid, struct bytes params)
{
	struct arena a = { .max = 4 * MiB };
	struct guest_stream *t = calloc(1, sizeof(*t));
	struct stream_begun begun = { ++g->next_stream };
	struct sim *s = g->sim;
	struct agent_exec x;
	struct why why;

	must(t);
	t->g = g;
	t->id = begun.stream;
	window_init(&t->in);
	window_init(&t->out[0]);
	window_init(&t->out[1]);
	TAILQ_INSERT_TAIL(&g->streams, t, entry);
	if (id == LETTER_agent_exec) {
		if (shape_read(&shape_agent_exec, mp_over(params.p, params.n), STRICT, &a, &x,
			    &why))
			sim_fail(s, "the agent cannot read agent.exec: %s", why.text);
		t->reads = t->echoes = x.stdin;
		t->due[0] = some_bytes(s);
		t->due[1] = sim_chance(s, 300) ? some_bytes(s) : 0;
		t->stays = sim_chance(s, 150);
		t->deaf = sim_chance(s, 300);
		t->code = sim_roll(s, 3);
	} else {
		t->reads = id == LETTER_agent_put || id == LETTER_agent_dial;
		t->echoes = id == LETTER_agent_dial;
		t->due[0] = id == LETTER_agent_get ? some_bytes(s) : 0;
	}
	arena_done(&a);
	must(rpc_answer(g->rpc, msgid, &letter_kinds[id], &begun, &why) == OK);
	work_soon(t);
}

/* ---- from the daemon ---- */

static void on_data(struct guest_stream *t, const struct stream_data *d)
{
	struct stream_credit c = { t->id, 0, 0 };

	if (d->ch != 0 || !window_use(&t->in, d->data.n))
		sim_fail(t->g->sim, "the daemon sends an agent more than was granted");
	c.bytes = window_passed(&t->in, d->data.n);
	if (c.bytes)
		note(t->g, LETTER_stream_credit, &c);
	if (t->echoes)
		t->due[0] += d->data.n;
	if (d->data.n == 0)
		t->reads = false;
	work_soon(t);
}

static void on_signal(struct guest_stream *t, const char *name)
{
	if (str_eq(name, "KILL") || !t->deaf)
		finish(t, name);
}

void programs_note(struct guest *g, enum letter_id id, struct bytes params)
{
	union {
		uint64_t stream;
		struct stream_data data;
		struct stream_credit credit;
		struct stream_resize resize;
		struct stream_signal signal;
	} body;
	struct arena a = { .max = 64 * KiB };
	struct guest_stream *t;
	struct why why;

	if (id != LETTER_stream_data && id != LETTER_stream_credit &&
		id != LETTER_stream_resize && id != LETTER_stream_signal)
		sim_fail(g->sim, "the agent was told letter %d", (int)id);
	if (shape_read(letter_kinds[id].in, mp_over(params.p, params.n), STRICT, &a, &body, &why))
		sim_fail(g->sim, "the agent cannot read %s: %s", letter_kinds[id].method, why.text);
	TAILQ_FOREACH(t, &g->streams, entry)
		if (t->id == body.stream)
			break;
	if (t && id == LETTER_stream_data)
		on_data(t, &body.data);
	else if (t && id == LETTER_stream_signal)
		on_signal(t, body.signal.signal);
	else if (t && id == LETTER_stream_credit) {
		if (body.credit.ch == 0 ||
			!window_grant(&t->out[body.credit.ch - 1], body.credit.bytes))
			sim_fail(g->sim, "the daemon grants an agent credit that makes no sense");
		work_soon(t);
	}
	arena_done(&a);
}
