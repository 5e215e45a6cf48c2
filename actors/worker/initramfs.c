/*
 * initramfs.c - the job work.initramfs: initramfs.cpio from modules.cpio and the agent.
 *
 * It is written beside its place and renamed, so that a machine finds the old one or the new one.
 */
#include <archive_entry.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "worker/cpio.h"
#include "worker/job.h"
#include "worker/unpack.h"

enum { AGENT_MAX = 64 * 1024 * 1024, MODULES_MAX = 512 * 1024 * 1024 };

static enum err put_skeleton(struct cpio *c, struct why *why)
{
	static const char *const dirs[] = { "dev", "proc", "sys", "run", "root", "tmp", "etc" };
	enum err e = OK;

	for (size_t i = 0; i < COUNT(dirs) && !e; i++)
		e = cpio_dir(c, dirs[i], why);
	/* The kernel opens it for init before anything is mounted. */
	if (!e)
		e = cpio_device(c, "dev/console", S_IFCHR | 0600, 5, 1, why);
	if (!e)
		e = cpio_device(c, "dev/null", S_IFCHR | 0666, 1, 3, why);
	return e;
}

static enum err put_stream(struct cpio *c, struct source *s, struct why *why)
{
	for (;;) {
		const uint8_t *p = NULL;
		size_t n;
		enum err e = source_next(s, &p, &n, why);

		if (e || n == 0)
			return e;
		e = cpio_data(c, p, n, why);
		if (e)
			return e;
	}
}

static enum err put_agent(struct cpio *c, struct file_source *src, struct why *why)
{
	struct stat st;
	enum err e;

	if (fstat(FD_EXTRA, &st) < 0)
		return fail_errno(why, "no agent on descriptor %d", FD_EXTRA);
	if (!S_ISREG(st.st_mode) || st.st_size <= 0 || st.st_size > AGENT_MAX)
		return fail_field(why, ERR_invalid_value, "agent",
			"the agent must be a file of at most %d bytes", AGENT_MAX);
	e = cpio_begin_file(c, "init", 0755, (uint64_t)st.st_size, why);
	file_source_init(src, FD_EXTRA, 0, (uint64_t)st.st_size);
	return e ? e : put_stream(c, &src->s, why);
}

static enum err put_entry(struct cpio *c, struct archive *a, struct source *s,
	struct archive_entry *e, struct why *why)
{
	const char *path = archive_entry_pathname(e);
	struct entry_source *data;
	enum err err;

	if (!path || path[0] == '/' || strstr(path, ".."))
		return fail(why, ERR_invalid_value, "modules.cpio holds a path that it must not");
	if (archive_entry_filetype(e) == AE_IFDIR)
		return cpio_dir(c, path, why);
	if (archive_entry_filetype(e) != AE_IFREG)
		return fail(why, ERR_invalid_value, "modules.cpio holds more than files");
	data = calloc(1, sizeof(*data));
	if (!data)
		return fail(why, ERR_no_memory, "no memory for modules");
	entry_source_init(data, a, s, 0);
	err = cpio_begin_file(c, path, 0644, (uint64_t)archive_entry_size(e), why);
	if (!err)
		err = put_stream(c, &data->s, why);
	free(data);
	return err;
}

static enum err put_modules(struct cpio *c, struct file_source *src, struct why *why)
{
	own_fd fd = openat(FD_DIR, "modules.cpio", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	own_archive a = NULL;
	struct archive_entry *entry = NULL;
	struct stat st;
	enum err e;

	if (fd < 0 || fstat(fd, &st) < 0)
		return fail_errno(why, "cannot open modules.cpio");
	if (!S_ISREG(st.st_mode) || st.st_size > MODULES_MAX)
		return fail(why, ERR_invalid_value, "modules.cpio is no file of at most %d bytes",
			MODULES_MAX);
	file_source_init(src, fd, 0, (uint64_t)st.st_size);
	e = open_any(&src->s, &a, why);
	while (!e) {
		e = next_entry(a, &src->s, &entry, why);
		if (e || !entry)
			break;
		e = put_entry(c, a, &src->s, entry, why);
	}
	return e;
}

static enum err write_all(int fd, struct file_source *src, struct why *why)
{
	struct cpio c;
	enum err e = cpio_open(&c, fd, why);

	if (!e)
		e = put_skeleton(&c, why);
	if (!e)
		e = put_agent(&c, src, why);
	if (!e)
		e = put_modules(&c, src, why);
	if (!e)
		e = cpio_close(&c, why);
	cpio_done(&c);
	return e;
}

enum err run_initramfs(struct job *j, struct why *why)
{
	static const char temp[] = ".initramfs.new";
	struct file_source *src;
	struct work_initramfs ask;
	own_fd fd = -1;
	enum err e = job_read(j, &ask, why);

	if (!e)
		e = job_create(j, temp, &fd, why);
	if (e)
		return e;
	src = calloc(1, sizeof(*src));
	e = src ? write_all(fd, src, why) : fail(why, ERR_no_memory, "no memory to copy");
	free(src);
	if (!e && renameat(FD_DIR, temp, FD_DIR, "initramfs.cpio") < 0)
		e = fail_errno(why, "cannot put the initramfs in place");
	if (e)
		job_remove(j, temp);
	return e;
}
