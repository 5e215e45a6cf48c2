/*
 * process_list.c - processes that nobody started here may know of: told by what they say of
 * themselves and by what they have open, never by one of the two alone.
 */
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "sys/beneath.h"
#include "sys/process.h"

enum { CMDLINE_MAX = 64 * 1024 };

static bool is_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

/* Whether the command line has prefix<word> somewhere, and a file beneath dir/<word> is open. */
static bool has_word(const struct buf *line, const char *prefix, const char *dir, pid_t pid,
	char *word, size_t size)
{
	const char *end = (const char *)line->p + line->n;
	size_t n = strlen(prefix);
	char where[PATH_MAX];

	for (const char *at = (const char *)line->p; at && at + n < end; at++) {
		size_t len = 0;

		at = memmem(at, (size_t)(end - at), prefix, n);
		if (!at)
			return false;
		while (at + n + len < end && is_word(at[n + len]))
			len++;
		if (len == 0 || len >= size)
			continue;
		memcpy(word, at + n, len);
		word[len] = '\0';
		if (snprintf(where, sizeof(where), "%s/%s/", dir, word) < (int)sizeof(where) &&
			process_has_open(pid, where))
			return true;
	}
	return false;
}

bool process_has_open(pid_t pid, const char *prefix)
{
	char path[64], to[PATH_MAX];
	size_t n = strlen(prefix);
	own_dir d = NULL;
	struct dirent *e;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	d = opendir(path);
	while (d && (e = readdir(d)) != NULL) {
		ssize_t got = readlinkat(dirfd(d), e->d_name, to, sizeof(to));

		if (got >= (ssize_t)n && memcmp(to, prefix, n) == 0)
			return true;
	}
	return false;
}

void process_each(uid_t uid, const char *prefix, const char *dir,
	void (*fn)(void *ctx, const char *word, pid_t pid, uint64_t start), void *ctx)
{
	own_dir d = opendir("/proc");
	struct dirent *e;

	while (d && (e = readdir(d)) != NULL) {
		pid_t pid = (pid_t)strtol(e->d_name, NULL, 10);
		uint64_t start = pid > 1 ? process_start_time(pid) : 0; /* of what is looked at */
		own_buf line = { 0 };
		char path[300], word[16];
		struct stat st;

		if (pid <= 1 || pid == getpid() || fstatat(dirfd(d), e->d_name, &st, 0) < 0 ||
			(st.st_uid != uid && st.st_uid != 0))
			continue;
		buf_init(&line, CMDLINE_MAX);
		snprintf(path, sizeof(path), "%s/cmdline", e->d_name);
		if (read_file(dirfd(d), path, CMDLINE_MAX, &line, NULL) == OK &&
			has_word(&line, prefix, dir, pid, word, sizeof(word)))
			fn(ctx, word, pid, start);
	}
}
