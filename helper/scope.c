/*
 * scope.c - StartTransientUnit for VMMs. A scope is a cgroup of its own, so it gets the device
 * rules of the helper's unit again.
 */
#include "helper/scope.h"

#include <fcntl.h>

#include "helper/bus.h"
#include "sys/beneath.h"
#include "sys/process.h"

#define SYSTEMD "systemd"
#define MANAGER \
	"org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager"

static bool in_a_scope(pid_t pid)
{
	own_fd proc = openat(AT_FDCWD, "/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	own_buf text = { .max = 16 * KiB };
	char path[32];

	snprintf(path, sizeof(path), "%d/cgroup", (int)pid);
	return proc >= 0 && read_file(proc, path, 8 * KiB, &text, NULL) == OK &&
	       strstr(buf_cstr(&text), "/banger-vm-");
}

static int add_devices(sd_bus_message *m)
{
	/* what VMMs open, and what a jailer makes; /dev/null and its like are always allowed */
	static const char *const devices[][2] = { { "/dev/kvm", "rwm" }, { "/dev/net/tun", "rwm" },
		{ "/dev/userfaultfd", "m" }, { "block-device-mapper", "rwm" } };
	int r = sd_bus_message_append(m, "(sv)", "DevicePolicy", "s", "closed");

	if (r >= 0)
		r = sd_bus_message_open_container(m, 'r', "sv");
	if (r >= 0)
		r = sd_bus_message_append(m, "s", "DeviceAllow");
	if (r >= 0)
		r = sd_bus_message_open_container(m, 'v', "a(ss)");
	if (r >= 0)
		r = sd_bus_message_open_container(m, 'a', "(ss)");
	for (size_t i = 0; i < COUNT(devices) && r >= 0; i++)
		r = sd_bus_message_append(m, "(ss)", devices[i][0], devices[i][1]);
	for (int i = 0; i < 3 && r >= 0; i++)
		r = sd_bus_message_close_container(m);
	return r;
}

static int add_properties(sd_bus_message *m, const char *vm, pid_t pid)
{
	char text[64];
	int r = sd_bus_message_open_container(m, 'a', "(sv)");

	snprintf(text, sizeof(text), "banger: machine %s", vm);
	if (r >= 0)
		r = sd_bus_message_append(m, "(sv)(sv)(sv)(sv)", "Description", "s", text, "Slice",
			"s", "banger.slice", "CollectMode", "s", "inactive-or-failed", "PIDs", "au",
			1, (uint32_t)pid);
	if (r >= 0)
		r = add_devices(m);
	return r < 0 ? r : sd_bus_message_close_container(m);
}

static enum err make_one(sd_bus *bus, const char *vm, pid_t pid, struct why *why)
{
	sd_bus_error error = SD_BUS_ERROR_NULL;
	sd_bus_message *m = NULL;
	enum err e = OK;
	char name[40];
	int r = sd_bus_message_new_method_call(bus, &m, MANAGER, "StartTransientUnit");

	snprintf(name, sizeof(name), "banger-vm-%s.scope", vm);
	if (r >= 0)
		r = sd_bus_message_append(m, "ss", name, "fail");
	if (r >= 0)
		r = add_properties(m, vm, pid);
	if (r >= 0)
		r = sd_bus_message_append(m, "a(sa(sv))", 0);
	if (r >= 0)
		r = sd_bus_call(bus, m, 0, &error, NULL);
	if (r < 0)
		e = bus_failed(SYSTEMD, &error, r, why);
	sd_bus_error_free(&error);
	sd_bus_message_unref(m);
	return e;
}

enum err scopes_make(const struct scopes *s, struct why *why)
{
	sd_bus *bus = NULL;
	struct why one;
	enum err e = bus_open(SYSTEMD, &bus, why);

	if (e)
		return e;
	for (unsigned i = 0; i < s->n; i++)
		if (process_start_time(s->v[i].pid) == s->v[i].start && !in_a_scope(s->v[i].pid) &&
			make_one(bus, s->v[i].vm, s->v[i].pid, &one))
			e = fail(why, ERR_conflict, "machine %s: %s", s->v[i].vm, one.text);
	sd_bus_close_unref(bus);
	return e;
}
