/*
 * agent/guard.h - the parent that starts the agent again when it crashed.
 */
#ifndef AGENT_GUARD_H
#define AGENT_GUARD_H

#include "base/base.h"

/* Runs the function in a child, again and again; reaps whatever ends. */
void guard(void (*run)(void *ctx), void *ctx) NORETURN;

#endif
