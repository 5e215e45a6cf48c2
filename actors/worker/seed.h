/*
 * worker/seed.h - a work-seed while it is built: from an image's home, or from an older work-seed.
 */
#ifndef WORKER_SEED_H
#define WORKER_SEED_H

#include "worker/image.h"

enum { COPY_BYTES = 65536 };

struct seed {
	struct image *im;
	struct tree out;
	struct table twins;
	bool owned; /* everything belongs to the user, whatever the tree says */
	uint8_t *buf;
};

enum err seed_copy_kids(
	struct seed *s, const struct node *from, struct node *to, struct why *why) MUST_CHECK;
enum err seed_finish(struct seed *s, struct why *why) MUST_CHECK; /* out is complete */
void seed_done(struct seed *s);

#endif
