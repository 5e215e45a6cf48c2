/*
 * resolved.c - stands in for systemd-resolved on a bus of a test: takes every call of its Manager
 * and prints it in one line, `SetLinkDomains ia(sb) 2 [("vm" true)]`.
 *
 *	resolved [busy | old | mute]	refuses a managed link; knows no SetLinkDNSEx; never answers
 */
#include <systemd/sd-bus.h>

#include "base/base.h"

#define RESOLVE1 "org.freedesktop.resolve1"

static const char *mode = "";

static bool print_values(sd_bus_message *m);

static bool print_inside(sd_bus_message *m, char type, const char *contents)
{
	bool list = type == SD_BUS_TYPE_ARRAY;

	if (sd_bus_message_enter_container(m, type, contents) < 0)
		return false;
	putchar(list ? '[' : '(');
	if (!print_values(m))
		return false;
	putchar(list ? ']' : ')');
	return sd_bus_message_exit_container(m) >= 0;
}

static bool print_one(sd_bus_message *m, char type, const char *contents)
{
	union {
		const char *s;
		int b;
		uint8_t y;
		uint16_t q;
		int32_t i;
	} v;

	if (type == SD_BUS_TYPE_ARRAY || type == SD_BUS_TYPE_STRUCT)
		return print_inside(m, type, contents);
	if (sd_bus_message_read_basic(m, type, &v) < 0)
		return false;
	switch (type) {
	case SD_BUS_TYPE_STRING:
		return printf("\"%s\"", v.s) > 0;
	case SD_BUS_TYPE_BOOLEAN:
		return printf("%s", v.b ? "true" : "false") > 0;
	case SD_BUS_TYPE_BYTE:
		return printf("%u", v.y) > 0;
	case SD_BUS_TYPE_UINT16:
		return printf("%u", v.q) > 0;
	case SD_BUS_TYPE_INT32:
		return printf("%d", v.i) > 0;
	default:
		return false;
	}
}

static bool print_values(sd_bus_message *m)
{
	const char *contents, *gap = "";
	char type;
	int r;

	while ((r = sd_bus_message_peek_type(m, &type, &contents)) > 0) {
		printf("%s", gap);
		gap = " ";
		if (!print_one(m, type, contents))
			return false;
	}
	return r == 0;
}

static int on_call(sd_bus_message *m, void *ctx UNUSED, sd_bus_error *error)
{
	const char *member = sd_bus_message_get_member(m);

	if (!sd_bus_message_is_method_call(m, RESOLVE1 ".Manager", NULL))
		return 0;
	printf("%s %s ", member, sd_bus_message_get_signature(m, 1));
	if (!print_values(m))
		printf("?");
	printf("\n");
	fflush(stdout);
	if (str_eq(mode, "mute"))
		return 1;
	if (str_eq(mode, "busy"))
		return sd_bus_error_set(error, RESOLVE1 ".LinkBusy", "Link is managed.");
	if (str_eq(mode, "old") && str_eq(member, "SetLinkDNSEx"))
		return sd_bus_error_set(error, SD_BUS_ERROR_UNKNOWN_METHOD, "Unknown method.");
	return sd_bus_reply_method_return(m, "");
}

int main(int argc, char **argv)
{
	sd_bus *bus = NULL;
	int r = sd_bus_open_system(&bus);

	if (argc > 1)
		mode = argv[1];
	if (r >= 0)
		r = sd_bus_add_object(bus, NULL, "/org/freedesktop/resolve1", on_call, NULL);
	if (r >= 0)
		r = sd_bus_request_name(bus, RESOLVE1, 0);
	if (r >= 0)
		printf("ready\n");
	fflush(stdout);
	while (r >= 0) {
		r = sd_bus_process(bus, NULL);
		if (r == 0)
			r = sd_bus_wait(bus, UINT64_MAX);
	}
	fprintf(stderr, "resolved: %s\n", strerror(-r));
	return 1;
}
