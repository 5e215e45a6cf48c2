/*
 * places.c - the three directories and the listening socket: found once, at start, by paths that
 * only root can change, and held from then on.
 */
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "helper/helper.h"
#include "sys/beneath.h"

/* By absolute path, no symbolic link at any component. */
static int open_plainly(const char *path, int flags)
{
	struct open_how how = {
		.flags = (uint64_t)(flags | O_CLOEXEC),
		.resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};

	return (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof(how));
}

static enum err open_place(const char *path, uid_t owner, int *ret, struct why *why)
{
	own_fd fd = open_plainly(path, O_RDONLY | O_DIRECTORY);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return fail_errno(why, "cannot open directory %s", path);
	if (st.st_uid != owner && st.st_uid != 0)
		return fail(why, ERR_denied,
			"directory %s belongs to uid %u, not to root or uid %u", path,
			(unsigned)st.st_uid, (unsigned)owner);
	*ret = take_fd(&fd);
	return OK;
}

/* Root's alone to write; made when its parent is there. */
static enum err open_root_place(const char *path, mode_t mode, int *ret, struct why *why)
{
	char parent[1024];
	const char *slash = strrchr(path, '/');
	own_fd fd = open_plainly(path, O_RDONLY | O_DIRECTORY), up = -1;
	struct stat st;

	if (fd < 0 && errno == ENOENT && slash) {
		snprintf(parent, sizeof(parent), "%.*s", (int)MAX(slash - path, 1), path);
		up = open_plainly(parent, O_RDONLY | O_DIRECTORY);
		if (up < 0 || (mkdirat(up, slash + 1, mode) < 0 && errno != EEXIST))
			return fail_errno(why, "cannot make directory %s", path);
		fd = open_plainly(path, O_RDONLY | O_DIRECTORY);
		if (fd >= 0 && fchmod(fd, mode) < 0) /* whatever the umask took off */
			return fail_errno(why, "cannot open directory %s", path);
	}
	if (fd < 0 || fstat(fd, &st) < 0)
		return fail_errno(why, "cannot open directory %s", path);
	if (st.st_uid != 0 || st.st_mode & 022)
		return fail(why, ERR_denied,
			"directory %s must be root's and writable by nobody else (uid %u, mode "
			"%04o)",
			path, (unsigned)st.st_uid, (unsigned)st.st_mode & 07777);
	*ret = take_fd(&fd);
	return OK;
}

enum err places_open(struct helper *h, struct why *why)
{
	enum err e = open_place(h->state_path, h->owner, &h->state, why);

	if (!e)
		e = open_place(h->runtime_path, h->owner, &h->runtime, why);
	if (!e)
		e = open_root_place(h->jail_path, 0711, &h->jails, why);
	return e;
}

const char *beneath(const char *place, const char *path)
{
	size_t n = strlen(place);

	return strncmp(path, place, n) == 0 && path[n] == '/' && path[n + 1] ? path + n + 1 : NULL;
}

static enum err bind_owned(
	int dir, const char *name, uid_t owner, gid_t gid, int fd, struct why *why)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	own_fd node = -1;
	mode_t mask;
	int r;

	if (snprintf(sa.sun_path, sizeof(sa.sun_path), "/proc/self/fd/%d/%s", dir, name) >=
		(int)sizeof(sa.sun_path))
		return fail(why, ERR_too_large, "socket name too long: %s", name);
	unlinkat(dir, name, 0);
	mask = umask(0177);
	r = bind(fd, (struct sockaddr *)&sa, sizeof(sa));
	umask(mask);
	if (r < 0)
		return fail_errno(why, "cannot bind socket %s", name);
	node = open_beneath(dir, name, O_PATH | O_NOFOLLOW, 0);
	if (node < 0 || fchownat(node, "", owner, gid, AT_EMPTY_PATH) < 0 || listen(fd, 1024) < 0)
		return fail_errno(why, "cannot listen at socket %s", name);
	return OK;
}

enum err places_listen(const char *path, uid_t owner, gid_t gid, int *ret, struct why *why)
{
	const char *slash = strrchr(path, '/');
	own_fd fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), dir = -1;
	char parent[1024];
	enum err e;

	if (!slash || !slash[1] || slash == path)
		return fail(why, ERR_invalid_value, "not a socket's path: %s", path);
	if (fd < 0)
		return fail_errno(why, "cannot make a socket");
	snprintf(parent, sizeof(parent), "%.*s", (int)(slash - path), path);
	e = open_root_place(parent, 0755, &dir, why);
	if (!e)
		e = bind_owned(dir, slash + 1, owner, gid, fd, why);
	if (!e)
		*ret = take_fd(&fd);
	return e;
}
