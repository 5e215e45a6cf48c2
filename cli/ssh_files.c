/*
 * ssh_files.c - the files that ssh reads, edited line by line: known_hosts, the login names, and
 * the user's own ssh_config. What is not ours stays byte for byte.
 */
#include "base/text.h"
#include "cli/file.h"
#include "cli/ssh.h"

/* Hosts that are kept; each connection writes its own anew, so the oldest may go. */
enum { LINES_MAX = 2048, LINES_KEPT = 1024 };

static unsigned count_lines(const char *text)
{
	unsigned n = 0;

	for (; *text; text++)
		n += *text == '\n';
	return n;
}

/* Past the oldest lines of a file that has become long. */
static const char *recent(const char *text)
{
	unsigned n = count_lines(text);

	for (unsigned drop = n > LINES_MAX ? n - LINES_KEPT : 0; drop > 0; drop--)
		text = strchr(text, '\n') + 1;
	return text;
}

static bool begins_with_host(const char *line, const char *host)
{
	size_t n = strlen(host);

	return strncmp(line, host, n) == 0 && line[n] == ' ';
}

static bool differs(const char *text, struct buf *out)
{
	return !str_eq(text, buf_cstr(out)) && !out->failed;
}

bool known_hosts_edit(
	const char *text, const char *host, const char *const *keys, uint32_t n, struct buf *out)
{
	const char *at = recent(text);

	while (*at) {
		size_t line = strcspn(at, "\n");

		if (!begins_with_host(at, host) && line > 0) {
			buf_add(out, at, line);
			buf_str(out, "\n");
		}
		at += line + (at[line] == '\n');
	}
	for (uint32_t i = 0; i < n; i++)
		buf_fmt(out, "%s %s\n", host, keys[i]);
	return differs(text, out);
}

/* What ssh_config takes unquoted; any other name is the user's to write down. */
static bool plain_name(const char *s)
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				    "0123456789._-";

	return s[0] && s[0] != '-' && s[strspn(s, plain)] == '\0';
}

/* Two lines each: "Host NAME", "  User WHO". */
bool ssh_users_edit(const char *text, const char *host, const char *user, struct buf *out)
{
	const char *at = recent(text);
	bool ours = true; /* before the first host there is nothing that may stay */

	while (*at) {
		size_t line = strcspn(at, "\n");

		if (strncmp(at, "Host ", 5) == 0)
			ours = line == 5 + strlen(host) && memcmp(at + 5, host, line - 5) == 0;
		if (!ours && line > 0) {
			buf_add(out, at, line);
			buf_str(out, "\n");
		}
		at += line + (at[line] == '\n');
	}
	if (!str_eq(user, "root") && plain_name(user))
		buf_fmt(out, "Host %s\n  User %s\n", host, user);
	return differs(text, out);
}

/* The line is an Include of that path, quoted or not, and of nothing else. */
static bool includes(const char *line, size_t n, const char *path)
{
	static const char word[] = "include";
	size_t i = 0, len = strlen(path);

	while (i < n && strchr(" \t", line[i]))
		i++;
	if (n - i < sizeof(word) || strncasecmp(line + i, word, sizeof(word) - 1) != 0)
		return false;
	i += sizeof(word) - 1;
	if (!strchr(" \t=", line[i]))
		return false;
	while (i < n && strchr(" \t=\"", line[i]))
		i++;
	while (n > i && strchr(" \t\r\"", line[n - 1]))
		n--;
	return n - i == len && memcmp(line + i, path, len) == 0;
}

bool ssh_include_edit(const char *text, const char *path, bool wanted, struct buf *out)
{
	const char *at = text;

	if (wanted)
		buf_fmt(out, "Include \"%s\"\n", path);
	while (*at) {
		size_t line = strcspn(at, "\n");
		size_t whole = line + (at[line] == '\n');

		if (!includes(at, line, path))
			buf_add(out, at, whole);
		at += whole;
	}
	return differs(text, out);
}

/* ---- under the lock ---- */

struct edit {
	const char *host, *user, *const *keys;
	uint32_t n;
};

static enum err change(const char *file, const struct edit *x, struct why *why)
{
	char dir[PLACE_BYTES];
	own_buf have = { 0 };
	own_buf want = { 0 };
	own_fd lock = -1;
	bool there, differ;
	enum err e;

	if (file[0] != '/' || !str_copy(dir, sizeof(dir), file))
		return fail(why, ERR_invalid_value, "%.200s is no absolute path", file);
	*(strrchr(dir, '/') + 1) = '\0';
	e = file_lock_dir(dir, &lock, why);
	if (!e)
		e = file_read(file, &have, &there, why);
	if (e)
		return e;
	buf_init(&want, FILE_BYTES_MAX);
	differ = x->user ? ssh_users_edit(buf_cstr(&have), x->host, x->user, &want) :
			   known_hosts_edit(buf_cstr(&have), x->host, x->keys, x->n, &want);
	return differ || want.failed ? file_replace(file, 0600, &want, why) : OK;
}

enum err known_hosts_set(
	const char *file, const char *host, const char *const *keys, uint32_t n, struct why *why)
{
	return change(file, &(struct edit){ .host = host, .keys = keys, .n = n }, why);
}

enum err ssh_users_set(const char *file, const char *host, const char *user, struct why *why)
{
	return change(file, &(struct edit){ .host = host, .user = user }, why);
}
