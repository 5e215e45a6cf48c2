/*
 * image.c - files of a disk image, read and written (row F3): the image is opened by root, beneath
 * the state directory or as a snapshot's device; what is in it is touched only by a plain child.
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/fsuid.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "helper/disks.h"
#include "helper/edit.h"
#include "helper/task.h"
#include "helper/verbs.h"
#include "proto/check.h"

enum { DATA_MAX = 48 * 1024, EDIT_DEADLINE_MS = 15000, SHOWN = ABOUT_MAX - 8 };

static const char field_image[] = "image_path";
static const char dm_place[] = "/dev/mapper";

struct image_job {
	const struct helper *h;
	const char *image_path;
	bool writable;
	int fd;
	/* one of them */
	const char *guest_path;
	const struct priv_write_ext4 *write;
};

/* ---- checks, pure ---- */

static enum err check_image(const struct helper *h, const char *path, struct why *why)
{
	const char *wrong;

	if (beneath(h->state_path, path))
		return OK;
	if (!beneath(dm_place, path))
		return fail_field(why, ERR_invalid_value, field_image,
			"%.200s lies neither beneath %s nor in %s", path, h->state_path, dm_place);
	wrong = check_dm_dev(path, strlen(path));
	return wrong ? fail_field(why, ERR_invalid_value, field_image, "%s", wrong) : OK;
}

enum err image_read_check(const struct helper *h, const void *body, struct why *why)
{
	const struct priv_read_ext4 *q = body;
	const char *wrong = edit_check_path(q->guest_path);

	if (wrong)
		return fail_field(why, ERR_invalid_value, "guest_path", "%s", wrong);
	return check_image(h, q->image_path, why);
}

enum err image_write_check(const struct helper *h, const void *body, struct why *why)
{
	const struct priv_write_ext4 *q = body;
	size_t sum = 0;

	for (uint32_t i = 0; i < q->files.n; i++) {
		const char *wrong = edit_check_path(q->files.v[i].path);

		if (wrong)
			return fail_field(why, ERR_invalid_value, "path", "%s", wrong);
		sum += q->files.v[i].data.n;
	}
	if (sum > DATA_MAX)
		return fail_field(why, ERR_too_large, "data",
			"%zu bytes in all, over 48 KiB in one request", sum);
	return check_image(h, q->image_path, why);
}

/* One after the other on the same image: its name's end stands for it. */
static void about_image(const char *path, char out[ABOUT_MAX])
{
	const char *name = beneath(dm_place, path);
	size_t n = strlen(path);

	if (name)
		snprintf(out, ABOUT_MAX, "%s", name);
	else
		snprintf(out, ABOUT_MAX, "file %s", n > SHOWN ? path + n - SHOWN : path);
}

void image_read_about(const void *body, char out[ABOUT_MAX])
{
	about_image(((const struct priv_read_ext4 *)body)->image_path, out);
}

void image_write_about(const void *body, char out[ABOUT_MAX])
{
	about_image(((const struct priv_write_ext4 *)body)->image_path, out);
}

/* ---- in the child ---- */

/* A file's owner may lease it, and end that, without a capability. Answers -1 with errno. */
static int lease(const struct helper *h, int fd, int kind)
{
	int r, failed;

	setfsuid(h->owner);
	r = fcntl(fd, F_SETLEASE, kind);
	failed = errno;
	setfsuid(0);
	errno = failed;
	return r;
}

enum err take_lease(const struct helper *h, int fd, const char *path, const char *field,
	bool writable, struct why *why)
{
	signal(SIGIO, SIG_IGN); /* how the kernel tells that somebody waits for the end of it */
	if (lease(h, fd, writable ? F_WRLCK : F_RDLCK) == 0)
		return OK;
	if (errno == EAGAIN)
		return fail_field(why, ERR_busy, field, "%s is in use: somebody has it open%s",
			path, writable ? "" : " for writing");
	return fail_field(why, ERR_unsupported, field,
		"the file system of %s cannot tell who uses it: %s", path, strerror(errno));
}

void end_lease(const struct helper *h, int fd)
{
	(void)!lease(h, fd, F_UNLCK);
}

static enum err open_file(struct image_job *j, struct why *why)
{
	struct rlimit most;
	struct stat st;
	enum err e = owner_file(j->h, j->image_path, field_image, j->writable, &j->fd, why);

	if (!e)
		e = take_lease(j->h, j->fd, j->image_path, field_image, j->writable, why);
	if (e)
		return e;
	/* whatever a superblock says, the file does not grow */
	if (fstat(j->fd, &st) < 0)
		return fail_errno(why, "cannot look at %s", j->image_path);
	most = (struct rlimit){ (rlim_t)st.st_size, (rlim_t)st.st_size };
	signal(SIGXFSZ, SIG_IGN);
	if (setrlimit(RLIMIT_FSIZE, &most) < 0)
		return fail_errno(why, "cannot limit a child");
	return OK;
}

static enum err prepare(void *arg, struct task_spec *mine, struct why *why)
{
	struct image_job *j = arg;
	int flags;
	enum err e;

	if (beneath(j->h->state_path, j->image_path))
		e = open_file(j, why);
	else
		e = snapshot_open(j->h, j->image_path, field_image, j->writable, &j->fd, why);
	if (e)
		return e;
	flags = fcntl(j->fd, F_GETFL);
	(void)!fcntl(j->fd, F_SETFL, flags & ~O_NONBLOCK);
	mine->keep[mine->keep_n++] = j->fd;
	return OK;
}

static enum err read_in(void *arg, struct buf *result, int *gift UNUSED, struct why *why)
{
	struct image_job *j = arg;

	return edit_read(j->fd, j->guest_path, DATA_MAX, result, why);
}

static enum err write_in(void *arg, struct buf *result UNUSED, int *gift UNUSED, struct why *why)
{
	struct image_job *j = arg;
	struct edit_file files[64];

	must(j->write->files.n <= COUNT(files)); /* the row says so */
	for (uint32_t i = 0; i < j->write->files.n; i++) {
		const struct priv_ext4_file *f = &j->write->files.v[i];

		files[i] = (struct edit_file){ .path = f->path,
			.data = f->data,
			.mode = (uint32_t)f->mode,
			.uid = (uint32_t)f->uid,
			.gid = (uint32_t)f->gid };
	}
	return edit_write(j->fd, files, j->write->files.n, why);
}

/* ---- in the helper ---- */

/* A child that died of what it read is the image's fault, not ours. */
static void refuse(struct call *c, const struct why *why)
{
	struct why told = *why;

	if (why->code == ERR_internal)
		fail_field(&told, ERR_invalid_value, field_image,
			"the filesystem cannot be read: %.200s", why->text);
	call_fail(c, &told);
}

static void read_done(void *ctx, const struct why *why, struct bytes result, int fd UNUSED)
{
	struct priv_ext4_data answer = { result };

	if (why)
		refuse(ctx, why);
	else
		call_done(ctx, &answer);
}

static void write_done(void *ctx, const struct why *why, struct bytes result UNUSED, int fd UNUSED)
{
	if (why)
		refuse(ctx, why);
	else
		call_done(ctx, NULL);
}

static void start(struct call *c, const struct image_job *job, task_fn *run, task_done_fn *done)
{
	struct image_job *j = call_memory(c, sizeof(*j));
	struct task_spec spec = { .what = "work on an image",
		.prepare = prepare,
		.run = run,
		.arg = j,
		.deadline_ms = EDIT_DEADLINE_MS,
		.plain = true };
	struct why why;

	if (!j)
		return;
	*j = *job;
	if (task_start(c->h, &spec, done, c, &why))
		call_fail(c, &why);
}

void image_read_act(struct call *c, const void *body)
{
	const struct priv_read_ext4 *q = body;
	struct image_job j = {
		.h = c->h, .image_path = q->image_path, .guest_path = q->guest_path, .fd = -1
	};

	start(c, &j, read_in, read_done);
}

void image_write_act(struct call *c, const void *body)
{
	const struct priv_write_ext4 *q = body;
	struct image_job j = {
		.h = c->h, .image_path = q->image_path, .writable = true, .write = q, .fd = -1
	};

	start(c, &j, write_in, write_done);
}
