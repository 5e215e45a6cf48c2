/*
 * whiteout.c - reads whiteout names. Pure.
 */
#include "worker/whiteout.h"

enum whiteout whiteout_of(const char *name, size_t n, struct bytes *target)
{
	static const char prefix[] = ".wh.", opaque[] = ".wh..wh..opq", mark[] = ".wh..wh.";
	const char *rest = name + sizeof(prefix) - 1;
	size_t rest_n;

	*target = (struct bytes){ NULL, 0 };
	if (n < sizeof(prefix) - 1 || memcmp(name, prefix, sizeof(prefix) - 1) != 0)
		return WHITEOUT_NONE;
	rest_n = n - (sizeof(prefix) - 1);
	if (n == sizeof(opaque) - 1 && memcmp(name, opaque, n) == 0)
		return WHITEOUT_ALL;
	if (n >= sizeof(mark) - 1 && memcmp(name, mark, sizeof(mark) - 1) == 0)
		return WHITEOUT_MARK;
	if (rest_n == 0 || (rest_n == 1 && rest[0] == '.') ||
		(rest_n == 2 && rest[0] == '.' && rest[1] == '.'))
		return WHITEOUT_MARK;
	*target = (struct bytes){ (const uint8_t *)rest, rest_n };
	return WHITEOUT_ONE;
}
