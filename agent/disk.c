/*
 * disk.c - finds virtio disks by serial, mounts them as ext4, grows what is on them.
 */
#include "agent/disk.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <unistd.h>

#include "agent/uevent.h"

enum { SERIAL_BYTES = 20 }; /* virtio's own ceiling */

/* ext4's superblock: 1024 bytes in; offsets of its fields from there. */
enum {
	SUPER_AT = 1024,
	SUPER_BYTES = 1024,
	BLOCKS_LO = 4,
	LOG_BLOCK = 24,
	MAGIC = 56,
	INCOMPAT = 96,
	BLOCKS_HI = 336,
	INCOMPAT_64BIT = 0x80,
	EXT4_MAGIC = 0xef53
};

#define EXT4_IOC_RESIZE_FS _IOW('f', 16, uint64_t)

static bool has_serial(int sys_block, const char *name, const char *serial)
{
	char path[300], text[SERIAL_BYTES + 1];
	own_fd fd = -1;
	ssize_t n;

	snprintf(path, sizeof(path), "%s/serial", name);
	fd = openat(sys_block, path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (n < 0)
		return false;
	text[n] = '\0';
	text[strcspn(text, "\n")] = '\0';
	return str_eq(text, serial);
}

static bool find_in_order(const char *serial, const char *order, char path[DISK_PATH_BYTES])
{
	for (char letter = 'a'; *order && letter <= 'z'; letter++) {
		size_t n = strcspn(order, ",");

		if (n == strlen(serial) && memcmp(order, serial, n) == 0) {
			snprintf(path, DISK_PATH_BYTES, "/dev/vd%c", letter);
			return access(path, F_OK) == 0;
		}
		order += n + (order[n] == ',');
	}
	return false;
}

bool disk_find(const char *serial, const char *order, char path[DISK_PATH_BYTES])
{
	own_dir dir = opendir("/sys/block");
	struct dirent *e;

	while (dir && (e = readdir(dir)) != NULL) {
		if (e->d_name[0] == '.' || !has_serial(dirfd(dir), e->d_name, serial))
			continue;
		if (snprintf(path, DISK_PATH_BYTES, "/dev/%s", e->d_name) < DISK_PATH_BYTES &&
			access(path, F_OK) == 0)
			return true;
	}
	return find_in_order(serial, order, path);
}

struct search {
	const char *serial, *order;
	char *path;
};

static bool look(void *ctx)
{
	struct search *s = ctx;

	return disk_find(s->serial, s->order, s->path);
}

bool disk_await(int uevents, const char *serial, const char *order, uint64_t deadline_ms,
	char path[DISK_PATH_BYTES])
{
	struct search s = { serial, order, path };

	return uevent_until(uevents, deadline_ms, look, &s);
}

enum err disk_mount(const char *path, const char *at, bool read_only, bool *ret_ro, struct why *why)
{
	*ret_ro = read_only;
	if (mount(path, at, "ext4", read_only ? MS_RDONLY : 0, NULL) == 0)
		return OK;
	if (!read_only && (errno == EROFS || errno == EACCES)) {
		*ret_ro = true;
		if (mount(path, at, "ext4", MS_RDONLY, NULL) == 0)
			return OK;
	}
	return fail_errno(why, "cannot mount %s", path);
}

static uint32_t le32(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

enum err disk_grow(const char *path, const char *at, struct why *why)
{
	uint8_t super[SUPER_BYTES];
	uint64_t device = 0, blocks, want;
	own_fd disk = open(path, O_RDONLY | O_CLOEXEC);
	own_fd fs = open(at, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	unsigned log;

	if (disk < 0 || fs < 0 || ioctl(disk, BLKGETSIZE64, &device) < 0 ||
		pread(disk, super, sizeof(super), SUPER_AT) != sizeof(super))
		return fail_errno(why, "cannot read the size of %s", path);
	log = le32(super + LOG_BLOCK);
	if (super[MAGIC] != (EXT4_MAGIC & 0xff) || super[MAGIC + 1] != EXT4_MAGIC >> 8 || log > 6)
		return fail(why, ERR_invalid_value, "%s holds no ext4", path);
	blocks = le32(super + BLOCKS_LO);
	if (le32(super + INCOMPAT) & INCOMPAT_64BIT)
		blocks |= (uint64_t)le32(super + BLOCKS_HI) << 32;
	want = device >> (10 + log);
	if (want > blocks && ioctl(fs, EXT4_IOC_RESIZE_FS, &want) < 0)
		return fail_errno(why, "cannot grow the filesystem of %s", path);
	return OK;
}
