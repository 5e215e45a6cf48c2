/*
 * fuzz/rpc.c - a connection that is fed anything: the first byte says how it is cut and how busy
 * the user is. Every letter is looked up, read by its shape, and answered, refused or left waiting.
 */
#include "tests/fuzz/fuzz.h"

#include "proto/proto.h"
#include "tests/lib/mem_chan.h"
#include "wire/rpc.h"

struct end {
	struct rpc *rpc;
	uint8_t mood;
	unsigned asked, answered, closed, turn;
	uint32_t held;
};

static void read_it(struct bytes method, struct bytes params, enum strictness strict,
	struct why *why)
{
	enum letter_id id = letter_by_method((const char *)method.p, method.n);
	struct arena a;
	void *obj;

	memset(why, 0, sizeof(*why));
	if (id == LETTER_COUNT) {
		fail(why, ERR_unknown_method, "no such method");
		return;
	}
	arena_init(&a, 0);
	obj = arena_take(&a, MAX(letter_kinds[id].in->size, 1u));
	must(obj);
	(void)!shape_read(letter_kinds[id].in, mp_over(params.p, params.n), strict, &a, obj, why);
	arena_done(&a);
}

static void on_request(void *ctx, uint32_t msgid, struct bytes method, struct bytes params)
{
	struct end *e = ctx;
	struct why why;

	must(!e->closed && method.n <= METHOD_BYTES_MAX);
	read_it(method, params, STRICT, &why);
	if (e->mood & 1 && msgid % 3 == 0) {
		e->held = msgid;
		return;
	}
	if (why.code)
		rpc_refuse(e->rpc, msgid, &why);
	else
		rpc_answer_packed(e->rpc, msgid, params);
	if (e->mood & 2 && msgid == 7)
		rpc_free(take_ptr(&e->rpc));
}

static void on_note(void *ctx, struct bytes method, struct bytes params)
{
	struct end *e = ctx;
	struct why why;

	read_it(method, params, LENIENT, &why);
	rpc_answer_packed(e->rpc, e->held, (struct bytes){ (const uint8_t *)"\x80", 1 });
}

static void on_closed(void *ctx, const struct why *why)
{
	struct end *e = ctx;

	must(!e->closed && (why->code == OK || why->text[0]));
	must(e->asked == e->answered);
	e->closed++;
	if (e->mood & 4)
		rpc_free(take_ptr(&e->rpc));
}

static bool full(void *ctx)
{
	struct end *e = ctx;

	return e->mood & 8 && ++e->turn % 5 == 0;
}

static void on_answer(void *ctx, const struct why *why, struct bytes result UNUSED)
{
	struct end *e = ctx;

	must(!why || why->text[0]);
	e->answered++;
	must(e->answered <= e->asked);
}

static const struct rpc_user user = {
	.request = on_request,
	.note = on_note,
	.closed = on_closed,
	.full = full,
};

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct end e = { .rpc = NULL };
	struct mem_chan m;
	size_t piece;

	if (n < 2)
		return 0;
	e.mood = p[0];
	piece = p[0] >> 4 ? p[0] >> 4 : n;
	mem_chan_init(&m, 0);
	e.rpc = rpc_new(&m.c, 4096, &user, &e);
	must(e.rpc);
	for (; e.asked < 3; e.asked++)
		must(rpc_ask(e.rpc, &letter_kinds[LETTER_ping], NULL, on_answer, &e, NULL) == OK);
	for (size_t at = 1; at < n && !m.closed; at += piece) {
		mem_chan_feed(&m, p + at, MIN(piece, n - at));
		if (e.rpc)
			rpc_resume(e.rpc);
		mem_chan_flush(&m);
	}
	mem_chan_end(&m);
	must(m.closed || e.closed);
	rpc_free(e.rpc);
	must(m.closed);
	mem_chan_done(&m);
	return 0;
}
