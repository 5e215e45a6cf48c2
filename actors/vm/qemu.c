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

enum { ARGS_MAX = 80, QMP_FD = 10, AGENT_FD = 11, CONSOLE_FD = 12 };

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

static enum err probe(struct vmd *v, struct why *why)
{
	return find_qemu(v, why);
}

/* A growing argument list in an arena; a failure is seen once, at the end. */
struct args {
	char *v[ARGS_MAX];
	unsigned n;
	struct arena mem;
	bool failed;
};

static void arg(struct args *a, char *s)
{
	if (!s || a->n + 1 >= ARGS_MAX)
		a->failed = true;
	else
		a->v[a->n++] = s;
}

#define ARG(a, ...) arg(a, arena_fmt(&(a)->mem, __VA_ARGS__))

/* A comma in an option's value is written twice. */
static char *quoted(struct args *a, const char *path)
{
	char *out = arena_take(&a->mem, 2 * strlen(path) + 1), *to = out;

	for (; out && *path; path++) {
		*to++ = *path;
		if (*path == ',')
			*to++ = ',';
	}
	return out;
}

static void kernel_line(struct machine *m, const struct host_facts *host, struct buf *b)
{
	buf_str(b, "console=ttyS0 reboot=t panic=-1 quiet rdinit=/init random.trust_cpu=on "
		   "cryptomgr.notests 8250.nr_uarts=1 no_timer_check");
	if (m->r.accel == accel_tcg) {
		/* there is no secret between a guest's processes and an emulated CPU to keep */
		buf_str(b, " mitigations=off nokaslr");
		if (host->tsc_khz)
			buf_fmt(b, " tsc=reliable tsc_early_khz=%llu",
				(unsigned long long)host->tsc_khz);
	}
	buf_fmt(b, " banger.name=%s banger.link=serial", m->name);
	if (m->r.home)
		buf_fmt(b, " banger.home=%s", m->r.home);
	if (m->use)
		buf_fmt(b, " banger.uid=%llu banger.gid=%llu",
			(unsigned long long)m->use->facts.uid,
			(unsigned long long)m->use->facts.gid);
	if (m->r.net == net_nat)
		buf_str(b, " banger.ip=10.0.2.15/24 banger.gw=10.0.2.2 banger.dns=10.0.2.3");
}

static char *state_path(struct machine *m, struct args *a, const char *path)
{
	char full[4200];

	if (world_path(m->v->world, STATE, path, full, sizeof(full), NULL)) {
		a->failed = true;
		return NULL;
	}
	return arena_str(&a->mem, full);
}

static void add_disk(struct machine *m, struct args *a, const char *serial, const char *path,
	const char *format, bool read_only)
{
	char *full = state_path(m, a, path);

	if (!full)
		return;
	ARG(a, "-drive");
	/* a machine that is thrown away after its run need not survive the host's power loss */
	ARG(a, "id=%s,file=%s,format=%s,if=none,discard=unmap,cache=%s%s", serial, quoted(a, full),
		format, m->r.rm ? "unsafe" : "writeback", read_only ? ",readonly=on" : "");
	ARG(a, "-device");
	ARG(a, "virtio-blk-device,drive=%s,serial=%s", serial, serial);
}

static void add_disks(struct machine *m, struct args *a)
{
	const char *end = m->r.layer == layer_qcow2 ? "qcow2" : "raw";
	char leaf[32], path[64];

	snprintf(leaf, sizeof(leaf), "root.%s", end);
	machine_dir(m, path, sizeof(path), leaf);
	add_disk(m, a, "root", path, end, false);
	snprintf(leaf, sizeof(leaf), "work.%s", end);
	machine_dir(m, path, sizeof(path), leaf);
	add_disk(m, a, "work", path, end, false);
	if (m->boot.modules[0])
		add_disk(m, a, "modules", m->boot.modules, "raw", true);
}

static void add_socket(struct args *a, const char *id, int fd)
{
	ARG(a, "-chardev");
	ARG(a, "socket,id=%s,fd=%d,server=on,wait=off", id, fd);
}

static void build_args(struct machine *m, const struct host_facts *host, struct args *a)
{
	own_buf line = { .max = 2048 };
	bool kvm = m->r.accel == accel_kvm;

	kernel_line(m, host, &line);
	ARG(a, "%s", m->v->qemu);
	ARG(a, "-name");
	ARG(a, "banger-%s", m->id);
	ARG(a, "-M");
	ARG(a, "microvm,acpi=on,rtc=on,memory-backend=ram");
	ARG(a, "-object");
	ARG(a, "memory-backend-ram,id=ram,size=%llu", (unsigned long long)m->r.memory);
	ARG(a, "-m");
	ARG(a, "%lluB", (unsigned long long)m->r.memory);
	ARG(a, "-accel");
	ARG(a, "%s", kvm ? "kvm" : "tcg,thread=multi");
	ARG(a, "-cpu");
	ARG(a, "%s", kvm ? "host" : "max");
	ARG(a, "-smp");
	ARG(a, "%llu", (unsigned long long)m->r.vcpus);
	ARG(a, "-nodefaults");
	ARG(a, "-no-user-config");
	ARG(a, "-no-reboot");
	ARG(a, "-display");
	ARG(a, "none");
	add_socket(a, "control", QMP_FD);
	ARG(a, "-mon");
	ARG(a, "chardev=control,mode=control");
	add_socket(a, "console", CONSOLE_FD);
	ARG(a, "-serial");
	ARG(a, "chardev:console");
	add_socket(a, "agent", AGENT_FD);
	ARG(a, "-device");
	ARG(a, "virtio-serial-device,max_ports=2");
	ARG(a, "-device");
	ARG(a, "virtserialport,chardev=agent,name=banger");
	add_disks(m, a);
	if (m->r.net == net_nat) {
		ARG(a, "-netdev");
		ARG(a, "user,id=net");
		ARG(a, "-device");
		ARG(a, "virtio-net-device,netdev=net");
	}
	ARG(a, "-kernel");
	arg(a, state_path(m, a, m->boot.vmlinux));
	ARG(a, "-initrd");
	arg(a, state_path(m, a, m->boot.initramfs));
	ARG(a, "-append");
	ARG(a, "%s", buf_cstr(&line));
	ARG(a, "-sandbox");
	ARG(a, "on,obsolete=deny,spawn=deny,resourcecontrol=deny,elevateprivileges=%s",
		geteuid() == 0 ? "allow" : "deny");
	if (geteuid() == 0) {
		ARG(a, "-runas");
		ARG(a, "%u:%u", (unsigned)world_plain_uid(m->v->world),
			(unsigned)world_plain_uid(m->v->world));
	}
	a->failed |= line.failed;
	a->v[a->n] = NULL;
}

static void vmm_exited(void *ctx, int status)
{
	machine_vmm_ended(ctx, status);
}

static enum err connect_all(struct machine *m, struct why *why)
{
	struct qmp *q = NULL;
	enum err e = qmp_open(m, &q, why);

	m->control = q;
	if (!e)
		e = console_open(m, why);
	if (!e)
		link_open(m);
	return e;
}

static void choose_accel(struct machine *m, const struct host_facts *host)
{
	if (m->r.accel != accel_auto)
		return;
	m->r.accel = host->kvm && !m->v->kvm_hangs ? accel_kvm : accel_tcg;
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
	struct args a = { .mem = { .max = 256 * KiB } };
	struct host_facts host;
	struct child *child;
	enum err e = find_qemu(m->v, why);

	if (e)
		return e;
	machine_dir(m, qmp, sizeof(qmp), "qmp.sock");
	machine_dir(m, agent, sizeof(agent), "agent.sock");
	machine_dir(m, console, sizeof(console), "console.sock");
	machine_dir(m, log, sizeof(log), "vmm.log");
	world_host_facts(m->v->world, &host);
	choose_accel(m, &host);
	build_args(m, &host, &a);
	spec.program = m->v->qemu;
	spec.argv = a.v;
	if (a.failed)
		e = fail(why, ERR_too_large, "the command line of machine %s is too long", m->name);
	else
		e = world_spawn(m->v->world, &spec, vmm_exited, m, &child, NULL, why);
	arena_done(&a.mem);
	if (e)
		return e;
	machine_vmm_started(m, child);
	return connect_all(m, why);
}

static enum err adopt(struct machine *m, struct why *why)
{
	char needle[32];
	enum err e;

	snprintf(needle, sizeof(needle), "banger-%s", m->id);
	e = world_adopt(m->v->world, m->r.has_pid ? (pid_t)m->r.pid : 0, m->r.pid_start, needle,
		vmm_exited, m, &m->child, why);
	if (e)
		return e;
	m->started_ms =
		world_now_ms(m->v->world) -
		MIN(world_now_ms(m->v->world),
			world_unix_ms(m->v->world) - MIN(m->r.started, world_unix_ms(m->v->world)));
	machine_vmm_taken(m);
	return connect_all(m, why);
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
	.adopt = adopt,
	.close = close_control,
};
