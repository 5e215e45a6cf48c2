/*
 * notify.c - the datagrams that systemd's notify protocol consists of.
 */
#include "sys/notify.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/text.h"

static void connect_to(struct notify *n, const char *path)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	size_t length = strlen(path);
	own_fd fd = -1;

	if ((path[0] != '/' && path[0] != '@') || length >= sizeof(sa.sun_path))
		return;
	memcpy(sa.sun_path, path, length);
	if (path[0] == '@') /* a name in the abstract namespace */
		sa.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&sa,
			       (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length)) == 0)
		n->fd = take_fd(&fd);
}

void notify_open(struct notify *n)
{
	const char *path = getenv("NOTIFY_SOCKET"), *usec = getenv("WATCHDOG_USEC");
	const char *pid = getenv("WATCHDOG_PID");
	uint64_t v;

	*n = (struct notify){ .fd = -1 };
	if (path)
		connect_to(n, path);
	if (n->fd >= 0 && usec && !parse_u64(usec, &v, NULL) && v >= 2000) {
		n->watchdog_ms = v / 2000; /* twice in the time that we have */
		if (pid && (parse_u64(pid, &v, NULL) || v != (uint64_t)getpid()))
			n->watchdog_ms = 0; /* it is meant for another process */
	}
	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
}

void notify_send(const struct notify *n, const char *state)
{
	if (n->fd >= 0)
		(void)!send(n->fd, state, strlen(state), MSG_NOSIGNAL | MSG_DONTWAIT);
}

void notify_close(struct notify *n)
{
	fd_done(&n->fd);
}
