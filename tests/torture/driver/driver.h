/*
 * torture/driver/driver.h - between the wrapped calls and the driver that counts them.
 */
#ifndef TORTURE_DRIVER_H
#define TORTURE_DRIVER_H

#include "base/base.h"

enum torture_kind { KIND_MEMORY, KIND_CALLS, KIND_SIGNALS };

/* Whether this call, the next of its kind, is the one that fails. */
bool torture_fails(enum torture_kind kind);

int __real_fcntl(int fd, int cmd, ...);

#endif
