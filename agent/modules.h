/*
 * agent/modules.h - kernel modules: the initramfs's own, and the disk with all the others.
 */
#ifndef AGENT_MODULES_H
#define AGENT_MODULES_H

#include "agent/warn.h"

/* Loads what /modules.list names from /modules, in that order. */
void modules_load(struct warnings *w);

/*
 * Mounts the disk (a device node) read-only and shows its modules at /lib/modules/<release> of the
 * image, when the image has none there.
 */
enum err modules_show(int root, const char *disk, struct why *why) MUST_CHECK;

#endif
