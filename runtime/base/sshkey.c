/*
 * sshkey.c - reads public keys strictly: what passes can be written into authorized_keys and
 * known_hosts as it is, and can hold neither a second line nor an option.
 */
#include "base/sshkey.h"

enum { TYPE_BYTES_MAX = 64, BLOB_BYTES_MAX = SSHKEY_BYTES_MAX / 4 * 3 };

static int digit(char c)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *at = c ? strchr(digits, c) : NULL;

	return at ? (int)(at - digits) : -1;
}

/* Answers how many bytes, 0 when it is not base64 of the one form that an encoder writes. */
static size_t decode(const char *s, size_t n, uint8_t out[BLOB_BYTES_MAX])
{
	size_t pad = n > 1 && s[n - 1] == '=' ? 1 + (s[n - 2] == '=') : 0, have = 0;
	uint32_t bits = 0;

	if (n == 0 || n % 4 != 0 || n / 4 * 3 > BLOB_BYTES_MAX)
		return 0;
	for (size_t i = 0; i < n; i++) {
		int d = i < n - pad ? digit(s[i]) : 0;

		if (d < 0)
			return 0;
		bits = bits << 6 | (uint32_t)d;
		for (int k = 2; i % 4 == 3 && k >= 0; k--)
			out[have++] = (uint8_t)(bits >> (8 * k));
	}
	for (size_t i = 0; i < pad; i++)
		if (out[--have] != 0) /* bits that say nothing must be none */
			return 0;
	return have;
}

/* Parts with their lengths before them: two at least, the first one the type. */
static bool walk(const uint8_t *p, size_t n, const char *type, size_t type_n)
{
	unsigned parts = 0;

	while (n > 0) {
		size_t len;

		if (n < 4)
			return false;
		len = (size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3];
		if (len > n - 4)
			return false;
		if (parts++ == 0 && (len != type_n || memcmp(p + 4, type, len) != 0))
			return false;
		p += 4 + len;
		n -= 4 + len;
	}
	return parts >= 2;
}

static bool is_type_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (c && strchr("@.-", c));
}

bool sshkey_ok(const char *s, size_t n)
{
	uint8_t blob[BLOB_BYTES_MAX];
	size_t type = 0, have;

	while (type < n && is_type_char(s[type]))
		type++;
	if (type == 0 || type > TYPE_BYTES_MAX || type >= n || s[type] != ' ' ||
		n > SSHKEY_BYTES_MAX || memmem(s, type, "-cert-", 6))
		return false;
	have = decode(s + type + 1, n - type - 1, blob);
	return have > 0 && walk(blob, have, s, type);
}

/* A word ends at a blank, but for blanks between double quotes (of options). */
static size_t word(const char *s)
{
	bool quoted = false;
	size_t n = 0;

	for (; s[n] && s[n] != '\n' && s[n] != '\r'; n++) {
		if (!quoted && (s[n] == ' ' || s[n] == '\t'))
			break;
		if (s[n] == '\\' && s[n + 1] == '"')
			n++;
		else if (s[n] == '"')
			quoted = !quoted;
	}
	return n;
}

bool sshkey_of_line(const char *line, struct bytes *key, size_t *begin)
{
	const char *at = line + strspn(line, " \t");

	for (int skipped = 0; *at != '#' && skipped < 2; skipped++) {
		size_t type = word(at), blank = strspn(at + type, " \t");
		size_t rest = blank ? word(at + type + blank) : 0;

		if (rest == 0)
			return false;
		if (blank == 1 && sshkey_ok(at, type + 1 + rest)) {
			*key = (struct bytes){ (const uint8_t *)at, type + 1 + rest };
			if (begin)
				*begin = (size_t)(at - line);
			return true;
		}
		at += type + blank;
	}
	return false;
}

bool sshkey_of_file(const char *text, char out[SSHKEY_BYTES_MAX + 1])
{
	struct bytes key;

	while (*text) {
		const char *at = text + strspn(text, " \t\r");

		if (*at != '\n' && *at != '#' && *at) {
			if (!sshkey_of_line(at, &key, NULL))
				return false;
			memcpy(out, key.p, key.n);
			out[key.n] = '\0';
			return true;
		}
		text += strcspn(text, "\n");
		text += *text == '\n';
	}
	return false;
}
