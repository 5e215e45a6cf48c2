/*
 * jailed.c - VMMs that the root helper launches, each in a jail of its own under a uid of its own:
 * launched, reached and ended by letters to the priv actor.
 *
 * What comes too late is undone here: a process whose launch nobody waits for any more is ended, a
 * connection that nobody wants is dropped. Letters name the machine by its serial.
 */
#include "actors/vm/vm.h"
#include "base/log.h"

enum {
	LAUNCH_MS = 60000,
	DIAL_MS = 15000,
	END_MS = 15000,
	CLEAN_MS = 120000,
	AGAIN_MS = 1000,
	DISKS_MAX = 3
};

static uint64_t with_serial(const struct machine *m, uint32_t low)
{
	return (uint64_t)m->serial << 32 | low;
}

static const char *state_path(struct machine *m, struct arena *a, const char *path)
{
	char full[4200];

	return world_path(m->v->world, STATE, path, full, sizeof(full), NULL) ? NULL :
										arena_str(a, full);
}

/* ---- end ---- */

static void end_again(void *ctx)
{
	struct machine *m = ctx;

	if (m->child)
		jail_end(m);
}

/* The helper may be away; what it does not know has ended, or never was a VMM. */
static void kill_said(void *state, uint64_t ctx, const struct why *why, const void *result UNUSED,
	struct arena *arena UNUSED)
{
	struct vmd *v = state;
	struct machine *m = machine_by_serial(v, (uint32_t)(ctx >> 32));

	if (!why || why->code == ERR_not_found || why->code == ERR_not_owned)
		return;
	log_line(LOG_WARN, "vm", "the helper did not end a vmm", "vm", m ? m->id : "?", "why",
		why->text, NULL);
	if (m && m->child)
		world_timer(v->world, &m->kill_again, AGAIN_MS, end_again, m);
}

static void end_process(struct vmd *v, uint64_t ctx, uint64_t pid)
{
	struct priv_pid q = { pid };

	ask(v->me, LETTER_priv_kill_process, &q, END_MS, kill_said, ctx);
}

void jail_end(struct machine *m)
{
	end_process(m->v, with_serial(m, 0), (uint64_t)child_pid(m->child));
}

/* ---- the jail ---- */

static void clean(struct machine *m, answer_fn *fn, uint64_t ctx)
{
	char path[1100];
	struct priv_chroot q = { path };

	snprintf(path, sizeof(path), "%s/%s/%s", m->v->env->jail_base, m->driver->name, m->id);
	ask(m->v->me, LETTER_priv_cleanup_jailer_chroot, &q, CLEAN_MS, fn, ctx);
}

static void cleaned(void *state UNUSED, uint64_t ctx UNUSED, const struct why *why,
	const void *result UNUSED, struct arena *arena UNUSED)
{
	if (why) /* the helper's next start, or the machine's, finds it */
		log_line(LOG_WARN, "vm", "jail left behind", "why", why->text, NULL);
}

void jail_clean(struct machine *m)
{
	if (machine_jailed(m))
		clean(m, cleaned, with_serial(m, 0));
}

/* ---- launch ---- */

static enum err ask_launch(struct machine *m, struct why *why);

bool jail_gives_up(struct machine *m)
{
	m->launch_wanted = false;
	return m->launch_due;
}

static void unwanted(struct vmd *v, uint64_t ctx, const struct priv_launched *l)
{
	log_line(LOG_INFO, "vm", "ending a vmm that came too late", "pid", log_u64(l->pid).s, NULL);
	if (l->has_parcel)
		world_parcel_drop(v->world, l->parcel);
	end_process(v, ctx, l->pid);
}

static enum err take_process(struct machine *m, const struct priv_launched *l, struct why *why)
{
	struct child *child;
	enum err e = world_parcel_child(m->v->world, l->has_parcel ? l->parcel : 0, (pid_t)l->pid,
		vmm_exited, m, &child, why);

	if (!e)
		machine_vmm_started(m, child);
	return e;
}

/* Nobody knows whether it was launched: the helper went away before it said so. */
static bool find_stray(struct machine *m)
{
	struct child *child;
	char needle[32];

	vmm_needle(m, needle);
	if (m->child || world_adopt(m->v->world, 0, 0, needle, vmm_exited, m, &child, NULL))
		return false;
	log_line(LOG_INFO, "vm", "found a vmm whose launch was not answered", "vm", m->id, NULL);
	machine_vmm_started(m, child);
	return true;
}

/*
 * A launch that an earlier daemon asked for may come late: then its VMM lives in the jail that is
 * to go, and goes first.
 */
static void emptied(void *state, uint64_t ctx, const struct why *why, const void *result UNUSED,
	struct arena *arena UNUSED)
{
	struct machine *m = vm_awaited(state, ctx);

	if (!m)
		return;
	if (why && find_stray(m)) {
		m->wants_end = true;
		m->ended_ticket = (uint32_t)ctx;
		jail_end(m);
	} else if (why) {
		flow_fail(&m->flow, (uint32_t)ctx, why);
	} else {
		flow_done(&m->flow, (uint32_t)ctx);
	}
}

enum flow_said jail_empty(struct machine *m, struct flow *f)
{
	if (!machine_jailed(m))
		return FLOW_DONE;
	clean(m, emptied, vm_late_name(m, f));
	return FLOW_WAIT;
}

/* The flow goes back already, and perhaps waits for this: then for the process's end. */
static void launched_in_vain(struct vmd *v, uint64_t ctx, struct machine *m, const struct why *why,
	const struct priv_launched *l)
{
	char dir[64];
	struct why bad;
	bool lives = m && m->wants_end && (why ? find_stray(m) : take_process(m, l, &bad) == OK);

	if (lives) {
		jail_end(m);
		return;
	}
	if (!why)
		unwanted(v, ctx, l);
	if (m && m->wants_end) { /* nothing was launched, so no end of a process does the rest */
		m->wants_end = false;
		machine_dir(m, dir, sizeof(dir), "");
		if (world_remove(v->world, RUNTIME, dir, &bad))
			flow_fail(&m->flow, m->ended_ticket, &bad);
		else
			flow_done(&m->flow, m->ended_ticket);
	}
}

static void cleaned_for_launch(void *state, uint64_t ctx, const struct why *why,
	const void *result UNUSED, struct arena *arena UNUSED)
{
	struct machine *m = machine_by_serial(state, (uint32_t)(ctx >> 32));
	struct why bad;

	if (!m)
		return;
	if (m->launch_wanted && !why && ask_launch(m, &bad) == OK)
		return;
	m->launch_due = false;
	if (!m->launch_wanted) {
		fail(&bad, ERR_cancelled, "it was not launched");
		launched_in_vain(state, ctx, m, &bad, NULL);
		return;
	}
	m->launch_wanted = false;
	machine_launched(m, why ? why : &bad);
}

static void running(struct machine *m)
{
	struct why bad;

	switch (m->driver->connect(m, true, &bad)) {
	case FLOW_DONE:
		machine_launched(m, NULL);
		break;
	case FLOW_FAILED:
		machine_launched(m, &bad);
		break;
	case FLOW_WAIT:
		break;
	}
}

static void launched(void *state, uint64_t ctx, const struct why *why, const void *result,
	struct arena *arena UNUSED)
{
	struct machine *m = machine_by_serial(state, (uint32_t)(ctx >> 32));
	const struct priv_launched *l = result;
	bool wanted = m && m->launch_wanted;
	struct why bad;

	if (wanted && why && why->code == ERR_exists && !m->jail_cleaned) {
		m->jail_cleaned = true;
		clean(m, cleaned_for_launch, with_serial(m, 0));
		return;
	}
	if (m)
		m->launch_due = m->launch_wanted = false;
	if (!wanted) {
		launched_in_vain(state, ctx, m, why, l);
	} else if (why) {
		if (why->code == ERR_unavailable)
			find_stray(m); /* the step's undo ends it */
		machine_launched(m, why);
	} else if (take_process(m, l, &bad)) {
		end_process(state, ctx, l->pid);
		machine_launched(m, &bad);
	} else {
		running(m);
	}
}

static void add_disk(struct machine *m, struct priv_disk *d, const char *id, const char *path,
	bool read_only, struct arena *a)
{
	*d = (struct priv_disk){ .id = id, .read_only = read_only };
	if (str_eq(id, "root") && m->r.layer == layer_dm)
		d->dm_dev = arena_fmt(a, "/dev/mapper/fc-rootfs-%s", m->id);
	else
		d->path = state_path(m, a, path);
}

static enum err fill(struct machine *m, struct priv_launch *q, struct priv_disk disks[DISKS_MAX],
	const char **tap, struct arena *a, struct why *why)
{
	char path[64];
	bool placed = true;

	q->vm_id = m->id;
	q->vcpus = m->r.vcpus;
	q->mem_mib = m->r.memory / MiB;
	q->kernel_path = state_path(m, a, m->boot.vmlinux);
	q->initrd_path = state_path(m, a, m->boot.initramfs);
	machine_dir(m, path, sizeof(path), "root.raw");
	add_disk(m, &disks[0], "root", path, false, a);
	machine_dir(m, path, sizeof(path), "work.raw");
	add_disk(m, &disks[1], "work", path, false, a);
	if (m->boot.modules[0])
		add_disk(m, &disks[2], "modules", m->boot.modules, true, a);
	q->disks.v = disks;
	q->disks.n = m->boot.modules[0] ? 3 : 2;
	*tap = m->net.tap;
	q->taps.v = tap;
	q->taps.n = m->net.tap[0] != '\0';
	for (uint32_t i = 0; i < q->disks.n; i++)
		placed &= disks[i].path || disks[i].dm_dev;
	if (!placed || !q->kernel_path || !q->initrd_path)
		return fail(why, ERR_too_large, "the paths of machine %s are too long", m->name);
	return m->driver->ask_helper(m, q, a, why);
}

static enum err ask_launch(struct machine *m, struct why *why)
{
	struct arena a = { .max = 64 * KiB };
	struct priv_disk disks[DISKS_MAX];
	struct priv_launch q = { .vm_id = m->id };
	const char *tap;
	enum err e = fill(m, &q, disks, &tap, &a, why);

	if (!e)
		ask(m->v->me, LETTER_priv_launch_vmm, &q, LAUNCH_MS, launched, with_serial(m, 0));
	arena_done(&a);
	return e;
}

enum flow_said jail_launch(struct machine *m, struct why *why)
{
	if (ask_launch(m, why))
		return FLOW_FAILED;
	m->launch_due = m->launch_wanted = true;
	m->jail_cleaned = false;
	return FLOW_WAIT;
}

/* ---- ways to its sockets ---- */

static void dialed(void *state, uint64_t ctx, const struct why *why, const void *result,
	struct arena *arena UNUSED)
{
	struct vmd *v = state;
	struct machine *m = machine_by_serial(v, (uint32_t)(ctx >> 32));
	enum vmm_channel ch = (enum vmm_channel)(ctx & 0xff);
	const struct priv_connected *c = result;
	bool ours = m && m->child && (m->dials[ch] & 0xffffff) == (uint32_t)ctx >> 8;
	struct why bad;

	if (!ours) {
		if (!why && c->has_parcel)
			world_parcel_drop(v->world, c->parcel);
		return;
	}
	if (!why && !c->has_parcel)
		fail(&bad, ERR_unavailable, "the helper's answer brought no connection");
	else if (!why && machine_reach(m, ch, c->parcel, &bad) == OK)
		return;
	machine_unreached(m, ch, why ? why : &bad);
}

void jail_dial(struct machine *m, enum vmm_channel ch)
{
	struct priv_connect q = { .vm_id = m->id, .channel = ch };

	m->dials[ch]++; /* the answer to an earlier one is not waited for any more */
	ask(m->v->me, LETTER_priv_connect_vmm, &q, DIAL_MS, dialed,
		with_serial(m, (m->dials[ch] & 0xffffff) << 8 | (uint32_t)ch));
}
