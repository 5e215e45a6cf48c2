/*
 * torture/torture.h - one thing at a time fails, until everything has.
 *
 * A scenario does something real, puts up with any failure, and checks what must hold all the same.
 * The driver runs it once untouched, and then again with the first allocation failing, the second,
 * and so on until past the last; then with all from the n-th on; then the same with system calls,
 * and with interrupted ones. After each run no descriptor may be left open, and in the end no
 * memory; a crash tells which scenario and which call it was.
 */
#ifndef TORTURE_TORTURE_H
#define TORTURE_TORTURE_H

#include "base/base.h"

struct scenario {
	const char *name;
	void (*run)(void);
	bool forks; /* each run in a child of its own: for what leaves the process changed */
};

int torture_main(const struct scenario *list, size_t n);

/* Around what belongs to the test itself and must work. */
void torture_off(void);
void torture_on(void);

/* Whether a failure has been put in since the run began: what it was asked to do may then fail. */
bool torture_struck(void);

/* What holds in every run. */
#define torture_must(x) ((x) ? (void)0 : torture_broken(#x, __FILE__, __LINE__))
void torture_broken(const char *what, const char *file, int line) NORETURN;

#define TORTURE(list)                                      \
	int main(void)                                     \
	{                                                  \
		return torture_main(list, COUNT(list));    \
	}

#endif
