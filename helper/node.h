/*
 * helper/node.h - device nodes of the helper's own.
 *
 * A device is opened by its number at a node that the helper made for it, on a tmpfs that nobody
 * else can reach and that ends with its descriptor. /dev, and the links that udev keeps there, are
 * never asked: what a name stands for is the kernel's word (a dm ioctl, /sys).
 */
#ifndef HELPER_NODE_H
#define HELPER_NODE_H

#include <sys/types.h>

#include "base/err.h"

/* An empty tmpfs that is mounted nowhere. */
enum err private_place(int *ret, struct why *why) MUST_CHECK;

/* Makes a node in it, for uid alone. type: S_IFBLK or S_IFCHR. */
enum err private_node(
	int place, const char *name, mode_t type, dev_t dev, uid_t uid, struct why *why) MUST_CHECK;

/* Opens a device by its number; -1 with errno. */
int open_device(mode_t type, dev_t dev, int flags);

#endif
