/*
 * torture/devices.c - requests to the device-mapper and to loop devices while every call says no.
 * The descriptor is /dev/null, which has no such requests: nothing of the host's is touched.
 */
#include "tests/torture/torture.h"

#include <fcntl.h>
#include <unistd.h>

#include "sys/dm.h"
#include "sys/loopdev.h"

static void mapper(void)
{
	struct dm_target t = { 8, "error", "" };
	dev_t below[DM_DEPENDS_MAX];
	struct dm_info info;
	struct why why;
	char text[64];
	unsigned n;
	int fd;

	torture_off();
	fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	torture_on();
	torture_must(dm_create(fd, "fc-rootfs-aa", "BANGER-aa-1", &why) != OK);
	torture_must(dm_load(fd, "fc-rootfs-aa", &t, &why) != OK);
	torture_must(dm_resume(fd, "fc-rootfs-aa", &why) != OK);
	torture_must(dm_find(fd, "fc-rootfs-aa", &info, &why) != OK);
	torture_must(dm_status(fd, "fc-rootfs-aa", text, sizeof(text), &why) != OK);
	torture_must(dm_depends(fd, "fc-rootfs-aa", below, &n, &why) != OK);
	torture_must(dm_remove(fd, "fc-rootfs-aa", &why) != OK);
	torture_must(why.code != OK && why.text[0]);
	torture_off();
	close(fd);
	torture_on();
}

static void loops(void)
{
	char mark[LOOP_MARK_BYTES + 1];
	struct why why;
	int fd;

	torture_off();
	fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	torture_on();
	torture_must(loopdev_free(fd) < 0);
	torture_must(loopdev_attach(fd, fd, true, "BANGER-aa-1-base", &why) != OK);
	torture_must(!loopdev_mark(fd, mark));
	torture_must(loopdev_clear(fd, &why) != OK);
	torture_must(why.code != OK && why.text[0]);
	torture_off();
	close(fd);
	torture_on();
}

static const struct scenario scenarios[] = { { "device-mapper", mapper, false },
	{ "loop devices", loops, false } };

TORTURE(scenarios)
