/*
 * helper/launch.h - one launch on its way: everything that was opened for a VMM, closed together.
 */
#ifndef HELPER_LAUNCH_H
#define HELPER_LAUNCH_H

#include "helper/inside.h"
#include "helper/verbs.h"
#include "helper/vmms.h"
#include "sys/process.h"
#include "vmm/qemu_args.h"

enum {
	LAUNCH_ARGS_MAX = 96,
	LAUNCH_TAPS_MAX = 4,
	LAUNCH_SOCKETS = 3,
	/* descriptors in the VMM */
	API_FD = 10,
	VSOCK_FD = 11,
	CONSOLE_FD = 12,
	TAP_FD = 16
};

/* Where things are in a jail, relative to its root. */
#define JAIL_KERNEL "img/kernel"
#define JAIL_INITRD "img/initrd"

struct launch {
	struct call *call;
	const struct priv_launch *q;
	char jail[JAIL_NAME_MAX];
	uid_t uid;
	int binary, jailer;
	int sockets[LAUNCH_SOCKETS]; /* qemu: listening; api, vsock, console */
	int taps[LAUNCH_TAPS_MAX];
	int log; /* what the VMM writes to its stdout and stderr: our end, a FIFO's */
	int log_in; /* its end */
	struct inside in;
	char program[1100]; /* for a jailer: the VMM's copy */
	char **argv;
	struct arena mem; /* of argv */
};

/* launch_open.c: the jail, and all that goes into it. What fails is undone by launch_undo. */
enum err launch_open(struct launch *l, struct why *why) MUST_CHECK;
/* launch_args.c: the command line. */
enum err launch_args(struct launch *l, struct why *why) MUST_CHECK;
/* launch_tap.c: a descriptor of the tap, or (for who opens it by name) its owner. */
enum err launch_tap(struct launch *l, const char *tap, int *ret, struct why *why) MUST_CHECK;

#endif
