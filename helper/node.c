/*
 * node.c - a private tmpfs, and nodes in it.
 */
#include "helper/node.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sys/beneath.h"

enum err private_place(int *ret, struct why *why)
{
	own_fd fs = fsopen("tmpfs", FSOPEN_CLOEXEC), place = -1;

	if (fs < 0 || fsconfig(fs, FSCONFIG_SET_STRING, "size", "64k", 0) < 0 ||
		fsconfig(fs, FSCONFIG_SET_STRING, "mode", "0755", 0) < 0 ||
		fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return fail_errno(why, "cannot make a place for device nodes");
	place = fsmount(fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);
	if (place < 0)
		return fail_errno(why, "cannot make a place for device nodes");
	*ret = take_fd(&place);
	return OK;
}

enum err private_node(
	int place, const char *name, mode_t type, dev_t dev, uid_t uid, struct why *why)
{
	if (mknodat(place, name, type | 0600, dev) < 0 ||
		fchownat(place, name, uid, (gid_t)-1, AT_SYMLINK_NOFOLLOW) < 0)
		return fail_errno(why, "cannot make a device node");
	return OK;
}

int open_device(mode_t type, dev_t dev, int flags)
{
	own_fd place = -1;
	struct why why;

	if (private_place(&place, &why) || private_node(place, "node", type, dev, 0, &why))
		return -1;
	return open_beneath(place, "node", flags | O_NOFOLLOW, 0);
}
