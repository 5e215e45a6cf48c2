/*
 * lib/fc_guest.h - a guest's agent for a VMM that has none: answers the opening, says hello, serves
 * what needs no programs.
 */
#ifndef LIB_FC_GUEST_H
#define LIB_FC_GUEST_H

#include "loop/chan.h"

/* The guest was asked to shut down. */
typedef void fc_guest_down_fn(void *ctx, bool reboot);

/* Takes the channel over: an agent for as long as it is open. */
void fc_guest_serve(struct chan *c, fc_guest_down_fn *down, void *ctx);

#endif
