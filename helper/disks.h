/*
 * helper/disks.h - what the verbs about disks share: snapshots by name, and the owner's images.
 */
#ifndef HELPER_DISKS_H
#define HELPER_DISKS_H

#include "helper/call.h"
#include "sys/dm.h"

enum {
	SNAPSHOTS_MAX = 1000, /* per owner; a bridge takes no more machines either */
	SNAPSHOT_CHUNK = 8, /* sectors */
	SNAPSHOT_LOOPS_MAX = DM_DEPENDS_MAX,
	MARK_MAX = 48
};

/* "fc-rootfs-ID" of a name or of "/dev/mapper/fc-rootfs-ID"; ids are what a machine may have. */
const char *snapshot_name(const char *target);

/* The device-mapper's control node; ERR_unsupported where the kernel has none. */
enum err dm_control(int *ret, struct why *why) MUST_CHECK;

/*
 * A snapshot that the helper made and that is there: the kernel's word, by name and mark.
 * ERR_not_found, ERR_not_owned, with the field named. For launching a machine on it, for checking
 * it, for writing into it.
 */
enum err snapshot_find(const struct helper *h, const char *dm_dev, const char *field,
	struct dm_info *ret, struct why *why) MUST_CHECK;

/*
 * In a child, as root: the snapshot's device, when nobody else has it open (ERR_busy). udev looks
 * at new devices for a moment, so that is waited for.
 */
enum err snapshot_open(const struct helper *h, const char *dm_dev, const char *field, bool writable,
	int *ret, struct why *why) MUST_CHECK;

/*
 * In a child, as root: that nobody else has the file open (writable: at all; else: for writing),
 * and that who opens it from now on waits until the lease ends, as it does with the descriptor.
 * ERR_busy when somebody has: a machine that runs, a snapshot that stands on it.
 */
enum err take_lease(const struct helper *h, int fd, const char *path, const char *field,
	bool writable, struct why *why) MUST_CHECK;
void end_lease(const struct helper *h, int fd);

/* ---- snapshot_make.c: in a child, or while the helper does not serve ---- */

struct snapshot_job {
	const struct helper *h;
	const char *name; /* of the dm device; NULL: of none, when cleaning up */
	const char *base_path, *cow_path;
	char mark
		[MARK_MAX]; /* uuid of the dm device, beginning of its loop devices' marks; or "" */
	int loops[4]; /* removing: those to be sure of */
	unsigned loops_n;
};

struct snapshot_made {
	int base_loop, cow_loop;
	uint64_t dev;
};

enum err snapshot_make(
	const struct snapshot_job *j, struct snapshot_made *ret, struct why *why) MUST_CHECK;
/* What is there of it goes, the dm device first. Nothing there is fine. */
enum err snapshot_unmake(const struct snapshot_job *j, struct why *why) MUST_CHECK;
/* The loop devices that it stands on, by number. */
enum err snapshot_loops(int control, const char *name, int ret[SNAPSHOT_LOOPS_MAX], unsigned *ret_n,
	struct why *why) MUST_CHECK;
/* The mark of loop device n; false with errno, ENXIO when it is free. */
bool loop_mark_of(int n, char *mark);

/* ---- snapshot_note.c: what the ledger knows of it ---- */

/* dev NULL: it is about to be made. */
enum err snapshot_note(const struct snapshot_job *j, const char *vm, uint64_t made,
	const uint64_t *dev, struct why *why) MUST_CHECK;
enum err snapshot_note_loop(const struct snapshot_job *j, const char *vm, uint64_t made, int n,
	struct why *why) MUST_CHECK;
/* Fills the job's loops. */
void snapshot_recall_loops(struct snapshot_job *j);
void snapshot_forget(const struct snapshot_job *j);

#endif
