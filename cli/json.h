/*
 * cli/json.h - any struct of a shape as JSON (row G8), and errors.
 *
 * Keys are the shape's; sizes in bytes, durations in ms, times RFC 3339 in UTC, words as words;
 * text that is no UTF-8, and bytes, as base64 under <key>_b64; what is absent is left out.
 */
#ifndef CLI_JSON_H
#define CLI_JSON_H

#include <jansson.h>

#include "cli/cli.h"
#include "letter/shape.h"

/* NULL when out of memory. */
json_t *json_of(const struct shape *s, const void *obj);
/* {"error": {...}} */
json_t *json_of_error(const struct why *why);

/* Adds and releases v; when that cannot be, *all is released and becomes NULL. */
void json_add(json_t **all, json_t *v);
void json_set(json_t **all, const char *key, json_t *v);

/* Prints to stdout and releases; NULL prints an error instead, and the command fails. */
void json_print(struct cli *c, json_t *doc);
/* One line, pushed out at once. */
void json_print_line(FILE *f, json_t *doc);
void json_error(FILE *f, const struct why *why);

/* One array of the elements of a list of shapes. */
json_t *json_of_list(const struct shape *s, const void *v, uint32_t n);

#endif
