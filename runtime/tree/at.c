/*
 * at.c - openat2 and what follows from it. No path is ever looked at twice by name: what was opened
 * is used by descriptor.
 */
#include "tree/at.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { TRIES = 32 }; /* the kernel asks to try again when a rename raced with a lookup */

int at_open(int dir, const char *path, int flags, uint64_t resolve)
{
	struct open_how how = { .flags = (uint64_t)(flags | O_CLOEXEC), .resolve = resolve };

	if (resolve == 0)
		return openat(dir, path, flags | O_CLOEXEC);
	for (int i = 0;; i++) {
		long fd = syscall(SYS_openat2, dir, path, &how, sizeof(how));

		if (fd >= 0 || i == TRIES || (errno != EAGAIN && errno != EINTR))
			return (int)fd;
	}
}

int at_parent(int dir, const char *path, uint64_t resolve, char name[AT_NAME_BYTES])
{
	char head[AT_PATH_BYTES];
	size_t n = strlen(path), from;

	while (n > 1 && path[n - 1] == '/')
		n--;
	for (from = n; from > 0 && path[from - 1] != '/'; from--)
		;
	if (n >= sizeof(head) || n - from >= AT_NAME_BYTES) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(name, path + from, n - from);
	name[n - from] = '\0';
	if (!name[0] || str_eq(name, ".") || str_eq(name, "..")) {
		errno = EINVAL;
		return -1;
	}
	memcpy(head, path, from);
	head[from] = '\0';
	return at_open(dir, from ? head : ".", O_PATH | O_DIRECTORY, resolve);
}

/* Opens head, whose last component is `name` in `parent`; makes it when it is missing. */
static int enter(int dir, const char *head, uint64_t resolve, int parent, const char *name,
	uid_t uid, gid_t gid)
{
	int fd = at_open(dir, head, O_PATH | O_DIRECTORY, resolve);

	if (fd >= 0 || errno != ENOENT)
		return fd;
	if (mkdirat(parent, name, 0755) < 0)
		return -1;
	fd = openat(parent, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0 && uid != (uid_t)-1 && fchownat(fd, "", uid, gid, AT_EMPTY_PATH) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

int at_mkdirs(int dir, const char *path, uint64_t resolve, uid_t uid, gid_t gid)
{
	char head[AT_PATH_BYTES], name[AT_NAME_BYTES];
	own_fd at = at_open(dir, path[0] == '/' ? "/" : ".", O_PATH | O_DIRECTORY, resolve);
	size_t i = 0;

	if (strlen(path) >= sizeof(head)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	while (at >= 0) {
		size_t from, next;
		int fd;

		i += strspn(path + i, "/");
		if (!path[i])
			return take_fd(&at);
		from = i;
		i += strcspn(path + i, "/");
		next = i - from;
		if (next >= sizeof(name)) {
			errno = ENAMETOOLONG;
			return -1;
		}
		memcpy(name, path + from, next);
		name[next] = '\0';
		memcpy(head, path, i);
		head[i] = '\0';
		fd = enter(dir, head, resolve, at, name, uid, gid);
		fd_done(&at);
		at = fd;
	}
	return -1;
}
