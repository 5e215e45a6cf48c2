/*
 * procfs.c - small readers of /proc; what cannot be read counts as 0.
 */
#include "agent/procfs.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

size_t proc_read(const char *path, char *out, size_t size)
{
	own_fd fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t n = 0;
	ssize_t got;

	while (fd >= 0 && n + 1 < size && (got = read(fd, out + n, size - 1 - n)) > 0)
		n += (size_t)got;
	out[n] = '\0';
	return n;
}

uint64_t proc_value(const char *text, const char *key)
{
	size_t n = strlen(key);

	while (*text) {
		if (strncmp(text, key, n) == 0)
			return strtoull(text + n, NULL, 10);
		text += strcspn(text, "\n");
		text += *text == '\n';
	}
	return 0;
}

uint64_t proc_load_milli(void)
{
	char text[128], *end;
	uint64_t whole, part = 0, unit = 100;

	proc_read("/proc/loadavg", text, sizeof(text));
	whole = strtoull(text, &end, 10);
	for (end += *end == '.'; isdigit((unsigned char)*end) && unit > 0; end++, unit /= 10)
		part += (uint64_t)(*end - '0') * unit;
	return whole * 1000 + part;
}

uint64_t proc_count(void)
{
	own_dir dir = opendir("/proc");
	struct dirent *e;
	uint64_t n = 0;

	while (dir && (e = readdir(dir)) != NULL)
		n += isdigit((unsigned char)e->d_name[0]) != 0;
	return n;
}

uint64_t proc_cpu_ms(void)
{
	enum { IDLE = 3, IOWAIT = 4, FIELDS = 8 }; /* guest time is part of user's */
	char text[4096], *at;
	uint64_t ticks = 0, v;
	long hz = sysconf(_SC_CLK_TCK);

	proc_read("/proc/stat", text, sizeof(text));
	if (strncmp(text, "cpu ", 4) != 0)
		return 0;
	at = text + 4;
	for (int i = 0; i < FIELDS; i++) {
		v = strtoull(at, &at, 10);
		if (i != IDLE && i != IOWAIT)
			ticks += v;
	}
	return ticks * 1000 / (uint64_t)(hz > 0 ? hz : 100);
}
