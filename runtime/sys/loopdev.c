/*
 * loopdev.c - LOOP_CTL_GET_FREE, LOOP_CONFIGURE, LOOP_CLR_FD.
 */
#include "sys/loopdev.h"

#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "base/text.h"

int loopdev_free(int control)
{
	return ioctl(control, LOOP_CTL_GET_FREE);
}

/* That the device reads this file and no other. */
static bool is_over(int dev, int file, const char *mark)
{
	struct loop_info64 info;
	struct stat st;

	return ioctl(dev, LOOP_GET_STATUS64, &info) == 0 && fstat(file, &st) == 0 &&
	       info.lo_device == st.st_dev && info.lo_inode == st.st_ino &&
	       strncmp((const char *)info.lo_file_name, mark, LO_NAME_SIZE) == 0;
}

enum err loopdev_attach(int dev, int file, bool read_only, const char *mark, struct why *why)
{
	struct loop_config c = {
		.fd = (uint32_t)file,
		.info.lo_flags =
			LO_FLAGS_AUTOCLEAR | (read_only ? (uint32_t)LO_FLAGS_READ_ONLY : 0u),
	};

	if (!str_copy((char *)c.info.lo_file_name, sizeof(c.info.lo_file_name), mark))
		return fail(why, ERR_too_large, "mark of a loop device");
	if (ioctl(dev, LOOP_CONFIGURE, &c) < 0)
		return errno == EBUSY ? fail(why, ERR_busy, "the loop device was taken") :
					fail_errno(why, "cannot attach a loop device");
	if (is_over(dev, file, mark))
		return OK;
	(void)!ioctl(dev, LOOP_CLR_FD);
	return fail(why, ERR_internal, "a loop device is over another file");
}

bool loopdev_mark(int dev, char out[LOOP_MARK_BYTES + 1])
{
	struct loop_info64 info;

	if (ioctl(dev, LOOP_GET_STATUS64, &info) < 0)
		return false;
	memcpy(out, info.lo_file_name, LOOP_MARK_BYTES);
	out[LOOP_MARK_BYTES] = '\0';
	return true;
}

enum err loopdev_clear(int dev, struct why *why)
{
	if (ioctl(dev, LOOP_CLR_FD) == 0 || errno == ENXIO)
		return OK;
	return errno == EBUSY ? fail(why, ERR_busy, "the loop device is in use") :
				fail_errno(why, "cannot detach a loop device");
}
