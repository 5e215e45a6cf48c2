/*
 * etc.c - readers of passwd, group and os-release. There is no NSS here: the files belong to an
 * image, not to this host.
 */
#include "worker/etc.h"

#include "base/text.h"

enum { FIELDS_MAX = 7 };

/* The next line of what is left, without its newline; false at the end. */
static bool next_line(struct bytes *left, struct bytes *line)
{
	const uint8_t *nl;

	if (left->n == 0)
		return false;
	nl = memchr(left->p, '\n', left->n);
	*line = (struct bytes){ left->p, nl ? (size_t)(nl - left->p) : left->n };
	left->p += line->n + (nl ? 1 : 0);
	left->n -= line->n + (nl ? 1 : 0);
	return true;
}

/* Splits at ':'; answers how many fields there are, at most FIELDS_MAX. */
static size_t split(struct bytes line, struct bytes f[FIELDS_MAX])
{
	size_t n = 0;

	while (n < FIELDS_MAX) {
		const uint8_t *colon = line.n ? memchr(line.p, ':', line.n) : NULL;
		size_t len = colon ? (size_t)(colon - line.p) : line.n;

		f[n++] = (struct bytes){ line.p, len };
		if (!colon)
			break;
		line.p += len + 1;
		line.n -= len + 1;
	}
	return n;
}

static bool is_text(struct bytes b, const char *s, size_t n)
{
	return b.n == n && (n == 0 || memcmp(b.p, s, n) == 0);
}

static bool copy(struct bytes b, char *out, size_t size)
{
	if (b.n >= size || (b.n > 0 && memchr(b.p, '\0', b.n)))
		return false;
	if (b.n > 0)
		memcpy(out, b.p, b.n);
	out[b.n] = '\0';
	return true;
}

/* A uid or gid; -1 as 32 bits means "none" to the kernel. */
static bool number(struct bytes b, uint32_t *ret)
{
	char text[16];
	uint64_t v;

	if (!copy(b, text, sizeof(text)) || parse_u64(text, &v, NULL) || v >= UINT32_MAX)
		return false;
	*ret = (uint32_t)v;
	return true;
}

static bool find_user(struct bytes passwd, struct bytes who, struct etc_user *ret)
{
	struct bytes line, f[FIELDS_MAX];
	uint32_t wanted = 0;
	bool by_uid = number(who, &wanted);

	while (next_line(&passwd, &line)) {
		struct etc_user u = { .uid = 0 };

		if (split(line, f) < 6 || !number(f[2], &u.uid) || !number(f[3], &u.gid))
			continue;
		if (!(by_uid ? u.uid == wanted : is_text(f[0], (const char *)who.p, who.n)))
			continue;
		if (!copy(f[0], u.name, sizeof(u.name)))
			u.name[0] = '\0';
		if (!copy(f[5], u.home, sizeof(u.home)))
			u.home[0] = '\0';
		*ret = u;
		return true;
	}
	*ret = (struct etc_user){ .uid = wanted };
	return by_uid;
}

static bool find_group(struct bytes group, struct bytes who, uint32_t *ret)
{
	struct bytes line, f[FIELDS_MAX];

	if (number(who, ret))
		return true;
	while (next_line(&group, &line))
		if (split(line, f) >= 3 && is_text(f[0], (const char *)who.p, who.n) &&
			number(f[2], ret))
			return true;
	return false;
}

enum err etc_user_find(struct bytes passwd, struct bytes group, const char *user,
	struct etc_user *ret, struct why *why)
{
	size_t n = strcspn(user, ":");

	if (n == 0)
		return fail_field(why, ERR_invalid_value, "user", "a user without a name");
	if (!find_user(passwd, (struct bytes){ (const uint8_t *)user, n }, ret)) {
		fail_field(why, ERR_invalid_value, "user", "the image has no user '%.*s'",
			(int)MIN(n, 64), user);
		return fail_hint(why, "name one of its /etc/passwd, or a uid");
	}
	if (user[n] == ':' &&
		!find_group(group, (struct bytes){ (const uint8_t *)user + n + 1,
					   strlen(user + n + 1) }, &ret->gid))
		return fail_field(why, ERR_invalid_value, "user", "the image has no group '%.64s'",
			user + n + 1);
	return OK;
}

bool etc_release(struct bytes file, const char *key, char *out, size_t size)
{
	size_t n = strlen(key), at = 0;
	struct bytes line;

	while (next_line(&file, &line)) {
		char quote = '\0';

		if (line.n <= n || memcmp(line.p, key, n) != 0 || line.p[n] != '=')
			continue;
		for (size_t i = n + 1; i < line.n; i++) {
			char c = (char)line.p[i];

			if (i == n + 1 && (c == '"' || c == '\'')) {
				quote = c;
				continue;
			}
			if (quote && c == quote)
				break;
			if (quote == '"' && c == '\\' && i + 1 < line.n)
				c = (char)line.p[++i];
			if (at + 1 < size)
				out[at++] = c;
		}
		out[at] = '\0';
		while (at > 0 && !utf8_valid(out, at))
			out[--at] = '\0';
		return at > 0;
	}
	return false;
}

void etc_home(const struct etc_user *u, char *out, size_t size)
{
	/* A disk there would hide the system, or cannot be. */
	static const char *const taken[] = { "/", "/bin", "/boot", "/dev", "/etc", "/lib", "/lib64",
		"/nonexistent", "/proc", "/run", "/sbin", "/sys", "/tmp", "/usr", "/usr/bin",
		"/usr/sbin", "/var", "/var/run", "/var/empty", "/home" };
	size_t n = strlen(u->home);
	bool good = u->home[0] == '/' && utf8_valid(u->home, n);

	for (size_t i = 0; i < COUNT(taken); i++)
		good = good && !str_eq(u->home, taken[i]);
	for (size_t at = 1; good && at < n;) {
		size_t part = strcspn(u->home + at, "/");

		good = part > 0 && !(part == 1 && u->home[at] == '.') &&
			!(part == 2 && u->home[at] == '.' && u->home[at + 1] == '.');
		at += part + 1;
	}
	if (good && u->home[n - 1] != '/')
		snprintf(out, size, "%s", u->home);
	else if (u->uid == 0)
		snprintf(out, size, "/root");
	else if (u->name[0] && !strchr(u->name, '/') && u->name[0] != '.' &&
		utf8_valid(u->name, strlen(u->name)))
		snprintf(out, size, "/home/%s", u->name);
	else
		snprintf(out, size, "/home/%u", u->uid);
}
