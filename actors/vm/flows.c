/*
 * flows.c - what happens to a machine, as tables of steps: make, start, stop, delete.
 *
 * Every undo needs only the record and takes "not there" for done. A step's name is what the user
 * sees as a stage.
 */
#include "base/log.h"
#include "actors/shared/records.h"
#include "actors/vm/vm.h"

enum {
	HOLD_MS = 900000, /* a kernel may have to be fetched first */
	WRITE_MS = 60000
};

uint64_t vm_late_name(const struct machine *m, const struct flow *f)
{
	return (uint64_t)m->serial << 32 | flow_ticket(f);
}

struct machine *vm_awaited(struct vmd *v, uint64_t ctx)
{
	struct machine *m = machine_by_serial(v, (uint32_t)(ctx >> 32));

	return m && flow_ticket(&m->flow) == (uint32_t)ctx ? m : NULL;
}

void vm_step_answered(void *state, uint64_t ctx, const struct why *why, const void *result UNUSED,
	struct arena *arena UNUSED)
{
	struct machine *m = vm_awaited(state, ctx);

	if (m && why)
		flow_fail(&m->flow, (uint32_t)ctx, why);
	else if (m)
		flow_done(&m->flow, (uint32_t)ctx);
}

/* ---- image: take what it boots from ---- */

static bool is_offline(const struct machine *m)
{
	return m->op && m->op->offline;
}

static void hold_answered(struct machine *m, uint64_t ctx, const struct why *why)
{
	if (why)
		flow_fail(&m->flow, (uint32_t)ctx, why);
	else if (--m->holds_due == 0) {
		op_clock(m, true);
		flow_done(&m->flow, (uint32_t)ctx);
	}
}

static void kernel_held(void *state, uint64_t ctx, const struct why *why, const void *result,
	struct arena *arena UNUSED)
{
	struct machine *m = vm_awaited(state, ctx);

	if (!m)
		return;
	if (!why)
		machine_set_kernel(m, result);
	hold_answered(m, ctx, why);
}

/* The kernel that was asked for, else the image's own, else the default. */
static void take_kernel(struct machine *m, const char *of_image)
{
	const char *usual = of_image ? of_image : m->v->env->config->default_kernel;
	struct kernel_hold kernel = { .vm = m->id,
		.kernel = m->r.kernel ? m->r.kernel : usual,
		.offline = is_offline(m),
		.has_offline = is_offline(m) };

	ask(m->v->me, LETTER_kernel_hold, &kernel, HOLD_MS, kernel_held, vm_late_name(m, &m->flow));
}

static void image_held(void *state, uint64_t ctx, const struct why *why, const void *result,
	struct arena *arena UNUSED)
{
	const struct image_held *held = result;
	struct machine *m = vm_awaited(state, ctx);
	struct why problem;

	if (!m)
		return;
	if (!why && machine_set_image(m, held, &problem))
		why = &problem;
	if (!why && !m->r.made)
		take_kernel(m, held->kernel);
	hold_answered(m, ctx, why);
}

/* A machine that was made keeps the image and kernel it has, also when their names moved on. */
static enum flow_said take_image(void *owner UNUSED, struct flow *f)
{
	struct machine *m = f->subject;
	struct image_hold image = { .vm = m->id };
	struct kernel_hold kernel = { .vm = m->id };

	if (m->r.made) {
		image.id = m->image_id;
		kernel.id = m->kernel_id;
		ask(m->v->me, LETTER_kernel_hold, &kernel, HOLD_MS, kernel_held,
			vm_late_name(m, f));
	} else {
		image.image = m->r.image;
		image.ssh_key = m->r.ssh_key;
		image.offline = image.has_offline = is_offline(m);
		image.client = m->op ? m->op->listener : 0;
		image.has_client = image.client > 0;
		image.op = m->op ? m->op->id : 0;
		image.has_op = image.op > 0;
		op_clock(m, false); /* a download takes as long as the network makes it */
	}
	m->holds_due = 2;
	ask(m->v->me, LETTER_image_hold, &image, HOLD_MS, image_held, vm_late_name(m, f));
	return FLOW_WAIT;
}

static void dropped(void *state, uint64_t ctx, const struct why *why, const void *result UNUSED,
	struct arena *arena UNUSED)
{
	struct machine *m = vm_awaited(state, ctx);

	if (m)
		hold_answered(m, ctx, why);
}

static enum flow_said release_image(void *owner UNUSED, struct flow *f)
{
	struct machine *m = f->subject;
	struct image_drop drop = { m->id };

	m->holds_due = 2;
	ask(m->v->me, LETTER_image_drop, &drop, HOLD_MS, dropped, vm_late_name(m, f));
	ask(m->v->me, LETTER_kernel_drop, &drop, HOLD_MS, dropped, vm_late_name(m, f));
	return FLOW_WAIT;
}

/* ---- disk ---- */

static enum flow_said make_disks(void *owner UNUSED, struct flow *f)
{
	struct machine *m = f->subject;
	char dir[64];

	machine_dir(m, dir, sizeof(dir), "");
	if (world_mkdir(m->v->world, STATE, dir, &f->why))
		return FLOW_FAILED;
	return layer_make(m, f);
}

enum flow_said vm_remove_disks(struct machine *m)
{
	struct why why;
	char dir[64];

	machine_dir(m, dir, sizeof(dir), "");
	if (world_remove(m->v->world, STATE, dir, &why) == OK &&
		world_remove(m->v->world, RUNTIME, dir, &why) == OK)
		return FLOW_DONE;
	log_line(LOG_WARN, "vm", "files left behind", "vm", m->id, "why", why.text, NULL);
	return FLOW_FAILED;
}

static enum flow_said drop_disks(void *owner UNUSED, struct flow *f)
{
	return layer_stop(f->subject, f) ? FLOW_WAIT : dm_drop(f->subject, flow_ticket(f));
}

/* ---- machine ---- */

static enum flow_said launch_vmm(void *owner UNUSED, struct flow *f)
{
	struct machine *m = f->subject;
	enum flow_said said;
	char dir[64];

	machine_dir(m, dir, sizeof(dir), "");
	if (world_mkdir(m->v->world, RUNTIME, dir, &f->why))
		return FLOW_FAILED;
	m->wants_launch = true;
	m->hung = 0;
	m->launched_ticket = flow_ticket(f);
	said = vmm_launch(m, &f->why);
	m->wants_launch = said == FLOW_WAIT;
	if (said != FLOW_FAILED && !m->r.made) /* with the journal's next entry, meanwhile */
		world_settle(m->v->world, dir);
	return said;
}

static enum flow_said await_end(struct machine *m, struct flow *f)
{
	m->wants_end = true;
	m->ended_ticket = flow_ticket(f);
	return FLOW_WAIT;
}

static enum flow_said end_vmm(void *owner UNUSED, struct flow *f)
{
	struct machine *m = f->subject;
	char dir[64];
	struct why why;

	m->wants_hello = m->wants_launch = m->relaunch = false;
	world_timer_stop(&m->patience); /* a trial of KVM that is due now would start it again */
	machine_name_down(m);
	if (m->child)
		machine_vmm_end(m);
	if (m->child || jail_gives_up(m))
		return await_end(m, f);
	machine_dir(m, dir, sizeof(dir), "");
	if (world_remove(m->v->world, RUNTIME, dir, &why))
		return FLOW_FAILED;
	return jail_empty(m, f);
}

/* ---- boot: until the agent says hello ---- */

static enum flow_said await_hello(void *owner UNUSED, struct flow *f)
{
	struct machine *m = f->subject;

	if (link_up(m))
		return FLOW_DONE;
	m->wants_hello = true;
	m->hello_ticket = flow_ticket(f);
	vm_hung_watch(m);
	vm_notice_lost_timer(m);
	return FLOW_WAIT;
}

static void key_installed(void *ctx, const struct why *why, struct bytes result UNUSED)
{
	struct machine *m = ctx;

	if (why)
		log_line(LOG_WARN, "vm", "no ssh key in the guest", "vm", m->id, "why", why->text,
			NULL);
}

static enum flow_said meet_agent(void *owner UNUSED, struct flow *f)
{
	struct machine *m = f->subject;

	vm_hung_not(m);
	if (!link_up(m)) {
		fail(&f->why, ERR_guest_failed, "the agent of %s went away again", m->name);
		return FLOW_FAILED;
	}
	/* the agent takes letters in order: whatever runs there later finds the clock set */
	link_set_clock(m);
	if (m->ssh_key)
		link_install_key(m, key_installed, m);
	return FLOW_DONE;
}

/* ---- name: NAME.vm leads to it ---- */

static enum flow_said publish_name(void *owner UNUSED, struct flow *f)
{
	struct machine *m = f->subject;

	return machine_name_up(m, vm_step_answered, vm_late_name(m, f)) ? FLOW_WAIT : FLOW_DONE;
}

static enum flow_said withdraw_name(void *owner UNUSED, struct flow *f)
{
	machine_name_down(f->subject);
	return FLOW_DONE;
}

/* ---- stop ---- */

static void patience_over(void *ctx)
{
	struct machine *m = ctx;

	log_line(LOG_INFO, "vm", "guest did not stop in time", "vm", m->id, NULL);
	m->wants_end = false;
	flow_done(&m->flow, m->ended_ticket);
}

/* It refuses, or its link broke. Once the VMM is being ended by force, that is no news. */
static void going_down(void *ctx, const struct why *why, struct bytes result UNUSED)
{
	struct machine *m = ctx;

	if (why && m->wants_end && m->flow.kind == &vm_stop_flow && m->flow.at == 0)
		patience_over(m);
}

static enum flow_said shut_down_guest(void *owner UNUSED, struct flow *f)
{
	struct machine *m = f->subject;
	struct agent_shutdown down = { .reboot = false };
	uint64_t ms = m->op && m->op->kind == OP_KILL ? 0 : m->v->env->config->stop_timeout_ms;
	struct why why;

	machine_name_down(m);
	if (m->op && m->op->timeout_ms != UINT64_MAX)
		ms = m->op->timeout_ms;
	if (!m->child || ms == 0 || !link_up(m))
		return FLOW_DONE;
	await_end(m, f);
	world_timer(m->v->world, &m->patience, ms, patience_over, m);
	if (rpc_ask(m->link.rpc, &letter_kinds[LETTER_agent_shutdown], &down, going_down, m,
		    &why)) {
		m->wants_end = false;
		world_timer_stop(&m->patience);
		return FLOW_DONE;
	}
	return FLOW_WAIT;
}

static enum flow_said note_stopped(void *owner UNUSED, struct flow *f)
{
	machine_set_reason(f->subject, "stopped");
	return FLOW_DONE;
}

/* ---- tables ---- */

static const struct flow_step create_steps[] = {
	{ "image", take_image, release_image, 3 },
	{ "disk", make_disks, drop_disks, 0 },
	{ "network", vm_lease_address, vm_return_address, 0 },
	{ "machine", launch_vmm, end_vmm, 0 },
	{ "boot", await_hello, NULL, 4 },
	{ "agent", meet_agent, NULL, 0 },
	{ "services", vm_await_services, NULL, 0 },
	{ "name", publish_name, withdraw_name, 0 },
};
static const struct flow_step start_steps[] = {
	{ "image", take_image, NULL, 4 },
	{ "disk", layer_ready, NULL, 0 },
	{ "network", vm_lease_address, NULL, 0 }, /* it keeps its address while it is stopped */
	{ "machine", launch_vmm, end_vmm, 0 },
	{ "boot", await_hello, NULL, 4 },
	{ "agent", meet_agent, NULL, 0 },
	{ "services", vm_await_services, NULL, 0 },
	{ "name", publish_name, withdraw_name, 0 },
};
static const struct flow_step stop_steps[] = {
	{ "shutdown", shut_down_guest, NULL, 3 },
	{ "end", end_vmm, NULL, 0 },
	{ "note", note_stopped, NULL, 0 },
};
static const struct flow_step delete_steps[] = {
	{ "end", end_vmm, NULL, 4 },
	{ "network", vm_return_address, NULL, 0 },
	{ "disk", drop_disks, NULL, 0 },
	{ "image", release_image, NULL, 0 },
};

const struct flow_kind vm_create_flow = { "vm.create", create_steps, COUNT(create_steps), false };
const struct flow_kind vm_make_flow = { "vm.make", create_steps, 2, false };
const struct flow_kind vm_start_flow = { "vm.start", start_steps, COUNT(start_steps), false };
const struct flow_kind vm_stop_flow = { "vm.stop", stop_steps, COUNT(stop_steps), true };
const struct flow_kind vm_delete_flow = { "vm.delete", delete_steps, COUNT(delete_steps), true };

const struct flow_kind *vm_flow_by_name(const char *name)
{
	static const struct flow_kind *const all[] = { &vm_create_flow, &vm_make_flow,
		&vm_start_flow, &vm_stop_flow, &vm_delete_flow };

	for (size_t i = 0; i < COUNT(all); i++)
		if (str_eq(all[i]->name, name))
			return all[i];
	return NULL;
}

/* ---- the engine's host ---- */

static void journal_written(void *state, uint64_t ctx, const struct why *why,
	const void *result UNUSED, struct arena *arena UNUSED)
{
	struct machine *m = machine_by_serial(state, (uint32_t)ctx);

	if (m)
		flow_written(&m->flow, why);
}

static bool makes(const struct flow *f)
{
	return f->kind == &vm_create_flow || f->kind == &vm_make_flow;
}

/* The journal entry and the machine's record change together. */
static void journal(void *owner, struct flow *f, bool over)
{
	struct vmd *v = owner;
	struct machine *m = f->subject;
	struct arena a = { .max = 64 * KiB };
	struct flow_record r = { .op = f->op,
		.kind = f->kind->name,
		.subject = m->id,
		.at = f->journaled,
		.undoing = f->undoing,
		.detach = f->detach,
		.has_detach = true };
	struct store_put puts[2] = { { .table = store_table_flow }, { .table = store_table_vm } };
	struct store_write w = { .puts = { puts, 2 } };
	char dir[64];
	struct why why;
	bool gone = over && (f->kind == &vm_delete_flow || (makes(f) && f->failed));

	if (over && makes(f) && !f->failed) {
		m->r.made = true;
		machine_dir(m, dir, sizeof(dir), "");
		if (f->kind == &vm_make_flow) /* a machine that boots was settled before */
			world_settle(v->world, dir);
	}
	puts[0].key = arena_fmt(&a, "vm-%s", m->id);
	puts[1].key = m->id;
	if (!over && record_put(&puts[0], store_table_flow, puts[0].key, &shape_flow_record, &r, &a,
			     &why))
		log_line(LOG_ERROR, "vm", "cannot pack a journal entry", "why", why.text, NULL);
	if (!gone)
		machine_save(m, &puts[1], &a);
	ask(v->me, LETTER_store_write, &w, WRITE_MS, journal_written, m->serial);
	arena_done(&a);
}

static void news(void *owner, struct flow *f, unsigned index, enum flow_news n, uint64_t ms)
{
	struct machine *m = f->subject;

	log_line(LOG_DEBUG, "vm", "step", "vm", m->id, "flow", f->kind->name, "step",
		f->kind->steps[index].name, "news", log_u64(n).s, "ms", log_u64(ms).s, NULL);
	if (m->op)
		op_stage_news(owner, m->op, f->kind->steps[index].name, n, ms);
}

static void ended(void *owner UNUSED, struct flow *f, const struct why *why UNUSED)
{
	machine_flow_ended(f->subject);
}

void vm_flow_host_init(struct vmd *v)
{
	v->host = (struct flow_host){ v, v->world, journal, news, ended };
}
