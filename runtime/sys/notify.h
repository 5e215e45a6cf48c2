/*
 * sys/notify.h - telling systemd how we are: ready, alive, stopping. Nothing where there is none.
 */
#ifndef SYS_NOTIFY_H
#define SYS_NOTIFY_H

#include "base/base.h"

struct notify {
	int fd; /* connected to systemd's socket; -1: nobody wants to know */
	uint64_t watchdog_ms; /* say so at least that often; 0: nobody waits for it */
};

/* Reads NOTIFY_SOCKET and WATCHDOG_USEC of the environment, and takes them out of it. */
void notify_open(struct notify *n);
/* "READY=1", "WATCHDOG=1", "STOPPING=1", "STATUS=...". */
void notify_send(const struct notify *n, const char *state);
void notify_close(struct notify *n);

#endif
