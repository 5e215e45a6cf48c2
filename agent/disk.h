/*
 * agent/disk.h - the machine's disks, told apart by their serial: `root`, `work`, `modules`.
 */
#ifndef AGENT_DISK_H
#define AGENT_DISK_H

#include "base/err.h"

enum { DISK_PATH_BYTES = 64 };

/*
 * The device node of the disk with that serial; false when there is none. A VMM that chooses
 * serials itself (Firecracker) gives the disks in an order that the command line tells: `order`
 * names vda, vdb, ..., with commas; "" where serials are ours.
 */
bool disk_find(const char *serial, const char *order, char path[DISK_PATH_BYTES]);

/* Waits for it until the deadline, woken by the uevent socket. */
bool disk_await(int uevents, const char *serial, const char *order, uint64_t deadline_ms,
	char path[DISK_PATH_BYTES]);

/* Mounts ext4; falls back to read-only where the disk allows no more, and says so in *ret_ro. */
enum err disk_mount(
	const char *path, const char *at, bool read_only, bool *ret_ro, struct why *why) MUST_CHECK;

/* Grows the mounted filesystem to the size of its device, when it is smaller. */
enum err disk_grow(const char *path, const char *at, struct why *why) MUST_CHECK;

#endif
