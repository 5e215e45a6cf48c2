/*
 * doctor_vmm.c - the VMMs of this host: where they are, which version, and what that version can
 * do. QEMU is asked itself (its lists of machines, accelerators and options); Firecracker's
 * abilities follow from its version, by its published changelog.
 */
#include <unistd.h>

#include "base/text.h"
#include "cli/doctor.h"
#include "cli/report.h"
#include "cli/spawn.h"
#include "cli/system.h"

enum { OUTPUT_MAX = 262144 };

/* What a program prints; "" when it cannot be run. */
static const char *says(struct part *p, const char *path, const char *a, const char *b)
{
	const char *argv[] = { path, a, b, NULL };
	own_buf out = { 0 };
	struct why why;
	int code = 0;
	const char *text;

	buf_init(&out, OUTPUT_MAX);
	if (host_read(argv, &out, &code, &why) || out.n == 0)
		return "";
	text = arena_strn(&p->c->mem, out.p, out.n);
	return text ? text : "";
}

/* The first dotted number behind a word: "version 7.2.22 (Debian ..." */
static const char *number_of(struct part *p, const char *text, const char *behind)
{
	const char *at = strstr(text, behind);
	size_t n;

	if (!at)
		return NULL;
	at += strlen(behind);
	n = strspn(at, "0123456789.");
	return n > 0 && n < 64 ? arena_strn(&p->c->mem, at, n) : NULL;
}

static unsigned version_value(const char *v)
{
	unsigned major = 0, minor = 0;

	if (v)
		(void)!sscanf(v, "%u.%u", &major, &minor);
	return major * 1000 + minor;
}

static bool find(struct part *p, struct vmm_found *m, const char *configured, const char *name)
{
	char path[PLACE_BYTES];
	struct why why;

	m->name = name;
	if (configured && access(configured, X_OK) == 0)
		m->path = configured;
	else if (!configured && program_path(name, path, sizeof(path), &why) == OK)
		m->path = arena_str(&p->c->mem, path);
	return m->path != NULL;
}

static void ability(
	struct part *p, struct vmm_found *m, const char *name, bool can, const char *why)
{
	if (!m->abilities.v)
		m->abilities.v =
			arena_take(&p->c->mem, PART_ABILITIES_MAX * sizeof(struct vmm_ability));
	if (m->abilities.v && m->abilities.n < PART_ABILITIES_MAX)
		m->abilities.v[m->abilities.n++] = (struct vmm_ability){ name, can, why };
}

/* ---- qemu ---- */

static void qemu_abilities(struct part *p, struct vmm_found *m)
{
	const char *machines = says(p, m->path, "-machine", "help");
	const char *accels = says(p, m->path, "-accel", "help");
	const char *help = says(p, m->path, "-help", NULL);
	const char *devices = says(p, m->path, "-device", "help");
	bool micro = strstr(machines, "\nmicrovm ") != NULL;
	bool block = strstr(devices, "\"virtio-blk-device\"") != NULL;

	ability(p, m, "microvm", micro,
		micro ? "machine type microvm is there" : "needs QEMU 4.2 or newer, built with it");
	ability(p, m, "disks", block, block ? "virtio-blk on MMIO" : "built without virtio-mmio");
	ability(p, m, "kvm", strstr(accels, "kvm") != NULL, "accelerators that it was built with");
	ability(p, m, "emulation", strstr(accels, "tcg") != NULL,
		"accelerators that it was built with");
	ability(p, m, "sandbox", strstr(help, "-sandbox on") != NULL,
		"a filter of system calls, on itself");
	ability(p, m, "drop-root", strstr(help, "-runas ") != NULL,
		"opens as root, then runs as another user");
	ability(p, m, "vsock", strstr(devices, "\"vhost-vsock-device\"") != NULL,
		"not needed: its agent is reached by virtio-serial");
	if (!micro || !block)
		finding(p, "qemu", health_fail, "apt install qemu-system-x86",
			"%s lacks what banger's machines are made of", m->path);
}

static void qemu(struct part *p)
{
#if defined(__aarch64__)
	static const char name[] = "qemu-system-aarch64";
#else
	static const char name[] = "qemu-system-x86_64";
#endif
	struct vmm_found *m = &p->vmms[p->vmms_n++];

	if (!find(p, m, p->configured ? p->conf.v.qemu_bin : NULL, name)) {
		finding(p, "qemu", health_fail,
			"apt install qemu-system-x86, or name it as qemu_bin in config.yaml",
			"%s was not found", name);
		return;
	}
	m->version = number_of(p, says(p, m->path, "--version", NULL), "version ");
	if (m->version)
		finding(p, "qemu", health_ok, NULL, "%s %s", m->path, m->version);
	else
		finding(p, "qemu", health_fail, "run it by hand: what does it say?",
			"%s does not tell its version", m->path);
	qemu_abilities(p, m);
}

/* ---- firecracker ---- */

static void firecracker_abilities(struct part *p, struct vmm_found *m)
{
	unsigned v = version_value(m->version);

	ability(p, m, "machines", v >= 1000, "API 1.0 or newer");
	ability(p, m, "kernels without ACPI tables", v < 1008, "from 1.8 on it brings ACPI");
	ability(p, m, "PVH boot", v >= 1012, "from 1.12 on");
	ability(p, m, "tells of a guest's crash", v >= 1015,
		"from 1.15 on a triple fault is an error");
	ability(p, m, "restore elsewhere", v >= 1016, "vsock_override, from 1.16 on");
	ability(p, m, "compressed kernels", v >= 1017,
		"from 1.17 on; banger unpacks kernels itself");
	ability(p, m, "emulation", false, "it needs KVM");
}

static void firecracker(struct part *p)
{
	struct vmm_found *m = &p->vmms[p->vmms_n++];

	if (!find(p, m, p->configured ? p->conf.v.firecracker_bin : NULL, "firecracker")) {
		finding(p, "firecracker", health_note,
			"put it on PATH, or name it as firecracker_bin in config.yaml",
			"not found; QEMU runs machines");
		return;
	}
	m->version = number_of(p, says(p, m->path, "--version", NULL), "Firecracker v");
	if (!m->version)
		finding(p, "firecracker", health_warn, "run it by hand: what does it say?",
			"%s does not tell its version", m->path);
	else if (version_value(m->version) < 1000)
		finding(p, "firecracker", health_warn, "1.0 or newer", "%s %s is too old", m->path,
			m->version);
	else
		finding(p, "firecracker", health_ok, NULL, "%s %s", m->path, m->version);
	firecracker_abilities(p, m);
}

static void jailer(struct part *p)
{
	struct vmm_found *m = &p->vmms[p->vmms_n++];
	unsigned v;

	if (!find(p, m, NULL, "jailer"))
		return;
	m->version = number_of(p, says(p, m->path, "--version", NULL), "v");
	v = version_value(m->version);
	ability(p, m, "control groups of version 2", v >= 1000, "--cgroup-version 2");
	ability(p, m, "a jail of the helper's", true,
		"not needed: the helper makes jails itself, the same for QEMU");
}

void doctor_vmms(struct part *p)
{
	qemu(p);
	firecracker(p);
	jailer(p);
}
