/*
 * program.c - programs that root is asked to run: judged by descriptor, and by every directory on
 * the way to them, so that nobody but root can have put them there or can exchange them.
 */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "helper/jail.h"
#include "sys/beneath.h"

static bool roots_alone(const struct stat *st)
{
	return st->st_uid == 0 && !(st->st_mode & 022);
}

/*
 * The program's own directory must be root's alone. Above it, a sticky one that is root's will do:
 * in it others may make things, but not exchange what is root's.
 */
static enum err judge_dir(
	int fd, bool last, const char *path, size_t n, const char *field, struct why *why)
{
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return fail_field(why,
			errno == ELOOP || errno == ENOTDIR ? ERR_denied : err_from_errno(errno),
			field, "cannot enter %.*s: %s", (int)n, path, strerror(errno));
	if (!roots_alone(&st) && (last || st.st_uid != 0 || !(st.st_mode & S_ISVTX)))
		return fail_field(why, ERR_denied, field,
			"%.*s may be written by others than root (uid %u, mode %04o)", (int)n, path,
			(unsigned)st.st_uid, (unsigned)st.st_mode & 07777);
	return OK;
}

/* One component after the other, from the root, each held while the next is looked at. */
static enum err walk(
	const char *path, const char *field, int *ret_dir, const char **ret_leaf, struct why *why)
{
	own_fd dir = openat(AT_FDCWD, "/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	const char *at = path + 1;
	char name[256];
	enum err e = judge_dir(dir, !strchr(at, '/'), "/", 1, field, why);

	while (!e) {
		size_t n = strcspn(at, "/");
		int next;

		if (at[n] == '\0')
			break;
		if (n == 0 || n >= sizeof(name))
			return fail_field(
				why, ERR_invalid_value, field, "not a clean path: %s", path);
		memcpy(name, at, n);
		name[n] = '\0';
		next = open_beneath(dir, name, O_PATH | O_DIRECTORY | O_NOFOLLOW, 0);
		at += n + 1;
		e = judge_dir(next, !strchr(at, '/'), path, (size_t)(at - path) - 1, field, why);
		fd_done(&dir);
		dir = next;
	}
	if (e)
		return e;
	*ret_leaf = at;
	*ret_dir = take_fd(&dir);
	return OK;
}

enum err trusted_program(const char *path, const char *field, int *ret, struct why *why)
{
	own_fd dir = -1, fd = -1;
	const char *leaf = NULL;
	struct stat st;
	enum err e = walk(path, field, &dir, &leaf, why);

	if (e)
		return e;
	fd = open_beneath(dir, leaf, O_PATH | O_NOFOLLOW, 0);
	if (fd < 0 || fstat(fd, &st) < 0)
		return fail_field(why, errno == ENOENT ? ERR_not_found : ERR_denied, field,
			"cannot open %s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return fail_field(why, ERR_denied, field, "%s is not a regular file", path);
	if (!roots_alone(&st))
		return fail_field(why, ERR_denied, field,
			"%s may be written by others than root (uid %u, mode %04o)", path,
			(unsigned)st.st_uid, (unsigned)st.st_mode & 07777);
	if (!(st.st_mode & 0111))
		return fail_field(why, ERR_denied, field, "%s is not executable", path);
	*ret = take_fd(&fd);
	return OK;
}
