/*
 * copy.c - the job work.copy: a sparse file, sharing its blocks where the file system can.
 */
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "worker/job.h"
#include "worker/stretch.h"

enum { STEP = 8 * 1024 * 1024, BUFFER = 65536 };

static int open_beneath(int dir, const char *path, uint64_t flags, uint64_t mode)
{
	struct open_how how = { .flags = flags | O_CLOEXEC,
		.mode = mode,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS };

	return (int)syscall(SYS_openat2, dir, path, &how, sizeof(how));
}

/* One read and write, where the kernel cannot copy between the two itself. */
static ssize_t copy_by_hand(int from, int to, off_t at, size_t n)
{
	uint8_t buf[BUFFER];
	ssize_t got = pread(from, buf, MIN(n, sizeof(buf)), at), put, done = 0;

	while (got > 0 && done < got) {
		put = pwrite(to, buf + done, (size_t)(got - done), at + done);
		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0)
			return -1;
		done += put;
	}
	return got;
}

static enum err copy_stretch(
	struct job *j, int from, int to, off_t at, off_t end, uint64_t *done, struct why *why)
{
	bool by_hand = false;

	while (at < end) {
		loff_t in = at, out = at;
		size_t n = (size_t)MIN(end - at, STEP);
		ssize_t got = by_hand ? copy_by_hand(from, to, at, n) :
					copy_file_range(from, &in, to, &out, n, 0);

		if (got < 0 && errno == EINTR)
			continue;
		if (!by_hand && (got == 0 || (got < 0 && (errno == EXDEV || errno == EINVAL ||
								 errno == EOPNOTSUPP ||
								 errno == ENOSYS)))) {
			by_hand = true;
			continue;
		}
		if (got < 0)
			return fail_errno(why, "cannot copy");
		if (got == 0)
			return fail(why, ERR_conflict, "the file shrank while it was copied");
		at += got;
		*done += (uint64_t)got;
		job_tick(j, *done, NULL);
	}
	return OK;
}

static enum err copy_data(
	struct job *j, int from, int to, off_t size, uint64_t *done, struct why *why)
{
	struct stretch s = { 0, 0 };
	enum err e = stretch_next(from, size, &s, why);

	while (!e && s.at < s.end) {
		e = copy_stretch(j, from, to, s.at, s.end, done, why);
		if (!e)
			e = stretch_next(from, size, &s, why);
	}
	return e;
}

static enum err copy(struct job *j, int from, int to, uint64_t *done, struct why *why)
{
	struct stat st;

	if (fstat(from, &st) < 0)
		return fail_errno(why, "cannot measure the file");
	if (!S_ISREG(st.st_mode))
		return fail_field(why, ERR_invalid_value, "from", "not a regular file");
	if (ioctl(to, FICLONE, from) == 0) {
		*done = (uint64_t)st.st_blocks * 512;
		return OK;
	}
	if (ftruncate(to, st.st_size) < 0)
		return fail_errno(why, "cannot size the copy");
	return copy_data(j, from, to, st.st_size, done, why);
}

enum err run_copy(struct job *j, struct work_copied *ret, struct why *why)
{
	struct work_copy ask;
	own_fd from = -1, to = -1;
	enum err e = job_read(j, &ask, why);

	*ret = (struct work_copied){ .bytes = 0 };
	if (e)
		return e;
	from = ask.from ? open_beneath(FD_EXTRA, ask.from, O_RDONLY | O_NONBLOCK, 0) :
			  fcntl(FD_EXTRA, F_DUPFD_CLOEXEC, 0);
	if (from < 0)
		return fail_errno(why, "cannot open %.200s", ask.from ? ask.from : "the file");
	to = open_beneath(FD_DIR, ask.to, O_RDWR | O_CREAT | O_EXCL, 0600);
	if (to < 0)
		return fail_errno(why, "cannot make %.200s", ask.to);
	e = copy(j, from, to, &ret->bytes, why);
	if (!e && fsync(to) < 0)
		e = fail_errno(why, "cannot flush the copy");
	if (e)
		job_remove(j, ask.to);
	return e;
}
