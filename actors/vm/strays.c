/*
 * strays.c - what is on the host and belongs to no machine: directories, VMMs, snapshots and taps.
 * Found the same way after a start, where it goes, and for `banger doctor`, which tells of it.
 *
 * A VMM is known by its command line and by the machine's files that it has open, together; one of
 * a known machine is a stray, too, when its machine has another process or none.
 */
#include <signal.h>

#include "actors/vm/vm.h"
#include "base/log.h"
#include "base/text.h"

enum { LIST_MS = 30000, JAIL_MS = 120000, JAIL_AGAIN_MS = 300, JAIL_TRIES = 30 };

struct looking {
	struct vmd *v;
	enum area area;
	bool settled; /* machines have what is theirs by now */
	stray_fn *fn;
	void *ctx;
};

static struct machine *by_id(struct vmd *v, const char *id)
{
	struct link *k = table_get(&v->by_id, id, strlen(id));

	return k ? CONTAINER_OF(k, struct machine, by_id) : NULL;
}

static void on_directory(void *ctx, const char *name)
{
	const struct looking *l = ctx;
	struct stray_found f = { .kind = STRAY_DIRECTORY, .name = name, .area = l->area };

	if (by_id(l->v, name))
		return;
	f.why = l->area == STATE ? "no machine's record names these disks" :
				   "no machine's record names these sockets";
	l->fn(l->ctx, &f);
}

static void on_process(void *ctx, const char *id, pid_t pid, uint64_t start)
{
	const struct looking *l = ctx;
	struct machine *m = by_id(l->v, id);
	struct stray_found f = { .kind = STRAY_PROCESS, .name = id, .pid = pid, .start = start };

	if (m && (!l->settled || flow_active(&m->flow) || m->on_probation))
		return; /* what is under way ends in one that it knows, or in none */
	if (m && m->child && child_pid(m->child) == pid)
		return;
	f.why = m ? "its machine does not run, or runs in another process" :
		    "no machine's record names it";
	l->fn(l->ctx, &f);
}

static void on_snapshot(void *ctx, const char *name)
{
	static const char prefix[] = "fc-rootfs-";
	const struct looking *l = ctx;
	struct stray_found f = { .kind = STRAY_SNAPSHOT,
		.name = name,
		.why = "no machine's record names its root disk" };

	if (strncmp(name, prefix, sizeof(prefix) - 1) == 0 &&
		!by_id(l->v, name + sizeof(prefix) - 1) &&
		type_ok(&type_dm_name, "name", name, NULL) == OK)
		l->fn(l->ctx, &f);
}

static void on_link(void *ctx, const char *name)
{
	static const char prefix[] = "bngr-";
	const struct looking *l = ctx;
	struct stray_found f = {
		.kind = STRAY_TAP, .name = name, .why = "no machine's record names its card"
	};

	if (strncmp(name, prefix, sizeof(prefix) - 1) == 0 &&
		!by_id(l->v, name + sizeof(prefix) - 1) &&
		type_ok(&type_tap_name, "tap", name, NULL) == OK)
		l->fn(l->ctx, &f);
}

static void tell_failed(const char *what, enum err e, const struct why *why)
{
	if (e)
		log_line(LOG_WARN, "vm", "cannot look for leftovers", "of", what, "why", why->text,
			NULL);
}

void strays_each(struct vmd *v, stray_fn *fn, void *ctx)
{
	struct looking l = { .v = v, .settled = v->loaded, .fn = fn, .ctx = ctx };
	struct why why;

	if (v->env->mode == mode_user)
		tell_failed("processes", world_vmms(v->world, on_process, &l, &why), &why);
	for (l.area = STATE; l.area <= RUNTIME; l.area++)
		tell_failed("directories",
			world_list(v->world, l.area, "vm", on_directory, &l, &why), &why);
	if (v->env->mode != mode_system)
		return;
	tell_failed("snapshots", world_dm_names(v->world, on_snapshot, &l, &why), &why);
	tell_failed("taps", world_links(v->world, on_link, &l, &why), &why);
}

/* ---- away with them ---- */

static void stray_ended(void *ctx UNUSED, int status UNUSED)
{
}

static void end_process(struct vmd *v, const struct stray_found *f)
{
	struct child *c;
	char needle[32];
	struct why why;

	snprintf(needle, sizeof(needle), "banger-%s", f->name);
	if (world_adopt(v->world, f->pid, f->start, needle, stray_ended, NULL, &c, &why))
		return; /* it ended by itself meanwhile */
	log_line(LOG_WARN, "vm", "ended a VMM that nobody has", "vm", f->name, "why", f->why, "pid",
		log_u64((uint64_t)f->pid).s, NULL);
	child_signal(c, SIGKILL);
	child_free(c);
}

static void remove_directory(struct vmd *v, const struct stray_found *f)
{
	char path[280];
	struct why why;

	snprintf(path, sizeof(path), "vm/%s", f->name);
	log_line(LOG_INFO, "vm", "removed what no record knows", "path", path, NULL);
	if (world_remove(v->world, f->area, path, &why))
		log_line(LOG_WARN, "vm", "cannot remove", "path", path, "why", why.text, NULL);
}

void stray_remove(struct vmd *v, const struct stray_found *f)
{
	if (f->kind == STRAY_PROCESS)
		end_process(v, f);
	else if (f->kind == STRAY_DIRECTORY)
		remove_directory(v, f);
}

static void remove_it(void *ctx, const struct stray_found *f)
{
	stray_remove(ctx, f);
}

void strays_sweep(struct vmd *v)
{
	strays_each(v, remove_it, v);
	dm_sweep(v);
	vm_settle_network(v);
}

static void remove_process(void *ctx, const struct stray_found *f)
{
	if (f->kind == STRAY_PROCESS)
		stray_remove(ctx, f);
}

/* ---- VMMs that the root helper launched ---- */

static void list_jails(void *ctx);

static void cleaned(void *state, uint64_t ctx UNUSED, const struct why *why,
	const void *result UNUSED, struct arena *arena UNUSED)
{
	struct vmd *v = state;

	if (why && why->code == ERR_conflict && v->jail_tries++ < JAIL_TRIES)
		world_timer(v->world, &v->jails_again, JAIL_AGAIN_MS, list_jails, v); /* ends yet */
	else if (why)
		log_line(LOG_WARN, "vm", "jail of nobody stays", "why", why->text, NULL);
}

static void jails_listed(void *state, uint64_t ctx UNUSED, const struct why *why,
	const void *result, struct arena *arena)
{
	const struct priv_listed *l = result;
	struct vmd *v = state;

	for (uint32_t i = 0; !why && i < l->things.n; i++) {
		const struct priv_entry *e = &l->things.v[i].entry;
		struct priv_chroot q = { arena_fmt(arena, "%s/%s", v->env->jail_base, e->name) };

		if (e->vm && !by_id(v, e->vm) && q.chroot_path)
			ask(v->me, LETTER_priv_cleanup_jailer_chroot, &q, JAIL_MS, cleaned, 0);
	}
}

static void list_jails(void *ctx)
{
	struct priv_things jails = { .has_kind = true, .kind = priv_thing_jail };
	struct vmd *v = ctx;

	ask(v->me, LETTER_priv_list_things, &jails, LIST_MS, jails_listed, 0);
}

static void killed(void *state, uint64_t ctx UNUSED, const struct why *why,
	const void *result UNUSED, struct arena *arena UNUSED)
{
	struct vmd *v = state;

	v->jail_tries = 0;
	if (why)
		log_line(LOG_WARN, "vm", "VMM of nobody not ended", "why", why->text, NULL);
	else
		list_jails(v);
}

static void end_launched(struct vmd *v, const struct priv_entry *e)
{
	struct priv_pid q = { e->pid };

	log_line(LOG_WARN, "vm", "ended a VMM that no record knows", "vm", e->vm, "pid",
		log_u64(e->pid).s, NULL);
	ask(v->me, LETTER_priv_kill_process, &q, LIST_MS, killed, 0);
}

static void ask_launched(struct vmd *v, const char *after);

static void vmms_listed(void *state, uint64_t ctx UNUSED, const struct why *why, const void *result,
	struct arena *arena UNUSED)
{
	const struct priv_listed *l = result;
	struct vmd *v = state;

	if (why) {
		log_line(LOG_WARN, "vm", "cannot look for leftovers", "of", "VMMs", "why",
			why->text, NULL);
		return;
	}
	for (uint32_t i = 0; i < l->things.n; i++) {
		const struct priv_entry *e = &l->things.v[i].entry;

		if (e->vm && e->has_pid && l->things.v[i].there && !by_id(v, e->vm))
			end_launched(v, e);
	}
	if (l->more && l->things.n > 0)
		ask_launched(v, l->things.v[l->things.n - 1].entry.name);
}

static void ask_launched(struct vmd *v, const char *after)
{
	struct priv_things q = { .has_kind = true, .kind = priv_thing_vmm, .after = after };

	ask(v->me, LETTER_priv_list_things, &q, LIST_MS, vmms_listed, 0);
}

void strays_end_processes(struct vmd *v)
{
	struct looking l = { .v = v, .settled = true, .fn = remove_process, .ctx = v };
	struct why why;

	if (v->env->mode == mode_system)
		ask_launched(v, NULL);
	else
		tell_failed("processes", world_vmms(v->world, on_process, &l, &why), &why);
}
