/*
 * agent/boot.h - from the kernel's hand to a mounted image.
 */
#ifndef AGENT_BOOT_H
#define AGENT_BOOT_H

#include "base/base.h"

/* Where the image is mounted, seen from the initramfs, while the agent is its first process. */
#define IMAGE_AT "/image"
/* What the agent's processes are called; inits that know the '@' leave them alone at shutdown. */
#define AGENT_NAME "@banger-agent"

/*
 * Runs as process 1 on the initramfs. Never returns: it becomes the agent, or the image's init with
 * the agent beside it, or ends the machine.
 */
void boot(void) NORETURN;

/* Ends the machine the way its VMM understands; filesystems must be in order before. */
void power_off(bool reboot, bool reset_ends) NORETURN;

#endif
