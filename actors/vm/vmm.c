/*
 * vmm.c - what all drivers share: which one runs a machine, the beginning and end of its process,
 * and the ways to its sockets, through the root helper where the system has one.
 */
#include <signal.h>

#include "actors/vm/vm.h"
#include "base/log.h"

const struct vmm_driver *vmm_of(enum driver id)
{
	static const struct vmm_driver *const all[driver_COUNT] = {
		[driver_auto] = &qemu_driver,
		[driver_qemu] = &qemu_driver,
		[driver_firecracker] = &firecracker_driver,
		[driver_stub] = &stub_driver,
	};

	return all[id];
}

bool vmm_by_helper(const struct vmd *v)
{
	return v->env->mode == mode_system;
}

bool machine_jailed(const struct machine *m)
{
	return vmm_by_helper(m->v) && m->driver->ask_helper;
}

/* ---- choice ---- */

/* By trial, once in a daemon's life: nothing else tells what a filesystem can. */
bool vmm_reflinks(struct vmd *v)
{
	static const char from[] = "vm/.reflink", to[] = "vm/.reflink-copy";
	struct why why;

	if (v->reflinks == REFLINKS_UNTRIED) {
		enum err e = world_write(v->world, STATE, from, (struct bytes){ NULL, 0 }, &why);

		if (!e)
			e = world_reflink(v->world, to, STATE, from, 4096, &why);
		if (!e || e == ERR_unsupported) /* a full disk says nothing about it */
			v->reflinks = e ? REFLINKS_FAIL : REFLINKS_WORK;
		if (world_remove(v->world, STATE, from, &why) ||
			world_remove(v->world, STATE, to, &why))
			log_line(LOG_WARN, "vm", "files left behind", "why", why.text, NULL);
	}
	return v->reflinks == REFLINKS_WORK;
}

/* Only qemu reads qcow2, and only where it is not in a jail. */
static enum err choose_layer(struct vmd *v, struct vm_record *r, struct why *why)
{
	bool raw = r->driver == driver_firecracker || vmm_by_helper(v);
	struct host_facts host;

	world_host_facts(v->world, &host);
	if (raw && r->layer == layer_qcow2) {
		fail_field(why, ERR_unsupported, "layer", "driver %s takes no qcow2 disks here",
			word_of(driver, r->driver));
		return fail_hint(why, "use --layer reflink or --layer copy");
	}
	if (raw && r->layer == layer_auto && !(vmm_by_helper(v) && host.device_mapper))
		r->layer = vmm_reflinks(v) ? layer_reflink : layer_copy;
	return layer_choose(v, &r->layer, why);
}

static enum err firecracker_fits(const struct vmd *v, const struct vm_record *r, struct why *why)
{
	if (vmm_by_helper(v) || r->net == net_none)
		return OK;
	fail_field(why, ERR_unsupported, "net",
		"driver firecracker has no network without a system install");
	return fail_hint(why, "use --net none, --driver qemu, or `banger system install`");
}

/* Without the helper qemu, which needs nothing but itself. */
static void pick_driver(struct vmd *v, struct vm_record *r)
{
	struct why why;

	if (r->driver != driver_auto)
		return;
	r->driver = driver_firecracker;
	if (!vmm_by_helper(v) || r->accel == accel_tcg || r->layer == layer_qcow2 ||
		firecracker_driver.probe(v, r, &why))
		r->driver = driver_qemu;
}

enum err vmm_choose(struct vmd *v, struct vm_record *r, struct why *why)
{
	enum err e;

	pick_driver(v, r);
	e = r->driver == driver_firecracker ? firecracker_fits(v, r, why) : OK;
	if (!e)
		e = choose_layer(v, r, why);
	return e ? e : vmm_of(r->driver)->probe(v, r, why);
}

void vmm_problems(struct vmd *v, struct vm_record *r, void (*add)(void *ctx, const struct why *why),
	void *ctx)
{
	struct why why;

	pick_driver(v, r);
	if (r->driver == driver_firecracker && firecracker_fits(v, r, &why))
		add(ctx, &why);
	if (choose_layer(v, r, &why))
		add(ctx, &why);
	if (vmm_of(r->driver)->probe(v, r, &why))
		add(ctx, &why);
}

/* ---- beginning and end ---- */

void vmm_exited(void *ctx, int status)
{
	machine_vmm_ended(ctx, status);
}

enum flow_said vmm_launch(struct machine *m, struct why *why)
{
	if (machine_jailed(m))
		return jail_launch(m, why);
	if (m->driver->launch(m, why))
		return FLOW_FAILED;
	return m->driver->connect(m, true, why);
}

void machine_launched(struct machine *m, const struct why *why)
{
	if (!m->wants_launch && m->wants_hello && why) { /* it was launched a second time */
		m->wants_hello = false;
		flow_fail(&m->flow, m->hello_ticket, why);
	}
	if (!m->wants_launch)
		return;
	m->wants_launch = false;
	if (why)
		flow_fail(&m->flow, m->launched_ticket, why);
	else
		flow_done(&m->flow, m->launched_ticket);
}

static uint64_t started_ms(const struct machine *m)
{
	uint64_t now = world_now_ms(m->v->world), wall = world_unix_ms(m->v->world);

	return now - MIN(now, wall - MIN(m->r.started, wall));
}

/* A jail's Firecracker is called by the id alone. */
void vmm_needle(const struct machine *m, char out[32])
{
	bool bare = vmm_by_helper(m->v) && m->driver->id == driver_firecracker;

	snprintf(out, 32, "%s%s", bare ? "" : "banger-", m->id);
}

enum err vmm_adopt(struct machine *m, struct why *why)
{
	char needle[32];
	enum err e;

	vmm_needle(m, needle);
	e = world_adopt(m->v->world, m->r.has_pid ? (pid_t)m->r.pid : 0, m->r.pid_start, needle,
		vmm_exited, m, &m->child, why);
	if (e)
		return e;
	m->started_ms = started_ms(m);
	machine_vmm_taken(m);
	return m->driver->connect(m, false, why) == FLOW_FAILED ? why->code : OK;
}

void vmm_kill(struct machine *m)
{
	if (!m->child)
		return;
	if (machine_jailed(m))
		jail_end(m);
	else
		child_signal(m->child, SIGKILL);
}

/* ---- ways to its sockets ---- */

enum err machine_chan(struct machine *m, enum vmm_channel ch, uint64_t parcel,
	const struct chan_user *user, void *ctx, struct chan **ret, struct why *why)
{
	char path[64];

	if (parcel)
		return world_parcel_chan(m->v->world, parcel, user, ctx, ret, why);
	machine_dir(m, path, sizeof(path), m->driver->leaves[ch]);
	if (ch == vmm_channel_console && m->driver->console_is_fifo)
		return world_open_fifo(m->v->world, path, user, ctx, ret, why);
	return world_connect(m->v->world, path, user, ctx, ret, why);
}

enum err machine_reach(struct machine *m, enum vmm_channel ch, uint64_t parcel, struct why *why)
{
	switch (ch) {
	case vmm_channel_api:
		return m->driver->control(m, parcel, why);
	case vmm_channel_vsock:
		return link_reach(m, parcel, why);
	case vmm_channel_console:
		return console_reach(m, parcel, why);
	case vmm_channel_COUNT:
		break;
	}
	must(false);
}

enum err machine_dial(struct machine *m, enum vmm_channel ch, struct why *why)
{
	if (!machine_jailed(m))
		return machine_reach(m, ch, 0, why);
	jail_dial(m, ch);
	return OK;
}

/* The helper says no, or what it brought cannot be used. */
void machine_unreached(struct machine *m, enum vmm_channel ch, const struct why *why)
{
	if (ch == vmm_channel_vsock) {
		link_unreached(m, why);
		return;
	}
	log_line(LOG_WARN, "vm", "vmm cannot be reached", "vm", m->id, "channel",
		word_of(vmm_channel, ch), "why", why->text, NULL);
	if (m->wants_launch || m->wants_hello)
		machine_launched(m, why);
	else if (ch == vmm_channel_api && m->driver->id == driver_qemu)
		machine_vmm_end(m); /* nobody would ever learn how it fares */
}
