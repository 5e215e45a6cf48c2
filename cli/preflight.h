/*
 * cli/preflight.h - all that stands in the way of a command, said at once (row B5).
 *
 * A command that can tell beforehand collects what is wrong here, of this side (programs, files,
 * keys) and of the daemon's (vm.preflight), and reports all of it: a line and a hint each, or with
 * --json one error document whose `problems` lists them; code, message, field and hint are the
 * first one's.
 */
#ifndef CLI_PREFLIGHT_H
#define CLI_PREFLIGHT_H

#include "cli/cli.h"

enum { PREFLIGHT_MAX = 32 };

struct preflight {
	struct cli *c;
	unsigned n;
	struct why v[PREFLIGHT_MAX];
};

void preflight_add(
	struct preflight *p, const struct why *why); /* one that was said already is not */
/* What the daemon knows of; when it cannot tell, nothing is added. */
void preflight_ask(struct preflight *p, const struct vm_preflight *q);
int preflight_report(struct preflight *p); /* answers the exit code due */

/* Says why a request was refused, and what else would have been wrong with it. */
int report_with_all(struct cli *c, const struct why *why, const struct vm_preflight *q);

#endif
