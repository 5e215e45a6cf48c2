/*
 * agent/nested.h - a work disk whose home lies one level too deep is put right when it is mounted.
 */
#ifndef AGENT_NESTED_H
#define AGENT_NESTED_H

#include <sys/types.h>

#include "base/base.h"

/* top: the work disk's top directory. True: the home was moved up. */
bool nested_flatten(int top, const char *home, uid_t uid);

#endif
