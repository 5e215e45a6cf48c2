/*
 * helper/vmms.h - the VMMs that the helper launched and that live: held by pidfd, found again after
 * a restart by pid, start time, uid and jail together.
 */
#ifndef HELPER_VMMS_H
#define HELPER_VMMS_H

#include "helper/jail.h"

struct vmms;

/* Finds those of the ledger that live; undoes what is left of the others. */
enum err vmms_open(struct helper *h, struct vmms **ret, struct why *why) MUST_CHECK;
void vmms_close(struct vmms *v); /* they go on */

/* A new one; takes pidfd over. log: a descriptor that its last words can be read from, or -1. */
enum err vmms_add(struct vmms *v, const char *vm, enum vmm driver, pid_t pid, uid_t uid, int pidfd,
	int log, struct why *why) MUST_CHECK;
/* True when a VMM of that jail ("<driver>/<id>") lives. */
bool vmms_in_jail(const struct vmms *v, const char *jail);
/* The pidfd (the table's own) of that machine's, when it lives; else -1. */
int vmms_of(const struct vmms *v, const char *vm, enum vmm *ret_driver);

/*
 * The pidfd (the table's own) of a VMM that lives and is what it was when it was launched. -1: the
 * ledger knows no such process; the answer does not tell a foreign one from none.
 */
int vmms_pidfd(const struct vmms *v, pid_t pid);

#endif
