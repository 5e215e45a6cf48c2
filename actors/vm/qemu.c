/*
 * qemu.c - the QEMU driver: a microvm with virtio-mmio devices, its three sockets (control, agent,
 * console), and a command line that says all of it.
 *
 * The sockets listen before the process runs, so nothing waits for them to appear and nothing of
 * the first output is lost. As root the VMM opens its files and then changes to the plain uid.
 */
#include <unistd.h>

#include "base/log.h"
#include "actors/vm/driver_qemu.h"
#include "vmm/qemu_args.h"

enum { QMP_FD = 10, AGENT_FD = 11, CONSOLE_FD = 12 };

static enum err find_qemu(struct vmd *v, struct why *why)
{
#if defined(__aarch64__)
	static const char name[] = "qemu-system-aarch64";
#else
	static const char name[] = "qemu-system-x86_64";
#endif
	if (v->qemu[0])
		return OK;
	return world_find_program(
		v->world, v->env->config->qemu_bin, name, v->qemu, sizeof(v->qemu), why);
}

static enum err probe(struct vmd *v, struct vm_record *r UNUSED, struct why *why)
{
	return find_qemu(v, why);
}

static void driver_words(struct machine *m, struct buf *b)
{
	struct host_facts host;

	if (m->driver->id == driver_firecracker) {
		/* its reset is the keyboard controller's; it names disks by files of the host */
		buf_fmt(b,
			" reboot=k pci=off i8042.noaux i8042.nomux i8042.dumbkbd "
			"banger.disks=root,work%s",
			m->boot.modules[0] ? ",modules" : "");
		return;
	}
	buf_str(b, " reboot=t no_timer_check");
	world_host_facts(m->v->world, &host);
	if (m->r.accel == accel_tcg) {
		/*
		 * There is no secret between a guest's processes and an emulated CPU to keep. Its
		 * kernel's warnings tell of a timer that it lost (vm_notice_lost_timer).
		 */
		buf_str(b, " mitigations=off nokaslr loglevel=5");
		if (host.tsc_khz)
			buf_fmt(b, " tsc=reliable tsc_early_khz=%llu",
				(unsigned long long)host.tsc_khz);
	}
}

void kernel_line(struct machine *m, struct buf *b)
{
	buf_str(b, "console=ttyS0 panic=-1 quiet rdinit=/init random.trust_cpu=on "
		   "cryptomgr.notests 8250.nr_uarts=1");
	driver_words(m, b);
	buf_fmt(b, " banger.name=%s banger.link=%s", m->name, word_of(link_kind, m->driver->link));
	if (m->r.home)
		buf_fmt(b, " banger.home=%s", m->r.home);
	if (m->use)
		buf_fmt(b, " banger.uid=%llu banger.gid=%llu",
			(unsigned long long)m->use->facts.uid,
			(unsigned long long)m->use->facts.gid);
	machine_network_words(m, b);
}

static const char *state_path(struct machine *m, struct arena *a, const char *path)
{
	char full[4200];

	return world_path(m->v->world, STATE, path, full, sizeof(full), NULL) ? NULL :
										arena_str(a, full);
}

static bool add_disk(struct machine *m, struct qemu_machine *q, struct arena *a, const char *id,
	const char *path, const char *format, bool read_only)
{
	const char *full = state_path(m, a, path);

	/* a machine that is thrown away after its run need not survive the host's power loss */
	q->disks[q->disks_n++] = (struct qemu_disk){ .id = id,
		.path = full,
		.format = format,
		.read_only = read_only,
		.cache = m->r.rm ? QEMU_UNSAFE : QEMU_WRITEBACK };
	return full != NULL;
}

static bool add_disks(struct machine *m, struct qemu_machine *q, struct arena *a)
{
	const char *end = m->r.layer == layer_qcow2 ? "qcow2" : "raw";
	char leaf[32], path[64];
	bool all;

	snprintf(leaf, sizeof(leaf), "root.%s", end);
	machine_dir(m, path, sizeof(path), leaf);
	all = add_disk(m, q, a, "root", path, end, false);
	snprintf(leaf, sizeof(leaf), "work.%s", end);
	machine_dir(m, path, sizeof(path), leaf);
	all &= add_disk(m, q, a, "work", path, end, false);
	if (m->boot.modules[0])
		all &= add_disk(m, q, a, "modules", m->boot.modules, "raw", true);
	return all;
}

static enum err build_args(struct machine *m, struct arena *a, char ***ret_argv, struct why *why)
{
	own_buf line = { .max = 2048 };
	bool root = geteuid() == 0;
	struct qemu_machine q = { .program = m->v->qemu,
		.id = m->id,
		.kvm = m->r.accel == accel_kvm,
		.vcpus = m->r.vcpus,
		.memory = m->r.memory,
		.kernel = state_path(m, a, m->boot.vmlinux),
		.initrd = state_path(m, a, m->boot.initramfs),
		.nics = { { .kind = QEMU_NIC_USER } },
		.nics_n = m->r.net == net_nat,
		.control = { .fd = QMP_FD },
		.agent = { .fd = AGENT_FD },
		.console = { .fd = CONSOLE_FD },
		.runs_as = root,
		.uid = world_plain_uid(m->v->world),
		.sandbox = true };

	kernel_line(m, &line);
	q.cmdline = buf_cstr(&line);
	if (line.failed || !add_disks(m, &q, a) || !q.kernel || !q.initrd)
		return fail(
			why, ERR_too_large, "the command line of machine %s is too long", m->name);
	return qemu_args(&q, a, ret_argv, why);
}

static enum err control(struct machine *m, uint64_t parcel, struct why *why)
{
	struct qmp *q = NULL;
	enum err e = qmp_open(m, parcel, &q, why);

	m->control = q;
	return e;
}

static enum flow_said connect_all(struct machine *m, bool fresh UNUSED, struct why *why)
{
	if (machine_dial(m, vmm_channel_api, why) || machine_dial(m, vmm_channel_console, why))
		return FLOW_FAILED;
	link_open(m);
	return FLOW_DONE;
}

static void choose_accel(struct machine *m)
{
	struct host_facts host;

	if (m->r.accel != accel_auto)
		return;
	world_host_facts(m->v->world, &host);
	m->r.accel = host.kvm && !m->v->kvm_hangs ? accel_kvm : accel_tcg;
	m->kvm_on_trial = m->r.accel == accel_kvm;
}

static enum err launch(struct machine *m, struct why *why)
{
	char qmp[64], agent[64], console[64], log[64];
	struct child_spec spec = { .sockets = { { qmp, QMP_FD }, { agent, AGENT_FD },
					   { console, CONSOLE_FD } },
		.sockets_n = 3,
		.log = log,
		.outlives = true };
	struct arena a = { .max = 256 * KiB };
	char **argv = NULL;
	struct child *child;
	enum err e = find_qemu(m->v, why);

	if (e)
		return e;
	machine_dir(m, qmp, sizeof(qmp), "qmp.sock");
	machine_dir(m, agent, sizeof(agent), "agent.sock");
	machine_dir(m, console, sizeof(console), "console.sock");
	machine_dir(m, log, sizeof(log), "vmm.log");
	choose_accel(m);
	e = build_args(m, &a, &argv, why);
	spec.program = m->v->qemu;
	spec.argv = argv;
	if (!e)
		e = world_spawn(m->v->world, &spec, vmm_exited, m, &child, NULL, why);
	arena_done(&a);
	if (!e)
		machine_vmm_started(m, child);
	return e;
}

static enum err ask_helper(
	struct machine *m, struct priv_launch *q, struct arena *a, struct why *why)
{
	own_buf line = { .max = 2048 };
	enum err e = find_qemu(m->v, why);

	if (e)
		return e;
	choose_accel(m);
	kernel_line(m, &line);
	q->driver = vmm_qemu;
	q->binary = m->v->qemu;
	q->cmdline = arena_str(a, buf_cstr(&line));
	q->accel = m->r.accel;
	q->has_accel = true;
	if (line.failed || !q->cmdline)
		return fail(
			why, ERR_too_large, "the command line of machine %s is too long", m->name);
	return OK;
}

static enum err grow(struct machine *m, uint64_t size, struct why *why)
{
	return qmp_grow(m->control, size, why);
}

static void close_control(struct machine *m)
{
	qmp_close(m->control);
	m->control = NULL;
}

const struct vmm_driver qemu_driver = {
	.id = driver_qemu,
	.name = "qemu",
	.probe = probe,
	.launch = launch,
	.ask_helper = ask_helper,
	.connect = connect_all,
	.control = control,
	.close = close_control,
	.grow = grow,
	.leaves = { [vmm_channel_api] = "qmp.sock",
		[vmm_channel_vsock] = "agent.sock",
		[vmm_channel_console] = "console.sock" },
	.link = link_kind_serial,
};
