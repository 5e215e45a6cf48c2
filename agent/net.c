/*
 * net.c - sets addresses and the default route with plain ioctls: no tool of the image is needed.
 */
#include "agent/net.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <net/if.h>
#include <net/route.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static void put_name(struct ifreq *r, const char *name)
{
	memset(r, 0, sizeof(*r));
	snprintf(r->ifr_name, sizeof(r->ifr_name), "%s", name);
}

static void put_address(struct sockaddr *to, uint32_t address)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(address) };

	memcpy(to, &in, sizeof(in));
}

static bool link_up(int s, const char *name)
{
	struct ifreq r;

	put_name(&r, name);
	if (ioctl(s, SIOCGIFFLAGS, &r) < 0)
		return false;
	r.ifr_flags |= IFF_UP;
	return ioctl(s, SIOCSIFFLAGS, &r) == 0;
}

static bool is_virtio(const char *name)
{
	char path[300], driver[256];
	ssize_t n;

	snprintf(path, sizeof(path), "/sys/class/net/%s/device/driver", name);
	n = readlink(path, driver, sizeof(driver) - 1);
	if (n < 0)
		return false;
	driver[n] = '\0';
	return strstr(driver, "virtio_net") != NULL;
}

/* The virtio card with the lowest index: names depend on the kernel's mood. */
static bool first_card(char name[IFNAMSIZ])
{
	own_dir dir = opendir("/sys/class/net");
	unsigned least = 0;
	struct dirent *e;

	while (dir && (e = readdir(dir)) != NULL) {
		unsigned index = if_nametoindex(e->d_name);

		if (index == 0 || !is_virtio(e->d_name) || (least && index > least))
			continue;
		least = index;
		snprintf(name, IFNAMSIZ, "%.15s", e->d_name);
	}
	return least != 0;
}

static bool set_address(int s, const char *card, const struct conf *c)
{
	struct ifreq r;

	put_name(&r, card);
	put_address(&r.ifr_addr, c->address);
	if (ioctl(s, SIOCSIFADDR, &r) < 0)
		return false;
	put_name(&r, card);
	put_address(&r.ifr_netmask, (uint32_t)(UINT64_C(0xffffffff) << (32 - c->prefix)));
	return ioctl(s, SIOCSIFNETMASK, &r) == 0 && link_up(s, card);
}

static bool add_route(int s, const char *card, uint32_t to, uint32_t mask, uint32_t gateway)
{
	char name[IFNAMSIZ];
	struct rtentry r;

	memset(&r, 0, sizeof(r));
	snprintf(name, sizeof(name), "%s", card);
	put_address(&r.rt_dst, to);
	put_address(&r.rt_genmask, mask);
	put_address(&r.rt_gateway, gateway);
	r.rt_flags = (unsigned short)(RTF_UP | (gateway ? RTF_GATEWAY : 0) |
				      (mask == UINT32_MAX ? RTF_HOST : 0));
	r.rt_dev = name;
	return ioctl(s, SIOCADDRT, &r) == 0 || errno == EEXIST;
}

static bool set_gateway(int s, const char *card, const struct conf *c)
{
	uint32_t mask = (uint32_t)(UINT64_C(0xffffffff) << (32 - c->prefix));

	if ((c->gateway & mask) != (c->address & mask) &&
		!add_route(s, card, c->gateway, UINT32_MAX, 0))
		return false;
	return add_route(s, card, 0, 0, c->gateway);
}

enum err net_setup(const struct conf *c, struct why *why)
{
	own_fd s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	char card[IFNAMSIZ];

	if (s < 0 || !link_up(s, "lo"))
		return fail_errno(why, "cannot bring the loopback up");
	if (!c->has_address)
		return OK;
	if (!first_card(card))
		return fail(why, ERR_not_found, "the machine has no virtio network card");
	if (!set_address(s, card, c))
		return fail_errno(why, "cannot set the address of %s", card);
	if (c->has_gateway && !set_gateway(s, card, c))
		return fail_errno(why, "cannot set the default route");
	return OK;
}
