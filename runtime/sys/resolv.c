/*
 * resolv.c - reads a resolv.conf. What it does not understand it passes over, as resolvers do.
 */
#include "sys/resolv.h"

#include <arpa/inet.h>

static const char blanks[] = " \t";

/* The address of a line "nameserver ADDRESS"; false for every other line. */
static bool read_line(const char *line, size_t n, uint32_t *ret)
{
	static const char word[] = "nameserver";
	char address[INET_ADDRSTRLEN];
	struct in_addr in;
	size_t at = sizeof(word) - 1, len;

	if (n <= at || strncmp(line, word, at) != 0 || !strchr(blanks, line[at]))
		return false;
	at += strspn(line + at, blanks);
	if (at >= n)
		return false;
	len = MIN(strcspn(line + at, " \t\r\n#;"), n - at);
	if (len >= sizeof(address))
		return false;
	memcpy(address, line + at, len);
	address[len] = '\0';
	if (inet_pton(AF_INET, address, &in) != 1)
		return false;
	*ret = ntohl(in.s_addr);
	return true;
}

unsigned resolv_servers(const char *text, uint32_t *ret, unsigned max)
{
	unsigned n = 0;

	while (*text && n < max) {
		size_t len = strcspn(text, "\n");
		uint32_t address;

		if (read_line(text, len, &address) && address >> 24 != 127 && address >> 24 != 0)
			ret[n++] = address;
		text += len + (text[len] == '\n');
	}
	return n;
}
