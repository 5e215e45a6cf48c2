/*
 * agent/warn.h - what went wrong on the way, not fatally: logged, and told in the hello.
 */
#ifndef AGENT_WARN_H
#define AGENT_WARN_H

#include "base/err.h"

enum { WARNINGS_MAX = 16, WARNING_BYTES = 240 };

struct warnings {
	char text[WARNINGS_MAX][WARNING_BYTES];
	unsigned n;
};

void warn(struct warnings *w, const char *fmt, ...) PRINTF_LIKE(2, 3);

#endif
