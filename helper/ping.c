/*
 * ping.c - which build the helper is (row F10).
 */
#include "base/build.h"
#include "helper/verbs.h"

void ping_act(struct call *c, const void *body UNUSED)
{
	struct version v = { build_version, build_commit, build_time_ms };

	call_done(c, &v);
}
