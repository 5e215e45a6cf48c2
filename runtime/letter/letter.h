/*
 * letter/letter.h - a kind of letter: method, direction and the shapes of what it carries.
 * proto/ owns the one table of them; runtime/ only ever sees rows that it is handed.
 */
#ifndef LETTER_LETTER_H
#define LETTER_LETTER_H

#include "letter/shape.h"

enum letter_way {
	ASK, /* a request; exactly one answer or error comes back */
	TELL /* a notification */
};

struct letter_kind {
	const char *method; /* at most 64 bytes */
	enum letter_way way;
	const struct shape *in, *out; /* out: what an ASK answers */
	const char *doc;
};

#endif
