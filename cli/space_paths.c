/*
 * space_paths.c - which names of a guest's may become files here. Pure.
 */
#include "cli/space_paths.h"

#include <ctype.h>

/* A component that means .git on some file system, or is no name of git's. */
static bool bad_name(const char *p, size_t n)
{
	char low[16];
	size_t m = 0;

	if (n == 0 || (n <= 2 && p[0] == '.' && (n == 1 || p[1] == '.')))
		return true;
	/* what HFS+ ignores, what NTFS cuts off: none of it is needed to say no */
	for (size_t i = 0; i < n && m < sizeof(low) - 1; i++)
		if ((unsigned char)p[i] < 0x80)
			low[m++] = (char)tolower((unsigned char)p[i]);
	low[m] = '\0';
	return strncmp(low, ".git", 4) == 0 && (!low[4] || strchr(". :", low[4])) ?
		       true :
		       strncmp(low, "git~", 4) == 0;
}

bool look_path_ok(const char *path)
{
	while (*path) {
		size_t n = strcspn(path, "/");

		if (bad_name(path, n))
			return false;
		path += n + (path[n] == '/');
	}
	return true;
}

bool link_stays(const char *path, const char *text)
{
	int depth = 0;

	if (text[0] == '/' || !text[0])
		return false;
	for (const char *p = path; (p = strchr(p, '/')) != NULL; p++)
		depth++;
	while (*text) {
		size_t n = strcspn(text, "/");

		if (n == 2 && text[0] == '.' && text[1] == '.')
			depth--;
		else if (n > 0 && !(n == 1 && text[0] == '.'))
			depth++;
		if (depth < 0)
			return false;
		text += n + (text[n] == '/');
	}
	return true;
}
