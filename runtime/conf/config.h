/*
 * conf/config.h - the configuration that is in force, and where each value came from (row G3).
 *
 * Defaults first, then /etc/banger/config.yaml, then config.yaml of the config directory; the later
 * one wins, key by key. After a load every key is set but those whose absence means "none" or "find
 * it yourself": default_kernel, qemu_bin, firecracker_bin, ssh_key_path, catalog.
 */
#ifndef CONF_CONFIG_H
#define CONF_CONFIG_H

#include "conf/places.h"
#include "proto/proto.h"

enum { CONF_KEYS_MAX = 64, CONF_FILES = 2 };

struct conf_origin {
	const char *file; /* NULL: the built-in default, or no value at all */
	uint32_t line; /* from 1 */
};

struct conf {
	struct config v;
	struct conf_origin from[CONF_KEYS_MAX]; /* by index of shape_config's fields */
	struct place files[CONF_FILES]; /* in the order in which they are read */
	struct arena mem;
};

/* conf_done is due whatever the answer. */
enum err conf_load(struct conf *c, struct why *why) MUST_CHECK;
/* The same over other files: NULL ends the list early; a file that is not there counts as empty. */
enum err conf_load_from(
	struct conf *c, const char *const files[CONF_FILES], struct why *why) MUST_CHECK;
void conf_done(struct conf *c);

#endif
