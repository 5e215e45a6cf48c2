/*
 * agent/link.h - the ways by which letters reach the agent.
 */
#ifndef AGENT_LINK_H
#define AGENT_LINK_H

#include "agent/agent.h"

/* Finds the virtio-serial port named `banger`, waiting for it without end, and serves it. */
enum err serial_start(struct agent *a, struct why *why) MUST_CHECK;

/* Listens on vsock: letters on port 1024, HTTP on port 80. ERR_unsupported without AF_VSOCK. */
enum err vsock_start(struct agent *a, struct why *why) MUST_CHECK;

/* Serves one HTTP connection, which it owns from here on. */
void http_serve(struct agent *a, int fd);

#endif
