/*
 * agent/later.h - requests that came before the image's init was ready for them.
 */
#ifndef AGENT_LATER_H
#define AGENT_LATER_H

#include "agent/handlers.h"

/* mounted is false when the time was over. The body is a copy that ends with the call. */
typedef void later_fn(struct session *s, uint32_t msgid, const void *body, bool mounted);

/* Keeps the request and calls fn once, later; refuses it when there is no memory. */
void later_when_mounted(const struct request *r, later_fn *fn);

#endif
