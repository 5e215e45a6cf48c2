/*
 * sys/closer.h - closes descriptors on a thread of its own.
 *
 * The last descriptor of a file without a name frees its blocks, and that takes as long as the disk
 * does (milliseconds for each file where the filesystem discards). The loop gives such descriptors
 * away; when the process ends, the kernel closes what is left.
 */
#ifndef SYS_CLOSER_H
#define SYS_CLOSER_H

#include "base/err.h"

struct closer;

struct closer *closer_new(void); /* NULL: no memory. Its thread starts with the first descriptor */
void closer_free(struct closer *c); /* closes what is left; NULL is fine */
/* Takes fd over. Closed at once where too many wait already, or c is NULL. */
void closer_take(struct closer *c, int fd);

#endif
