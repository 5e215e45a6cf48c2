/*
 * agent/net.h - the guest's address, given by the host at boot (row D5).
 */
#ifndef AGENT_NET_H
#define AGENT_NET_H

#include "agent/conf.h"
#include "base/err.h"

/* Loopback up; then, when the host gave an address, the first virtio network card. */
enum err net_setup(const struct conf *c, struct why *why) MUST_CHECK;

#endif
