/*
 * nic_tap.c - taps, which are made through /dev/net/tun and not by netlink.
 *
 * A tap ends with its last descriptor until it is told to persist. So the ledger is written in
 * between: a crash before leaves no tap, a crash after leaves one that the ledger knows.
 */
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/text.h"
#include "helper/nic.h"

static enum err open_tap(const char *name, int *ret, struct why *why)
{
	own_fd fd = openat(AT_FDCWD, "/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
	struct ifreq r = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_TUN_EXCL };

	if (fd < 0)
		return fail_errno(why, "cannot open /dev/net/tun");
	if (!str_copy(r.ifr_name, sizeof(r.ifr_name), name))
		return fail(why, ERR_invalid_value, "a name too long for a link");
	/* no % reaches the kernel's name patterns: check_tap_name lets none pass */
	if (ioctl(fd, TUNSETIFF, &r) < 0)
		return fail_errno(why, "cannot open tap %s", name);
	must(str_eq(r.ifr_name, name));
	*ret = take_fd(&fd);
	return OK;
}

enum err tap_make(struct nics *n, const char *name, struct tap_made *ret, struct why *why)
{
	own_fd fd = -1;
	struct nic nic;
	enum err e = open_tap(name, &fd, why);

	if (!e && ioctl(fd, TUNSETOWNER, 0ul) < 0) /* without one, anybody could open it */
		e = fail_errno(why, "cannot give tap %s to root", name);
	if (!e)
		e = nic_find(n, name, 0, &nic, why);
	if (e)
		return e;
	ret->fd = take_fd(&fd);
	ret->index = nic.index;
	return OK;
}

enum err tap_keep(int fd, struct why *why)
{
	return ioctl(fd, TUNSETPERSIST, 1ul) < 0 ? fail_errno(why, "cannot keep a tap") : OK;
}
