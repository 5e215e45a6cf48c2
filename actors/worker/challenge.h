/*
 * worker/challenge.h - WWW-Authenticate: what a registry wants to see. Pure.
 */
#ifndef WORKER_CHALLENGE_H
#define WORKER_CHALLENGE_H

#include "base/base.h"

struct challenge {
	bool basic, bearer;
	/* Of bearer: where tokens are had, and what for. */
	char realm[1024], service[256], scope[1024];
};

/*
 * Adds what one header's value (n bytes) asks for; several headers may. Schemes that we do not
 * speak are passed over. False when it is no such value; what was read before it stays.
 */
bool challenge_read(const char *value, size_t n, struct challenge *c);

/* The number in a Content-Range of bytes from which a part begins. */
bool content_range_from(const char *value, size_t n, uint64_t *ret);

#endif
