/*
 * agent/sockets.h - the guest's listening sockets, from /proc.
 */
#ifndef AGENT_SOCKETS_H
#define AGENT_SOCKETS_H

#include "base/arena.h"
#include "proto/proto.h"

enum { SOCKETS_MAX = 1024 };

struct open_port {
	struct vm_port port; /* its strings live in the arena */
	uint64_t inode;
	bool six; /* listens on IPv6 */
};

/* Fills at most SOCKETS_MAX; answers how many. list has that many elements. */
uint32_t sockets_list(struct open_port *list, struct arena *a);

/* Whether a TCP socket listens on that port, whatever its address. */
bool sockets_serve(uint16_t port);

/* One line of /proc/net/{tcp,udp}[6]; false when it is no listening socket. Pure. */
bool sockets_line(const char *line, bool udp, bool six, struct arena *a, struct open_port *ret);

#endif
