/*
 * fuzz/fuzz.h - a fuzz target is one file with this function in it; must() says what has to hold.
 */
#ifndef FUZZ_FUZZ_H
#define FUZZ_FUZZ_H

#include "base/base.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

#endif
