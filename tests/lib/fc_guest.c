/*
 * fc_guest.c - the least agent that the daemon takes for one. Programs and copies are refused.
 */
#include "tests/lib/fc_guest.h"

#include "base/build.h"
#include "proto/proto.h"
#include "wire/mark.h"
#include "wire/rpc.h"

struct fc_guest {
	struct chan *chan;
	struct rpc *rpc;
	struct mark_finder finder;
	fc_guest_down_fn *down;
	void *ctx;
};

static void guest_free(struct fc_guest *g)
{
	chan_close(g->chan);
	rpc_free(g->rpc);
	free(g);
}

static struct version own_version(void)
{
	return (struct version){ build_version, build_commit, build_time_ms };
}

static const void *result_of(enum letter_id id, struct vm_health *health, struct vm_ports *ports,
	struct guest_stats *stats)
{
	static struct nothing none;

	*health = (struct vm_health){ .ok = true,
		.uptime_ms = 1000,
		.init = init_kind_none,
		.mounted = true,
		.processes = 1,
		.agent = own_version(),
		.kernel = "double",
		.hostname = "double" };
	*ports = (struct vm_ports){ { NULL, 0 } };
	*stats = (struct guest_stats){ .uptime_ms = 1000, .memory = GiB, .memory_used = MiB };
	if (id == LETTER_agent_health)
		return health;
	if (id == LETTER_agent_ports)
		return ports;
	if (id == LETTER_agent_stats)
		return stats;
	return id == LETTER_agent_clock || id == LETTER_agent_shutdown ? &none : NULL;
}

static void on_request(void *ctx, uint32_t msgid, struct bytes method, struct bytes params)
{
	enum letter_id id = letter_by_method((const char *)method.p, method.n);
	struct fc_guest *g = ctx;
	struct vm_health health;
	struct vm_ports ports;
	struct guest_stats stats;
	struct agent_shutdown down = { .reboot = false };
	const void *result = result_of(id, &health, &ports, &stats);
	struct arena a = { .max = 64 * KiB };
	struct why why;

	if (!result) {
		fail(&why, ERR_unsupported, "this guest runs no programs");
		rpc_refuse(g->rpc, msgid, &why);
		return;
	}
	if (id == LETTER_agent_shutdown &&
		shape_read(&shape_agent_shutdown, mp_over(params.p, params.n), STRICT, &a, &down,
			&why))
		fprintf(stderr, "agent.shutdown not understood: %s\n", why.text);
	arena_done(&a);
	if (rpc_answer(g->rpc, msgid, &letter_kinds[id], result, &why))
		fprintf(stderr, "no answer: %s\n", why.text);
	if (id == LETTER_agent_shutdown)
		g->down(g->ctx, down.reboot);
}

static void on_closed(void *ctx, const struct why *why UNUSED)
{
	guest_free(ctx);
}

static void on_note(void *ctx UNUSED, struct bytes method UNUSED, struct bytes params UNUSED)
{
}

static const struct rpc_user rpc_user = {
	.request = on_request,
	.note = on_note,
	.closed = on_closed,
};

static size_t find_opening(void *ctx, const uint8_t *p, size_t n)
{
	struct fc_guest *g = ctx;
	uint8_t nonce[NONCE_BYTES], opening[OPENING_BYTES];
	struct agent_hello hello = { .version = own_version(),
		.boot_id = "double",
		.kernel = "double",
		.init = init_kind_none,
		.boot_ms = 1 };
	bool found;
	size_t used = mark_find(&g->finder, p, n, &found, nonce);
	struct why why;

	if (!found)
		return used;
	mark_opening(opening, nonce);
	chan_write(g->chan, opening, sizeof(opening));
	g->rpc = rpc_new(g->chan, FRAME_BYTES_MAX, &rpc_user, g);
	if (!g->rpc) {
		guest_free(g);
		return used;
	}
	g->chan = NULL;
	if (rpc_note(g->rpc, &letter_kinds[LETTER_agent_hello], &hello, &why))
		fprintf(stderr, "no hello: %s\n", why.text);
	return used;
}

static const struct chan_user opening_user = { find_opening, NULL, on_closed };

void fc_guest_serve(struct chan *c, fc_guest_down_fn *down, void *ctx)
{
	struct fc_guest *g = calloc(1, sizeof(*g));

	must(g);
	*g = (struct fc_guest){ .chan = c, .down = down, .ctx = ctx };
	chan_user_set(c, &opening_user, g);
}
