/*
 * world_linux_sockets.c - unix and vsock sockets. A socket's mode is 0600 from bind on (umask), so
 * there is no moment in which somebody else could connect.
 */
#include <fcntl.h>
#include <linux/vm_sockets.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "sys/beneath.h"
#include "world/sockets_linux.h"

struct world_listener {
	struct world *w;
	int fd;
	struct watch watch;
	struct timer again;
	void (*accept)(void *ctx, struct chan *c, const struct world_peer *peer);
	void *ctx;
};

/* Paths over 107 bytes go through the directory's descriptor. */
static enum err address(struct world *w, const char *path, struct sockaddr_un *sa, struct why *why)
{
	char full[PATH_MAX];
	enum err e = world_path(w, RUNTIME, path, full, sizeof(full), why);

	if (e)
		return e;
	*sa = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (strlen(full) < sizeof(sa->sun_path)) {
		memcpy(sa->sun_path, full, strlen(full) + 1);
		return OK;
	}
	if (snprintf(full, sizeof(full), "/proc/self/fd/%d/%s", w->dirs[RUNTIME], path) >=
		(int)sizeof(sa->sun_path))
		return fail(why, ERR_too_large, "socket path too long: %s", path);
	memcpy(sa->sun_path, full, strlen(full) + 1);
	return OK;
}

enum err bind_socket(struct world *w, const char *path, int *ret, struct why *why)
{
	own_fd fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un sa;
	mode_t mask;
	int r;
	enum err e = address(w, path, &sa, why);

	if (e)
		return e;
	if (fd < 0)
		return fail_errno(why, "cannot make a socket");
	unlinkat(w->dirs[RUNTIME], path, 0);
	mask = umask(0177);
	r = bind(fd, (struct sockaddr *)&sa, sizeof(sa));
	umask(mask);
	if (r < 0 || listen(fd, 1024) < 0)
		return fail_errno(why, "cannot listen at %s", path);
	*ret = take_fd(&fd);
	return OK;
}

static void on_connection(void *ctx, int events);

/* Out of descriptors: the connection waits, and is looked at later instead of spinning. */
static void accept_again(void *ctx)
{
	struct world_listener *l = ctx;

	watch_start(l->w->loop, &l->watch, l->fd, WATCH_READ, on_connection, l);
}

static void on_connection(void *ctx, int events UNUSED)
{
	static const struct chan_user nobody;
	struct world_listener *l = ctx;

	for (int i = 0; i < 64; i++) {
		int fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		struct world_peer peer;
		struct ucred cred;
		socklen_t n = sizeof(cred);
		struct chan *c;
		struct why why;

		if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM)) {
			watch_stop(&l->watch);
			timer_start(l->w->loop, &l->again, 100, accept_again, l);
			return;
		}
		if (fd < 0)
			return;
		if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &n) < 0 ||
			chan_open(l->w->loop, fd, fd, &nobody, NULL, &c, &why)) {
			close(fd);
			continue;
		}
		peer = (struct world_peer){ cred.uid, cred.pid };
		l->accept(l->ctx, c, &peer);
	}
}

enum err world_listen(struct world *w, const char *path, int fd,
	void (*accept)(void *ctx, struct chan *c, const struct world_peer *peer), void *ctx,
	struct world_listener **ret, struct why *why)
{
	struct world_listener *l = calloc(1, sizeof(*l));
	own_fd own = -1;
	enum err e = OK;
	int flags;

	if (!l)
		return fail(why, ERR_no_memory, "no memory for a listener");
	*l = (struct world_listener){ .w = w, .fd = fd, .accept = accept, .ctx = ctx };
	if (fd < 0) {
		e = bind_socket(w, path, &own, why);
		l->fd = own;
	}
	if (!e) {
		flags = fcntl(l->fd, F_GETFL);
		if (flags < 0 || fcntl(l->fd, F_SETFL, flags | O_NONBLOCK) < 0)
			e = fail_errno(why, "cannot prepare the socket %s", path);
	}
	if (e) {
		free(l);
		return e;
	}
	(void)take_fd(&own);
	watch_start(w->loop, &l->watch, l->fd, WATCH_READ, on_connection, l);
	*ret = l;
	return OK;
}

void world_listener_free(struct world_listener *l)
{
	if (!l)
		return;
	watch_stop(&l->watch);
	timer_stop(&l->again);
	close(l->fd);
	free(l);
}

enum err connect_socket(struct world *w, const char *path, int *ret, struct why *why)
{
	own_fd fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un sa;
	enum err e = address(w, path, &sa, why);

	if (e)
		return e;
	if (fd < 0)
		return fail_errno(why, "cannot make a socket");
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		return errno == ECONNREFUSED ?
			       fail(why, ERR_unavailable, "nobody listens at %s", path) :
			       fail_errno(why, "cannot connect to %s", path);
	*ret = take_fd(&fd);
	return OK;
}

enum err world_connect(struct world *w, const char *path, const struct chan_user *user, void *ctx,
	struct chan **ret, struct why *why)
{
	own_fd fd = -1;
	enum err e = connect_socket(w, path, &fd, why);

	if (e)
		return e;
	e = chan_open(w->loop, fd, fd, user, ctx, ret, why);
	if (!e)
		take_fd(&fd);
	return e;
}

enum err world_open_fifo(struct world *w, const char *path, const struct chan_user *user, void *ctx,
	struct chan **ret, struct why *why)
{
	own_fd fd = open_beneath(w->dirs[RUNTIME], path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW, 0);
	struct stat st;
	enum err e;

	if (fd < 0 || fstat(fd, &st) < 0)
		return fail_errno(why, "cannot open %s", path);
	if (!S_ISFIFO(st.st_mode))
		return fail(why, ERR_invalid_value, "%s is no FIFO", path);
	e = chan_open(w->loop, fd, -1, user, ctx, ret, why);
	if (!e)
		take_fd(&fd);
	return e;
}

enum err world_connect_vsock(struct world *w, uint32_t cid, uint32_t port,
	const struct chan_user *user, void *ctx, struct chan **ret, struct why *why)
{
	own_fd fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_vm sa = { .svm_family = AF_VSOCK, .svm_cid = cid, .svm_port = port };
	enum err e;

	must(cid > VMADDR_CID_HOST); /* 0 to 2 are this host and its own host */
	if (fd < 0)
		return fail_errno(why, "cannot make a vsock socket");
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 && errno != EINPROGRESS)
		return fail_errno(why, "cannot connect to vsock %u:%u", cid, port);
	e = chan_open(w->loop, fd, fd, user, ctx, ret, why);
	if (!e)
		take_fd(&fd);
	return e;
}
