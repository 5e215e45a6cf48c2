/*
 * launch_tap.c - a tap of the ledger for one VMM. QEMU gets a descriptor and no network of its own;
 * Firecracker opens taps by name, so the tap becomes its uid's.
 */
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "helper/launch.h"
#include "helper/net.h"

enum err launch_tap(struct launch *l, const char *tap, int *ret, struct why *why)
{
	struct ifreq req = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
	struct tap_entry known;
	own_fd fd = -1;
	enum err e = net_tap(l->call->h, tap, &known, why);

	if (e && e != ERR_not_owned)
		return e;
	if (e || known.index == 0)
		return fail_field(why, ERR_not_owned, "taps", "no tap %s", tap);
	fd = openat(AT_FDCWD, "/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return fail_errno(why, "cannot open /dev/net/tun");
	snprintf(req.ifr_name, sizeof(req.ifr_name), "%s", tap);
	if (ioctl(fd, TUNSETIFF, &req) < 0)
		return fail_field(why, errno == EBUSY ? ERR_busy : err_from_errno(errno), "taps",
			"cannot open tap %s: %s", tap, strerror(errno));
	if (ioctl(fd, TUNSETOWNER, (unsigned long)l->uid) < 0)
		return fail_errno(why, "cannot give tap %s to its machine", tap);
	if (l->q->driver == vmm_qemu)
		*ret = take_fd(&fd);
	return OK;
}
