/*
 * sys/disk.h - a machine's own layer over a shared, read-only disk: qcow2, reflink or copy.
 */
#ifndef SYS_DISK_H
#define SYS_DISK_H

#include "base/err.h"

/*
 * Writes an empty qcow2 overlay of `size` bytes that reads through to the raw file `backing` (an
 * absolute path, at most 1,023 bytes). fd is an empty file. What lies behind the backing file's end
 * reads as zeros.
 */
enum err qcow2_overlay(int fd, const char *backing, uint64_t size, struct why *why) MUST_CHECK;

/*
 * Makes an overlay that no program has open as long as `size`, unless it is so already. Its table
 * of tables is grown within the clusters that it has.
 */
enum err qcow2_grow(int fd, uint64_t size, struct why *why) MUST_CHECK;

/* Shares all blocks of `from` with the empty file `to`; ERR_unsupported where the host cannot. */
enum err disk_reflink(int to, int from, struct why *why) MUST_CHECK;

/* Host bytes that the file takes. */
uint64_t disk_used(int fd);

#endif
