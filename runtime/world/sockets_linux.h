/*
 * world/sockets_linux.h - listening sockets that are made for a child, not for the loop.
 */
#ifndef WORLD_SOCKETS_LINUX_H
#define WORLD_SOCKETS_LINUX_H

#include "world/world_linux.h"

/*
 * A unix socket at `path` beneath RUNTIME, mode 0600 from bind on, listening. The caller closes
 * it.
 */
enum err bind_socket(struct world *w, const char *path, int *ret, struct why *why) MUST_CHECK;

/* A connection to the socket at `path` beneath RUNTIME. */
enum err connect_socket(struct world *w, const char *path, int *ret, struct why *why) MUST_CHECK;

/* What the ticket stands for; -1 when it is none, or was taken. The caller closes it. */
int parcel_take(struct world *w, uint64_t parcel);

#endif
