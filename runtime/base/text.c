/*
 * text.c - strict parsers and plain printers for text; pure, no allocation.
 */
#include "base/text.h"

#include <strings.h>

size_t utf8_next(const uint8_t *p, size_t n, uint32_t *cp)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t len;
	uint32_t c;

	if (n == 0)
		return 0;
	if (p[0] < 0x80) {
		*cp = p[0];
		return 1;
	}
	if (p[0] < 0xc2 || p[0] > 0xf4)
		return 0;
	len = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
	if (n < len)
		return 0;
	c = p[0] & (0xffu >> (len + 1));
	for (size_t i = 1; i < len; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (p[i] & 0x3fu);
	}
	if (c < least[len] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return 0;
	*cp = c;
	return len;
}

bool utf8_valid(const void *p, size_t n)
{
	const uint8_t *s = p;

	while (n > 0) {
		uint32_t cp;
		size_t len = utf8_next(s, n, &cp);

		if (len == 0 || cp == 0)
			return false;
		s += len;
		n -= len;
	}
	return true;
}

/* Digits at *s into *ret; moves *s past them. False on none or overflow. */
static bool take_digits(const char **s, uint64_t *ret)
{
	uint64_t v = 0;

	if (**s < '0' || **s > '9')
		return false;
	for (; **s >= '0' && **s <= '9'; (*s)++)
		if (__builtin_mul_overflow(v, (uint64_t)10, &v) ||
			__builtin_add_overflow(v, (uint64_t)(**s - '0'), &v))
			return false;
	*ret = v;
	return true;
}

enum err parse_u64(const char *s, uint64_t *ret, struct why *why)
{
	const char *at = s;
	uint64_t v;

	if (!take_digits(&at, &v) || *at || (s[0] == '0' && s[1]))
		return fail(why, ERR_invalid_value, "'%.40s' is not a whole number", s);
	*ret = v;
	return OK;
}

static bool size_unit(const char *u, uint64_t *ret)
{
	static const struct {
		const char *word;
		uint64_t unit;
	} units[] = { { "", 1 }, { "B", 1 }, { "K", KiB }, { "M", MiB }, { "G", GiB },
		{ "T", 1024 * GiB } };

	for (size_t i = 0; i < COUNT(units); i++) {
		size_t n = strlen(units[i].word);

		if (i > 0 ? strncasecmp(u, units[i].word, n) != 0 : *u != '\0')
			continue;
		*ret = units[i].unit;
		u += n;
		return *u == '\0' || (i > 1 && (!strcasecmp(u, "iB") || !strcasecmp(u, "B")));
	}
	return false;
}

enum err parse_size(const char *s, uint64_t *ret, struct why *why)
{
	uint64_t whole, unit, part = 0, scale = 1;
	const char *at = s;

	if (!take_digits(&at, &whole))
		goto bad;
	if (*at == '.') {
		for (at++; *at >= '0' && *at <= '9' && scale < 1000; at++) {
			part = part * 10 + (uint64_t)(*at - '0');
			scale *= 10;
		}
		if (scale == 1)
			goto bad;
	}
	if (!size_unit(at, &unit) || (unit == 1 && scale > 1))
		goto bad;
	if (__builtin_mul_overflow(whole, unit, &whole) ||
		__builtin_add_overflow(whole, part * unit / scale, &whole))
		goto bad;
	*ret = whole;
	return OK;
bad:
	return fail(why, ERR_invalid_value, "'%.40s' is not a size (like 512M or 2G)", s);
}

enum err parse_duration(const char *s, uint64_t *ret_ms, struct why *why)
{
	static const struct {
		const char *word;
		uint64_t ms;
	} units[] = { { "ms", 1 }, { "s", 1000 }, { "m", 60000 }, { "h", 3600000 },
		{ "d", 86400000 } };
	uint64_t sum = 0, v;
	const char *at = s;

	do {
		size_t i;

		if (!take_digits(&at, &v))
			goto bad;
		/* a bare number stands alone */
		if (*at == '\0' && s + strspn(s, "0123456789") == at) {
			if (__builtin_mul_overflow(v, (uint64_t)1000, &sum))
				goto bad;
			break;
		}
		for (i = 0; i < COUNT(units); i++)
			if (strncmp(at, units[i].word, strlen(units[i].word)) == 0)
				break;
		if (i == COUNT(units) || __builtin_mul_overflow(v, units[i].ms, &v) ||
			__builtin_add_overflow(sum, v, &sum))
			goto bad;
		at += strlen(units[i].word);
	} while (*at);
	*ret_ms = sum;
	return OK;
bad:
	return fail(why, ERR_invalid_value, "'%.40s' is not a duration (like 30s or 5m)", s);
}

void show_size(char *out, size_t size, uint64_t bytes)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
	double v = (double)bytes;
	size_t i = 0;

	while (v >= 1024 && i + 1 < COUNT(units)) {
		v /= 1024;
		i++;
	}
	snprintf(out, size, i == 0 || v >= 100 ? "%.0f %s" : "%.1f %s", v, units[i]);
}

void show_duration(char *out, size_t size, uint64_t ms)
{
	unsigned long long s = ms / 1000;

	if (ms < 1000)
		snprintf(out, size, "%llu ms", (unsigned long long)ms);
	else if (s < 60)
		snprintf(out, size, "%llu.%llu s", s, (unsigned long long)(ms % 1000 / 100));
	else if (s < 3600)
		snprintf(out, size, "%llum%02llus", s / 60, s % 60);
	else if (s < 86400)
		snprintf(out, size, "%lluh%02llum", s / 3600, s / 60 % 60);
	else
		snprintf(out, size, "%llud%02lluh", s / 86400, s / 3600 % 24);
}

/* The Gregorian date of a day counted from 1970-01-01; libc's own way would load time zones. */
static void date_of(uint64_t day, unsigned *year, unsigned *month, unsigned *mday)
{
	uint64_t d = day + 719468; /* counted from 0000-03-01, so that leap days end a year */
	uint64_t era = d / 146097, of_era = d % 146097;
	uint64_t y = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
	uint64_t of_year = of_era - (365 * y + y / 4 - y / 100);
	uint64_t m = (5 * of_year + 2) / 153;

	*mday = (unsigned)(of_year - (153 * m + 2) / 5 + 1);
	*month = (unsigned)(m < 10 ? m + 3 : m - 9);
	*year = (unsigned)(y + era * 400 + (*month <= 2));
}

void show_time(char *out, size_t size, uint64_t unix_ms)
{
	uint64_t s = unix_ms / 1000;
	unsigned year, month, day;

	date_of(s / 86400, &year, &month, &day);
	snprintf(out, size, "%04u-%02u-%02uT%02u:%02u:%02u.%03uZ", year, month, day,
		(unsigned)(s / 3600 % 24), (unsigned)(s / 60 % 60), (unsigned)(s % 60),
		(unsigned)(unix_ms % 1000));
}

void hex_of(char *out, const void *p, size_t n)
{
	static const char digits[] = "0123456789abcdef";
	const uint8_t *s = p;

	for (size_t i = 0; i < n; i++) {
		out[2 * i] = digits[s[i] >> 4];
		out[2 * i + 1] = digits[s[i] & 15];
	}
	out[2 * n] = '\0';
}

size_t base64_of(char *out, size_t size, const void *p, size_t n)
{
	static const char abc[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const uint8_t *s = p;
	size_t o = 0;

	if (size < (n + 2) / 3 * 4 + 1)
		return 0;
	for (size_t i = 0; i < n; i += 3) {
		uint32_t v = (uint32_t)s[i] << 16 | (i + 1 < n ? (uint32_t)s[i + 1] << 8 : 0) |
			     (i + 2 < n ? (uint32_t)s[i + 2] : 0);

		out[o++] = abc[v >> 18];
		out[o++] = abc[v >> 12 & 63];
		out[o++] = i + 1 < n ? abc[v >> 6 & 63] : '=';
		out[o++] = i + 2 < n ? abc[v & 63] : '=';
	}
	out[o] = '\0';
	return o;
}

bool str_copy(char *out, size_t size, const char *s)
{
	size_t n = strlen(s);

	must(size > 0);
	memcpy(out, s, MIN(n, size - 1));
	out[MIN(n, size - 1)] = '\0';
	return n < size;
}

bool is_label(const char *s, size_t n)
{
	if (n == 0 || n > 63 || s[0] == '-' || s[n - 1] == '-')
		return false;
	for (size_t i = 0; i < n; i++)
		if (!((s[i] >= 'a' && s[i] <= 'z') || (s[i] >= '0' && s[i] <= '9') || s[i] == '-'))
			return false;
	return true;
}

/* Edit distance, given up (3) beyond two. */
static unsigned distance(const char *a, const char *b)
{
	enum { WIDE = 40 };
	size_t la = strlen(a), lb = strlen(b);
	unsigned row[WIDE + 1];

	if (la > WIDE || lb > WIDE || la > lb + 2 || lb > la + 2)
		return 3;
	for (size_t j = 0; j <= lb; j++)
		row[j] = (unsigned)j;
	for (size_t i = 1; i <= la; i++) {
		unsigned diagonal = row[0];

		row[0] = (unsigned)i;
		for (size_t j = 1; j <= lb; j++) {
			unsigned up = row[j];
			unsigned d = diagonal + (a[i - 1] != b[j - 1]);

			d = MIN(d, up + 1);
			row[j] = MIN(d, row[j - 1] + 1);
			diagonal = up;
		}
	}
	return MIN(row[lb], 3u);
}

const char *nearest(const char *word, const char *const *list, size_t n)
{
	const char *best = NULL;
	unsigned least = 3;

	for (size_t i = 0; i < n; i++) {
		unsigned d = distance(word, list[i]);

		if (d < least) {
			least = d;
			best = list[i];
		}
	}
	return best;
}
