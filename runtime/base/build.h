/*
 * base/build.h - which build this program is (row A8); all programs of one build agree.
 */
#ifndef BASE_BUILD_H
#define BASE_BUILD_H

#include <stdint.h>

extern const char build_version[];
extern const char build_commit[];
extern const uint64_t build_time_ms; /* milliseconds since 1970 UTC; SOURCE_DATE_EPOCH */

#endif
