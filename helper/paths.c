/*
 * paths.c - files that the owner can write: opened once, beneath the held state directory, without
 * following a link, and judged by the descriptor. What the owner does to the name afterwards
 * changes nothing.
 */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "helper/helper.h"
#include "sys/beneath.h"

enum err check_beneath_state(
	const struct helper *h, const char *path, const char *field, struct why *why)
{
	if (beneath(h->state_path, path))
		return OK;
	return fail_field(why, ERR_invalid_value, field, "%.200s does not lie beneath %s", path,
		h->state_path);
}

enum err walk_failed(const char *path, const char *field, struct why *why)
{
	switch (errno) {
	case ELOOP:
	case EXDEV:
		return fail_field(
			why, ERR_denied, field, "%s leads over a link or a way out", path);
	case ENOENT:
	case ENOTDIR:
		return fail_field(why, ERR_not_found, field, "%s is not there", path);
	case EAGAIN:
		return fail_field(
			why, ERR_busy, field, "%s is in use: somebody has a lease of it", path);
	default:
		return fail_field(why, err_from_errno(errno), field, "cannot open %s: %s", path,
			strerror(errno));
	}
}

static enum err judge(const struct helper *h, const struct stat *st, const char *path,
	const char *field, struct why *why)
{
	if (!S_ISREG(st->st_mode))
		return fail_field(why, ERR_denied, field, "%s is not a regular file", path);
	if (st->st_uid != h->owner)
		return fail_field(why, ERR_not_owned, field, "%s belongs to uid %u, not to uid %u",
			path, (unsigned)st->st_uid, (unsigned)h->owner);
	if (st->st_nlink != 1)
		return fail_field(why, ERR_denied, field, "%s has %lu links, not one", path,
			(unsigned long)st->st_nlink);
	return OK;
}

/*
 * First a descriptor that can do nothing (a FIFO or device is not opened by it), then, of the very
 * file that was judged, one that can read or write.
 */
enum err owner_file(const struct helper *h, const char *path, const char *field, bool writable,
	int *ret, struct why *why)
{
	own_fd node = -1, fd = -1;
	struct stat st, now;
	char link[32];
	enum err e = check_beneath_state(h, path, field, why);

	if (e)
		return e;
	node = open_beneath(h->state, beneath(h->state_path, path), O_PATH | O_NOFOLLOW, 0);
	if (node < 0 || fstat(node, &st) < 0)
		return walk_failed(path, field, why);
	e = judge(h, &st, path, field, why);
	if (e)
		return e;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", node);
	fd = openat(AT_FDCWD, link, (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 || fstat(fd, &now) < 0)
		return walk_failed(path, field, why);
	must(now.st_dev == st.st_dev && now.st_ino == st.st_ino);
	/* a hard link that was made since the first look does not pass either */
	e = judge(h, &now, path, field, why);
	if (!e)
		*ret = take_fd(&fd);
	return e;
}
