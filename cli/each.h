/*
 * cli/each.h - one letter to each of several named things, all at once (row B2).
 */
#ifndef CLI_EACH_H
#define CLI_EACH_H

#include "cli/link.h"
#include "cli/report.h"

struct each {
	struct cli *c;
	enum letter_id letter;
	const char *field; /* of the letter, that takes the name: vm, image, kernel */
	const char *const *names;
	unsigned n;
	uint8_t *results; /* n of the letter's out shape, in the order of names */
	struct call *calls;
};

/*
 * Asks for every operand of the command, flags filled in, and waits. Good ones proceed when others
 * fail. Answers 0, or the exit code of a failure that concerns all.
 */
int each_ask(struct each *s, struct cli *c, enum letter_id letter, const char *field);
/* The same for names that are not operands. */
int each_ask_names(struct each *s, struct cli *c, enum letter_id letter, const char *field,
	const char *const *names, unsigned n);

static inline void *each_result(const struct each *s, unsigned i)
{
	return s->results + (size_t)i * letter_kinds[s->letter].out->size;
}

static inline bool each_good(const struct each *s, unsigned i)
{
	return s->calls[i].why.code == OK;
}

/*
 * JSON: one name, its document; several, an array whose elements say which, as `field`. list: the
 * result's list of that name stands for it when there is one name. Answers the exit code.
 */
int each_json(struct each *s, const char *list);
/* Says the failures on stderr; answers the exit code. */
int each_failures(struct each *s);

/* The names of the good ones, or documents; then the failures. */
int each_names(struct each *s);
/* All of it, for letters whose result is not worth showing: prints the names of the good ones. */
int act_on_names(struct cli *c, enum letter_id letter, const char *field);

#endif
