/*
 * verbs.c - everything that the owner may ask of root. What is not in this table is refused.
 */
#include "helper/verbs.h"

const struct verb verbs[] = {
	{ LETTER_priv_ping, NULL, NULL, ping_act, "none" },
	{ LETTER_COUNT, NULL, NULL, NULL, NULL },
};
