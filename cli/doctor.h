/*
 * cli/doctor.h - the parts of `banger doctor` (row G6). Each runs in a child of its own, all at the
 * same time, with a deadline: a disk or a bus that hangs costs its part and no other.
 */
#ifndef CLI_DOCTOR_H
#define CLI_DOCTOR_H

#include "cli/cli.h"
#include "conf/config.h"

enum { PART_CHECKS_MAX = 32, PART_VMMS_MAX = 8, PART_ABILITIES_MAX = 16 };

struct part {
	struct cli *c; /* the child's own copy: its arena and its link */
	bool fix; /* --fix */
	struct conf conf;
	bool configured; /* conf was read */
	struct doctor_check checks[PART_CHECKS_MAX];
	unsigned checks_n;
	struct vmm_found vmms[PART_VMMS_MAX];
	unsigned vmms_n;
};

/* One finding; fix may be NULL. The check stands until the part ends, for what --fix did. */
struct doctor_check *finding(struct part *p, const char *name, enum health health, const char *fix,
	const char *fmt, ...) PRINTF_LIKE(5, 6);

/* doctor_host.c */
void doctor_host(struct part *p); /* kernel, user, configuration */
void doctor_kvm(struct part *p); /* the device; guests are the daemon's to judge */
void doctor_files(struct part *p); /* places, their modes, room on the disk */
/* doctor_vmm.c */
void doctor_vmms(struct part *p); /* programs, versions and what these can do */
/* doctor_net.c */
void doctor_network(struct part *p); /* forwarding, subnet */
void doctor_names(struct part *p); /* the responder, and the host's resolver */
/* doctor_daemon.c */
void doctor_daemon(struct part *p); /* what only the daemon knows */

/* doctor_explain.c: every resource of a machine; answers the exit code. */
int doctor_explain(struct cli *c, const char *vm);

#endif
