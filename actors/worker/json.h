/*
 * worker/json.h - jansson with our results and scopes.
 */
#ifndef WORKER_JSON_H
#define WORKER_JSON_H

#include <jansson.h>

#include "base/err.h"

void json_done(json_t **j);
#define own_json __attribute__((cleanup(json_done)))

enum err json_open(struct bytes text, json_t **ret, struct why *why) MUST_CHECK;
/* The text of a key; NULL when it is not there or is no text. */
const char *json_text(const json_t *o, const char *key);

#endif
