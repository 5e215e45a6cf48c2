/*
 * base/text.h - text from outside: UTF-8, numbers, sizes, durations, hex, base64.
 *
 * Every parser takes the whole string or refuses it; none skips blanks or stops early.
 */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include "base/err.h"

/* Length of the UTF-8 sequence at p (1-4) and its code point; 0 when it is not valid. */
size_t utf8_next(const uint8_t *p, size_t n, uint32_t *cp);
bool utf8_valid(const void *p, size_t n); /* also refuses NUL */

/* Decimal digits only, no sign, no leading zero but "0". */
enum err parse_u64(const char *s, uint64_t *ret, struct why *why) MUST_CHECK;
/* "512", "512K", "2G", "2GiB", "1.5G"; powers of 1024; answers bytes. */
enum err parse_size(const char *s, uint64_t *ret, struct why *why) MUST_CHECK;
/* "250ms", "30s", "5m", "2h", "1h30m"; a bare number is seconds; answers milliseconds. */
enum err parse_duration(const char *s, uint64_t *ret_ms, struct why *why) MUST_CHECK;

/* "1.5 GiB", "3.2 s": for people. out needs 16 bytes. */
void show_size(char *out, size_t size, uint64_t bytes);
void show_duration(char *out, size_t size, uint64_t ms);
/* RFC 3339 in UTC, milliseconds. out needs 32 bytes. */
void show_time(char *out, size_t size, uint64_t unix_ms);

void hex_of(char *out, const void *p, size_t n); /* out: 2n+1 bytes */
size_t base64_of(char *out, size_t size, const void *p, size_t n); /* 0 when it does not fit */

/* strlcpy's contract: true when all of s fitted. */
bool str_copy(char *out, size_t size, const char *s);

/* One lower-case DNS label: [a-z0-9-], 1-63, no hyphen at either end. */
bool is_label(const char *s, size_t n);

/* Closest candidate within two edits, for "did you mean"; NULL when none is near. */
const char *nearest(const char *word, const char *const *list, size_t n);

#endif
