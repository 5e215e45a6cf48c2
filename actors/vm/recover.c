/*
 * recover.c - the truth after a start: what the store says was made is compared with what the host
 * says is there. Journal first, then machines, then what nobody knows.
 *
 * A machine whose VMM lives is taken back; one that was being made or started is kept only if its
 * operation was detached and its agent answers soon; everything else is undone or removed.
 */
#include "actors/shared/notes.h"
#include "actors/shared/records.h"
#include "actors/vm/vm.h"
#include "base/log.h"
#include "base/text.h"

enum { PROBATION_MS = 15000, HOLD_MS = 120000, OPEN_FLOWS_MAX = MACHINES_MAX };

struct open_flow {
	char vm[11];
	const struct flow_kind *kind;
	uint64_t op;
	unsigned at;
	bool undoing, detach;
};

struct load {
	struct vmd *v;
	struct record_scan vms, flows;
	struct open_flow *open;
	uint32_t open_n, open_cap;
};

/* Its agent will not answer, or the machine is wanted no more: it is undone like any other. */
void vm_probation_failed(struct machine *m, const struct why *why)
{
	const struct flow_kind *kind = m->flow.kind;
	unsigned journaled = m->flow.journaled;

	m->on_probation = false;
	world_timer_stop(&m->patience);
	log_line(LOG_WARN, "vm", "not taken over from before the daemon's restart", "vm", m->id,
		"why", why->text, NULL);
	flow_recover(&m->flow, kind, &m->v->host, m, ID_MARK_VM, journaled, why);
}

static void probation_due(void *ctx)
{
	struct why why;

	fail(&why, ERR_timeout, "the daemon was restarted, and the agent did not answer after it");
	vm_probation_failed(ctx, &why);
}

static void on_saved(void *state, uint64_t ctx, const struct why *why, const void *result UNUSED,
	struct arena *arena UNUSED)
{
	struct machine *m = machine_by_serial(state, (uint32_t)ctx);

	if (m && why)
		log_line(
			LOG_ERROR, "vm", "record not written", "vm", m->id, "why", why->text, NULL);
	if (m)
		machine_changed(m);
}

/*
 * The journal entry goes, the record stays: the machine is as good as one that booted
 * undisturbed.
 */
void vm_probation_over(struct machine *m)
{
	struct arena a = { .max = 64 * KiB };
	struct store_put puts[2] = { { .table = store_table_flow }, { .table = store_table_vm } };

	m->on_probation = false;
	world_timer_stop(&m->patience);
	m->r.made = true;
	puts[0].key = arena_fmt(&a, "vm-%s", m->id);
	machine_save(m, &puts[1], &a);
	record_write(m->v->me, puts, 2, on_saved, m->serial);
	arena_done(&a);
	machine_name_up(m, NULL, 0);
}

static void held(void *state, uint64_t ctx, const struct why *why, const void *result,
	struct arena *arena UNUSED)
{
	struct machine *m = machine_by_serial(state, (uint32_t)ctx);
	struct why problem;

	if (m && !why && machine_set_image(m, result, &problem))
		why = &problem;
	if (m && why)
		log_line(LOG_WARN, "vm", "image not there", "vm", m->id, "why", why->text, NULL);
}

/* Takes its VMM back when it lives. False: there is none. */
static bool take_back(struct machine *m)
{
	struct image_hold hold = { .id = m->r.image_id, .vm = m->id };
	struct why why;

	if (m->r.has_pid && m->r.boot_id && !str_eq(m->r.boot_id, world_boot_id(m->v->world)))
		return false;
	if (vmm_adopt(m, &why)) {
		if (!m->child)
			return false;
		/* it runs, but its sockets are gone: nobody could ever talk to it again */
		log_line(LOG_WARN, "vm", "cannot be reached", "vm", m->id, "why", why.text, NULL);
		machine_vmm_end(m);
		return true;
	}
	log_line(LOG_INFO, "vm", "taken back", "vm", m->id, "name", m->name, "pid",
		log_u64(m->r.pid).s, NULL);
	machine_mend_network(m);
	if (forwards_open(m, &why))
		log_line(LOG_WARN, "vm", "not forwarded", "vm", m->id, "why", why.text, NULL);
	dm_watch_fill(m);
	if (m->r.image_id)
		ask(m->v->me, LETTER_image_hold, &hold, HOLD_MS, held, m->serial);
	return true;
}

static void settle_flow(struct machine *m, const struct open_flow *o)
{
	bool alive;
	struct why why;

	m->r.has_pid = false; /* it may have been launched again since: it is told by its name */
	alive = take_back(m);
	if (alive && !m->r.rm && o->detach && !o->undoing && !o->kind->forward_only &&
		o->at == o->kind->count) {
		m->on_probation = true;
		m->flow.kind = o->kind;
		m->flow.journaled = o->at;
		world_timer(m->v->world, &m->patience, PROBATION_MS, probation_due, m);
		return;
	}
	if (!alive)
		machine_vmm_gone(m);
	fail(&why, ERR_cancelled, "the daemon was restarted");
	flow_recover(&m->flow, o->kind, &m->v->host, m, o->op, o->at, &why);
	if (m->r.rm && m->r.made)
		machine_delete_for(m, NULL); /* its client went with the daemon */
}

/*
 * After a flush that failed nobody knows what is on disk: a creation may have been undone, and its
 * last record be there all the same.
 */
static bool lost_disks(struct machine *m)
{
	uint64_t size, used;
	char dir[64];
	struct why why;

	machine_dir(m, dir, sizeof(dir), "");
	if (world_size(m->v->world, STATE, dir, &size, &used, &why) != ERR_not_found)
		return false;
	log_line(LOG_ERROR, "vm", "its files are gone", "vm", m->id, "name", m->name, NULL);
	return true;
}

static void settle_machine(struct machine *m)
{
	bool had_pid = m->r.has_pid, addressed = machine_give_address(m);

	if (!m->r.made || lost_disks(m)) {
		take_back(m);
		machine_delete_for(m, NULL);
		return;
	}
	if (had_pid && !take_back(m)) {
		machine_set_reason(
			m, str_eq(m->r.boot_id ? m->r.boot_id : "", world_boot_id(m->v->world)) ?
				   "vmm_died" :
				   "host_reboot");
		machine_vmm_gone(m);
		machine_write(m);
	} else if (addressed) {
		machine_write(m);
	}
	if (m->child)
		machine_name_up(m, NULL, 0);
	if (m->r.rm) /* its client went with the daemon that it was connected to */
		machine_delete_for(m, NULL);
}

/* ---- loading ---- */

static void forget_journal(struct vmd *v, const char *id)
{
	struct arena a = { .max = 4 * KiB };
	struct store_put put = { .table = store_table_flow, .key = arena_fmt(&a, "vm-%s", id) };

	record_write(v->me, &put, 1, on_saved, 0);
	arena_done(&a);
}

static void settle_all(struct load *load)
{
	struct vmd *v = load->v;
	struct link *l, *next;

	strays_sweep(v);
	for (uint32_t i = 0; i < load->open_n; i++) {
		struct machine *m = machine_find(v, load->open[i].vm);

		if (m)
			settle_flow(m, &load->open[i]);
		else
			forget_journal(v, load->open[i].vm);
	}
	for (l = table_next(&v->by_id, NULL); l; l = next) {
		struct machine *m = CONTAINER_OF(l, struct machine, by_id);

		next = table_next(&v->by_id, l);
		if (!flow_active(&m->flow) && !m->on_probation)
			settle_machine(m);
	}
	strays_end_processes(v);
	log_line(LOG_INFO, "vm", "machines known", "count", log_u64(v->by_id.count).s, NULL);
	vm_loaded(v);
}

static void take_machine(void *ctx, const char *key UNUSED, const void *record)
{
	struct vm_record r = *(const struct vm_record *)record;
	struct load *load = ctx;
	struct why why;

	if (machine_find(load->v, r.name)) { /* never so, but no record may keep the daemon down */
		log_line(LOG_ERROR, "vm", "two machines of one name", "vm", r.id, "name", r.name,
			NULL);
		r.name = r.id;
	}
	if (!machine_new(load->v, &r, &why))
		log_line(LOG_ERROR, "vm", "record not loaded", "why", why.text, NULL);
}

static void take_flow(void *ctx, const char *key UNUSED, const void *record)
{
	const struct flow_record *r = record;
	const struct flow_kind *kind = vm_flow_by_name(r->kind);
	struct load *load = ctx;
	struct open_flow *o;

	if (!kind)
		return; /* another actor's */
	if (load->open_n == load->open_cap) {
		uint32_t cap = load->open_cap ? load->open_cap * 2 : 16;
		void *p = realloc(load->open, cap * sizeof(*load->open));

		if (!p || cap > 2 * OPEN_FLOWS_MAX) {
			log_line(LOG_ERROR, "vm", "journal entry not loaded", "vm", r->subject,
				NULL);
			return;
		}
		load->open = p;
		load->open_cap = cap;
	}
	o = &load->open[load->open_n++];
	*o = (struct open_flow){ .kind = kind,
		.op = r->op,
		.at = (unsigned)r->at,
		.undoing = r->undoing,
		.detach = r->has_detach && r->detach };
	str_copy(o->vm, sizeof(o->vm), r->subject);
}

void vm_load_done(struct vmd *v)
{
	struct load *load = take_ptr(&v->load);

	if (load)
		free(load->open);
	free(load);
}

static void loaded_flows(void *ctx, const struct why *why)
{
	struct load *load = ctx;

	if (why)
		log_line(LOG_ERROR, "vm", "journal not read", "why", why->text, NULL);
	settle_all(load);
	vm_load_done(load->v);
}

static void loaded_vms(void *ctx, const struct why *why)
{
	struct load *load = ctx;

	if (why)
		log_line(LOG_ERROR, "vm", "machines not read", "why", why->text, NULL);
	record_scan(&load->flows);
}

void vm_load(struct vmd *v)
{
	struct load *load = calloc(1, sizeof(*load));

	must(load); /* at start: without it there is no daemon */
	v->load = load;
	load->v = v;
	load->vms = (struct record_scan){ .me = v->me,
		.table = store_table_vm,
		.shape = &shape_vm_record,
		.row = take_machine,
		.done = loaded_vms,
		.ctx = load };
	load->flows = (struct record_scan){ .me = v->me,
		.table = store_table_flow,
		.shape = &shape_flow_record,
		.row = take_flow,
		.done = loaded_flows,
		.ctx = load };
	record_scan(&load->vms);
}
