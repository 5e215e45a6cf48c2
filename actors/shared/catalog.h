/*
 * actors/shared/catalog.h - what the catalog has of a name. Pure.
 */
#ifndef ACTORS_SHARED_CATALOG_H
#define ACTORS_SHARED_CATALOG_H

#include "proto/proto.h"

/* NULL: it has no such name. */
const struct catalog_image *catalog_image_of(const struct catalog *c, const char *name);
const struct catalog_kernel *catalog_kernel_of(const struct catalog *c, const char *name);
/* The one that may be meant by a name that it has not; NULL: none is near. */
const char *catalog_image_near(const struct catalog *c, const char *name);

#endif
