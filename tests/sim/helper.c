/*
 * helper.c - a simulated root helper's life: it refuses, stalls, dies before and after it has
 * acted, speaks unasked, and comes back with its ledger. Requests are acted on in their order.
 */
#include "tests/sim/helper.h"

enum { HELPER_FRAME = 65536 };

/* ---- requests ---- */

static void request_free(struct request *r)
{
	sim_forget(r->h->sim, r);
	TAILQ_REMOVE(&r->h->requests, r, entry);
	chan_close(r->brings.chan);
	arena_done(&r->mem);
	free(r);
}

static bool bad_luck(struct sim *s, unsigned chance)
{
	return !s->calm && sim_chance(s, chance);
}

/* An answer to nothing: the daemon must end this link. */
static void speak_unasked(struct conn *c)
{
	static const uint8_t frame[] = { 0x94, 0x01, 0xce, 0x7f, 0xff, 0xff, 0xff, 0xc0, 0x80 };

	sim_mark(c->h->sim, MARK_helper_rude);
	chan_write(rpc_chan(c->rpc), frame, sizeof(frame));
}

static void act(void *ctx, uint64_t arg UNUSED)
{
	struct request *r = ctx;
	struct helper *h = r->h;
	struct sim *s = h->sim;
	const struct weather *w = &s->weather;
	struct why why = { .code = OK };

	if (bad_luck(s, w->helper_dies)) {
		helper_dies(s);
		return;
	}
	if (r->kind != LETTER_priv_ping && bad_luck(s, w->helper_refuses)) {
		sim_mark(s, MARK_helper_refused);
		fail(&why, ERR_no_space, "no space left on device");
	} else {
		helper_act(r, &why);
	}
	sim_trace(
		s, "helper", "%s: %s", letter_kinds[r->kind].method, why.code ? why.text : "done");
	if (bad_luck(s, w->helper_dies)) {
		sim_mark(s, MARK_helper_answer_lost);
		helper_dies(s);
		return;
	}
	if (r->conn && bad_luck(s, w->rude / 2))
		speak_unasked(r->conn);
	if (r->conn && why.code)
		rpc_refuse(r->conn->rpc, r->msgid, &why);
	else if (r->conn)
		helper_answer(r);
	request_free(r);
}

static uint64_t due(struct helper *h, enum letter_id kind)
{
	struct sim *s = h->sim;

	if (s->now >= h->stalled_until && bad_luck(s, s->weather.helper_stalls)) {
		sim_mark(s, MARK_helper_stalled);
		h->stalled_until = s->now + sim_between(s, 1000, 90000);
	}
	if (kind == LETTER_priv_launch_vmm && bad_luck(s, s->weather.helper_late)) {
		sim_mark(s, MARK_helper_late);
		h->stalled_until = MAX(h->stalled_until, s->now + 45000 + sim_roll(s, 10000));
	}
	h->last_due = MAX(h->last_due, MAX(s->now, s->calm ? 0 : h->stalled_until)) + 1 +
		      sim_roll(s, sim_chance(s, 100) ? 60 : 5);
	return h->last_due - s->now;
}

static void on_request(void *ctx, uint32_t msgid, struct bytes method, struct bytes params)
{
	struct conn *c = ctx;
	struct sim *s = c->h->sim;
	struct request *r = calloc(1, sizeof(*r));
	const struct shape *shape;
	struct why why;
	uint8_t *copy;

	must(r);
	r->h = c->h;
	r->conn = c;
	r->msgid = msgid;
	r->kind = letter_by_method((const char *)method.p, method.n);
	if (r->kind < LETTER_priv_ping || r->kind > LETTER_priv_list_things)
		sim_fail(s, "the helper was asked for %.*s", (int)method.n, (const char *)method.p);
	arena_init(&r->mem, 256 * KiB);
	shape = letter_kinds[r->kind].in;
	r->body = arena_take(&r->mem, MAX(shape->size, 1u));
	copy = arena_take(&r->mem, MAX(params.n, (size_t)1));
	must(r->body && copy);
	memcpy(copy, params.p, params.n);
	if (shape_read(shape, mp_over(copy, params.n), STRICT, &r->mem, r->body, &why))
		sim_fail(
			s, "the helper cannot read %s: %s", letter_kinds[r->kind].method, why.text);
	TAILQ_INSERT_TAIL(&c->h->requests, r, entry);
	sim_after(s, due(c->h, r->kind), act, r, 0);
}

/* ---- connections ---- */

/* What was asked and not begun is done all the same, unless it is the helper that ends. */
static void conn_free(struct conn *c, bool acts_on)
{
	struct request *r, *next;

	for (r = TAILQ_FIRST(&c->h->requests); r; r = next) {
		next = TAILQ_NEXT(r, entry);
		if (r->conn != c)
			continue;
		r->conn = NULL;
		if (!acts_on)
			request_free(r);
	}
	for (unsigned i = 0; i < c->came_n; i++)
		chan_close(c->came[i].chan);
	TAILQ_REMOVE(&c->h->conns, c, entry);
	rpc_free(c->rpc);
	free(c);
}

static void on_closed(void *ctx, const struct why *why)
{
	struct conn *c = ctx;

	if (why->code == ERR_malformed)
		sim_fail(c->h->sim, "letters to the helper are malformed: %s", why->text);
	conn_free(c, true);
}

struct chan *helper_connect(struct sim *s, struct world *w)
{
	static const struct rpc_user user = { .request = on_request, .closed = on_closed };
	struct pipe_end *ends[2];
	struct conn *c;

	if (!s->helper->up)
		return NULL;
	c = calloc(1, sizeof(*c));
	must(c);
	pipe_pair(s, w, ends);
	c->h = s->helper;
	c->world = w;
	c->rpc = rpc_new(&ends[1]->c, HELPER_FRAME, &user, c);
	must(c->rpc);
	TAILQ_INSERT_TAIL(&s->helper->conns, c, entry);
	return &ends[0]->c;
}

bool helper_parcel(struct world *w, struct sim_parcel *ret)
{
	struct conn *c;

	TAILQ_FOREACH(c, &w->sim->helper->conns, entry)
	{
		if (c->world != w || c->came_n == 0)
			continue;
		*ret = c->came[0];
		memmove(c->came, c->came + 1, --c->came_n * sizeof(c->came[0]));
		return true;
	}
	return false;
}

/* ---- its life ---- */

/* What is left of jails in which nobody lives. */
static void sweep_jails(struct helper *h)
{
	struct thing *t, *next;

	for (t = TAILQ_FIRST(&h->jails); t; t = next) {
		next = TAILQ_NEXT(t, entry);
		if (!helper_vmm(h->sim, t->name))
			thing_drop(&h->jails, t);
	}
}

static void comes_back(void *ctx, uint64_t arg UNUSED)
{
	struct helper *h = ctx;

	sim_trace(h->sim, "helper", "is back");
	h->up = true;
	sweep_jails(h);
}

void helper_dies(struct sim *s)
{
	struct helper *h = s->helper;

	if (!h->up)
		return;
	sim_mark(s, MARK_helper_died);
	sim_trace(s, "helper", "dies");
	h->up = false;
	h->stalled_until = 0;
	while (!TAILQ_EMPTY(&h->conns))
		conn_free(TAILQ_FIRST(&h->conns), false);
	while (!TAILQ_EMPTY(&h->requests))
		request_free(TAILQ_FIRST(&h->requests));
	h->last_due = s->now;
	sim_after(s, sim_chance(s, 700) ? sim_roll(s, 1500) : sim_roll(s, 20000), comes_back, h, 0);
}

/* Somebody else deletes what is ours. */
void helper_is_robbed(struct sim *s)
{
	struct helper *h = s->helper;
	unsigned n = things_count(&h->taps);
	struct thing *t = TAILQ_FIRST(&h->taps);

	if (n > 0 && sim_chance(s, 700)) {
		for (uint64_t i = sim_roll(s, n); i > 0; i--)
			t = TAILQ_NEXT(t, entry);
		sim_mark(s, MARK_tap_stolen);
		tap_drop(h, t);
	} else if (h->bridge) {
		sim_mark(s, MARK_bridge_stolen);
		h->bridge = false;
		world_link_news(s, "br-bngr", false);
	}
}

/* The host's boot ends: what the kernel held is gone. */
void helper_reboots(struct sim *s)
{
	struct helper *h = s->helper;

	helper_dies(s);
	h->bridge = false;
	things_drop(&h->taps);
	things_drop(&h->snapshots);
	things_drop(&h->jails);
}

void helper_begin(struct sim *s)
{
	struct helper *h = calloc(1, sizeof(*h));

	must(h);
	h->sim = s;
	h->up = true;
	TAILQ_INIT(&h->taps);
	TAILQ_INIT(&h->snapshots);
	TAILQ_INIT(&h->jails);
	TAILQ_INIT(&h->conns);
	TAILQ_INIT(&h->requests);
	s->helper = h;
}

void helper_end(struct sim *s)
{
	struct helper *h = take_ptr(&s->helper);

	while (!TAILQ_EMPTY(&h->conns))
		conn_free(TAILQ_FIRST(&h->conns), false);
	while (!TAILQ_EMPTY(&h->requests))
		request_free(TAILQ_FIRST(&h->requests));
	sim_forget(s, h);
	things_drop(&h->taps);
	things_drop(&h->snapshots);
	things_drop(&h->jails);
	free(h);
}
