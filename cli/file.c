/*
 * file.c - reading and replacing files that belong to the user (row E3).
 */
#include "cli/file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { READ_BYTES = 4096, PATH_BYTES = 4096 };

enum err file_read(const char *path, struct buf *ret, bool *there, struct why *why)
{
	own_fd fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;

	buf_init(ret, FILE_BYTES_MAX);
	*there = fd >= 0;
	if (fd < 0 && errno == ENOENT)
		return OK;
	if (fd < 0 || fstat(fd, &st) < 0)
		return fail_errno(why, "cannot read %.250s", path);
	if (!S_ISREG(st.st_mode))
		return fail(why, ERR_invalid_value, "%.250s is no regular file", path);
	for (;;) {
		uint8_t *room = buf_room(ret, READ_BYTES);
		ssize_t n = room ? read(fd, room, READ_BYTES) : -1;

		if (!room)
			return fail(why, ERR_too_large, "%.250s is too large", path);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fail_errno(why, "cannot read %.250s", path);
		if (n == 0)
			break;
		ret->n += (size_t)n;
	}
	if (ret->n > 0 && memchr(ret->p, 0, ret->n))
		return fail(why, ERR_invalid_value, "%.250s is no text", path);
	(void)buf_cstr(ret); /* its NUL is there from here on: what reads it as text reads it all */
	return ret->failed ? fail(why, ERR_no_memory, "no memory for %.250s", path) : OK;
}

static bool write_whole(int fd, const uint8_t *p, size_t n)
{
	while (n > 0) {
		ssize_t did = write(fd, p, n);

		if (did < 0 && errno == EINTR)
			continue;
		if (did < 0)
			return false;
		p += did;
		n -= (size_t)did;
	}
	return true;
}

static enum err sync_dir_of(const char *path, struct why *why)
{
	const char *slash = strrchr(path, '/');
	char dir[PATH_BYTES] = ".";
	own_fd fd = -1;

	if (slash)
		snprintf(dir, sizeof(dir), "%.*s", (int)(slash - path + 1), path);
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd) < 0)
		return fail_errno(why, "cannot sync %.250s", dir);
	return OK;
}

enum err file_replace(const char *path, mode_t mode, const struct buf *content, struct why *why)
{
	char temp[PATH_BYTES];
	struct stat st;
	own_fd fd = -1;
	enum err e;

	if (content->failed)
		return fail(why, ERR_too_large, "%.250s would become too large", path);
	if ((size_t)snprintf(temp, sizeof(temp), "%s.banger-XXXXXX", path) >= sizeof(temp))
		return fail(why, ERR_too_large, "the path %.60s... is too long", path);
	if (lstat(path, &st) == 0)
		mode = st.st_mode & 07777;
	fd = mkostemp(temp, O_CLOEXEC);
	if (fd < 0)
		return fail_errno(why, "cannot write beside %.250s", path);
	if (fchmod(fd, mode) == 0 && write_whole(fd, content->p, content->n) && fsync(fd) == 0 &&
		rename(temp, path) == 0)
		return sync_dir_of(path, why);
	e = fail_errno(why, "cannot write %.250s", path);
	(void)unlink(temp);
	return e;
}

enum err file_real(const char *path, char *ret, size_t size, struct why *why)
{
	struct stat st;
	own_mem char *real = NULL;

	if (lstat(path, &st) == 0 && S_ISLNK(st.st_mode)) {
		real = realpath(path, NULL);
		if (!real)
			return fail_errno(why, "cannot follow the link %.250s", path);
	}
	if ((size_t)snprintf(ret, size, "%s", real ? real : path) >= size)
		return fail(why, ERR_too_large, "the path %.60s... is too long", path);
	return OK;
}

enum err file_lock_dir(const char *dir, int *ret, struct why *why)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return fail_errno(why, "cannot open the directory %.250s", dir);
	while (flock(fd, LOCK_EX) < 0)
		if (errno != EINTR) {
			enum err e = fail_errno(why, "cannot lock %.250s", dir);

			close(fd);
			return e;
		}
	*ret = fd;
	return OK;
}

enum err file_sync(const char *path, struct why *why)
{
	own_fd fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0 || fsync(fd) < 0)
		return fail_errno(why, "cannot sync %.250s", path);
	return sync_dir_of(path, why);
}
