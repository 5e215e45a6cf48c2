/*
 * home.c - authorized_keys line by line, and the marks of a home that lies too deep.
 */
#include "base/home.h"

#include "base/sshkey.h"

static bool is_mark(const char *rest, const char *end)
{
	size_t n = sizeof(AUTHORIZED_MARK) - 1;

	while (end > rest && strchr(" \t\r", end[-1]))
		end--;
	return (size_t)(end - rest) == n + 1 && rest[0] == ' ' &&
	       memcmp(rest + 1, AUTHORIZED_MARK, n) == 0;
}

bool authorized_edit(const char *text, const char *key, struct buf *out)
{
	bool present = false, changed = false;
	size_t key_n = strlen(key), begin;
	struct bytes found;

	while (*text) {
		const char *end = text + strcspn(text, "\n");
		bool is_key = sshkey_of_line(text, &found, &begin);
		bool same = is_key && found.n == key_n && memcmp(found.p, key, key_n) == 0;

		if (is_key && !same && begin == 0 &&
			is_mark((const char *)found.p + found.n, end)) {
			changed = true;
		} else {
			present |= same;
			buf_add(out, text, (size_t)(end - text));
			if (*end || !present)
				buf_str(out, "\n");
		}
		text = *end ? end + 1 : end;
	}
	if (present)
		return changed;
	buf_fmt(out, "%s " AUTHORIZED_MARK "\n", key);
	return true;
}

const char *nested_path(const char *home)
{
	while (*home == '/')
		home++;
	return home;
}

bool nested_beside(const char *name, const char *path)
{
	size_t n = strcspn(path, "/");

	return strcmp(name, "lost+found") == 0 || strcmp(name, ".ssh") == 0 ||
	       (strlen(name) == n && memcmp(name, path, n) == 0);
}

bool nested_mark(const char *name)
{
	static const char *const marks[] = { ".profile", ".bashrc", ".bash_profile", ".zshrc",
		".bash_history", ".ash_history", ".ssh", ".config", ".cache" };

	for (size_t i = 0; i < COUNT(marks); i++)
		if (strcmp(name, marks[i]) == 0)
			return true;
	return false;
}
