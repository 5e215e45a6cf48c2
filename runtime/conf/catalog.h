/*
 * conf/catalog.h - the catalog (row C3): images and kernels by name, and where they come from.
 *
 * The built-in one is images/catalog.yaml, compiled in. A file of the user's goes over it, name by
 * name: the one that config's `catalog` names, else catalog.yaml of the config directory. What is
 * for another architecture is left out.
 */
#ifndef CONF_CATALOG_H
#define CONF_CATALOG_H

#include "conf/places.h"
#include "proto/proto.h"

struct conf_catalog {
	struct catalog v; /* for this host; the user's first */
	struct place file; /* that was looked for; "" for none */
	struct arena mem;
};

/* `named` is config's; NULL: the usual place. catalog_done is due whatever the answer. */
enum err catalog_load(struct conf_catalog *c, const char *named, struct why *why) MUST_CHECK;
/* The same with a text in place of the user's file. Pure. */
enum err catalog_read(struct conf_catalog *c, const char *file, struct bytes text, enum arch arch,
	struct why *why) MUST_CHECK;
void catalog_done(struct conf_catalog *c);
enum arch catalog_arch(void); /* this host's */
struct bytes catalog_built_in(void); /* its text */

#endif
