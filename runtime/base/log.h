/*
 * base/log.h - one line per event, key=value, to one descriptor.
 *
 * Values are escaped (control bytes, quotes, bidi) and cut, so that a guest or a peer cannot write
 * a line of its own. Files under runtime/ and proto/ never log above LOG_DEBUG.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/base.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

enum log_form {
	LOG_TIMED, /* "TIME LEVEL actor: event key=value" */
	LOG_PRIORITY, /* "<N>actor: ...", as whoever reads our errors for the journal wants it */
	LOG_JOURNAL /* fd is the journal's own socket; pairs are fields too: BANGER_<KEY> */
};

/* Where lines go, from which level on. At first: stderr, LOG_INFO, LOG_TIMED. */
void log_to(int fd, enum log_level max, enum log_form form);
bool log_wants(enum log_level level);

/* who: actor or part. Then key, value, ..., NULL. A NULL value leaves its pair out. */
void log_line(enum log_level level, const char *who, const char *event, ...)
	__attribute__((sentinel));

struct log_num {
	char s[24];
};
struct log_num log_u64(uint64_t v);

/* Escapes n bytes at p into out (always NUL-terminated), cutting with "..." when too long. */
void log_escape(char *out, size_t size, const void *p, size_t n);

#endif
