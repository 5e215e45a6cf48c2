/*
 * task.c - children of the helper: fork, one function, one answer.
 *
 * An answer is one byte (0: result, 1: error) and a packed map behind it; the end of the stream
 * ends it. A descriptor, if any, goes with its first byte.
 */
#include "helper/task.h"

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"
#include "letter/error.h"
#include "letter/pack.h"
#include "loop/chan.h"
#include "sys/beneath.h"
#include "sys/process.h"

struct task {
	struct helper *h;
	const char *what;
	pid_t pid;
	int pidfd;
	struct chan *chan;
	struct timer deadline;
	struct watch dying; /* it was killed, and is held up inside the kernel */
	bool late;
	struct buf got;
	task_done_fn *done;
	void *ctx;
};

enum { GRACE_MS = 50 };

static unsigned running;

/* ---- in the child ---- */

static void send_answer(int fd, const struct buf *b, int gift)
{
	char control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec v = { b->p, 1 };
	struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1 };

	if (gift >= 0) {
		struct cmsghdr *h;

		m.msg_control = control;
		m.msg_controllen = sizeof(control);
		h = CMSG_FIRSTHDR(&m);
		h->cmsg_level = SOL_SOCKET;
		h->cmsg_type = SCM_RIGHTS;
		h->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(h), &gift, sizeof(int));
	}
	if (sendmsg(fd, &m, MSG_NOSIGNAL) == 1)
		(void)!write_all(fd, b->p + 1, b->n - 1);
}

/* Everything above 2 but `fd` and what is to be kept goes. */
static void close_others(const struct task_spec *spec, int fd)
{
	int keep[TASK_KEEP_MAX + 1], n = 0;
	unsigned from = 3;

	keep[n++] = fd;
	for (unsigned i = 0; i < spec->keep_n; i++)
		keep[n++] = spec->keep[i];
	while (n > 0) {
		int least = 0;

		for (int i = 1; i < n; i++)
			if (keep[i] < keep[least])
				least = i;
		if ((unsigned)keep[least] > from)
			syscall(SYS_close_range, from, (unsigned)keep[least] - 1, 0);
		from = MAX(from, (unsigned)keep[least] + 1);
		keep[least] = keep[--n];
	}
	syscall(SYS_close_range, from, ~0u, 0);
}

static NORETURN void child(const struct task_spec *spec, int fd, pid_t parent)
{
	own_buf b = { .max = TASK_ANSWER_MAX };
	struct task_spec mine = *spec;
	struct why why = { .code = OK };
	uint8_t status = 0;
	int gift = -1;
	enum err e = OK;

	signal(SIGPIPE, SIG_IGN);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	if (mine.prepare)
		e = mine.prepare(mine.arg, &mine, &why);
	if (mine.plain && !e) {
		close_others(&mine, fd);
		e = mine.starts ? confine_starter(&why) : confine_plain(&why);
	}
	buf_add(&b, &status, 1);
	if (!e)
		e = mine.run(mine.arg, &b, &gift, &why);
	if (!e && b.failed)
		e = fail(&why, ERR_too_large, "an answer over its ceiling");
	if (e) {
		msgpack_packer pk;

		buf_done(&b);
		b = (struct buf){ .max = TASK_ANSWER_MAX };
		status = 1;
		buf_add(&b, &status, 1);
		pk = packer_on(&b);
		error_pack(&pk, &why);
	}
	send_answer(fd, &b, gift);
	_exit(0);
}

/* ---- in the helper ---- */

/*
 * Kills it, and answers whether it has ended. One that waits for a file system that never answers
 * cannot be killed before that gives in (threat H16): it counts until then and holds up nobody.
 */
static bool ended(struct task *t)
{
	struct pollfd p = { .fd = t->pidfd, .events = POLLIN };

	pidfd_signal(t->pidfd, SIGKILL); /* it has nothing left to say */
	return poll(&p, 1, GRACE_MS) == 1;
}

static void reap(struct task *t)
{
	pidfd_reap(t->pidfd);
	fd_done(&t->pidfd);
	running--;
}

static void on_death(void *ctx, int events UNUSED)
{
	struct task *t = ctx;

	watch_stop(&t->dying);
	reap(t);
	free(t);
}

static void end_task(struct task *t)
{
	struct why why;
	int fd = chan_fd_take(t->chan);
	bool ok = !t->late && t->got.n > 0 && t->got.p[0] == 0 && !t->got.failed, gone;

	timer_stop(&t->deadline);
	if (t->late)
		fail(&why, ERR_timeout, "%s took too long and was ended", t->what);
	else if (!ok && t->got.n > 1)
		error_read((struct bytes){ t->got.p + 1, t->got.n - 1 }, &why);
	else if (!ok)
		fail(&why, ERR_internal, "%s ended without an answer", t->what);
	chan_close(t->chan);
	gone = ended(t);
	if (gone)
		reap(t);
	if (!ok)
		fd_done(&fd);
	t->done(t->ctx, ok ? NULL : &why,
		ok ? (struct bytes){ t->got.p + 1, t->got.n - 1 } : (struct bytes){ NULL, 0 }, fd);
	buf_done(&t->got);
	if (gone)
		free(t);
	else
		watch_start(t->h->loop, &t->dying, t->pidfd, WATCH_READ, on_death, t);
}

static size_t on_data(void *ctx, const uint8_t *p, size_t n)
{
	buf_add(&((struct task *)ctx)->got, p, n);
	return n;
}

static void on_closed(void *ctx, const struct why *why UNUSED)
{
	end_task(ctx);
}

static void on_late(void *ctx)
{
	struct task *t = ctx;

	t->late = true;
	log_line(LOG_WARN, "helper", "task late", "what", t->what, NULL);
	end_task(t);
}

static const struct chan_user task_user = { on_data, NULL, on_closed };

static enum err begin(struct task *t, const struct task_spec *spec, int ends[2], struct why *why)
{
	pid_t parent = getpid();
	enum err e = chan_open(t->h->loop, ends[0], ends[0], &task_user, t, &t->chan, why);

	if (e)
		return e;
	ends[0] = -1;
	chan_fds_want(t->chan);
	t->pid = fork();
	if (t->pid == 0)
		child(spec, ends[1], parent);
	if (t->pid < 0)
		return fail_errno(why, "cannot start %s", spec->what);
	t->pidfd = pidfd_of(t->pid);
	must(t->pidfd >= 0); /* it is our child and was not reaped */
	return OK;
}

enum err task_start(struct helper *h, const struct task_spec *spec, task_done_fn *done, void *ctx,
	struct why *why)
{
	struct task *t;
	int ends[2];
	enum err e;

	if (running >= TASKS_MAX)
		return fail(why, ERR_busy, "%d tasks run, one more is refused", TASKS_MAX);
	t = calloc(1, sizeof(*t));
	if (!t)
		return fail(why, ERR_no_memory, "no memory for a task");
	*t = (struct task){ .h = h, .what = spec->what, .done = done, .ctx = ctx };
	t->got.max = TASK_ANSWER_MAX + 1;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0) {
		free(t);
		return fail_errno(why, "cannot start %s", spec->what);
	}
	e = begin(t, spec, ends, why);
	fd_done(&ends[0]);
	fd_done(&ends[1]);
	if (e) {
		chan_close(t->chan);
		free(t);
		return e;
	}
	running++;
	timer_start(h->loop, &t->deadline, spec->deadline_ms, on_late, t);
	return OK;
}
