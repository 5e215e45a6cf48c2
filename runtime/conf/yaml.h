/*
 * conf/yaml.h - a YAML document into the struct of a shape, strictly (row G3).
 *
 * Unknown or repeated keys, wrong types, values out of range, anchors, aliases, tags and second
 * documents are errors that begin with file:line:column. Numbers are decimal, flags are true or
 * false; a size may be written like 2G, a duration like 30s (a bare number is milliseconds, as the
 * key's _ms says). Keys that the document does not name leave their fields as they were.
 */
#ifndef CONF_YAML_H
#define CONF_YAML_H

#include "letter/shape.h"

enum { YAML_BYTES_MAX = 262144 };

/*
 * lines, when not NULL, has s->count elements; the one of each top-level key that was read is set
 * to its line. Text and lists live in the arena.
 */
enum err yaml_read(const struct shape *s, const char *file, struct bytes text, struct arena *a,
	void *obj, uint32_t *lines, struct why *why) MUST_CHECK;

/* What a shape alone cannot tell, asked of each map when it was read: its place is told. */
typedef enum err yaml_check_fn(
	void *ctx, const struct shape *s, const void *obj, struct why *why);
enum err yaml_read_checked(const struct shape *s, const char *file, struct bytes text,
	struct arena *a, void *obj, yaml_check_fn *check, void *ctx, struct why *why) MUST_CHECK;

enum yaml_trust {
	YAML_OURS, /* the file must be ours or root's, and not for others to write */
	YAML_ROOTS /* only root's */
};

/* The whole file; *there is false when it does not exist. */
enum err yaml_file(const char *path, enum yaml_trust trust, struct buf *ret, bool *there,
	struct why *why) MUST_CHECK;

#endif
