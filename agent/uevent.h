/*
 * agent/uevent.h - the kernel's news of devices: the way to wait for one without asking again and
 * again. Open the socket first, then look, then wait.
 */
#ifndef AGENT_UEVENT_H
#define AGENT_UEVENT_H

#include "base/base.h"

/* A non-blocking netlink socket, or -1. */
int uevent_open(void);

/* Throws away what has come. */
void uevent_drain(int fd);

/*
 * Calls look(ctx) now and after each piece of news until it answers true. False when the deadline
 * (CLOCK_MONOTONIC, milliseconds) passed.
 */
bool uevent_until(int fd, uint64_t deadline_ms, bool (*look)(void *ctx), void *ctx);

uint64_t monotonic_ms(void);

#endif
