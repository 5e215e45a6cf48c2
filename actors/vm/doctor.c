/*
 * doctor.c - what the daemon tells `banger doctor` of the host: how KVM fared, which disk layer a
 * machine would get and why, and what lies about that is nobody's.
 */
#include "actors/vm/vm.h"
#include "base/text.h"

enum { STRAYS_TOLD = 256 };

struct seen {
	struct vmd *v;
	struct arena mem;
	struct doctor_seen s;
	struct layer_state layers[layer_COUNT];
	struct stray strays[STRAYS_TOLD];
	bool mend;
};

static const char *const stray_kinds[] = {
	[STRAY_DIRECTORY] = "directory",
	[STRAY_PROCESS] = "process",
	[STRAY_SNAPSHOT] = "snapshot",
	[STRAY_TAP] = "tap",
};

static void take_stray(void *ctx, const struct stray_found *f)
{
	struct seen *x = ctx;
	struct stray *s = &x->strays[x->s.strays.n];
	uint64_t size;
	char path[280];

	if (x->s.strays.n == STRAYS_TOLD)
		return;
	*s = (struct stray){ .kind = stray_kinds[f->kind], .why = f->why, .removed = x->mend };
	snprintf(path, sizeof(path), "vm/%s", f->name);
	if (f->kind == STRAY_PROCESS)
		s->name = arena_fmt(&x->mem, "%d (of %s)", (int)f->pid, f->name);
	else if (f->kind == STRAY_DIRECTORY)
		s->name = arena_fmt(&x->mem, "%s/%s",
			f->area == STATE ? x->v->env->state_dir : x->v->env->runtime_dir, path);
	else
		s->name = arena_str(&x->mem, f->name);
	if (f->kind == STRAY_DIRECTORY && f->area == STATE)
		s->has_bytes = world_size(x->v->world, STATE, path, &size, &s->bytes, NULL) == OK;
	if (s->name)
		x->s.strays.n++;
	if (x->mend)
		stray_remove(x->v, f);
}

static void look_at_kvm(struct seen *x, const struct host_facts *host)
{
	struct vmd *v = x->v;

	x->s.kvm = !host->kvm   ? kvm_trial_absent :
		   v->kvm_hangs ? kvm_trial_hangs :
		   v->kvm_ran   ? kvm_trial_works :
				  kvm_trial_untried;
	if (!host->kvm)
		x->s.kvm_why = host->kvm_why;
	else if (v->kvm_hangs)
		x->s.kvm_why = "a guest that was begun with it did not reach its first program";
}

static void add_layer(struct seen *x, enum layer layer, bool works, const char *why)
{
	x->layers[x->s.layers.n++] =
		(struct layer_state){ .layer = layer, .works = works, .why = why };
}

static void look_at_layers(struct seen *x, const struct host_facts *host)
{
	bool system = x->v->env->mode == mode_system, shares = vmm_reflinks(x->v);

	add_layer(x, layer_dm, system && host->device_mapper,
		!system             ? "needs the root helper of a system install" :
		host->device_mapper ? "the root helper makes snapshots of the shared image" :
				      "this host has no device-mapper (modprobe dm_snapshot)");
	add_layer(x, layer_qcow2, !system,
		system ? "QEMU in a jail opens no chain of files" :
			 "QEMU keeps what a machine writes in a file over the shared image; "
			 "Firecracker does not read it");
	add_layer(x, layer_reflink, shares,
		shares ? "the state directory's filesystem shares blocks between files" :
			 "the state directory's filesystem shares no blocks between files");
	add_layer(x, layer_copy, true, "works everywhere; each machine has whole disks");
}

static void choose(struct seen *x)
{
	struct vm_record r = { .vcpus = 1, .net = net_nat };
	struct why why;

	if (vmm_choose(x->v, &r, &why) == OK)
		x->s.driver = r.driver;
	for (uint32_t i = 0; i < x->s.layers.n; i++)
		x->layers[i].chosen = x->layers[i].layer == r.layer;
}

static void count_parked(struct seen *x)
{
	struct vmd *v = x->v;

	for (struct link *k = table_next(&v->by_id, NULL); k; k = table_next(&v->by_id, k)) {
		const struct machine *m = CONTAINER_OF(k, struct machine, by_id);

		x->s.parked += m->flow.state == FLOW_RESTING && m->flow.tries > 1;
	}
}

void vm_on_look(void *state, const struct letter *l, const void *body)
{
	const struct doctor_look *q = body;
	struct vmd *v = state;
	struct seen *x = calloc(1, sizeof(*x));
	struct host_facts host;
	struct why why;

	if (!x) {
		fail(&why, ERR_no_memory, "no memory to look at the host");
		refuse(v->me, l->reply, &why);
		return;
	}
	x->v = v;
	x->mem = (struct arena){ .max = 256 * KiB };
	x->mend = q->has_mend && q->mend;
	x->s.layers.v = x->layers;
	x->s.strays.v = x->strays;
	world_host_facts(v->world, &host);
	look_at_kvm(x, &host);
	look_at_layers(x, &host);
	choose(x);
	count_parked(x);
	strays_each(v, take_stray, x);
	if (x->mend) {
		dm_sweep(v);
		vm_settle_network(v);
		strays_end_processes(v);
	}
	answer(v->me, l->reply, &x->s);
	arena_done(&x->mem);
	free(x);
}
