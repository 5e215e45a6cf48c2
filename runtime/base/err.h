/*
 * base/err.h - results: three kinds only.
 *
 * must() is our bug and stops the process. enum err is what is expected to fail and is returned,
 * never dropped. struct why is the sentence for the peer: code, offending field, message, hint.
 * A function that fails fills why (when it is not NULL) and returns why->code.
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include <stdarg.h>

#include "base/base.h"

enum err {
	OK = 0,
#define E(word, doc) ERR_##word,
#include "base/errs.def"
#undef E
	/* Not on the wire: the peer broke the framing, so its connection closes (row A6). */
	ERR_malformed,
	ERR_COUNT
};

struct why {
	enum err code;
	char field[64]; /* offending key, "" when none */
	char text[400]; /* one sentence, UTF-8, no final newline */
	char hint[240]; /* what to do next, "" when none */
};

const char *err_name(enum err code); /* wire word; "ok" for OK */
enum err err_by_name(const char *word); /* ERR_internal for a word we do not know */
const char *err_doc(enum err code);

/* The wire code that fits a system call's errno. */
enum err err_from_errno(int e);

enum err fail(struct why *why, enum err code, const char *fmt, ...) PRINTF_LIKE(3, 4);
enum err fail_field(struct why *why, enum err code, const char *field, const char *fmt, ...)
	PRINTF_LIKE(4, 5);
/* As fail(), code from errno, message "...: <strerror>". */
enum err fail_errno(struct why *why, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Sets the hint of a failure that was already reported; returns its code. */
enum err fail_hint(struct why *why, const char *fmt, ...) PRINTF_LIKE(2, 3);

#endif
