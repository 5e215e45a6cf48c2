/*
 * check_priv.c - what makes a name right that root will act on: bridges, taps, loop and snapshot
 * devices, resolvers, kernel command lines. Pure, no system calls, fuzzed.
 *
 * Each name has a fixed prefix and, behind it, letters of one small set, so that nothing of it can
 * mean anything to a file system, a kernel format string or a rule language.
 */
#include <ctype.h>

#include "base/text.h"
#include "proto/check.h"

static bool all_name(const char *s)
{
	for (; *s; s++)
		if (!islower((unsigned char)*s) && !isdigit((unsigned char)*s) && *s != '-')
			return false;
	return true;
}

/* The prefix, and behind it at least one of [a-z0-9-] and nothing else. */
static bool prefixed(const char *s, const char *prefix)
{
	size_t n = strlen(prefix);

	return strncmp(s, prefix, n) == 0 && s[n] && all_name(s + n);
}

const char *check_printable(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (s[i] < ' ' || s[i] > '~')
			return "must be printable ASCII";
	return NULL;
}

const char *check_disk_id(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!islower((unsigned char)s[i]) &&
			(i == 0 || (!isdigit((unsigned char)s[i]) && s[i] != '_')))
			return "must be of [a-z0-9_] and begin with a letter";
	return NULL;
}

const char *check_bridge_name(const char *s, size_t n UNUSED)
{
	if (str_eq(s, "br-bngr") || prefixed(s, "br-bngr-"))
		return NULL;
	return "must be br-bngr, or br-bngr- and [a-z0-9-]";
}

const char *check_tap_name(const char *s, size_t n UNUSED)
{
	return prefixed(s, "bngr-") ? NULL : "must be bngr- and [a-z0-9-]";
}

void guest_mac(uint32_t addr, uint8_t out[6])
{
	const uint8_t mac[6] = { 0x02, 0x62, (uint8_t)(addr >> 24), (uint8_t)(addr >> 16),
		(uint8_t)(addr >> 8), (uint8_t)addr };

	memcpy(out, mac, sizeof(mac));
}

const char *check_resolver(const char *s, size_t n)
{
	const char *colon = memchr(s, ':', n);
	size_t host = colon ? (size_t)(colon - s) : n;
	uint64_t port = 53;
	uint32_t v;

	if (parse_ipv4(s, host, &v) &&
		(!colon ||
			(isdigit((unsigned char)colon[1]) && !parse_u64(colon + 1, &port, NULL))) &&
		port >= 1 && port <= 65535)
		return NULL;
	return "must be an IPv4 address, optionally with :PORT";
}

static bool is_loop(const char *s)
{
	const char *digits = s + strlen("/dev/loop");
	size_t n;

	if (strncmp(s, "/dev/loop", strlen("/dev/loop")) != 0)
		return false;
	n = strspn(digits, "0123456789");
	return n >= 1 && n <= 7 && digits[n] == '\0' && (digits[0] != '0' || n == 1);
}

static bool is_dm_name(const char *s)
{
	return prefixed(s, "fc-rootfs-");
}

static bool is_dm_dev(const char *s)
{
	return prefixed(s, "/dev/mapper/fc-rootfs-");
}

const char *check_loop_dev(const char *s, size_t n UNUSED)
{
	return is_loop(s) ? NULL : "must be /dev/loopN";
}

const char *check_dm_name(const char *s, size_t n UNUSED)
{
	return is_dm_name(s) ? NULL : "must be fc-rootfs- and [a-z0-9-]";
}

const char *check_dm_dev(const char *s, size_t n UNUSED)
{
	return is_dm_dev(s) ? NULL : "must be /dev/mapper/fc-rootfs- and [a-z0-9-]";
}

const char *check_dm_target(const char *s, size_t n UNUSED)
{
	return is_dm_name(s) || is_dm_dev(s) ?
		       NULL :
		       "must be fc-rootfs-NAME or /dev/mapper/fc-rootfs-NAME";
}

const char *check_any_loop_dev(const char *s, size_t n)
{
	return n == 0 ? NULL : check_loop_dev(s, n);
}

const char *check_any_dm_name(const char *s, size_t n)
{
	return n == 0 ? NULL : check_dm_name(s, n);
}

const char *check_any_dm_dev(const char *s, size_t n)
{
	return n == 0 ? NULL : check_dm_dev(s, n);
}
