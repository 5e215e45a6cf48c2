/*
 * sys/memory.h - how much memory processes started from here may still take.
 */
#ifndef SYS_MEMORY_H
#define SYS_MEMORY_H

#include "base/base.h"

/*
 * What the host has available, and no more than any memory limit of this process's control groups
 * leaves, their caches counted as free. root: the directory whose proc and sys are read ("/").
 */
uint64_t memory_room(int root);

#endif
