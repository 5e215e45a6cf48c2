/*
 * snapshot_make.c - a snapshot: two loop devices and a dm device over them, made and unmade by a
 * child of the helper.
 *
 * The changes' file decides how much memory the kernel takes (its header names the chunk size, its
 * length bounds what is read), so it is judged while a lease keeps everybody else from it, and the
 * lease ends when the kernel has read it. Loop devices clear themselves: when the child dies before
 * the dm device holds them, they are gone; what is left then is at most a dm device of a name that
 * the ledger knows.
 *
 * Each snapshot has a base loop of its own: what two share is the file's page cache, and that they
 * do anyway; a device that several stand on would only tie the end of one to the others.
 */
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/text.h"
#include "helper/disks.h"
#include "helper/node.h"
#include "sys/beneath.h"
#include "sys/loopdev.h"

enum {
	SECTOR = 512,
	COW_MIN = 64 * 1024,
	TRIES = 64, /* of a free loop device, and of removing a device that is in use */
	PAUSE_MS = 50,
	FUSE_MAGIC = 0x65735546
};

/* A base may be this long; a file of changes twice its base and a little. */
#define BASE_MAX (1024 * (uint64_t)GiB)
#define COW_SLACK (64 * (uint64_t)MiB)

/* ---- the two files ---- */

static enum err judge_length(const struct stat *st, uint64_t least, uint64_t most, const char *path,
	const char *field, struct why *why)
{
	uint64_t n = (uint64_t)st->st_size;

	if (n < least || n > most || n % SECTOR)
		return fail_field(why, ERR_invalid_value, field,
			"%s has %llu bytes; it must have %llu to %llu, a multiple of %d", path,
			(unsigned long long)n, (unsigned long long)least, (unsigned long long)most,
			SECTOR);
	return OK;
}

/* A file system that a process of the owner's answers for must not stand below a device. */
static enum err judge_place(int fd, const char *path, const char *field, struct why *why)
{
	struct statfs fs;

	if (fstatfs(fd, &fs) < 0)
		return fail_errno(why, "cannot look at %s", path);
	if (fs.f_type == FUSE_MAGIC)
		return fail_field(why, ERR_denied, field,
			"%s lies on a FUSE file system, which cannot carry a device", path);
	return OK;
}

static enum err judge_header(int fd, const char *path, struct why *why)
{
	uint8_t head[16];

	if (pread(fd, head, sizeof(head), 0) != (ssize_t)sizeof(head))
		return fail_errno(why, "cannot read %s", path);
	switch (snapshot_header(head, SNAPSHOT_CHUNK)) {
	case SNAPSHOT_NEW:
	case SNAPSHOT_GOOD:
		return OK;
	case SNAPSHOT_LOST:
		return fail_field(why, ERR_conflict, "cow_path",
			"%s was full once, so that what it held is lost", path);
	case SNAPSHOT_STRANGE:
		break;
	}
	return fail_field(why, ERR_invalid_value, "cow_path",
		"%s is neither empty nor a snapshot's changes in chunks of %d sectors", path,
		SNAPSHOT_CHUNK);
}

struct files {
	int base, cow;
	uint64_t sectors;
};

static enum err open_files(const struct snapshot_job *j, struct files *f, struct why *why)
{
	struct stat base, cow;
	enum err e = owner_file(j->h, j->base_path, "base_path", false, &f->base, why);

	if (!e)
		e = owner_file(j->h, j->cow_path, "cow_path", true, &f->cow, why);
	if (!e)
		e = judge_place(f->base, j->base_path, "base_path", why);
	if (!e)
		e = judge_place(f->cow, j->cow_path, "cow_path", why);
	if (e)
		return e;
	if (fstat(f->base, &base) < 0 || fstat(f->cow, &cow) < 0)
		return fail_errno(why, "cannot look at the disks");
	if (base.st_dev == cow.st_dev && base.st_ino == cow.st_ino)
		return fail_field(why, ERR_invalid_value, "cow_path", "it is the base's own file");
	e = take_lease(j->h, f->cow, j->cow_path, "cow_path", true, why);
	if (!e)
		e = judge_length(&base, SECTOR, BASE_MAX, j->base_path, "base_path", why);
	/* under the lease, so that neither length nor content changes any more */
	if (!e && fstat(f->cow, &cow) < 0)
		e = fail_errno(why, "cannot look at the disks");
	if (!e)
		e = judge_length(&cow, COW_MIN, 2 * (uint64_t)base.st_size + COW_SLACK, j->cow_path,
			"cow_path", why);
	f->sectors = (uint64_t)base.st_size / SECTOR;
	return e ? e : judge_header(f->cow, j->cow_path, why);
}

/* ---- loop devices ---- */

/* What the kernel calls loop n: its number depends on how many partitions a loop may have. */
static bool loop_number(int n, dev_t *ret)
{
	own_fd sys =
		openat(AT_FDCWD, "/sys/devices/virtual/block", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	own_buf text = { .max = 64 };
	unsigned major_, minor_;
	char path[32];
	enum err e;

	snprintf(path, sizeof(path), "loop%d/dev", n);
	e = sys < 0 ? ERR_unavailable : read_file(sys, path, 32, &text, NULL);
	if (e || sscanf(buf_cstr(&text), "%u:%u", &major_, &minor_) != 2 || major_ != LOOP_MAJOR) {
		errno = e == ERR_not_found ? ENXIO : EIO;
		return false;
	}
	*ret = makedev(major_, minor_);
	return true;
}

static int open_loop(int n, int flags, dev_t *ret_dev)
{
	dev_t dev;

	if (!loop_number(n, &dev))
		return -1;
	if (ret_dev)
		*ret_dev = dev;
	return open_device(S_IFBLK, dev, flags);
}

bool loop_mark_of(int n, char *mark)
{
	own_fd fd = open_loop(n, O_RDONLY | O_NONBLOCK, NULL);

	return fd >= 0 && loopdev_mark(fd, mark);
}

/* Attaches file to a free one; the descriptor keeps it attached until something stands on it. */
static enum err attach(int file, bool read_only, const char *mark, int *ret_n, dev_t *ret_dev,
	int *ret_fd, struct why *why)
{
	own_fd control =
		open_device(S_IFCHR, makedev(LOOP_CONTROL_MAJOR, LOOP_CONTROL_MINOR), O_RDWR);

	if (control < 0)
		return fail(
			why, ERR_unsupported, "this host has no loop devices: %s", strerror(errno));
	for (int i = 0; i < TRIES; i++) {
		int n = loopdev_free(control);
		own_fd dev = n < 0 ? -1 : open_loop(n, O_RDWR, ret_dev);
		enum err e;

		if (dev < 0)
			return fail_errno(why, "cannot take a loop device");
		e = loopdev_attach(dev, file, read_only, mark, why);
		if (e == ERR_busy)
			continue;
		if (e)
			return e;
		*ret_n = n;
		*ret_fd = take_fd(&dev);
		return OK;
	}
	return fail(why, ERR_busy, "others take every free loop device");
}

/* ---- making ---- */

enum err dm_control(int *ret, struct why *why)
{
	int fd = open_device(S_IFCHR, makedev(DM_CONTROL_MAJOR, DM_CONTROL_MINOR), O_RDWR);

	if (fd < 0 && (errno == ENODEV || errno == ENXIO)) {
		fail(why, ERR_unsupported, "this host has no device-mapper");
		return fail_hint(why, "load the kernel modules dm-mod and dm-snapshot");
	}
	if (fd < 0)
		return fail_errno(why, "cannot open the device-mapper");
	*ret = fd;
	return OK;
}

static enum err make_dm(int control, const struct snapshot_job *j, uint64_t sectors, dev_t base,
	dev_t cow, uint64_t *ret_dev, struct why *why)
{
	struct dm_target t = { .sectors = sectors, .type = "snapshot" };
	struct dm_info info = { .dev = 0 };
	char params[80];
	enum err e;

	snprintf(params, sizeof(params), "%u:%u %u:%u P %d", major(base), minor(base), major(cow),
		minor(cow), SNAPSHOT_CHUNK);
	t.params = params;
	e = dm_create(control, j->name, j->mark, why);
	if (!e)
		e = dm_load(control, j->name, &t, why);
	if (!e)
		e = dm_resume(control, j->name, why);
	if (!e)
		e = dm_find(control, j->name, &info, why);
	if (!e)
		*ret_dev = info.dev;
	return e;
}

enum err snapshot_make(const struct snapshot_job *j, struct snapshot_made *ret, struct why *why)
{
	own_fd control = -1, base = -1, cow = -1, base_loop = -1, cow_loop = -1;
	struct files f = { -1, -1, 0 };
	char mark[LOOP_MARK_BYTES + 1];
	dev_t base_dev = 0, cow_dev = 0;
	enum err e = open_files(j, &f, why);

	base = f.base;
	cow = f.cow;
	if (!e)
		e = dm_control(&control, why);
	snprintf(mark, sizeof(mark), "%s-base", j->mark);
	if (!e)
		e = attach(base, true, mark, &ret->base_loop, &base_dev, &base_loop, why);
	snprintf(mark, sizeof(mark), "%s-cow", j->mark);
	if (!e)
		e = attach(cow, false, mark, &ret->cow_loop, &cow_dev, &cow_loop, why);
	if (!e)
		e = make_dm(control, j, f.sectors, base_dev, cow_dev, &ret->dev, why);
	if (cow >= 0)
		end_lease(
			j->h, cow); /* the loop device keeps the file open, and with it the lease */
	return e;
}

/* ---- unmaking ---- */

static void pause_a_little(void)
{
	(void)!poll(NULL, 0, PAUSE_MS);
}

/* A loop's number is its minor, or a part of it when loops have partitions. */
static bool loop_of(dev_t dev, int *ret)
{
	dev_t have;

	for (unsigned guess = minor(dev); major(dev) == LOOP_MAJOR; guess /= 2) {
		if (loop_number((int)guess, &have) && have == dev) {
			*ret = (int)guess;
			return true;
		}
		if (guess == 0)
			break;
	}
	return false;
}

enum err snapshot_loops(int control, const char *name, int ret[SNAPSHOT_LOOPS_MAX], unsigned *ret_n,
	struct why *why)
{
	dev_t below[DM_DEPENDS_MAX];
	unsigned n = 0;
	enum err e = dm_depends(control, name, below, &n, why);

	*ret_n = 0;
	for (unsigned i = 0; i < n && !e; i++)
		*ret_n += loop_of(below[i], &ret[*ret_n]);
	return e;
}

static enum err remove_dm(
	const struct snapshot_job *j, int loops[SNAPSHOT_LOOPS_MAX], unsigned *n, struct why *why)
{
	own_fd control = -1;
	struct dm_info info;
	enum err e = dm_control(&control, why);

	*n = 0;
	if (e == ERR_unsupported)
		return OK; /* then there is nothing of it either */
	if (!e)
		e = dm_find(control, j->name, &info, why);
	if (e)
		return e == ERR_not_found ? OK : e;
	if (!str_eq(info.uuid, j->mark))
		return OK; /* a name that somebody took; what we made of it is gone */
	if (info.active && snapshot_loops(control, j->name, loops, n, why))
		*n = 0; /* its loops clear themselves */
	for (int i = 0; i < TRIES; i++) {
		e = dm_remove(control, j->name, why);
		if (e != ERR_busy)
			break;
		pause_a_little();
	}
	return e == ERR_not_found ? OK : e;
}

/* Only while it bears our mark; by itself it goes with its last user. */
static enum err clear_loop(const struct snapshot_job *j, int n, struct why *why)
{
	char mark[LOOP_MARK_BYTES + 1];

	for (int i = 0; i < TRIES; i++) {
		own_fd fd = open_loop(n, O_RDONLY | O_NONBLOCK, NULL);
		enum err e;

		if (fd < 0 || !loopdev_mark(fd, mark) ||
			strncmp(mark, j->mark, strlen(j->mark)) != 0)
			return OK;
		e = loopdev_clear(fd, why);
		if (e && e != ERR_busy)
			return e;
		fd_done(&fd);
		pause_a_little();
	}
	return fail(why, ERR_busy, "loop device %d is still in use", n);
}

enum err snapshot_unmake(const struct snapshot_job *j, struct why *why)
{
	int loops[SNAPSHOT_LOOPS_MAX];
	unsigned n;
	enum err e = remove_dm(j, loops, &n, why);

	for (unsigned i = 0; i < n && !e; i++)
		e = clear_loop(j, loops[i], why);
	for (unsigned i = 0; i < j->loops_n && !e; i++)
		e = clear_loop(j, j->loops[i], why);
	return e;
}
