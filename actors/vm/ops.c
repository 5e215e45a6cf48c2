/*
 * ops.c - operations: who asked for what on which machine, how far it is, and how it ended.
 *
 * A machine runs one flow at a time. What arrives meanwhile either turns that flow back (stop or
 * delete of a machine that is being made or started) and waits for its end, or is refused.
 */
#include "base/log.h"
#include "base/text.h"
#include "actors/shared/notes.h"
#include "actors/vm/forwards.h"
#include "actors/vm/vm.h"

static void forget_due(void *ctx);

static void op_free(struct vmd *v, struct op *op)
{
	table_del(&v->ops, &op->by_id);
	TAILQ_REMOVE(&v->op_list, op, entry);
	free(op);
}

/* Forgets operations whose time is over; the list is in the order of beginning. */
static void forget_due(void *ctx)
{
	struct vmd *v = ctx;
	uint64_t now = world_now_ms(v->world), soonest = UINT64_MAX;
	struct op *op, *next;

	for (op = TAILQ_FIRST(&v->op_list); op; op = next) {
		next = TAILQ_NEXT(op, entry);
		if (op->state == op_state_running)
			continue;
		if (op->ended_ms + OP_KEPT_MS <= now)
			op_free(v, op);
		else
			soonest = MIN(soonest, op->ended_ms + OP_KEPT_MS);
	}
	if (soonest != UINT64_MAX)
		world_timer(v->world, &v->forget_ops, soonest - now, forget_due, v);
}

void op_forget_all(struct vmd *v)
{
	struct op *op;

	world_timer_stop(&v->forget_ops);
	while ((op = TAILQ_FIRST(&v->op_list)) != NULL)
		op_free(v, op);
}

/* Room for one more: the oldest finished one goes first. */
static bool make_room(struct vmd *v)
{
	struct op *op;

	if (v->ops.count < OPS_MAX)
		return true;
	TAILQ_FOREACH(op, &v->op_list, entry)
	if (op->state != op_state_running) {
		op_free(v, op);
		return true;
	}
	return false;
}

struct op *op_new(struct vmd *v, enum op_kind kind, struct machine *m, const struct letter *l,
	bool detach, struct why *why)
{
	struct op *op = make_room(v) ? calloc(1, sizeof(*op)) : NULL;

	if (!op) {
		fail(why, ERR_busy, "%d operations are under way", OPS_MAX);
		return NULL;
	}
	op->id = v->next_op++ << ID_MARK_BITS | ID_MARK_VM;
	op->kind = kind;
	op->client = detach ? 0 : l->client;
	op->listener = l->client;
	op->reply = l->reply;
	op->began_ms = world_now_ms(v->world);
	op->timeout_ms = UINT64_MAX;
	str_copy(op->vm, sizeof(op->vm), m->id);
	str_copy(op->name, sizeof(op->name), m->name);
	if (!table_add(&v->ops, &op->by_id, &op->id, sizeof(op->id))) {
		free(op);
		fail(why, ERR_no_memory, "no memory for an operation");
		return NULL;
	}
	TAILQ_INSERT_TAIL(&v->op_list, op, entry);
	return op;
}

struct op *op_find(struct vmd *v, uint64_t id)
{
	struct link *l = table_get(&v->ops, &id, sizeof(id));

	return l ? CONTAINER_OF(l, struct op, by_id) : NULL;
}

void op_stage_news(
	struct vmd *v, struct op *op, const char *stage, enum flow_news news, uint64_t ms)
{
	static const enum stage_state states[] = {
		[FLOW_STEP_BEGUN] = stage_state_begun,
		[FLOW_STEP_DONE] = stage_state_done,
		[FLOW_STEP_FAILED] = stage_state_failed,
		[FLOW_STEP_UNDONE] = stage_state_undone,
	};
	enum stage_state state = states[news];
	uint32_t i = 0;

	while (i < op->stages_n && !str_eq(op->stages[i].stage, stage))
		i++;
	if (i < COUNT(op->stages)) {
		op->stages[i].stage = stage;
		op->stages[i].state = state;
		if (news != FLOW_STEP_UNDONE)
			op->stages[i].ms = ms;
		op->stages_n = MAX(op->stages_n, i + 1);
	}
	note_stage(v->me, op->listener, op->id, stage, state, ms, NULL);
	note_event(v->me, v->world,
		&(struct event){ .kind = "op.stage",
			.vm = op->vm,
			.name = op->name,
			.op = op->id,
			.has_op = true,
			.stage = stage,
			.state = word_of(stage_state, state),
			.ms = ms,
			.has_ms = true });
}

static void answer_op(struct vmd *v, struct op *op, struct machine *m, const struct why *why)
{
	struct vm_info info;
	struct nothing none;

	if (op->reply.serial == 0)
		return;
	if (why) {
		refuse(v->me, op->reply, why);
	} else if (op->kind == OP_DELETE) {
		answer(v->me, op->reply, &none);
	} else {
		machine_info(m, false, &info);
		answer(v->me, op->reply, &info);
	}
	op->reply.serial = 0;
}

void op_finish(struct vmd *v, struct op *op, struct machine *m, const struct why *why)
{
	uint64_t now = world_now_ms(v->world);

	op->ended_ms = now;
	op->state = !why                       ? op_state_done :
		    why->code == ERR_cancelled ? op_state_cancelled :
						 op_state_failed;
	if (why)
		op->why = *why;
	note_done(v->me, op->listener, op->id, op->state, now - op->began_ms, op->vm, why);
	note_event(v->me, v->world,
		&(struct event){ .kind = "op.done",
			.vm = op->vm,
			.name = op->name,
			.op = op->id,
			.has_op = true,
			.state = word_of(op_state, op->state),
			.ms = now - op->began_ms,
			.has_ms = true,
			.detail = why ? why->text : NULL });
	answer_op(v, op, m, why);
	if (!v->forget_ops.w)
		forget_due(v);
}

/* ---- what runs on a machine ---- */

static uint64_t timeout_of(struct vmd *v, const struct op *op)
{
	if (op && op->timeout_ms != UINT64_MAX && op->kind != OP_STOP && op->kind != OP_RESTART)
		return op->timeout_ms;
	return v->env->config->boot_timeout_ms;
}

uint64_t op_time_left(const struct machine *m)
{
	uint64_t all = timeout_of(m->v, m->op), now = world_now_ms(m->v->world);
	uint64_t gone = now - m->flow.began_ms - m->clock_rested_ms;

	return all > gone ? all - gone : 0;
}

void op_clock(struct machine *m, bool runs)
{
	uint64_t now = world_now_ms(m->v->world);

	if (m->op && m->op->timeout_ms != UINT64_MAX)
		return; /* what the user says is the time of it all */
	if (runs && m->clock_stopped_ms)
		m->clock_rested_ms += now - m->clock_stopped_ms;
	m->clock_stopped_ms = runs ? 0 : now;
	flow_deadline(&m->flow, runs ? MAX(op_time_left(m), (uint64_t)1) : 0);
}

static void run_flow(struct vmd *v, struct op *op, struct machine *m, const struct flow_kind *kind)
{
	uint64_t id = op ? op->id : ID_MARK_VM;

	m->op = op;
	if (kind == &vm_start_flow || kind == &vm_create_flow)
		admit_promise(m, m->r.memory, m->promised_disk);
	m->flow.detach = !op || op->client == 0;
	m->clock_rested_ms = m->clock_stopped_ms = 0;
	flow_start(&m->flow, kind, &v->host, m, id, kind->forward_only ? 0 : timeout_of(v, op));
	machine_changed(m);
}

static void run_now(struct vmd *v, struct op *op, struct machine *m)
{
	enum op_kind kind = op ? op->kind : OP_START;

	switch (kind) {
	case OP_CREATE:
		run_flow(v, op, m, op->make_only ? &vm_make_flow : &vm_create_flow);
		return;
	case OP_START:
		if (!m->child) {
			run_flow(v, op, m, &vm_start_flow);
			return;
		}
		break;
	case OP_STOP:
	case OP_KILL:
		if (m->child) {
			run_flow(v, op, m, &vm_stop_flow);
			return;
		}
		break;
	case OP_RESTART:
		m->then_start = m->child != NULL;
		run_flow(v, op, m, m->child ? &vm_stop_flow : &vm_start_flow);
		return;
	case OP_DELETE:
		run_flow(v, op, m, &vm_delete_flow);
		return;
	case OP_KIND_COUNT:
		break;
	}
	op_finish(v, op, m, NULL); /* it is as it was wanted */
}

static bool turns_back(const struct machine *m, const struct op *op)
{
	bool ends = op->kind == OP_DELETE || op->kind == OP_STOP || op->kind == OP_KILL;

	return ends && !m->flow.kind->forward_only;
}

static void turn_back(struct machine *m, const struct why *why)
{
	if (m->on_probation)
		vm_probation_failed(m, why);
	else
		flow_cancel(&m->flow, why);
}

void op_begin(struct vmd *v, struct op *op, struct machine *m)
{
	struct why why;

	if (!flow_active(&m->flow) && !m->on_probation) {
		run_now(v, op, m);
		return;
	}
	if (op && !m->next_set && (turns_back(m, op) || op->kind == OP_DELETE) &&
		m->flow.kind != &vm_delete_flow) {
		m->next = op;
		m->next_set = true;
		fail(&why, ERR_cancelled, "cancelled by a %s of the machine",
			op->kind == OP_DELETE ? "delete" : "stop");
		turn_back(m, &why);
		return;
	}
	if (!op)
		return;
	fail(&why, ERR_conflict, "machine %s is %s", m->name, word_of(vm_state, machine_state(m)));
	fail_hint(&why, "wait with `banger vm wait %s`, or watch `banger events`", m->name);
	op_finish(v, op, m, &why);
}

void machine_delete_for(struct machine *m, struct op *op)
{
	struct vmd *v = m->v;
	struct why why;

	if (op) {
		op_begin(v, op, m);
		return;
	}
	if (!flow_active(&m->flow) && !m->on_probation) {
		run_flow(v, NULL, m, &vm_delete_flow);
		return;
	}
	if (m->flow.kind == &vm_delete_flow)
		return;
	if (m->next) {
		m->delete_due = true; /* whoever waits is to be answered first */
		return;
	}
	m->next_set = true;
	fail(&why, ERR_cancelled, "its client went away");
	turn_back(m, &why);
}

/* Undone, but its record may be on disk still: it keeps its name until that is gone as well. */
static void delete_again(struct vmd *v, struct machine *m, struct op *next)
{
	bool joins = next && next->kind == OP_DELETE;
	struct why why;

	run_flow(v, joins ? next : NULL, m, &vm_delete_flow);
	if (!next || joins)
		return;
	fail(&why, ERR_not_found, "machine %s is gone", m->name);
	op_finish(v, next, m, &why);
}

static void delete_when_due(struct machine *m)
{
	if (m->delete_due && !flow_active(&m->flow))
		run_flow(m->v, NULL, m, &vm_delete_flow);
}

/* The machine's flow is over: tell, then go on with what waited. */
void machine_flow_ended(struct machine *m)
{
	struct vmd *v = m->v;
	const struct flow *f = &m->flow;
	struct op *op = m->op, *next = m->next;
	bool next_set = m->next_set, then_start = m->then_start && f->kind == &vm_stop_flow;
	bool made = f->kind == &vm_create_flow || f->kind == &vm_make_flow;
	bool gone = f->kind == &vm_delete_flow || (made && f->failed);
	struct why why = f->why, *reason = f->failed ? &why : NULL;

	m->op = m->next = NULL;
	m->next_set = m->then_start = false;
	if (then_start) {
		m->next = next;
		m->next_set = next_set;
		run_flow(v, op, m, &vm_start_flow);
		return;
	}
	admit_promise(m, 0, 0);
	if (!m->child)
		forwards_close(m);
	if (!gone && m->stale)
		machine_write(m);
	m->stale = false;
	if (!gone)
		machine_changed(m);
	if (op)
		op_finish(v, op, m, reason);
	if (!gone && next_set && (!next || next->kind == OP_DELETE)) {
		run_flow(v, next, m, &vm_delete_flow);
		return;
	}
	if (!gone) {
		if (next_set)
			op_begin(v, next, m);
		delete_when_due(m);
		return;
	}
	if (f->unclosed) {
		delete_again(v, m, next);
		return;
	}
	note_event(v->me, v->world,
		&(struct event){ .kind = "vm.deleted", .vm = m->id, .name = m->name });
	if (next) {
		if (next->kind == OP_DELETE) {
			op_finish(v, next, m, NULL);
		} else {
			fail(&why, ERR_not_found, "machine %s is gone", m->name);
			op_finish(v, next, m, &why);
		}
	}
	machine_gone(m);
}
