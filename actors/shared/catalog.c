/*
 * catalog.c - names in the catalog, which is short: it is gone through.
 */
#include "actors/shared/catalog.h"

#include "base/text.h"

enum { NAMES_MAX = 512 };

const struct catalog_image *catalog_image_of(const struct catalog *c, const char *name)
{
	for (uint32_t i = 0; i < c->images.n; i++)
		if (str_eq(c->images.v[i].name, name))
			return &c->images.v[i];
	return NULL;
}

const struct catalog_kernel *catalog_kernel_of(const struct catalog *c, const char *name)
{
	for (uint32_t i = 0; i < c->kernels.n; i++)
		if (str_eq(c->kernels.v[i].name, name))
			return &c->kernels.v[i];
	return NULL;
}

const char *catalog_image_near(const struct catalog *c, const char *name)
{
	const char *names[NAMES_MAX];
	uint32_t n = MIN(c->images.n, (uint32_t)NAMES_MAX);

	for (uint32_t i = 0; i < n; i++)
		names[i] = c->images.v[i].name;
	return nearest(name, names, n);
}
