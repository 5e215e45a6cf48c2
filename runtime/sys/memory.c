/*
 * memory.c - MemAvailable, and the limits of control groups, of both versions.
 *
 * A limit holds for all below it, so every group from ours up is looked at. What cannot be read
 * limits nothing: a host without control groups has none.
 */
#include "sys/memory.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/text.h"

enum { FILE_MAX = 131072, PATH_BYTES = 1024 };

struct version { /* of control groups */
	const char *top, *most, *used;
};

static const struct version two = { "sys/fs/cgroup", "memory.max", "memory.current" };
static const struct version one = { "sys/fs/cgroup/memory", "memory.limit_in_bytes",
	"memory.usage_in_bytes" };

/* Through links, too: /proc/self is one. */
static bool read_text(int root, const char *path, struct buf *b)
{
	own_fd fd = openat(root, path, O_RDONLY | O_CLOEXEC);
	uint8_t *to;
	ssize_t n = 0;

	b->n = 0;
	if (fd < 0)
		return false;
	while ((to = buf_room(b, 4096)) != NULL && (n = read(fd, to, 4096)) > 0)
		b->n += (size_t)n;
	return n == 0 && !b->failed;
}

/* The number behind a word at the beginning of a line; 0: there is none. */
static uint64_t number_of(struct buf *b, const char *word)
{
	const char *at = buf_cstr(b);
	size_t n = strlen(word);

	for (; at && *at; at = strchr(at, '\n'), at = at ? at + 1 : NULL)
		if (strncmp(at, word, n) == 0 && strspn(at + n, " :\t") > 0)
			return strtoull(at + n + strspn(at + n, " :\t"), NULL, 10);
	return 0;
}

/* What one group leaves; UINT64_MAX: it has no limit. */
static uint64_t room_in(int root, const struct version *v, const char *group)
{
	own_buf text = { .max = FILE_MAX };
	char path[PATH_BYTES + 64];
	uint64_t most, used, cache;

	snprintf(path, sizeof(path), "%s%s/%s", v->top, group, v->most);
	if (!read_text(root, path, &text) || text.n == 0 || text.p[0] == 'm') /* "max" */
		return UINT64_MAX;
	most = strtoull(buf_cstr(&text), NULL, 10);
	snprintf(path, sizeof(path), "%s%s/%s", v->top, group, v->used);
	if (!read_text(root, path, &text))
		return UINT64_MAX;
	used = strtoull(buf_cstr(&text), NULL, 10);
	snprintf(path, sizeof(path), "%s%s/memory.stat", v->top, group);
	cache = read_text(root, path, &text) ? number_of(&text, "inactive_file") : 0;
	used -= MIN(used, cache);
	return most > used ? most - used : 0;
}

static uint64_t room_up_from(int root, const struct version *v, char *group)
{
	uint64_t room = UINT64_MAX;

	for (;;) {
		char *slash = strrchr(group, '/');
		uint64_t here = room_in(root, v, group);

		room = MIN(room, here);
		if (!slash)
			return room;
		*slash = '\0';
	}
}

/* A line of /proc/self/cgroup: number, controllers, group; no controllers: version two. */
static uint64_t room_of_line(int root, char *line)
{
	char *controllers = strchr(line, ':'), *group;

	group = controllers ? strchr(controllers + 1, ':') : NULL;
	if (!group || strlen(group) >= PATH_BYTES)
		return UINT64_MAX;
	*group++ = '\0';
	controllers++;
	if (str_eq(group, "/"))
		*group = '\0';
	if (!controllers[0])
		return room_up_from(root, &two, group);
	return strstr(controllers, "memory") ? room_up_from(root, &one, group) : UINT64_MAX;
}

uint64_t memory_room(int root)
{
	own_buf text = { .max = FILE_MAX };
	uint64_t room = UINT64_MAX;
	char *line, *next;

	if (read_text(root, "proc/meminfo", &text))
		room = number_of(&text, "MemAvailable") * KiB;
	if (!read_text(root, "proc/self/cgroup", &text) || !buf_cstr(&text))
		return room;
	for (line = (char *)text.p; line && *line; line = next) {
		uint64_t here;

		next = strchr(line, '\n');
		if (next)
			*next++ = '\0';
		here = room_of_line(root, line);
		room = MIN(room, here);
	}
	return room;
}
