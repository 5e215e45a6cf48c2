/*
 * world_linux_net.c - what anybody may see of the host's network and devices: names of links, their
 * end, resolvers. Nothing here changes anything; that is the root helper's.
 */
#include <dirent.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sys/beneath.h"
#include "sys/resolv.h"
#include "world/world_linux.h"

enum { NEWS_BYTES = 16384, NEWS_BUFFER = 262144 };

enum err world_links(
	struct world *w UNUSED, void (*fn)(void *ctx, const char *name), void *ctx, struct why *why)
{
	struct if_nameindex *all = if_nameindex();

	if (!all)
		return fail_errno(why, "cannot list the host's links");
	for (struct if_nameindex *i = all; i->if_index; i++)
		fn(ctx, i->if_name);
	if_freenameindex(all);
	return OK;
}

/* ---- links that come and go ---- */

struct links_watch {
	int fd;
	struct watch watch;
	link_news_fn *news;
	void *ctx;
};

static void read_news(struct links_watch *l, const struct nlmsghdr *h)
{
	const struct ifinfomsg *info = NLMSG_DATA(h);
	int left = (int)h->nlmsg_len - (int)NLMSG_LENGTH(sizeof(*info));
	char name[IFNAMSIZ];

	if ((h->nlmsg_type != RTM_DELLINK && h->nlmsg_type != RTM_NEWLINK) || left < 0)
		return;
	for (const struct rtattr *a = IFLA_RTA(info); RTA_OK(a, left); a = RTA_NEXT(a, left)) {
		if (a->rta_type != IFLA_IFNAME)
			continue;
		snprintf(
			name, sizeof(name), "%.*s", (int)RTA_PAYLOAD(a), (const char *)RTA_DATA(a));
		l->news(l->ctx, name, h->nlmsg_type == RTM_NEWLINK);
		return;
	}
}

static void on_news(void *ctx, int events UNUSED)
{
	char bytes[NEWS_BYTES] __attribute__((aligned(NLMSG_ALIGNTO)));
	struct links_watch *l = ctx;
	struct sockaddr_nl from = { .nl_family = AF_NETLINK };
	socklen_t from_n = sizeof(from);
	ssize_t n =
		recvfrom(l->fd, bytes, sizeof(bytes), MSG_TRUNC, (struct sockaddr *)&from, &from_n);

	if (n < 0 && errno == ENOBUFS) {
		l->news(l->ctx, NULL, false);
		return;
	}
	if (n <= 0 || from.nl_pid != 0) /* not the kernel's */
		return;
	if ((size_t)n > sizeof(bytes)) {
		l->news(l->ctx, NULL, false);
		return;
	}
	for (const struct nlmsghdr *h = (const void *)bytes; NLMSG_OK(h, (uint32_t)n);
		h = NLMSG_NEXT(h, n))
		read_news(l, h);
}

enum err world_links_watch(struct world *w, link_news_fn *news, void *ctx,
	struct links_watch **ret, struct why *why)
{
	own_fd fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
	struct sockaddr_nl sa = { .nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK };
	int size = NEWS_BUFFER;
	struct links_watch *l;

	if (fd < 0 || bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		return fail_errno(why, "cannot watch the host's links");
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	l = calloc(1, sizeof(*l));
	if (!l)
		return fail(why, ERR_no_memory, "no memory to watch links");
	*l = (struct links_watch){ .fd = take_fd(&fd), .news = news, .ctx = ctx };
	watch_start(w->loop, &l->watch, l->fd, WATCH_READ, on_news, l);
	*ret = l;
	return OK;
}

void world_links_unwatch(struct links_watch *l)
{
	if (!l)
		return;
	watch_stop(&l->watch);
	close(l->fd);
	free(l);
}

/* ---- devices ---- */

enum err world_dm_names(
	struct world *w UNUSED, void (*fn)(void *ctx, const char *name), void *ctx, struct why *why)
{
	own_fd dir = open("/sys/devices/virtual/block", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	own_dir list = dir < 0 ? NULL : fdopendir(fcntl(dir, F_DUPFD_CLOEXEC, 3));
	struct dirent *e;

	if (dir < 0 && errno == ENOENT)
		return OK; /* no such device at all */
	if (!list)
		return fail_errno(why, "cannot list the host's devices");
	while ((e = readdir(list)) != NULL) {
		own_buf name = { .max = 512 };
		char path[300];

		snprintf(path, sizeof(path), "%s/dm/name", e->d_name);
		if (strncmp(e->d_name, "dm-", 3) != 0 || read_file(dir, path, 256, &name, NULL))
			continue;
		if (name.n > 0 && name.p[name.n - 1] == '\n')
			name.n--;
		fn(ctx, buf_cstr(&name));
	}
	return OK;
}

/* ---- resolvers ---- */

/* What the host itself asks; where that is its own stub only, what the stub asks. */
unsigned world_resolvers(struct world *w UNUSED, uint32_t ret[RESOLVERS_MAX])
{
	static const char *const files[] = { "/etc/resolv.conf",
		"/run/systemd/resolve/resolv.conf" };
	unsigned n = 0;

	for (size_t i = 0; i < COUNT(files) && n == 0; i++) {
		own_file f = fopen(files[i], "re");
		char text[4096];
		size_t got = f ? fread(text, 1, sizeof(text) - 1, f) : 0;

		text[got] = '\0';
		n = resolv_servers(text, ret, RESOLVERS_MAX);
	}
	return n;
}
