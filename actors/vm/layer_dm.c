/*
 * layer_dm.c - layer dm: the root disk is a device-mapper snapshot that the root helper makes over
 * the image's shared filesystem and a file of the machine's own changes.
 *
 * The file is as long as the changes can ever be, and sparse: a snapshot that has no room left
 * loses all that it held. The device's name follows from the machine's id, so no record is needed
 * to find or remove it; it ends with the host's boot and is made anew at the next start.
 */
#include "actors/shared/notes.h"
#include "actors/vm/vm.h"
#include "base/log.h"
#include "base/text.h"

enum {
	DM_MS = 60000,
	FSCK_MS = 180000,
	FILL_MS = 60000, /* how often fills are looked at, while a machine runs */
	FILL_WARN = 80 /* percent */
};

#define ROOM_WARN (1 * GiB)

static void dm_name(const struct machine *m, char out[DM_NAME_BYTES])
{
	snprintf(out, DM_NAME_BYTES, "fc-rootfs-%s", m->id);
}

void machine_dm_dev(const struct machine *m, char out[DM_DEV_BYTES])
{
	snprintf(out, DM_DEV_BYTES, "/dev/mapper/fc-rootfs-%s", m->id);
}

/* ---- files ---- */

/*
 * A chunk is 4 KiB, and each 256 of them take one more; twice that, for the header and for what a
 * kernel may do otherwise.
 */
static uint64_t changes_most(uint64_t root)
{
	return (root + root / 128 + MiB + 4095) & ~(uint64_t)4095;
}

enum err dm_make_file(struct machine *m, struct why *why)
{
	struct bytes none = { NULL, 0 };
	char path[64];
	enum err e;

	machine_dir(m, path, sizeof(path), "root.cow");
	e = world_write(m->v->world, STATE, path, none, why);
	return e ? e : world_resize(m->v->world, path, changes_most(m->boot.root_size), why);
}

bool machine_fill(struct machine *m, uint64_t *size, uint64_t *used)
{
	char path[64];

	if (m->r.layer != layer_dm)
		return false;
	machine_dir(m, path, sizeof(path), "root.cow");
	return world_size(m->v->world, STATE, path, size, used, NULL) == OK;
}

/* ---- making ---- */

static void ask_create(struct machine *m, uint64_t ctx);

static void over(struct machine *m, uint64_t ctx, const struct why *why)
{
	if (why)
		flow_fail(&m->flow, (uint32_t)ctx, why);
	else
		flow_done(&m->flow, (uint32_t)ctx);
}

static void checked(void *state, uint64_t ctx, const struct why *why, const void *result UNUSED,
	struct arena *arena UNUSED)
{
	struct machine *m = vm_awaited(state, ctx);
	struct why bad;

	if (!m)
		return;
	if (why && why->code != ERR_unavailable) {
		bad = *why;
		fail_hint(&bad,
			"its last end was not a clean one; `banger vm delete %s` gives it up",
			m->name);
		over(m, ctx, &bad);
		return;
	}
	if (why) /* the guest's kernel replays its journal all the same */
		log_line(LOG_WARN, "vm", "root disk not checked", "vm", m->id, "why", why->text,
			NULL);
	m->r.unclean = false;
	over(m, ctx, NULL);
}

/* The device is there: after an end that was not a clean one it is checked first. */
static void there(struct machine *m, uint64_t ctx)
{
	char dev[DM_DEV_BYTES];
	struct priv_dm q = { dev };

	if (!m->r.unclean) {
		over(m, ctx, NULL);
		return;
	}
	machine_dm_dev(m, dev);
	ask(m->v->me, LETTER_priv_fsck_snapshot, &q, FSCK_MS, checked, ctx);
}

/* One that was there already, of another time: nothing runs on it. */
static void cleared(void *state, uint64_t ctx, const struct why *why, const void *result UNUSED,
	struct arena *arena UNUSED)
{
	struct machine *m = vm_awaited(state, ctx);

	if (m && why)
		over(m, ctx, why);
	else if (m)
		ask_create(m, ctx);
}

static void ask_remove(struct machine *m, answer_fn *fn, uint64_t ctx)
{
	char name[DM_NAME_BYTES];
	struct priv_remove_dm q = { name };

	dm_name(m, name);
	ask(m->v->me, LETTER_priv_remove_dm_snapshot, &q, DM_MS, fn, ctx);
}

static void created(void *state, uint64_t ctx, const struct why *why, const void *result UNUSED,
	struct arena *arena UNUSED)
{
	struct machine *m = vm_awaited(state, ctx);

	if (!m)
		return; /* the undo of this step removes it by its name */
	if (!why)
		there(m, ctx);
	else if (why->code == ERR_exists)
		ask_remove(m, cleared, ctx);
	else
		over(m, ctx, why);
}

static void ask_create(struct machine *m, uint64_t ctx)
{
	char leaf[64], base[4200], cow[4200];
	struct priv_create_dm q = { m->id, base, cow };
	struct why why;

	machine_dir(m, leaf, sizeof(leaf), "root.cow");
	if (world_path(m->v->world, STATE, m->boot.root, base, sizeof(base), &why) ||
		world_path(m->v->world, STATE, leaf, cow, sizeof(cow), &why))
		over(m, ctx, &why);
	else
		ask(m->v->me, LETTER_priv_create_dm_snapshot, &q, DM_MS, created, ctx);
}

void dm_make(struct machine *m, uint32_t ticket)
{
	ask_create(m, (uint64_t)m->serial << 32 | ticket);
}

/* ---- before a start ---- */

static void looked(void *state, uint64_t ctx, const struct why *why, const void *result,
	struct arena *arena UNUSED)
{
	struct machine *m = vm_awaited(state, ctx);
	const struct priv_dm_fill *fill = result;
	struct why bad;

	if (!m)
		return;
	if (why && why->code == ERR_not_found) {
		ask_create(m, ctx);
	} else if (why) {
		over(m, ctx, why);
	} else if (!fill->valid) {
		fail(&bad, ERR_conflict,
			"what machine %s wrote to its root disk is lost: there was "
			"no room for it once",
			m->name);
		fail_hint(&bad,
			"delete it with `banger vm delete %s`; its work disk is at %s/vm/%s",
			m->name, m->v->env->state_dir, m->id);
		over(m, ctx, &bad);
	} else {
		there(m, ctx);
	}
}

enum flow_said dm_ready(void *owner UNUSED, struct flow *f)
{
	struct machine *m = f->subject;
	char dev[DM_DEV_BYTES];
	struct priv_dm q = { dev };

	if (m->r.layer != layer_dm)
		return FLOW_DONE;
	machine_dm_dev(m, dev);
	ask(m->v->me, LETTER_priv_dm_status, &q, DM_MS, looked, vm_late_name(m, f));
	return FLOW_WAIT;
}

/* ---- removing ---- */

static void removed(void *state, uint64_t ctx, const struct why *why, const void *result UNUSED,
	struct arena *arena UNUSED)
{
	struct machine *m = vm_awaited(state, ctx);
	struct why bad = { .code = ERR_internal };

	if (m && why && why->code != ERR_not_found)
		over(m, ctx, why);
	else if (m)
		over(m, ctx, vm_remove_disks(m) == FLOW_DONE ? NULL : &bad);
}

enum flow_said dm_drop(struct machine *m, uint32_t ticket)
{
	if (m->r.layer != layer_dm || m->v->env->mode != mode_system)
		return vm_remove_disks(m);
	ask_remove(m, removed, (uint64_t)m->serial << 32 | ticket);
	return FLOW_WAIT;
}

/* ---- those of nobody ---- */

static void swept(void *state UNUSED, uint64_t ctx UNUSED, const struct why *why,
	const void *result UNUSED, struct arena *arena UNUSED)
{
	if (why && why->code != ERR_not_found)
		log_line(LOG_WARN, "vm", "snapshot of nobody stays", "why", why->text, NULL);
}

static void sweep_one(void *ctx, const char *name)
{
	static const char prefix[] = "fc-rootfs-";
	struct priv_remove_dm q = { name };
	struct vmd *v = ctx;

	if (strncmp(name, prefix, sizeof(prefix) - 1) != 0 ||
		machine_find(v, name + sizeof(prefix) - 1) ||
		type_ok(&type_dm_name, "name", name, NULL))
		return;
	log_line(LOG_INFO, "vm", "snapshot of nobody", "name", name, NULL);
	ask(v->me, LETTER_priv_remove_dm_snapshot, &q, DM_MS, swept, 0);
}

void dm_sweep(struct vmd *v)
{
	struct why why;

	if (v->env->mode == mode_system && world_dm_names(v->world, sweep_one, v, &why))
		log_line(LOG_WARN, "vm", "cannot look for snapshots", "why", why.text, NULL);
}

/* ---- fill ---- */

static void tell_fill(struct machine *m, uint64_t size, uint64_t used)
{
	uint64_t percent = size ? used * 100 / size : 0;
	char detail[64];

	if (percent < FILL_WARN || m->fill_told == percent)
		return;
	m->fill_told = (unsigned)percent;
	snprintf(detail, sizeof(detail), "root disk's changes fill %u%% of their room",
		m->fill_told);
	log_line(LOG_WARN, "vm", "root disk fills", "vm", m->id, "name", m->name, "percent",
		log_u64(percent).s, NULL);
	note_event(m->v->me, m->v->world,
		&(struct event){
			.kind = "vm.disk_fills", .vm = m->id, .name = m->name, .detail = detail });
}

/* Layers other than dm grow until the host's own disk is full, which then fails every guest. */
static void look_at_room(struct vmd *v)
{
	bool low;
	char room[24], detail[80];
	uint64_t there;

	if (world_free_space(v->world, STATE, &there, NULL))
		return;
	low = there < ROOM_WARN;
	if (low && !v->room_told) {
		show_size(room, sizeof(room), there);
		snprintf(detail, sizeof(detail), "%s are left for the disks of all machines", room);
		log_line(LOG_WARN, "vm", "host's disk fills", "free", log_u64(there).s, NULL);
		note_event(v->me, v->world,
			&(struct event){ .kind = "host.disk_fills", .detail = detail });
	}
	v->room_told = low;
}

static void look_at_fills(void *ctx)
{
	struct vmd *v = ctx;
	bool any = false;

	look_at_room(v);

	for (struct link *k = table_next(&v->by_id, NULL); k; k = table_next(&v->by_id, k)) {
		struct machine *m = CONTAINER_OF(k, struct machine, by_id);
		uint64_t size, used;

		any |= m->child != NULL;
		if (m->child && machine_fill(m, &size, &used))
			tell_fill(m, size, used);
	}
	v->fills_watched = any;
	if (any)
		world_timer(v->world, &v->fills, FILL_MS, look_at_fills, v);
}

void dm_watch_fill(struct machine *m)
{
	struct vmd *v = m->v;

	m->fill_told = 0;
	if (v->fills_watched)
		return;
	v->fills_watched = true;
	world_timer(v->world, &v->fills, FILL_MS, look_at_fills, v);
}
