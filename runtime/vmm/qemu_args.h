/*
 * vmm/qemu_args.h - QEMU's command line for a machine, as a pure function of what the machine is:
 * a microvm with virtio-mmio devices and three sockets (control, agent, console).
 *
 * Daemon and root helper build it from the same struct, so a jailed machine and a plain one differ
 * only in what they are given. Nothing here looks at the host.
 */
#ifndef VMM_QEMU_ARGS_H
#define VMM_QEMU_ARGS_H

#include "base/arena.h"
#include "base/err.h"

enum { QEMU_DISKS_MAX = 8, QEMU_NICS_MAX = 4 };

/* Who takes care that a guest's flush reaches the disk. */
enum qemu_cache {
	QEMU_WRITEBACK, /* the guest's flushes are obeyed */
	QEMU_UNSAFE /* nobody: for a machine that need not survive the host's power loss */
};

struct qemu_disk {
	const char *id; /* its serial as the guest sees it */
	const char *path; /* NULL: fd */
	int fd; /* a descriptor that the process was given, opened for reading (and writing) */
	const char *format; /* raw or qcow2 */
	bool read_only;
	enum qemu_cache cache;
};

enum qemu_nic_kind {
	QEMU_NIC_USER, /* QEMU's own NAT, no privileges */
	QEMU_NIC_TAP, /* a tap by name, opened by QEMU */
	QEMU_NIC_TAP_FD /* a tap's queue that the process was given */
};

struct qemu_nic {
	enum qemu_nic_kind kind;
	const char *ifname;
	int fd;
	const char *mac; /* NULL: QEMU's choice */
};

/* A socket that QEMU serves: at a path it binds, or on a listening descriptor it was given. */
struct qemu_socket {
	const char *path; /* NULL: fd */
	int fd;
};

struct qemu_machine {
	const char *program; /* argv[0] */
	const char *id;
	bool kvm;
	uint64_t vcpus;
	uint64_t memory; /* bytes */
	const char *kernel, *initrd; /* paths; initrd may be NULL */
	const char *cmdline;
	struct qemu_disk disks[QEMU_DISKS_MAX]; /* in the order that the guest sees them */
	unsigned disks_n;
	struct qemu_nic nics[QEMU_NICS_MAX];
	unsigned nics_n;
	struct qemu_socket control, console, agent;
	uint32_t cid; /* vsock context by vhost; 0: the agent is behind a virtio-serial port */
	/* opens everything as root, then changes to uid (its group has the same id) */
	bool runs_as;
	uint32_t uid;
	bool sandbox; /* QEMU's own seccomp filter */
};

/* What QEMU's process is called, for whoever looks for it: `-name` with this value. */
void qemu_name(char *out, size_t size, const char *id);

/* argv, NULL at its end, in the arena. ERR_too_large when the arena or a list is full. */
enum err qemu_args(const struct qemu_machine *m, struct arena *mem, char ***ret_argv,
	struct why *why) MUST_CHECK;

#endif
