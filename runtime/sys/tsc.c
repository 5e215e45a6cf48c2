/*
 * tsc.c - counts ticks against CLOCK_MONOTONIC_RAW; 0.2 % off would still boot.
 */
#include "sys/tsc.h"

#include <time.h>

#if defined(__x86_64__)
#include <x86intrin.h>

enum { LEAST_NS = 20000000 };

struct tsc_mark tsc_mark(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC_RAW, &ts);
	return (struct tsc_mark){ (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec,
		__rdtsc() };
}

uint64_t tsc_khz(struct tsc_mark since)
{
	struct tsc_mark now;

	do
		now = tsc_mark();
	while (now.ns - since.ns < LEAST_NS);
	return (uint64_t)((unsigned __int128)(now.ticks - since.ticks) * 1000000 /
			  (now.ns - since.ns));
}
#else
struct tsc_mark tsc_mark(void)
{
	return (struct tsc_mark){ 0, 0 };
}

uint64_t tsc_khz(struct tsc_mark since)
{
	(void)since;
	return 0;
}
#endif
