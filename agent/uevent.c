/*
 * uevent.c - NETLINK_KOBJECT_UEVENT. The text of an event is never read: it only says when to look.
 */
#include "agent/uevent.h"

#include <linux/netlink.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

int uevent_open(void)
{
	struct sockaddr_nl a = { .nl_family = AF_NETLINK, .nl_groups = 1 };
	own_fd fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
		NETLINK_KOBJECT_UEVENT);

	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
		return -1;
	return take_fd(&fd);
}

void uevent_drain(int fd)
{
	char event[4096];

	while (recv(fd, event, sizeof(event), 0) > 0 || errno == ENOBUFS || errno == EINTR)
		;
}

uint64_t monotonic_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

bool uevent_until(int fd, uint64_t deadline_ms, bool (*look)(void *ctx), void *ctx)
{
	while (!look(ctx)) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		uint64_t now = monotonic_ms();

		if (fd < 0 || now >= deadline_ms || poll(&p, 1, (int)(deadline_ms - now)) == 0)
			return look(ctx);
		uevent_drain(fd);
	}
	return true;
}
