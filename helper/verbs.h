/*
 * helper/verbs.h - the acts and checks of all verbs, by the file that has them; verbs.c puts them
 * into one table.
 */
#ifndef HELPER_VERBS_H
#define HELPER_VERBS_H

#include "helper/call.h"

typedef enum err verb_check(const struct helper *h, const void *body, struct why *why);
typedef void verb_about(const void *body, char out[ABOUT_MAX]);
typedef void verb_act(struct call *c, const void *body);

/* ping.c */
verb_act ping_act;

#endif
