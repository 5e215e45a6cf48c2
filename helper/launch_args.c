/*
 * launch_args.c - a VMM's command line, made by the helper from checked fields. Paths are those of
 * the jail.
 */
#include "helper/launch.h"
#include "helper/net.h"
#include "proto/check.h"
#include "vmm/qemu_args.h"

enum { FIRECRACKER_ARGS_MAX = 20, MAC_TEXT = 18 };

static enum err firecracker_line(struct launch *l, struct why *why)
{
	char **v = arena_take(&l->mem, FIRECRACKER_ARGS_MAX * sizeof(*v));
	unsigned n = 0;
	bool whole = v != NULL;

	l->argv = v;
#define ARG(...) (whole = whole && (v[n++] = arena_fmt(&l->mem, __VA_ARGS__)) != NULL)
	ARG("%s", l->in.jailer ? "jailer" : "firecracker");
	ARG("--id");
	ARG("%s", l->q->vm_id);
	if (l->in.jailer) {
		ARG("--exec-file");
		ARG("%s", l->program);
		ARG("--uid");
		ARG("%u", (unsigned)l->uid);
		ARG("--gid");
		ARG("%u", (unsigned)VMM_GID);
		ARG("--chroot-base-dir");
		ARG("%s", l->call->h->jail_path);
		ARG("--");
	}
	ARG("--api-sock");
	ARG("/run/api.sock");
#undef ARG
	must(n < FIRECRACKER_ARGS_MAX);
	return whole ? OK : fail(why, ERR_no_memory, "no memory for a command line");
}

/* Behind kernel and initrd, which are at fixed places, files stand in the order of the disks. */
static enum err add_disks(struct launch *l, struct qemu_machine *m, struct why *why)
{
	unsigned first = l->q->initrd_path ? 2 : 1;

	for (uint32_t i = 0; i < l->q->disks.n; i++) {
		const struct priv_disk *d = &l->q->disks.v[i];
		const char *path = arena_fmt(&l->mem, "/%s", l->in.files[first + i].at);

		if (!path)
			return fail(why, ERR_no_memory, "no memory for a command line");
		m->disks[m->disks_n++] = (struct qemu_disk){
			.id = d->id, .path = path, .format = "raw", .read_only = d->read_only
		};
	}
	return OK;
}

/* The address that is bound to the tap says its hardware address; nothing passes without one. */
static enum err add_nics(struct launch *l, struct qemu_machine *m, struct why *why)
{
	for (uint32_t i = 0; i < l->q->taps.n; i++) {
		struct qemu_nic *nic = &m->nics[m->nics_n++];
		struct tap_entry tap;
		uint8_t mac[6];
		enum err e = net_tap(l->call->h, l->q->taps.v[i], &tap, why);

		if (e)
			return e;
		*nic = (struct qemu_nic){ .kind = QEMU_NIC_TAP_FD, .fd = TAP_FD + (int)i };
		if (!tap.addr)
			continue;
		guest_mac(tap.addr, mac);
		nic->mac = arena_fmt(&l->mem, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1],
			mac[2], mac[3], mac[4], mac[5]);
		if (!nic->mac)
			return fail(why, ERR_no_memory, "no memory for a command line");
	}
	return OK;
}

static enum err qemu_line(struct launch *l, struct why *why)
{
	const struct priv_launch *q = l->q;
	struct qemu_machine m = { .program = "qemu",
		.id = q->vm_id,
		.kvm = q->has_accel && q->accel == accel_kvm,
		.memory = q->mem_mib * MiB,
		.vcpus = q->vcpus,
		.kernel = "/" JAIL_KERNEL,
		.initrd = q->initrd_path ? "/" JAIL_INITRD : NULL,
		.cmdline = q->cmdline ? q->cmdline : "",
		.control = { .fd = API_FD },
		.agent = { .fd = VSOCK_FD },
		.console = { .fd = CONSOLE_FD },
		.sandbox = true };
	enum err e = add_disks(l, &m, why);

	if (!e)
		e = add_nics(l, &m, why);
	return e ? e : qemu_args(&m, &l->mem, &l->argv, why);
}

enum err launch_args(struct launch *l, struct why *why)
{
	return l->q->driver == vmm_qemu ? qemu_line(l, why) : firecracker_line(l, why);
}
