/*
 * agent/procfs.h - numbers from /proc.
 */
#ifndef AGENT_PROCFS_H
#define AGENT_PROCFS_H

#include "base/base.h"

/* Reads a whole small file; always ends it with NUL. Answers its length, 0 when it cannot. */
size_t proc_read(const char *path, char *out, size_t size);

/* The number behind "key" at a line's beginning; 0 when there is none. */
uint64_t proc_value(const char *text, const char *key);

uint64_t proc_load_milli(void);
uint64_t proc_count(void); /* processes */
uint64_t proc_cpu_ms(void); /* not idle, all CPUs, since boot */

#endif
