/*
 * sys/tsc.h - the rate of the host's time-stamp counter, for guests that cannot calibrate theirs.
 */
#ifndef SYS_TSC_H
#define SYS_TSC_H

#include <stdint.h>

struct tsc_mark {
	uint64_t ns, ticks;
};

/* Take a mark early (at start) ... */
struct tsc_mark tsc_mark(void);
/*
 * ... and ask later: kHz since the mark, within parts in a million after 20 ms; it spins for what
 * is missing of those. 0 where there is no such counter.
 */
uint64_t tsc_khz(struct tsc_mark since);

#endif
