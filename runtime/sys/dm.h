/*
 * sys/dm.h - device-mapper devices by ioctl: no library, no udev, no device found by a path.
 *
 * `control` is an open descriptor of the control node (character device 10:236). A device is named
 * by its dm name; its uuid, given when it is made and never changed, tells whose it is. Devices
 * below are named to the kernel by number.
 */
#ifndef SYS_DM_H
#define SYS_DM_H

#include <sys/types.h>

#include "base/err.h"

enum {
	DM_CONTROL_MAJOR = 10,
	DM_CONTROL_MINOR = 236,
	DM_NAME_BYTES = 127,
	DM_UUID_BYTES = 128,
	DM_REQUEST_BYTES = 4096,
	DM_DEPENDS_MAX = 8
};

struct dm_info {
	dev_t dev;
	unsigned open_count;
	bool active; /* has a table that is in use */
	char uuid[DM_UUID_BYTES + 1];
};

struct dm_target {
	uint64_t sectors; /* from the device's first on */
	const char *type;
	const char *params;
};

/* ERR_exists when the name or the uuid is taken. */
enum err dm_create(int control, const char *name, const char *uuid, struct why *why) MUST_CHECK;
/* Gives the device its one target; in use after dm_resume. */
enum err dm_load(
	int control, const char *name, const struct dm_target *t, struct why *why) MUST_CHECK;
enum err dm_resume(int control, const char *name, struct why *why) MUST_CHECK;
/* ERR_not_found when there is none. */
enum err dm_find(int control, const char *name, struct dm_info *ret, struct why *why) MUST_CHECK;
/* ERR_busy while somebody has it open, ERR_not_found when it is gone. */
enum err dm_remove(int control, const char *name, struct why *why) MUST_CHECK;
/* What its target says about itself, without waiting for writes under way. */
enum err dm_status(
	int control, const char *name, char *out, size_t size, struct why *why) MUST_CHECK;
/* The devices that it stands on; at most DM_DEPENDS_MAX are told. */
enum err dm_depends(
	int control, const char *name, dev_t *ret, unsigned *ret_n, struct why *why) MUST_CHECK;

/* ---- the bytes of it, pure ---- */

struct dm_request {
	uint8_t bytes[DM_REQUEST_BYTES] __attribute__((aligned(8)));
};

/* uuid and t may be NULL. False when something does not fit. */
bool dm_pack(struct dm_request *r, const char *name, const char *uuid, const struct dm_target *t);
/* The status text of the first target in an answer; false when it holds none. */
bool dm_read_status(const struct dm_request *r, char *out, size_t size);
bool dm_read_depends(const struct dm_request *r, dev_t *ret, unsigned *ret_n);

struct dm_fill {
	uint64_t used, total, metadata; /* sectors; used includes metadata */
	bool valid; /* false: it overflowed or failed, and what it held is lost */
};

/* The status text of a snapshot target. */
bool dm_read_snapshot(const char *text, struct dm_fill *ret);

enum snapshot_header {
	SNAPSHOT_NEW, /* the kernel will lay it out */
	SNAPSHOT_GOOD,
	SNAPSHOT_LOST, /* the kernel marked it invalid: it overflowed once */
	SNAPSHOT_STRANGE /* something else, or other chunks than ours */
};

/*
 * What the first 16 bytes of a snapshot's changes say. The kernel believes the chunk size that
 * stands there and reserves memory by it, so nothing but `chunk` sectors is good.
 */
enum snapshot_header snapshot_header(const uint8_t bytes[16], uint32_t chunk);

#endif
