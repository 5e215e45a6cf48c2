/*
 * services.c - the step that ends when every service that the image requires is up (row B4).
 *
 * The agent looks; the time it gets ends a little before the flow's own, so that the failure says
 * which service is missing instead of which stage was slow.
 */
#include "actors/vm/vm.h"

#include "base/text.h"
#include "proto/check.h"

enum { MARGIN_MS = 1500, LEAST_MS = 200, COMMAND_MAX = 512 };

/* "sshd (port 22), opencode (port 4096)" */
static void name_them(struct buf *b, const struct agent_services_said *said)
{
	char name[SERVICE_NAME_MAX + 1];
	uint16_t port;

	for (uint32_t i = 0; i < said->down.n; i++)
		if (parse_service(said->down.v[i], strlen(said->down.v[i]), name, &port))
			buf_fmt(b, "%s%s (port %u)", b->n ? ", " : "", name, port);
}

static void not_up(struct machine *m, const struct agent_services_said *said, struct why *why)
{
	own_buf names = { .max = 1024 };
	char waited[32];
	bool one = said->down.n == 1;

	name_them(&names, said);
	show_duration(waited, sizeof(waited), m->services_ms);
	fail(why, ERR_timeout, "%s %s of %s %s not up after %s", one ? "service" : "services",
		buf_cstr(&names), m->name, one ? "is" : "are", waited);
	fail_hint(why,
		"see `banger vm logs %s`; --timeout gives more time, --no-services does not wait",
		m->name);
}

static void answered(void *ctx, const struct why *why, struct bytes result)
{
	struct arena a = { .max = 16 * KiB };
	struct agent_services_said said = { .down = { NULL, 0 } };
	struct machine *m = ctx;
	struct why bad;

	if (!why && shape_read(&shape_agent_services_said, mp_over(result.p, result.n), LENIENT, &a,
			    &said, &bad))
		why = &bad;
	if (!why && said.down.n > 0) {
		not_up(m, &said, &bad);
		why = &bad;
	}
	if (why)
		flow_fail(&m->flow, m->services_ticket, why);
	else
		flow_done(&m->flow, m->services_ticket);
	arena_done(&a);
}

/* An image without an init has its services from its own command. */
static bool command(const struct image_facts *f, const char **argv, struct agent_exec *ret)
{
	const struct image_config *c = &f->config;

	*ret = (struct agent_exec){
		.env = { c->env.v, c->env.n }, .cwd = c->workdir, .user = c->user, .early = true
	};
	for (uint32_t i = 0; i < c->entrypoint.n; i++)
		argv[ret->argv.n++] = c->entrypoint.v[i];
	for (uint32_t i = 0; i < c->cmd.n; i++)
		argv[ret->argv.n++] = c->cmd.v[i];
	ret->argv.v = argv;
	return f->init == init_kind_none && ret->argv.n > 0;
}

enum flow_said vm_await_services(void *owner UNUSED, struct flow *f)
{
	struct machine *m = f->subject;
	const struct image_facts *facts = m->use ? &m->use->facts : NULL;
	const char *argv[COMMAND_MAX];
	struct agent_exec serve;
	struct agent_services q = { .serve = &serve };
	uint64_t left = op_time_left(m);

	if (!facts || facts->config.services.n == 0 || (m->op && m->op->no_services))
		return FLOW_DONE;
	if (!link_up(m)) {
		fail(&f->why, ERR_guest_failed, "the agent of %s went away again", m->name);
		return FLOW_FAILED;
	}
	q.services.v = facts->config.services.v;
	q.services.n = facts->config.services.n;
	q.wait_ms = left > MARGIN_MS + LEAST_MS ? left - MARGIN_MS : LEAST_MS;
	if (!command(facts, argv, &serve))
		q.serve = NULL;
	m->services_ms = q.wait_ms;
	m->services_ticket = flow_ticket(f);
	if (rpc_ask(m->link.rpc, &letter_kinds[LETTER_agent_services], &q, answered, m, &f->why))
		return FLOW_FAILED;
	return FLOW_WAIT;
}
