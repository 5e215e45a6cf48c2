/*
 * base/base.h - the words every file uses: sizes, assertions, scopes.
 *
 * Scopes own: a variable declared `own_fd`, `own_mem`, `own_dir` or `own_buf` is released on every
 * return. Handing the thing over is a visible word: take_fd(), take_ptr().
 */
#ifndef BASE_BASE_H
#define BASE_BASE_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KiB ((size_t)1024)
#define MiB (1024 * KiB)
#define GiB (1024 * MiB)

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))
#define CONTAINER_OF(p, T, member) ((T *)((uintptr_t)(p)-offsetof(T, member)))

#define MUST_CHECK __attribute__((warn_unused_result))
#define PRINTF_LIKE(f, a) __attribute__((format(printf, f, a)))
#define NORETURN __attribute__((noreturn))
#define UNUSED __attribute__((unused))

/* Our own bug: stop. Always on; a restart with all machines alive is the recovery. */
#define must(x) ((x) ? (void)0 : must_failed(#x, __FILE__, __LINE__))
void must_failed(const char *expr, const char *file, int line) NORETURN;

/* Bytes that somebody else owns. p may be NULL when n is 0. */
struct bytes {
	const uint8_t *p;
	size_t n;
};

#define own_fd __attribute__((cleanup(fd_done))) int
#define own_mem __attribute__((cleanup(mem_done)))
#define own_file __attribute__((cleanup(file_done))) FILE *
#define own_dir __attribute__((cleanup(dir_done))) struct __dirstream *

void fd_done(int *fd); /* closes when >= 0; keeps errno */
void mem_done(void *pp); /* frees *(void **)pp; keeps errno */
void file_done(FILE **f);
struct __dirstream;
void dir_done(struct __dirstream **d);

/* The only ways out of a scope alive. */
static inline int take_fd(int *fd)
{
	int f = *fd;

	*fd = -1;
	return f;
}

#define take_ptr(pp)                        \
	({                                  \
		__typeof__(*(pp)) t_ = *(pp); \
		*(pp) = NULL;               \
		t_;                         \
	})

static inline bool str_eq(const char *a, const char *b)
{
	return strcmp(a, b) == 0;
}

#endif
