/*
 * proto/reference.h - the name of an image in a registry, read as docker reads it: HOST/PATH:TAG,
 * with @DIGEST instead of the tag or behind it. Pure.
 */
#ifndef PROTO_REFERENCE_H
#define PROTO_REFERENCE_H

#include "base/err.h"

#define DOCKER_HOST "docker.io" /* where none is named */
#define DOCKER_REGISTRY "registry-1." DOCKER_HOST /* who serves it */
#define DOCKER_INDEX "index." DOCKER_HOST /* its old name, which files of passwords keep */

enum {
	REFERENCE_NAME_BYTES = 256, /* of host and path together */
	REFERENCE_TAG_BYTES = 129,
	REFERENCE_DIGEST_BYTES = 72,
	REFERENCE_BYTES = 720 /* of the whole */
};

struct reference {
	char host[REFERENCE_NAME_BYTES]; /* with its port; DOCKER_HOST where none is named */
	char path[REFERENCE_NAME_BYTES]; /* library/debian */
	char tag[REFERENCE_TAG_BYTES]; /* latest where neither it nor a digest is named; "" beside a
					  digest alone */
	char digest[REFERENCE_DIGEST_BYTES]; /* "" when it is not pinned */
};

/* Answers NULL when s (n bytes and a NUL) is one, else what is wrong with it ("must ..."). */
const char *reference_read(const char *s, size_t n, struct reference *ret);

/* All of it, with nothing left out: HOST/PATH[:TAG][@DIGEST]. */
void reference_text(const struct reference *r, char out[REFERENCE_BYTES]);

#endif
