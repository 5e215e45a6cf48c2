/*
 * actors/shared/holders.h - which machine stands on what: an image, a kernel.
 *
 * Not stored: the machines' own records say it, and it is told anew after a restart.
 */
#ifndef ACTORS_SHARED_HOLDERS_H
#define ACTORS_SHARED_HOLDERS_H

#include "base/err.h"
#include "base/table.h"

struct holders {
	struct table by_vm;
};

void holders_init(struct holders *h, uint64_t seed);
void holders_done(struct holders *h);

/* From now `vm` stands on `on` and on nothing else. The owner counts. */
enum err holders_put(struct holders *h, const char *vm, void *on, struct why *why) MUST_CHECK;
/* What it stood on; NULL when on nothing. */
void *holders_get(const struct holders *h, const char *vm);
void *holders_take(struct holders *h, const char *vm);

#endif
