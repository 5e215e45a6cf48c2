/*
 * unit/unit.h - cmocka, and what a table-driven test needs beside it.
 *
 * cmocka's fail() macro would hide ours of base/err.h, so it is dropped; in its place a failed
 * check_row() says which row of the table it was.
 */
#ifndef UNIT_UNIT_H
#define UNIT_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#undef fail

#include "base/err.h"

#define check_row(cond, ...) \
	((cond) ? (void)0 : (print_error("%s: ", #cond), print_error(__VA_ARGS__), \
				    print_error("\n"), _fail(__FILE__, __LINE__)))

#define TEST(fn) cmocka_unit_test(fn)
#define RUN(tests) cmocka_run_group_tests(tests, NULL, NULL)

/* Bytes of a literal, its final NUL left out. */
#define BYTES(literal) ((struct bytes){ (const uint8_t *)(literal), sizeof(literal) - 1 })

#endif
