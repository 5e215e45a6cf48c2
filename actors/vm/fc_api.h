/*
 * vm/fc_api.h - what Firecracker is asked and what it answers; pure, so that every request the
 * driver can send is held against Firecracker's own description.
 *
 * Bodies refuse fields that a version does not know, so what is newer than FC_OLDEST is written
 * only for versions that have it.
 */
#ifndef VM_FC_API_H
#define VM_FC_API_H

#include "base/arena.h"
#include "base/err.h"

enum {
	FC_DISKS_MAX = 8,
	FC_NICS_MAX = 4,
	FC_REQUESTS_MAX = 24,
	FC_ANSWER_MAX = 16384, /* bytes of one answer */
	FC_CMDLINE_MAX = 1536, /* Firecracker takes 2,048 and adds words of its own */
	FC_VCPUS_MAX = 32,
	FC_CID = 3 /* every guest's: the way to one is its socket, not its number */
};

struct fc_version {
	unsigned major, minor;
};
#define FC_OLDEST ((struct fc_version){ 1, 5 })

struct fc_disk {
	const char *id, *path;
	bool read_only;
	bool unsafe; /* need not survive the host's power loss */
};

struct fc_nic {
	const char *id, *tap, *mac;
};

struct fc_machine {
	uint64_t vcpus, mem_mib;
	const char *kernel, *initrd, *cmdline;
	struct fc_disk disks[FC_DISKS_MAX]; /* in the order that the guest sees them */
	unsigned disks_n;
	struct fc_nic nics[FC_NICS_MAX];
	unsigned nics_n;
	const char *vsock; /* the socket's path, as Firecracker sees it */
};

struct fc_request {
	const char *method, *path;
	const char *body; /* NULL: none */
};

/* The first request to any Firecracker, and what it answers. */
extern const struct fc_request fc_ask_version;
enum err fc_take_version(struct bytes body, struct fc_version *ret, char *text, size_t size,
	struct why *why) MUST_CHECK;

/* Everything from there to a machine that runs, in order; strings are in the arena. */
enum err fc_boot(const struct fc_machine *m, struct fc_version v, struct arena *mem,
	struct fc_request ret[FC_REQUESTS_MAX], unsigned *ret_n, struct why *why) MUST_CHECK;

/* OK for a status that is success; else the fault in words. */
enum err fc_check(
	const struct fc_request *q, unsigned status, struct bytes body, struct why *why) MUST_CHECK;

#endif
