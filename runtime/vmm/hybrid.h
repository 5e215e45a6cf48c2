/*
 * vmm/hybrid.h - Firecracker's way to a guest's vsock port: over a unix socket, with one line each
 * way before the bytes begin.
 */
#ifndef VMM_HYBRID_H
#define VMM_HYBRID_H

#include "base/base.h"

enum { HYBRID_LINE_MAX = 32 };

/* "CONNECT <port>\n"; answers its length. */
size_t hybrid_ask(char out[HYBRID_LINE_MAX], uint32_t port);

enum hybrid_said { HYBRID_MORE, HYBRID_OPEN, HYBRID_BAD };

struct hybrid_line {
	char text[HYBRID_LINE_MAX];
	size_t n;
};

/*
 * Takes the answer, "OK <port>\n", whole or in pieces; zeroed at first. Answers how many bytes were
 * used: what is behind the line is the guest's.
 */
size_t hybrid_take(struct hybrid_line *l, const uint8_t *p, size_t n, enum hybrid_said *ret);

#endif
