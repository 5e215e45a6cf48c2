/*
 * build.c - the version tuple, handed in by the Makefile.
 */
#include "base/build.h"

const char build_version[] = BUILD_VERSION;
const char build_commit[] = BUILD_COMMIT;
const uint64_t build_time_ms = (uint64_t)BUILD_TIME * 1000;
