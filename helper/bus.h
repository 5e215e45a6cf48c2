/*
 * helper/bus.h - the system bus, for tasks: it may hang, so only a child with a deadline speaks to
 * it. Its address is fixed; no environment is asked.
 */
#ifndef HELPER_BUS_H
#define HELPER_BUS_H

#include <systemd/sd-bus.h>

#include "base/err.h"

/* whom: the service that is meant, for the error when it cannot be reached: ERR_unavailable. */
enum err bus_open(const char *whom, sd_bus **ret, struct why *why) MUST_CHECK;
/* What a call to it ended with: r, and error when the other side said one. */
enum err bus_failed(const char *whom, const sd_bus_error *error, int r, struct why *why);

#endif
