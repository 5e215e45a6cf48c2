/*
 * helper/jail.h - where a machine's VMM lives: a directory of root's, a uid of its own, and in it
 * only what the machine was given.
 *
 * <jail-base>/<driver>/<id>/root is the jail; beside it lies nothing. Files of the owner come into
 * it as mounts of the checked descriptors, in a mount namespace that ends with the VMM; the VMM's
 * uid may use them by an ACL, so their owner and the owner's own rights stay what they were.
 */
#ifndef HELPER_JAIL_H
#define HELPER_JAIL_H

#include "helper/ledger.h"
#include "helper/call.h"

#define JAIL_PROGRAMS ".programs" /* beneath the jail base: what a jailer runs */

enum {
	/*
	 * Uids of machines and the gid of all VMMs: a range that no distribution, container or
	 * systemd hands out.
	 */
	VMM_GID = 1890582527,
	VMM_UID_FIRST = 1890582528,
	VMMS_MAX = 1024,
	JAIL_NAME_MAX = 64
};

/* program.c: an O_PATH descriptor of a program that only root can have put there. */
enum err trusted_program(const char *path, const char *field, int *ret, struct why *why) MUST_CHECK;

/*
 * access.c: the file behind fd may be read (by all VMMs), or read and written (by that uid alone),
 * by an ACL; what its owner may do does not change.
 */
enum err grant_read(int fd, const char *field, struct why *why) MUST_CHECK;
enum err grant_write(int fd, uid_t uid, const char *field, struct why *why) MUST_CHECK;

/* jail.c */
/* "<driver>/<id>", the jail's name in the ledger. */
void jail_name(char out[JAIL_NAME_MAX], enum vmm driver, const char *vm);
/* A uid that no jail of the ledger has. */
enum err jail_uid(const struct helper *h, uid_t *ret, struct why *why) MUST_CHECK;
/*
 * Makes <driver>/<id>/root and in it `run`; ret is the root's descriptor. What lay there before is
 * ERR_exists. `run` is the uid's when it is to make its own sockets there.
 */
enum err jail_make(struct helper *h, const char *name, uid_t uid, bool own_run, int *ret,
	struct why *why) MUST_CHECK;
/* Removes <name>/<id> whole, mounts first. Absent is fine. Blocks: for tasks, and for the start. */
enum err jail_remove(struct helper *h, const char *name, struct why *why) MUST_CHECK;
/* A root-owned 0555 copy of a program under the jail base, for a jailer that takes a path. */
enum err jail_program(struct helper *h, int program, const char *name, char *out, size_t size,
	struct why *why) MUST_CHECK;

#endif
