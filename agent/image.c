/*
 * image.c - opens, reads and replaces files in the image's root with RESOLVE_IN_ROOT.
 */
#include "agent/image.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tree/at.h"

enum { IN_ROOT = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS, LINKS_MAX = 8 };

int image_open(int root, const char *path, int flags)
{
	return at_open(root, path, flags, IN_ROOT);
}

int image_dir(int root, const char *path, uid_t uid, gid_t gid)
{
	return at_mkdirs(root, path, IN_ROOT, uid, gid);
}

struct fd_path fd_path(int fd)
{
	struct fd_path p;

	snprintf(p.s, sizeof(p.s), "/proc/self/fd/%d", fd);
	return p;
}

enum err image_read(int root, const char *path, size_t max, struct buf *out, struct why *why)
{
	own_fd fd = image_open(root, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
	struct stat st;
	ssize_t n;

	buf_init(out, max + 1);
	if (fd < 0 || fstat(fd, &st) < 0)
		return fail_errno(why, "cannot read the image's %s", path);
	if (!S_ISREG(st.st_mode))
		return fail(why, ERR_invalid_value, "the image's %s is no file", path);
	for (;;) {
		uint8_t *room = buf_room(out, 1);

		if (out->n > max)
			return fail(why, ERR_too_large, "the image's %s is too large", path);
		if (!room)
			return fail(why, ERR_no_memory, "no memory to read the image's %s", path);
		n = read(fd, room, out->cap - out->n);
		if (n < 0)
			return fail_errno(why, "cannot read the image's %s", path);
		if (n == 0)
			return OK;
		out->n += (size_t)n;
	}
}

static bool write_new(int dir, const char *temp, const void *p, size_t n, mode_t mode)
{
	own_fd fd = openat(dir, temp, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, mode);
	const uint8_t *s = p;

	if (fd < 0 || fchmod(fd, mode) < 0)
		return false;
	while (n > 0) {
		ssize_t did = write(fd, s, n);

		if (did < 0)
			return false;
		s += did;
		n -= (size_t)did;
	}
	return true;
}

/* Where the file that path names really is: follows links of the image by hand. */
static int real_parent(int root, const char *path, char name[AT_NAME_BYTES])
{
	char at[2 * AT_PATH_BYTES], text[AT_PATH_BYTES];

	if ((size_t)snprintf(at, sizeof(at), "%s", path) >= AT_PATH_BYTES)
		return -1;
	for (int i = 0; i < LINKS_MAX; i++) {
		own_fd dir = at_parent(root, at, IN_ROOT, name);
		ssize_t n = dir < 0 ? -1 : readlinkat(dir, name, text, sizeof(text) - 1);
		char *slash = strrchr(at, '/');

		if (dir < 0 || n < 0)
			return take_fd(&dir);
		text[n] = '\0';
		if (text[0] == '/' || !slash)
			slash = at;
		else
			slash++;
		if ((size_t)(slash - at) + (size_t)n >= AT_PATH_BYTES)
			break;
		memcpy(slash, text, (size_t)n + 1);
	}
	errno = ELOOP;
	return -1;
}

enum err image_write(int root, const char *path, const void *p, size_t n, mode_t mode,
	bool over_link, struct why *why)
{
	static const char temp[] = ".banger-new";
	char name[AT_NAME_BYTES];
	own_fd dir = over_link ? at_parent(root, path, IN_ROOT, name) :
				 real_parent(root, path, name);

	if (dir < 0)
		return fail_errno(why, "cannot reach the image's %s", path);
	if (!write_new(dir, temp, p, n, mode) || renameat(dir, temp, dir, name) < 0) {
		enum err e = fail_errno(why, "cannot write the image's %s", path);

		(void)unlinkat(dir, temp, 0);
		return e;
	}
	return OK;
}
