/*
 * qemu_args.c - QEMU's command line, one option after the other; a failure is seen once, at the
 * end.
 */
#include "vmm/qemu_args.h"

enum { ARGS_MAX = 128 };

struct args {
	char *v[ARGS_MAX + 1];
	unsigned n;
	struct arena *mem;
	bool failed;
};

static void arg(struct args *a, char *s)
{
	if (!s || a->n >= ARGS_MAX)
		a->failed = true;
	else
		a->v[a->n++] = s;
}

#define ARG(a, ...) arg(a, arena_fmt((a)->mem, __VA_ARGS__))

/* A comma in an option's value is written twice. */
static const char *quoted(struct args *a, const char *value)
{
	char *out = arena_take(a->mem, 2 * strlen(value) + 1), *to = out;

	if (!out) {
		a->failed = true;
		return "";
	}
	for (; *value; value++) {
		*to++ = *value;
		if (*value == ',')
			*to++ = ',';
	}
	return out;
}

static void add_base(const struct qemu_machine *m, struct args *a)
{
	char name[64];

	qemu_name(name, sizeof(name), m->id);
	ARG(a, "%s", m->program);
	ARG(a, "-name");
	ARG(a, "%s", name);
	ARG(a, "-M");
	ARG(a, "microvm,acpi=on,rtc=on,memory-backend=ram");
	ARG(a, "-object");
	ARG(a, "memory-backend-ram,id=ram,size=%llu", (unsigned long long)m->memory);
	ARG(a, "-m");
	ARG(a, "%lluB", (unsigned long long)m->memory);
	ARG(a, "-accel");
	ARG(a, "%s", m->kvm ? "kvm" : "tcg,thread=multi");
	ARG(a, "-cpu");
	ARG(a, "%s", m->kvm ? "host" : "max");
	ARG(a, "-smp");
	ARG(a, "%llu", (unsigned long long)m->vcpus);
	ARG(a, "-nodefaults");
	ARG(a, "-no-user-config");
	ARG(a, "-no-reboot");
	ARG(a, "-display");
	ARG(a, "none");
}

static void add_socket(struct args *a, const char *id, const struct qemu_socket *s)
{
	ARG(a, "-chardev");
	if (s->path)
		ARG(a, "socket,id=%s,path=%s,server=on,wait=off", id, quoted(a, s->path));
	else
		ARG(a, "socket,id=%s,fd=%d,server=on,wait=off", id, s->fd);
}

static void add_sockets(const struct qemu_machine *m, struct args *a)
{
	add_socket(a, "control", &m->control);
	ARG(a, "-mon");
	ARG(a, "chardev=control,mode=control");
	add_socket(a, "console", &m->console);
	ARG(a, "-serial");
	ARG(a, "chardev:console");
	if (m->cid) {
		ARG(a, "-device");
		ARG(a, "vhost-vsock-device,guest-cid=%u", m->cid);
		return;
	}
	add_socket(a, "agent", &m->agent);
	ARG(a, "-device");
	ARG(a, "virtio-serial-device,max_ports=2");
	ARG(a, "-device");
	ARG(a, "virtserialport,chardev=agent,name=banger");
}

/* A descriptor is named as the only member of a set: QEMU opens sets by path. */
static void add_disk(const struct qemu_disk *d, unsigned index, struct args *a)
{
	const char *file;

	if (d->path) {
		file = quoted(a, d->path);
	} else {
		ARG(a, "-add-fd");
		ARG(a, "fd=%d,set=%u", d->fd, index + 1);
		file = arena_fmt(a->mem, "/dev/fdset/%u", index + 1);
	}
	ARG(a, "-drive");
	ARG(a, "id=%s,file=%s,format=%s,if=none,discard=unmap,cache=%s%s", d->id, file ? file : "",
		d->format, d->cache == QEMU_UNSAFE ? "unsafe" : "writeback",
		d->read_only ? ",readonly=on" : "");
	ARG(a, "-device");
	ARG(a, "virtio-blk-device,drive=%s,serial=%s", d->id, d->id);
}

static void add_nic(const struct qemu_nic *nic, unsigned index, struct args *a)
{
	ARG(a, "-netdev");
	switch (nic->kind) {
	case QEMU_NIC_USER:
		ARG(a, "user,id=net%u", index);
		break;
	case QEMU_NIC_TAP:
		ARG(a, "tap,id=net%u,ifname=%s,script=no,downscript=no", index, nic->ifname);
		break;
	case QEMU_NIC_TAP_FD:
		ARG(a, "tap,id=net%u,fd=%d", index, nic->fd);
		break;
	}
	ARG(a, "-device");
	ARG(a, "virtio-net-device,netdev=net%u%s%s", index, nic->mac ? ",mac=" : "",
		nic->mac ? nic->mac : "");
}

static void add_kernel(const struct qemu_machine *m, struct args *a)
{
	ARG(a, "-kernel");
	ARG(a, "%s", m->kernel);
	if (m->initrd) {
		ARG(a, "-initrd");
		ARG(a, "%s", m->initrd);
	}
	ARG(a, "-append");
	ARG(a, "%s", m->cmdline);
}

static void add_confinement(const struct qemu_machine *m, struct args *a)
{
	if (m->sandbox) {
		ARG(a, "-sandbox");
		ARG(a, "on,obsolete=deny,spawn=deny,resourcecontrol=deny,elevateprivileges=%s",
			m->runs_as ? "allow" : "deny");
	}
	if (m->runs_as) {
		ARG(a, "-runas");
		ARG(a, "%u:%u", m->uid, m->uid);
	}
}

void qemu_name(char *out, size_t size, const char *id)
{
	snprintf(out, size, "banger-%s", id);
}

enum err qemu_args(
	const struct qemu_machine *m, struct arena *mem, char ***ret_argv, struct why *why)
{
	struct args a = { .mem = mem };
	char **out;

	must(m->disks_n <= QEMU_DISKS_MAX && m->nics_n <= QEMU_NICS_MAX);
	add_base(m, &a);
	add_sockets(m, &a);
	for (unsigned i = 0; i < m->disks_n; i++)
		add_disk(&m->disks[i], i, &a);
	for (unsigned i = 0; i < m->nics_n; i++)
		add_nic(&m->nics[i], i, &a);
	add_kernel(m, &a);
	add_confinement(m, &a);
	out = arena_take(mem, (a.n + 1) * sizeof(*out));
	if (a.failed || !out)
		return fail(
			why, ERR_too_large, "the command line of machine %s is too long", m->id);
	memcpy(out, a.v, a.n * sizeof(*out));
	*ret_argv = out;
	return OK;
}
