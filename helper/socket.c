/*
 * socket.c - priv.ensure_socket_access: a VMM's socket becomes the owner's.
 *
 * The descriptor that was judged is the one that is changed, so swapping the name after the judging
 * changes nothing; the last look tells of links that were made meanwhile.
 */
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "helper/verbs.h"

static const char field[] = "socket_path";

enum err socket_check(const struct helper *h, const void *body, struct why *why)
{
	const struct priv_socket *q = body;

	if (!beneath(h->runtime_path, q->socket_path))
		return fail_field(
			why, ERR_invalid_value, field, "must lie beneath %s", h->runtime_path);
	return OK;
}

void socket_about(const void *body, char out[ABOUT_MAX])
{
	const struct priv_socket *q = body;
	size_t n = strlen(q->socket_path);

	/* the end of a long path; two that share it only wait for each other */
	snprintf(out, ABOUT_MAX, "socket %s", q->socket_path + (n > 60 ? n - 60 : 0));
}

/* A mount of the owner's is not entered either: a lookup there could last as long as it likes. */
static int open_node(const struct helper *h, const char *path)
{
	struct open_how how = { .flags = O_PATH | O_NOFOLLOW | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS |
			   RESOLVE_NO_XDEV };
	int fd;

	do
		fd = (int)syscall(
			SYS_openat2, h->runtime, beneath(h->runtime_path, path), &how, sizeof(how));
	while (fd < 0 && errno == EAGAIN); /* a rename raced with the walk */
	return fd;
}

static enum err judge(int fd, const char *path, struct why *why)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return walk_failed(path, field, why);
	if (!S_ISSOCK(st.st_mode))
		return fail_field(why, ERR_denied, field, "%s is not a socket", path);
	if (st.st_nlink != 1)
		return fail_field(why, ERR_denied, field, "%s has %lu links, not one", path,
			(unsigned long)st.st_nlink);
	return OK;
}

static enum err give(const struct helper *h, const char *path, struct why *why)
{
	own_fd fd = open_node(h, path);
	char link[32];
	enum err e;

	if (fd < 0)
		return walk_failed(path, field, why);
	e = judge(fd, path, why);
	if (e)
		return e;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	/* closed before it is given */
	if (fchmodat(AT_FDCWD, link, 0600, 0) < 0 ||
		fchownat(fd, "", h->owner, h->owner_gid, AT_EMPTY_PATH) < 0)
		return walk_failed(path, field, why);
	return judge(fd, path, why);
}

void socket_act(struct call *c, const void *body)
{
	const struct priv_socket *q = body;
	struct why why;

	if (give(c->h, q->socket_path, &why))
		call_fail(c, &why);
	else
		call_done(c, NULL);
}
