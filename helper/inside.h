/*
 * helper/inside.h - what a VMM's process does between fork and exec: it walls itself in.
 */
#ifndef HELPER_INSIDE_H
#define HELPER_INSIDE_H

#include <sys/types.h>

#include "helper/jail.h"

enum { INSIDE_FILES_MAX = 12, INSIDE_PATH_MAX = 48 };

#define JAIL_DISKS "disks" /* a tmpfs of the jail's: nodes work there, whatever jails lie on */

struct inside_file {
	int fd; /* of the owner's file; -1: a block device */
	dev_t dev;
	bool writable;
	char at[INSIDE_PATH_MAX]; /* in the jail, relative */
};

struct inside {
	pid_t helper;
	int root; /* of the jail */
	struct inside_file files[INSIDE_FILES_MAX];
	unsigned files_n;
	uid_t uid;
	/* another program (Firecracker's jailer) goes on from here: only the files are placed */
	bool jailer;
	bool no_network; /* a network namespace of its own, with nothing in it */
	bool kvm, tun; /* device nodes that it needs */
	/* found before, so that the child only makes system calls */
	struct {
		char name[8], link[64]; /* link "": a directory to be mounted */
	} system[4];
	unsigned system_n;
};

/* Looks at the host's /usr, /lib and so on. */
void inside_plan(struct inside *in);
/* For process_spec.prepare. */
int inside_enter(void *inside, const char **step);

#endif
