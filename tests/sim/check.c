/*
 * check.c - what must be true when all has settled: nothing lost, nothing left behind, everything
 * that is there has an owner.
 */
#include "tests/sim/sim.h"

void check_counts(struct sim *s, const struct world *w)
{
	if (w->timers_n || w->chans || w->children_n || w->listeners_n)
		sim_fail(s, "a daemon that closed keeps %u timers, %u channels, %u children, "
			    "%u listeners", w->timers_n, w->chans, w->children_n, w->listeners_n);
}

/* The record in that table; false when there is none. It lives in the arena. */
static bool record(struct sim *s, const char *table, const char *id, const struct shape *shape,
	struct arena *a, void *ret)
{
	char key[KV_KEY_MAX];
	const struct row *r;
	struct why why;

	snprintf(key, sizeof(key), "%s/%s", table, id);
	r = store_get(s, key);
	if (r && shape_read(shape, mp_over(r->value, r->n), STRICT, a, ret, &why))
		sim_fail(s, "the record %s cannot be read: %s", key, why.text);
	return r != NULL;
}

static struct proc *vmm_of(struct sim *s, const char *id)
{
	struct proc *p;

	TAILQ_FOREACH(p, &s->procs, entry)
		if (p->kind == PROC_VMM && str_eq(vmm_id(p), id))
			return p;
	return NULL;
}

static void check_image_of(struct sim *s, const struct vm_record *r, struct arena *a)
{
	struct kernel_record kernel;
	struct image_record image;
	char path[NODE_PATH_BYTES];

	if (!r->image_id || !record(s, "image", r->image_id, &shape_image_record, a, &image))
		sim_fail(s, "machine %s stands on image %s, which is gone", r->id,
			r->image_id ? r->image_id : "none");
	snprintf(path, sizeof(path), "image/%s/root.ext4", r->image_id);
	if (image.managed && !node_find(s, STATE, path))
		sim_fail(s, "machine %s stands on %s, which is gone", r->id, path);
	snprintf(path, sizeof(path), "image/%s/%s", r->image_id,
		image.work ? image.work : "work.ext4");
	if (!node_find(s, STATE, path))
		sim_fail(s, "machine %s stands on %s, which is gone", r->id, path);
	if (!r->kernel_id || !record(s, "kernel", r->kernel_id, &shape_kernel_record, a, &kernel))
		sim_fail(s, "machine %s boots kernel %s, which is gone", r->id,
			r->kernel_id ? r->kernel_id : "none");
	snprintf(path, sizeof(path), "kernel/%s/initramfs.cpio", r->kernel_id);
	if (!node_find(s, STATE, path))
		sim_fail(s, "machine %s boots %s, which is gone", r->id, path);
}

static void check_machine(struct sim *s, const struct vm_record *r, struct arena *a)
{
	struct proc *p = vmm_of(s, r->id);
	char path[NODE_PATH_BYTES];

	if (!r->made)
		sim_fail(s, "machine %s is still in creation", r->id);
	if (r->rm)
		sim_fail(s, "machine %s is there, and its client has gone", r->id);
	if (p && s->system && r->layer == layer_dm) {
		snprintf(path, sizeof(path), "fc-rootfs-%s", r->id);
		if (!helper_snapshot_stands(s, path))
			sim_fail(s, "machine %s runs without its root disk", r->id);
	}
	if (p && s->system && r->net == net_nat) {
		snprintf(path, sizeof(path), "lease/%s", r->id);
		if (!store_get(s, path))
			sim_fail(s, "machine %s runs without a lease", r->id);
	}
	if (p && (!r->has_pid || (pid_t)r->pid != p->pid))
		sim_fail(s, "machine %s has process %d, and its record says otherwise", r->id,
			(int)p->pid);
	if (!p && r->has_pid)
		sim_fail(s, "machine %s has process %llu in its record, and no such runs", r->id,
			(unsigned long long)r->pid);
	snprintf(path, sizeof(path), "vm/%s", r->id);
	if (!node_find(s, STATE, path))
		sim_fail(s, "machine %s has lost its directory", r->id);
	check_image_of(s, r, a);
}

static void check_records(struct sim *s, bool after_restart)
{
	for (uint32_t i = 0; i < s->rows_n; i++) {
		const struct row *row = &s->rows[i];
		struct arena a = { .max = MiB };
		struct vm_record r;
		struct why why;

		if (strncmp(row->key, "flow/", 5) == 0 &&
			(after_restart || strncmp(row->key, "flow/vm-", 8) == 0))
			sim_fail(s, "the journal keeps %s", row->key);
		if (strncmp(row->key, "vm/", 3) == 0) {
			if (shape_read(&shape_vm_record, mp_over(row->value, row->n), STRICT, &a,
				    &r, &why))
				sim_fail(s, "the record %s cannot be read: %s", row->key, why.text);
			check_machine(s, &r, &a);
		}
		arena_done(&a);
	}
}

static void check_files(struct sim *s, bool after_restart)
{
	static const char *const areas[] = { "vm/", "image/", "kernel/" };
	char key[KV_KEY_MAX];
	struct node *n;

	TAILQ_FOREACH(n, &s->files, entry)
		for (size_t i = 0; i < COUNT(areas); i++) {
			size_t len = strlen(areas[i]);
			const char *id = n->path + len;

			if (strncmp(n->path, areas[i], len) != 0 || (i > 0 && !after_restart))
				continue;
			snprintf(key, sizeof(key), "%s%.*s", areas[i], (int)strcspn(id, "/"), id);
			if (!store_get(s, key))
				sim_fail(s, "%s %s belongs to nobody",
					n->area == STATE ? "state file" : "runtime file", n->path);
			if (n->area == RUNTIME && !vmm_of(s, key + len))
				sim_fail(s, "runtime file %s of a machine that does not run",
					n->path);
			if (n->backing[0] && !node_find(s, n->backing_area, n->backing))
				sim_fail(s, "%s stands on %s, which is gone", n->path, n->backing);
		}
}

static void check_processes(struct sim *s)
{
	char key[64];
	struct proc *p;

	TAILQ_FOREACH(p, &s->procs, entry) {
		if (p->kind == PROC_WORKER)
			sim_fail(s, "worker %d still runs", (int)p->pid);
		if (p->kind != PROC_VMM)
			continue;
		snprintf(key, sizeof(key), "vm/%s", vmm_id(p));
		if (!store_get(s, key))
			sim_fail(s, "process %d runs machine %s, which has no record", (int)p->pid,
				vmm_id(p));
		if (!p->child)
			sim_fail(s, "process %d of machine %s is watched by nobody", (int)p->pid,
				vmm_id(p));
	}
}

/* ---- system mode: what the helper made ---- */

struct looking {
	struct sim *s;
	bool after_restart;
};

static void check_tap(void *ctx, const char *name)
{
	const struct looking *look = ctx;
	char key[64];

	snprintf(key, sizeof(key), "lease/%s", name + strlen("bngr-"));
	if (!store_get(look->s, key))
		sim_fail(look->s, "tap %s belongs to no lease", name);
	snprintf(key, sizeof(key), "vm/%s", name + strlen("bngr-"));
	if (!store_get(look->s, key))
		sim_fail(look->s, "tap %s belongs to no machine", name);
}

static void check_snapshot(void *ctx, const char *name)
{
	const struct looking *look = ctx;
	const char *id = name + strlen("fc-rootfs-");
	struct arena a = { .max = MiB };
	struct vm_record r;

	if (!record(look->s, "vm", id, &shape_vm_record, &a, &r))
		sim_fail(look->s, "snapshot %s belongs to no machine", name);
	if (r.layer != layer_dm)
		sim_fail(look->s, "snapshot %s is of a machine of layer %s", name,
			word_of(layer, r.layer));
	if (!helper_snapshot_stands(look->s, name))
		sim_fail(look->s, "snapshot %s has lost its files", name);
	arena_done(&a);
}

static void check_lease(struct sim *s, const char *vm, bool after_restart)
{
	struct arena a = { .max = MiB };
	struct lease_record lease;
	struct vm_record r;
	const char *address;
	char tap[32];

	must(record(s, "lease", vm, &shape_lease_record, &a, &lease));
	if (!record(s, "vm", vm, &shape_vm_record, &a, &r)) {
		if (after_restart)
			sim_fail(s, "the lease of %s belongs to no machine", vm);
		arena_done(&a);
		return;
	}
	snprintf(tap, sizeof(tap), "bngr-%s", vm);
	address = helper_tap_address(s, tap);
	if (vmm_of(s, vm) && (!address || !str_eq(address, lease.address)))
		sim_fail(s, "machine %s runs, and its tap has address %s, not %s", vm,
			address ? address : "(no tap)", lease.address);
	arena_done(&a);
}

static void check_network(struct sim *s, bool after_restart)
{
	struct looking look = { s, after_restart };

	helper_each_tap(s, check_tap, &look);
	helper_each_snapshot(s, check_snapshot, &look);
	for (uint32_t i = 0; i < s->rows_n; i++)
		if (strncmp(s->rows[i].key, "lease/", 6) == 0)
			check_lease(s, s->rows[i].key + 6, after_restart);
	if (after_restart && s->system && !helper_bridge(s))
		sim_fail(s, "there is no bridge");
}

static void check_ledger(struct sim *s)
{
	char key[64];

	for (unsigned i = 0; i < s->ledger_n; i++) {
		const struct known_vm *k = &s->ledger[i];

		snprintf(key, sizeof(key), "vm/%s", k->id);
		if (k->acked && !k->delete_asked && !k->rm && !store_get(s, key))
			sim_fail(s, "machine %s (%s) was acknowledged, and is lost", k->id,
				k->name);
		if (k->rm && k->acked)
			sim_mark(s, MARK_rm_gone);
	}
}

void check_settled(struct sim *s, bool after_restart)
{
	if (!s->world || !s->world->listening)
		sim_fail(s, "the daemon does not listen when all has settled");
	check_records(s, after_restart);
	check_files(s, after_restart);
	check_processes(s);
	check_network(s, after_restart);
	check_ledger(s);
	if (after_restart)
		sim_mark(s, MARK_recovered);
}

void check_list(struct sim *s, const struct vm_listed *listed)
{
	struct arena a = { .max = MiB };
	struct vm_record r;

	for (uint32_t i = 0; i < listed->vms.n; i++) {
		const struct vm_info *v = &listed->vms.v[i];
		struct proc *p = vmm_of(s, v->id);

		for (uint32_t j = 0; j < i; j++)
			if (str_eq(listed->vms.v[j].name, v->name))
				sim_fail(s, "two machines have the name %s", v->name);
		if (!record(s, "vm", v->id, &shape_vm_record, &a, &r))
			sim_fail(s, "machine %s is listed, and has no record", v->id);
		if (v->state != vm_state_running && v->state != vm_state_stopped)
			sim_fail(s, "machine %s is %s when all has settled", v->id,
				word_of(vm_state, v->state));
		if ((v->state == vm_state_running) != (p != NULL))
			sim_fail(s, "machine %s is %s, and its process %s", v->id,
				word_of(vm_state, v->state), p ? "runs" : "does not run");
	}
	check_names(s, listed);
	arena_done(&a);
}
