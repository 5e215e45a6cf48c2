/*
 * stub.c - the driver of machines that have no guest: their process is banger-stub, a companion of
 * this program, and everything else of them is as with any other driver. What one costs is
 * banger's own (`banger bench --stub`).
 *
 * It is never chosen by itself, neither by `auto` nor by the configuration, and never in a jail:
 * there is nothing to keep in. Its agent refuses whatever would need a guest.
 */
#include "actors/vm/vm.h"

enum { AGENT_FD = 11 };

static enum err probe(struct vmd *v, struct vm_record *r, struct why *why)
{
	uint64_t size, changed_ns;

	r->accel = accel_auto; /* it runs no code */
	return world_companion(v->world, "banger-stub", &size, &changed_ns, why);
}

static enum err launch(struct machine *m, struct why *why)
{
	char agent[64], out[64], name[32];
	char *argv[] = { (char[]){ "banger-stub" }, name, NULL };
	struct child_spec spec = { .program = "banger-stub",
		.argv = argv,
		.sockets = { { agent, AGENT_FD } },
		.sockets_n = 1,
		.out = out,
		.outlives = true,
		.unprivileged = true };
	struct child *child;
	enum err e;

	machine_dir(m, agent, sizeof(agent), m->driver->leaves[vmm_channel_vsock]);
	machine_dir(m, out, sizeof(out), m->driver->leaves[vmm_channel_console]);
	snprintf(name, sizeof(name), "banger-%s", m->id);
	e = world_spawn(m->v->world, &spec, vmm_exited, m, &child, NULL, why);
	if (!e)
		machine_vmm_started(m, child);
	return e;
}

static enum flow_said connect_all(struct machine *m, bool fresh UNUSED, struct why *why)
{
	if (machine_dial(m, vmm_channel_console, why))
		return FLOW_FAILED;
	link_open(m);
	return FLOW_DONE;
}

/* It has none. */
static enum err control(struct machine *m, uint64_t parcel UNUSED, struct why *why)
{
	return fail(why, ERR_unsupported, "stub machine %s has no control socket", m->name);
}

static void close_control(struct machine *m UNUSED)
{
}

const struct vmm_driver stub_driver = {
	.id = driver_stub,
	.name = "stub",
	.probe = probe,
	.launch = launch,
	.connect = connect_all,
	.control = control,
	.close = close_control,
	.leaves = { [vmm_channel_api] = "none.sock",
		[vmm_channel_vsock] = "agent.sock",
		[vmm_channel_console] = "console" },
	.console_is_fifo = true,
	.link = link_kind_serial,
};
