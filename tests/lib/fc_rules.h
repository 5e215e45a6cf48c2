/*
 * lib/fc_rules.h - Firecracker's API as rules: what may be asked when, with which fields, as its
 * documentation says it. For a double that is as strict as the original.
 */
#ifndef LIB_FC_RULES_H
#define LIB_FC_RULES_H

#include "base/base.h"

enum { FC_BODY_MAX = 51200, FC_LINE_MAX = 1024, FC_CONNECTIONS_MAX = 10 };

struct fc_state {
	unsigned minor; /* of version 1.x */
	bool started, has_kernel, has_machine, has_metrics;
	char drives[16][32];
	unsigned drives_n;
	char vsock[108]; /* "" until configured */
	char cmdline[2049];
	char version[32];
};

/*
 * One request. Answers the status; out gets the body ("" for none). body NULL: none came. *start is
 * set when the machine is to run from now on.
 */
unsigned fc_rules_take(struct fc_state *s, const char *method, const char *path, const char *body,
	size_t n, char *out, size_t size, bool *start);

#endif
