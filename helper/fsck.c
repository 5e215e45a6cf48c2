/*
 * fsck.c - e2fsck on a snapshot (row F1), by a child that root gave nothing but one device: another
 * uid, no capability, namespaces of its own, a system call filter, and a node on a tmpfs of its own
 * as its working directory.
 */
#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "helper/disks.h"
#include "helper/node.h"
#include "helper/task.h"
#include "helper/verbs.h"
#include "sys/beneath.h"
#include "sys/process.h"

enum {
	FSCK_DEADLINE_MS = 120000,
	SAID_MAX = 1024, /* what is kept of its words */
	/* e2fsck's exit status */
	FSCK_FIXED = 1,
	FSCK_FIXED_REBOOT = 2,
	FSCK_LEFT = 4
};

struct fsck_job {
	struct call *call;
	const char *dm_dev;
	int program;
};

/* Root's alone to change, and so its directory. */
static enum err open_e2fsck(int *ret, struct why *why)
{
	static const char *const places[] = { "/usr/sbin", "/sbin" };

	for (size_t i = 0; i < COUNT(places); i++) {
		own_fd dir =
			openat(AT_FDCWD, places[i], O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		own_fd fd = dir < 0 ? -1 : open_beneath(dir, "e2fsck", O_PATH | O_NOFOLLOW, 0);
		struct stat st, up;

		if (fd < 0 || fstat(dir, &up) < 0 || fstat(fd, &st) < 0)
			continue;
		if (!S_ISREG(st.st_mode) || st.st_uid || up.st_uid ||
			(st.st_mode | up.st_mode) & 022)
			return fail(why, ERR_denied,
				"%s/e2fsck or its directory may be changed by others than root",
				places[i]);
		*ret = take_fd(&fd);
		return OK;
	}
	fail(why, ERR_unavailable, "e2fsck is not installed");
	return fail_hint(why, "install the package e2fsprogs");
}

static enum err prepare(void *arg, struct task_spec *mine, struct why *why)
{
	struct fsck_job *j = arg;
	own_fd device = -1, place = -1;
	struct stat st;
	enum err e = open_e2fsck(&j->program, why);

	if (!e)
		e = snapshot_open(j->call->h, j->dm_dev, "dm_dev", false, &device, why);
	if (e)
		return e;
	if (fstat(device, &st) < 0)
		return fail_errno(why, "cannot look at the snapshot");
	if (unshare(CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWNET) < 0)
		return fail_errno(why, "cannot leave the namespaces");
	e = private_place(&place, why);
	if (!e)
		e = private_node(place, "disk", S_IFBLK, st.st_rdev, TASK_UID, why);
	if (!e && fchdir(place) < 0)
		e = fail_errno(why, "cannot enter the place of the device");
	mine->keep[mine->keep_n++] = j->program;
	return e;
}

/* All that it says is read, so that it never waits for us; the beginning is kept. */
static void listen_to(int fd, struct buf *said)
{
	size_t most = said->n + SAID_MAX;
	uint8_t bytes[4096];
	ssize_t n;

	while ((n = read(fd, bytes, sizeof(bytes))) != 0) {
		if (n < 0 && errno != EINTR)
			return;
		if (n > 0 && said->n < most)
			buf_add(said, bytes, MIN((size_t)n, most - said->n));
	}
}

/* The answer: exit status, and what it said. */
static enum err run(void *arg, struct buf *result, int *gift UNUSED, struct why *why)
{
	char *argv[] = { (char[]){ "e2fsck" }, (char[]){ "-p" }, (char[]){ "disk" }, NULL };
	struct fsck_job *j = arg;
	struct process_spec spec = {
		.program = j->program, .argv = argv, .gifts_n = 2, .die_with_parent = true
	};
	int ends[2], pidfd, status;
	size_t at = result->n;
	uint8_t code;
	pid_t pid;
	enum err e;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return fail_errno(why, "cannot make a pipe");
	spec.gifts[0] = (struct fd_gift){ ends[1], 1 };
	spec.gifts[1] = (struct fd_gift){ ends[1], 2 };
	e = process_start(&spec, &pid, &pidfd, why);
	close(ends[1]);
	if (e)
		return e;
	buf_add(result, "", 1); /* room for the status */
	listen_to(ends[0], result);
	status = pidfd_reap(pidfd);
	code = status < 0 || status > 255 ? 255 : (uint8_t)status;
	if (!result->failed)
		result->p[at] = code;
	return OK;
}

static void tell(const struct call *c, unsigned status, struct bytes said)
{
	char words[SAID_MAX + 1];

	memcpy(words, said.p, MIN(said.n, sizeof(words) - 1));
	words[MIN(said.n, sizeof(words) - 1)] = '\0';
	log_line(status & ~(unsigned)(FSCK_FIXED | FSCK_FIXED_REBOOT) ? LOG_WARN : LOG_INFO,
		"helper", "e2fsck", "about", c->about, "status", log_u64(status).s, "said", words,
		NULL);
}

static void done(void *ctx, const struct why *why, struct bytes result, int fd UNUSED)
{
	struct call *c = ctx;
	struct why bad;
	unsigned status;

	if (why || result.n < 1) {
		fail(&bad, ERR_internal, "e2fsck was not heard");
		call_fail(c, why ? why : &bad);
		return;
	}
	status = result.p[0];
	tell(c, status, (struct bytes){ result.p + 1, result.n - 1 });
	if (!(status & ~(unsigned)(FSCK_FIXED | FSCK_FIXED_REBOOT))) {
		call_done(c, NULL);
		return;
	}
	if (status & FSCK_LEFT && status < 8) {
		fail_field(&bad, ERR_conflict, "dm_dev",
			"the filesystem has faults that are not mended without asking");
		fail_hint(&bad, "stop the machine and run e2fsck on a copy of its disk; the log "
				"has what it found");
	} else {
		fail_field(&bad, ERR_invalid_value, "dm_dev",
			"e2fsck cannot check the filesystem (status %u)", status);
		fail_hint(&bad, "the helper's log has what it said");
	}
	call_fail(c, &bad);
}

void fsck_about(const void *body, char out[ABOUT_MAX])
{
	snprintf(out, ABOUT_MAX, "%s", snapshot_name(((const struct priv_dm *)body)->dm_dev));
}

void fsck_act(struct call *c, const void *body)
{
	struct fsck_job *j = call_memory(c, sizeof(*j));
	struct task_spec spec = { .what = "e2fsck",
		.prepare = prepare,
		.run = run,
		.arg = j,
		.deadline_ms = FSCK_DEADLINE_MS,
		.plain = true,
		.starts = true };
	struct why why;

	if (!j)
		return;
	*j = (struct fsck_job){ c, ((const struct priv_dm *)body)->dm_dev, -1 };
	if (task_start(c->h, &spec, done, c, &why))
		call_fail(c, &why);
}
