/*
 * sys/resolv.h - the name servers of a resolv.conf.
 */
#ifndef SYS_RESOLV_H
#define SYS_RESOLV_H

#include "base/base.h"

/*
 * IPv4 name servers of the text, in its order and in host byte order, without those that only the
 * host itself can reach (127/8, 0/8). Answers how many, at most `max`.
 */
unsigned resolv_servers(const char *text, uint32_t *ret, unsigned max);

#endif
