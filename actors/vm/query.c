/*
 * query.c - questions that the guest's agent answers: health, ports, stats. Each has a deadline,
 * so a hung guest costs its asker an error and nobody else anything.
 */
#include "actors/vm/vm.h"

enum { QUERY_MS = 10000, STATS_MS = 3000 };

static enum letter_id agent_letter(enum letter_id id)
{
	return id == LETTER_vm_health ? LETTER_agent_health :
	       id == LETTER_vm_ports  ? LETTER_agent_ports :
					LETTER_agent_stats;
}

static void query_free(struct query *q)
{
	world_timer_stop(&q->deadline);
	TAILQ_REMOVE(&q->m->queries, q, entry);
	free(q);
}

/* The host's numbers are there whatever the guest says. */
static void answer_stats(struct machine *m, struct reply_to reply, struct guest_stats *guest)
{
	struct vm_stats s = { .guest = guest };

	machine_info(m, true, &s.vm);
	answer(m->v->me, reply, &s);
}

static void query_failed(struct query *q, const struct why *why)
{
	if (q->id == LETTER_vm_stats)
		answer_stats(q->m, q->reply, NULL);
	else
		refuse(q->m->v->me, q->reply, why);
	query_free(q);
}

static void answered(void *ctx, const struct why *why, struct bytes result)
{
	struct query *q = ctx;
	const struct shape *shape = letter_kinds[agent_letter(q->id)].out;
	struct arena a = { .max = 2 * MiB };
	void *body = why ? NULL : arena_take(&a, shape->size);
	struct why bad;

	if (!why && !body)
		fail(&bad, ERR_no_memory, "no memory for the agent's answer");
	if (why || !body ||
		shape_read(shape, mp_over(result.p, result.n), LENIENT, &a, body, &bad)) {
		query_failed(q, why ? why : &bad);
	} else if (q->id == LETTER_vm_stats) {
		answer_stats(q->m, q->reply, body);
		query_free(q);
	} else {
		answer(q->m->v->me, q->reply, body);
		query_free(q);
	}
	arena_done(&a);
}

static void too_late(void *ctx)
{
	struct query *q = ctx;
	struct why why;

	rpc_forget(q->m->link.rpc, q);
	fail(&why, ERR_timeout, "the agent of %s does not answer", q->m->name);
	fail_hint(&why, "see `banger vm logs %s`", q->m->name);
	query_failed(q, &why);
}

static struct machine *find(struct vmd *v, const struct letter *l, const char *ref)
{
	struct machine *m = machine_find(v, ref);
	struct why why;

	if (!m) {
		fail_field(&why, ERR_not_found, "vm", "no machine '%s'", ref);
		fail_hint(&why, "`banger vm list` shows the machines");
	} else if (link_up(m) || l->kind == LETTER_vm_stats) {
		return m;
	} else if (link_waits(m, l, query_agent)) {
		return NULL;
	} else {
		fail_field(&why, ERR_conflict, "vm", "machine %s is not running", m->name);
	}
	refuse(v->me, l->reply, &why);
	return NULL;
}

void query_agent(void *state, const struct letter *l, const void *body)
{
	struct vmd *v = state;
	struct machine *m = find(v, l, ((const struct vm_only *)body)->vm);
	struct nothing none;
	struct query *q;
	struct why why;

	if (!m)
		return;
	if (!link_up(m)) {
		answer_stats(m, l->reply, NULL);
		return;
	}
	q = calloc(1, sizeof(*q));
	if (!q) {
		fail(&why, ERR_no_memory, "no memory for a question to the agent");
		refuse(v->me, l->reply, &why);
		return;
	}
	*q = (struct query){ .m = m, .id = (enum letter_id)l->kind, .reply = l->reply };
	TAILQ_INSERT_TAIL(&m->queries, q, entry);
	if (rpc_ask(m->link.rpc, &letter_kinds[agent_letter(q->id)], &none, answered, q, &why))
		query_failed(q, &why);
	else
		world_timer(v->world, &q->deadline, q->id == LETTER_vm_stats ? STATS_MS : QUERY_MS,
			too_late, q);
}

void queries_end(struct machine *m, const struct why *why)
{
	struct query *q;

	while ((q = TAILQ_FIRST(&m->queries)) != NULL)
		query_failed(q, why);
}
