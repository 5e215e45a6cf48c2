/*
 * vm.c - the vm actor: machines from making to deletion, and everything a client may ask of one.
 *
 * What it is for: to keep "wanted" (the record) and "there" (the host) the same, and to let clients
 * into the guests. How a machine is made is in flows.c, what a restart finds in recover.c,
 * streams in sessions.c. Never touches a file or process but through the world.
 */
#include "actors/vm/forwards.h"
#include "actors/vm/vm.h"

#include "actors/shared/notes.h"
#include "base/log.h"
#include "base/text.h"

/* ---- state: vm.h ---- */

void vm_no_such(struct vmd *v, const struct letter *l, const char *ref)
{
	struct why why;

	fail_field(&why, ERR_not_found, "vm", "no machine '%s'", ref);
	fail_hint(&why, "`banger vm list` shows the machines");
	refuse(v->me, l->reply, &why);
}

/* ---- letters in: creation ---- */

static bool no_boot(const struct vm_create *q)
{
	return q->has_start && !q->start;
}

enum err vm_check_name(struct vmd *v, const struct vm_create *q, struct why *why)
{
	if (v->by_id.count >= MACHINES_MAX)
		return fail(why, ERR_busy, "%d machines exist, one more is refused", MACHINES_MAX);
	if (q->name && machine_find(v, q->name)) {
		fail_field(why, ERR_exists, "name", "a machine '%s' exists", q->name);
		return fail_hint(why,
			"delete it with `banger vm delete %s`, or choose another name", q->name);
	}
	return OK;
}

static enum err check_create(
	struct vmd *v, const struct vm_create *q, struct vm_record *r, struct why *why)
{
	if (vm_check_name(v, q, why) || vmm_choose(v, r, why))
		return why->code;
	if (q->has_force && q->force)
		return OK;
	if (!no_boot(q) && admit_memory(v, r->memory, why))
		return why->code;
	return admit_disk(v, q->has_disk ? r->disk : 0, why);
}

void vm_record_from(
	struct vmd *v, const struct vm_create *q, char id[11], char name[64], struct vm_record *r)
{
	const struct config *c = v->env->config;

	id_generate(v, id);
	if (q->name)
		str_copy(name, 64, q->name);
	else
		name_generate(v, name);
	*r = (struct vm_record){
		.id = id,
		.name = name,
		.image = q->image ? q->image : c->default_image,
		.kernel = q->kernel,
		.driver = q->has_driver ? q->driver : c->driver,
		.accel = q->has_accel ? q->accel : c->accel,
		.net = q->has_net ? q->net : c->net,
		.layer = q->has_layer ? q->layer : c->layer,
		.vcpus = q->has_vcpus ? q->vcpus : c->vcpus,
		.memory = (q->has_memory ? q->memory : c->memory) & ~(uint64_t)(2 * MiB - 1),
		.disk = q->has_disk ? q->disk : c->disk,
		.rm = q->has_rm && q->rm,
		.created = world_unix_ms(v->world),
		.ssh_key = q->ssh_key,
		.publish = { q->publish.v, q->publish.n },
	};
}

static void on_create(void *state, const struct letter *l, const void *body)
{
	const struct vm_create *q = body;
	struct vmd *v = state;
	struct vm_record r;
	struct machine *m;
	struct vm_begun begun;
	struct op *op;
	char id[11], name[64];
	struct why why;

	vm_record_from(v, q, id, name, &r);
	if (check_create(v, q, &r, &why)) {
		refuse(v->me, l->reply, &why);
		return;
	}
	m = machine_new(v, &r, &why);
	if (m)
		machine_give_address(m);
	op = m && (no_boot(q) || forwards_open(m, &why) == OK) ?
		     op_new(v, OP_CREATE, m, l, q->has_detach && q->detach, &why) :
		     NULL;
	if (!op) {
		if (m)
			machine_free(m);
		refuse(v->me, l->reply, &why);
		return;
	}
	m->owner = r.rm ? l->client : 0;
	admit_promise(m, 0, q->has_disk ? r.disk : 0);
	m->disk_by_default = !q->has_disk;
	op->reply.serial = 0; /* answered now; the end is told by op.done */
	op->make_only = no_boot(q);
	op->no_services = q->has_no_services && q->no_services;
	op->force = q->has_force && q->force;
	op->offline = q->has_offline && q->offline;
	if (q->has_timeout_ms)
		op->timeout_ms = q->timeout_ms;
	begun = (struct vm_begun){ op->id, m->id, m->name };
	answer(v->me, l->reply, &begun);
	log_line(LOG_INFO, "vm", "create", "vm", m->id, "name", m->name, "image", r.image, "client",
		log_u64(l->client).s, NULL);
	op_begin(v, op, m);
}

static void on_create_status(void *state, const struct letter *l, const void *body)
{
	const struct op_ref *q = body;
	struct vmd *v = state;
	struct op *op = op_find(v, q->op);
	struct stage_info stages[FLOW_STEPS_MAX];
	struct vm_create_status s;
	struct error error;
	struct why why;

	if (!op) {
		fail_field(&why, ERR_not_found, "op", "no operation %llu (kept for 10 minutes)",
			(unsigned long long)q->op);
		refuse(v->me, l->reply, &why);
		return;
	}
	s = (struct vm_create_status){ .op = op->id,
		.state = op->state,
		.vm = op->vm,
		.name = op->name,
		.ms = (op->state == op_state_running ? world_now_ms(v->world) : op->ended_ms) -
		      op->began_ms };
	for (uint32_t i = 0; i < op->stages_n; i++)
		stages[i] = (struct stage_info){ op->stages[i].stage, op->stages[i].state,
			op->stages[i].ms };
	s.stages.v = stages;
	s.stages.n = op->stages_n;
	error = error_of(&op->why);
	s.error = op->why.code ? &error : NULL;
	answer(v->me, l->reply, &s);
}

/* ---- letters in: life ---- */

static void begin_op(struct vmd *v, const struct letter *l, enum op_kind kind,
	const struct vm_start *how)
{
	struct machine *m = machine_find(v, how->vm);
	struct op *op;
	struct why why;

	if (!m) {
		vm_no_such(v, l, how->vm);
		return;
	}
	op = op_new(v, kind, m, l, how->has_detach && how->detach, &why);
	if (!op) {
		refuse(v->me, l->reply, &why);
		return;
	}
	if (how->has_timeout_ms)
		op->timeout_ms = how->timeout_ms;
	op->no_services = how->has_no_services && how->no_services;
	op_begin(v, op, m);
}

static void on_start(void *state, const struct letter *l, const void *body)
{
	const struct vm_start *q = body;
	struct vmd *v = state;
	struct machine *m = machine_find(v, q->vm);
	struct why why;

	if (m && machine_set_ssh_key(m, q->ssh_key, &why)) {
		refuse(v->me, l->reply, &why);
		return;
	}
	begin_op(v, l, OP_START, q);
}

static void end_op(struct vmd *v, const struct letter *l, enum op_kind kind,
	const struct vm_stop *q)
{
	struct vm_start how = { .vm = q->vm, .timeout_ms = q->timeout_ms,
		.has_timeout_ms = q->has_timeout_ms };

	begin_op(v, l, kind, &how);
}

static void on_stop(void *state, const struct letter *l, const void *body)
{
	end_op(state, l, OP_STOP, body);
}

static void on_kill(void *state, const struct letter *l, const void *body)
{
	struct vm_start how = { .vm = ((const struct vm_only *)body)->vm, .has_timeout_ms = true };

	begin_op(state, l, OP_KILL, &how);
}

static void on_restart(void *state, const struct letter *l, const void *body)
{
	end_op(state, l, OP_RESTART, body);
}

static void on_delete(void *state, const struct letter *l, const void *body)
{
	const struct vm_delete *q = body;
	struct vm_start how = { .vm = q->vm };
	struct vmd *v = state;
	struct machine *m = machine_find(v, q->vm);
	struct why why;

	if (m && q->has_stopped && q->stopped && machine_state(m) != vm_state_stopped) {
		fail_field(&why, ERR_conflict, "vm", "machine %s is %s", m->name,
			word_of(vm_state, machine_state(m)));
		refuse(v->me, l->reply, &why);
		return;
	}
	begin_op(state, l, OP_DELETE, &how);
}

static void on_cancel(void *state, const struct letter *l, const void *body)
{
	const struct op_cancel *q = body;
	struct vmd *v = state;
	struct op *op = op_find(v, q->op);
	struct machine *m = op ? machine_find(v, op->vm) : NULL;
	struct nothing none;
	struct why why;

	if (!op) {
		fail_field(
			&why, ERR_not_found, "op", "no operation %llu", (unsigned long long)q->op);
		refuse(v->me, l->reply, &why);
		return;
	}
	if (m && m->op == op) {
		fail(&why, ERR_cancelled, "cancelled");
		flow_cancel(&m->flow, &why);
	}
	answer(v->me, l->reply, &none);
}

/* ---- letters in: looking (list and show: look.c) ---- */

static void on_logs(void *state, const struct letter *l, const void *body)
{
	session_logs(state, l, body);
}

/* ---- letters in: waiting ---- */

static void wait_over(void *ctx)
{
	struct waiter *w = ctx;
	struct why why;

	fail(&why, ERR_timeout, "machine %s is not %s yet", w->vm, word_of(wait_for, w->until));
	refuse(w->v->me, w->reply, &why);
	TAILQ_REMOVE(&w->v->waiters, w, entry);
	free(w);
}

static void on_wait(void *state, const struct letter *l, const void *body)
{
	const struct vm_wait *q = body;
	struct vmd *v = state;
	struct machine *m = machine_find(v, q->vm);
	struct waiter *w;
	struct why why;

	if (!m) {
		vm_no_such(v, l, q->vm);
		return;
	}
	w = calloc(1, sizeof(*w));
	if (!w) {
		fail(&why, ERR_no_memory, "no memory to wait");
		refuse(v->me, l->reply, &why);
		return;
	}
	w->v = v;
	w->until = q->has_until ? q->until : wait_for_running;
	w->client = l->client;
	w->reply = l->reply;
	str_copy(w->vm, sizeof(w->vm), m->id);
	TAILQ_INSERT_TAIL(&v->waiters, w, entry);
	world_timer(
		v->world, &w->deadline, q->has_timeout_ms ? q->timeout_ms : 600000, wait_over, w);
	machine_tell_waiters(m);
}

void machine_gone(struct machine *m)
{
	struct vmd *v = m->v;
	struct waiter *w, *next;

	must(!m->named);
	for (w = TAILQ_FIRST(&v->waiters); w; w = next) {
		struct vm_waited is = { m->id, NULL };
		struct why why;

		next = TAILQ_NEXT(w, entry);
		if (!str_eq(w->vm, m->id))
			continue;
		fail(&why, ERR_not_found, "machine %s was deleted", m->name);
		if (w->until == wait_for_deleted)
			answer(v->me, w->reply, &is);
		else
			refuse(v->me, w->reply, &why);
		world_timer_stop(&w->deadline);
		TAILQ_REMOVE(&v->waiters, w, entry);
		free(w);
	}
	machine_free(m);
}

/* ---- letters in: clients that go, counts ---- */

static void drop_waiters(struct vmd *v, uint64_t client)
{
	struct waiter *w, *next;

	for (w = TAILQ_FIRST(&v->waiters); w; w = next) {
		next = TAILQ_NEXT(w, entry);
		if (w->client != client)
			continue;
		world_timer_stop(&w->deadline);
		TAILQ_REMOVE(&v->waiters, w, entry);
		free(w);
	}
}

/* Its operations are cancelled (stops and deletions go on), and what it asked to be removed with it
 * goes (rows B1, B8). */
static void client_left(struct machine *m, uint64_t client)
{
	struct why why;

	if (m->next && m->next->client == client)
		m->next->client = 0;
	if (m->next && m->next->listener == client)
		m->next->listener = 0;
	if (m->op && m->op->listener == client)
		m->op->listener = 0;
	if (m->op && m->op->client == client) {
		m->op->client = 0;
		fail(&why, ERR_cancelled, "the client that began it went away");
		flow_cancel(&m->flow, &why);
	}
	if (m->owner == client) {
		m->owner = 0;
		machine_delete_for(m, NULL);
	}
}

static void on_client_gone(void *state, const struct letter *l UNUSED, const void *body)
{
	const struct client_gone *gone = body;
	struct vmd *v = state;
	struct link *k, *next;

	drop_waiters(v, gone->client);
	sessions_client_gone(v, gone->client);
	for (k = table_next(&v->by_id, NULL); k; k = next) {
		struct machine *m = CONTAINER_OF(k, struct machine, by_id);

		next = table_next(&v->by_id, k);
		client_left(m, gone->client);
	}
}

static void answer_counts(struct vmd *v, struct reply_to reply)
{
	struct gate_counts n = { .machines = v->by_id.count };

	for (struct link *k = table_next(&v->by_id, NULL); k; k = table_next(&v->by_id, k))
		n.running += CONTAINER_OF(k, struct machine, by_id)->child != NULL;
	answer(v->me, reply, &n);
}

static void on_counts(void *state, const struct letter *l, const void *body UNUSED)
{
	struct vmd *v = state;

	if (v->loaded)
		answer_counts(v, l->reply);
	else
		v->counts_due = l->reply;
}

void vm_loaded(struct vmd *v)
{
	v->loaded = true;
	if (v->counts_due.serial)
		answer_counts(v, v->counts_due);
}

/* ---- class ---- */

static enum err vm_open(void *state, struct actor *me, void *env, struct why *why)
{
	struct vmd *v = state;
	uint64_t seeds[7];

	v->me = me;
	v->env = env;
	v->world = v->env->world;
	world_random(v->world, seeds, sizeof(seeds));
	table_init(&v->by_id, seeds[0]);
	table_init(&v->by_name, seeds[1]);
	table_init(&v->by_serial, seeds[2]);
	table_init(&v->ops, seeds[3]);
	table_init(&v->sessions, seeds[4]);
	table_init(&v->images, seeds[5]);
	table_init(&v->by_address, seeds[6]);
	TAILQ_INIT(&v->op_list);
	TAILQ_INIT(&v->waiters);
	TAILQ_INIT(&v->listings);
	TAILQ_INIT(&v->preflights);
	/* ids of an earlier daemon are in the past; they stay below 2^53 for JSON's sake */
	v->next_op = world_unix_ms(v->world);
	v->next_stream = 1;
	vm_flow_host_init(v);
	if (world_mkdir(v->world, STATE, "vm", why) || world_mkdir(v->world, RUNTIME, "vm", why))
		return why->code;
	if (world_clock_watch(v->world, link_set_clocks, v, why))
		return why->code;
	vm_load(v);
	return OK;
}

static void vm_close(void *state)
{
	struct vmd *v = state;
	struct waiter *w;
	struct link *k;

	while ((k = table_next(&v->by_id, NULL)) != NULL)
		machine_free(CONTAINER_OF(k, struct machine, by_id));
	while ((w = TAILQ_FIRST(&v->waiters)) != NULL) {
		TAILQ_REMOVE(&v->waiters, w, entry);
		world_timer_stop(&w->deadline);
		free(w);
	}
	op_forget_all(v);
	look_end(v);
	preflights_end(v);
	(void)!world_clock_watch(v->world, NULL, NULL, NULL);
	world_timer_stop(&v->fills);
	world_timer_stop(&v->jails_again);
	vm_load_done(v);
	free(v->in_order);
	table_done(&v->by_id);
	table_done(&v->by_name);
	table_done(&v->by_serial);
	table_done(&v->ops);
	table_done(&v->sessions);
	table_done(&v->images);
	table_done(&v->by_address);
}

static void vm_turn(void *state)
{
	struct vmd *v = state;

	if (!v->held || mail_full(v->me, GATE_BIT))
		return;
	v->held = 0;
	for (struct link *k = table_next(&v->by_id, NULL); k; k = table_next(&v->by_id, k)) {
		struct machine *m = CONTAINER_OF(k, struct machine, by_id);

		if (m->link.rpc)
			rpc_resume(m->link.rpc);
	}
}

static void vm_verify(const void *state)
{
	const struct vmd *v = state;
	uint64_t memory = 0, disk = 0;
	uint32_t passages = 0, views = 0;

	must(v->by_id.count == v->by_name.count && v->by_id.count == v->by_serial.count);
	must(v->by_id.count == v->in_order_n);
	for (uint32_t i = 1; i < v->in_order_n; i++)
		must(strcmp(v->in_order[i - 1]->id, v->in_order[i]->id) < 0);
	must(v->by_address.count <= v->by_id.count);
	for (const struct link *k = table_next(&v->by_id, NULL); k; k = table_next(&v->by_id, k)) {
		const struct machine *m = CONTAINER_OF(k, struct machine, by_id);
		const struct session *s;
		uint32_t n = 0, here = 0;

		TAILQ_FOREACH(s, &m->sessions, entry)
		{
			n++;
			here += s->chan != NULL;
		}
		must(n == m->sessions_n && here == m->passages_n);
		passages += here;
		views += m->view.asked;
		memory += m->promised_memory;
		disk += m->promised_disk;
		must(!m->link.hello || m->link.rpc);
		must(!m->link.rpc || m->child);
		must(!m->named || m->child);
		must(!m->op || m->op->state == op_state_running);
		must(!m->op || flow_active(&m->flow));
	}
	must(passages == v->passages_n && views == v->views_due);
	must(memory == v->promised_memory && disk == v->promised_disk);
}

static const struct handler handlers[] = {
	{ LETTER_vm_create_begin, on_create },
	{ LETTER_vm_create_status, on_create_status },
	{ LETTER_vm_preflight, vm_preflight },
	{ LETTER_vm_start, on_start },
	{ LETTER_vm_stop, on_stop },
	{ LETTER_vm_kill, on_kill },
	{ LETTER_vm_restart, on_restart },
	{ LETTER_vm_delete, on_delete },
	{ LETTER_vm_set, vm_set },
	{ LETTER_vm_list, look_list },
	{ LETTER_vm_show, look_show },
	{ LETTER_vm_exec, session_exec },
	{ LETTER_vm_put, session_put },
	{ LETTER_vm_get, session_get },
	{ LETTER_vm_dial, session_dial },
	{ LETTER_space_where, query_agent },
	{ LETTER_space_put, session_space },
	{ LETTER_space_survey, session_space },
	{ LETTER_space_pick, session_space },
	{ LETTER_vm_ssh, query_agent },
	{ LETTER_vm_logs, on_logs },
	{ LETTER_vm_wait, on_wait },
	{ LETTER_vm_health, query_agent },
	{ LETTER_vm_ports, query_agent },
	{ LETTER_vm_stats, query_agent },
	{ LETTER_doctor_look, vm_on_look },
	{ LETTER_vm_explain, vm_on_explain },
	{ LETTER_op_cancel, on_cancel },
	{ LETTER_stream_data, session_from_client },
	{ LETTER_stream_credit, session_from_client },
	{ LETTER_stream_resize, session_from_client },
	{ LETTER_stream_signal, session_from_client },
	{ LETTER_client_gone, on_client_gone },
	{ LETTER_vm_counts, on_counts },
	{ 0, NULL },
};

const struct actor_class vm_actor = {
	.name = "vm",
	.state = sizeof(struct vmd),
	.mail = 8192,
	.on = handlers,
	.open = vm_open,
	.close = vm_close,
	.turn = vm_turn,
	.verify = vm_verify,
};
