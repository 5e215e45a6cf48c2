/*
 * query.c - questions that the guest's agent answers: health, ports, stats, ssh, where. Each has a
 * deadline, so a hung guest costs its asker an error and nobody else anything.
 */
#include "actors/vm/vm.h"

enum {
	QUERY_MS = 10000,
	STATS_MS = 3000,
	SSH_MS = 75000 /* the agent waits for the image's init before it touches a home */
};

static enum letter_id agent_letter(enum letter_id id)
{
	return id == LETTER_vm_health   ? LETTER_agent_health :
	       id == LETTER_vm_ports    ? LETTER_agent_ports :
	       id == LETTER_vm_ssh      ? LETTER_agent_ssh :
	       id == LETTER_space_where ? LETTER_agent_where :
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

static void answer_ssh(struct machine *m, struct reply_to reply, const struct agent_ssh_said *a)
{
	struct vm_ssh_said s = { .id = m->id,
		.name = m->name,
		.user = a->user,
		.server = a->server,
		.listens = a->listens,
		.init = a->init };

	s.host_keys.v = a->host_keys.v;
	s.host_keys.n = a->host_keys.n;
	answer(m->v->me, reply, &s);
}

static void query_failed(struct query *q, const struct why *why)
{
	struct why older;

	if (why->code == ERR_unknown_method) {
		fail(&older, ERR_unsupported, "the agent of %s is of an older build", q->m->name);
		fail_hint(
			&older, "`banger vm restart %s` boots it with the present one", q->m->name);
		why = &older;
	}
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
	} else if (q->id == LETTER_vm_ssh) {
		answer_ssh(q->m, q->reply, body);
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

static uint64_t patience(enum letter_id id)
{
	return id == LETTER_vm_stats                           ? STATS_MS :
	       id == LETTER_vm_ssh || id == LETTER_space_where ? SSH_MS :
								 QUERY_MS;
}

static void begin(struct machine *m, const struct letter *l, const void *body)
{
	struct query *q = calloc(1, sizeof(*q));
	struct why why;

	if (!q) {
		fail(&why, ERR_no_memory, "no memory for a question to the agent");
		refuse(m->v->me, l->reply, &why);
		return;
	}
	*q = (struct query){ .m = m, .id = (enum letter_id)l->kind, .reply = l->reply };
	TAILQ_INSERT_TAIL(&m->queries, q, entry);
	if (rpc_ask(m->link.rpc, &letter_kinds[agent_letter(q->id)], body, answered, q, &why))
		query_failed(q, &why);
	else
		world_timer(m->v->world, &q->deadline, patience(q->id), too_late, q);
}

/* Every question begins with its machine. */
void query_agent(void *state, const struct letter *l, const void *body)
{
	struct vmd *v = state;
	struct machine *m = find(v, l, ((const struct vm_only *)body)->vm);
	struct agent_ssh x = { NULL, NULL };
	struct agent_where w = { NULL, NULL };
	struct nothing none;
	struct why why;

	if (!m)
		return;
	if (!link_up(m)) {
		answer_stats(m, l->reply, NULL);
		return;
	}
	if (l->kind == LETTER_space_where) {
		w.dest = ((const struct space_where *)body)->dest;
		w.user = m->use ? m->use->facts.config.user : NULL;
		begin(m, l, &w);
		return;
	}
	if (l->kind != LETTER_vm_ssh) {
		begin(m, l, &none);
		return;
	}
	x.ssh_key = ((const struct vm_ssh *)body)->ssh_key;
	x.user = m->use ? m->use->facts.config.user : NULL;
	if (machine_set_ssh_key(m, x.ssh_key, &why))
		refuse(v->me, l->reply, &why);
	else
		begin(m, l, &x);
}

void queries_end(struct machine *m, const struct why *why)
{
	struct query *q;

	while ((q = TAILQ_FIRST(&m->queries)) != NULL)
		query_failed(q, why);
}
