/*
 * agent/identity.h - the guest's host name and resolvers, in the kernel and in the image's files.
 */
#ifndef AGENT_IDENTITY_H
#define AGENT_IDENTITY_H

#include "agent/conf.h"
#include "agent/warn.h"

void identity_setup(int root, const struct conf *c, struct warnings *w);

/* Pure: whether some line of an /etc/hosts names the host. */
bool hosts_has(const char *text, const char *name);

#endif
