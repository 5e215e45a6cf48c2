/*
 * bus.c - a connection to the system bus, and its failures as ours.
 */
#include "helper/bus.h"

#include "base/text.h"

enum { BUS_TIMEOUT_MS = 5000 };

#define BUS_ADDRESS "unix:path=/run/dbus/system_bus_socket"

enum err bus_failed(const char *whom, const sd_bus_error *error, int r, struct why *why)
{
	const char *name = error && error->name ? error->name : "";

	if (r == -ENOENT || r == -ECONNREFUSED || r == -EHOSTDOWN ||
		str_eq(name, SD_BUS_ERROR_SERVICE_UNKNOWN) ||
		str_eq(name, SD_BUS_ERROR_NAME_HAS_NO_OWNER) ||
		strncmp(name, "org.freedesktop.systemd1.", 25) == 0)
		return fail(why, ERR_unavailable, "%s does not run on this host", whom);
	if (r == -ETIMEDOUT)
		return fail(why, ERR_timeout, "%s does not answer", whom);
	return fail(why, ERR_unavailable, "%s refused: %s", whom,
		error && error->message ? error->message : strerror(-r));
}

enum err bus_open(const char *whom, sd_bus **ret, struct why *why)
{
	sd_bus *bus = NULL;
	int r = sd_bus_new(&bus);

	if (r >= 0)
		r = sd_bus_set_address(bus, BUS_ADDRESS);
	if (r >= 0)
		r = sd_bus_set_bus_client(bus, 1);
	if (r >= 0)
		r = sd_bus_set_method_call_timeout(bus, BUS_TIMEOUT_MS * 1000ull);
	if (r >= 0)
		r = sd_bus_start(bus);
	if (r < 0) {
		sd_bus_unref(bus);
		return bus_failed(whom, NULL, r, why);
	}
	*ret = bus;
	return OK;
}
