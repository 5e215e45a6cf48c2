/*
 * job.c - carries bytes between a stream and a running program, and tells how it ended.
 *
 * A pipe of the program is read only while its channel has room, so a reader that stops stops the
 * program and nothing else. After the program's end what its pipes still hold is sent; a child that
 * it left behind with them open is not waited for. When the session goes, the process group gets
 * HUP, and KILL after a while.
 */
#include "agent/job.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/terminal.h"
#include "base/log.h"

struct job {
	struct stream stream; /* first */
	struct agent *agent;
	pid_t pid; /* 0 before the start; its group has the same number */
	int status;
	bool exited, terminal, orphan;
	int in; /* -1 when closed; with a terminal the same as out[1] */
	int out[3]; /* of channels 1 and 2 */
	struct watch writable, readable[3];
	struct buf input; /* came, not written yet; bounded by the window */
	bool input_ended;
	uint8_t last; /* byte of input that was written last */
	struct timer again, kill;
	LIST_ENTRY(job) entry;
};

static void on_output(void *ctx, unsigned ch);

/* Closes one end; a terminal's two ends are one descriptor. */
static void close_in(struct job *j)
{
	watch_stop(&j->writable);
	if (!j->terminal)
		fd_done(&j->in);
	j->in = -1;
}

static void close_out(struct job *j, unsigned ch)
{
	watch_stop(&j->readable[ch]);
	if (j->terminal && ch == 1)
		close_in(j);
	fd_done(&j->out[ch]);
}

static void job_free(struct job *j)
{
	close_in(j);
	close_out(j, 1);
	close_out(j, 2);
	timer_stop(&j->again);
	timer_stop(&j->kill);
	LIST_REMOVE(j, entry);
	j->agent->jobs_n--;
	buf_done(&j->input);
	free(j);
}

static void end_if_over(struct job *j)
{
	if (!j->exited || j->out[1] >= 0 || j->out[2] >= 0 || j->orphan)
		return;
	if (WIFSIGNALED(j->status))
		stream_end_signal(&j->stream, WTERMSIG(j->status));
	else
		stream_end_code(&j->stream, (unsigned)WEXITSTATUS(j->status));
	job_free(j);
}

/* Input. */

static void write_input(struct job *j);

static void on_writable(void *ctx, int events UNUSED)
{
	write_input(ctx);
}

static void end_input(struct job *j)
{
	uint8_t eof[2];
	size_t n;

	if (!j->terminal) {
		close_in(j);
		return;
	}
	n = terminal_eof(j->in, j->last, eof);
	if (n > 0 && write(j->in, eof, n) < 0 && errno == EAGAIN)
		watch_start(j->agent->loop, &j->writable, j->in, WATCH_WRITE, on_writable, j);
	else
		j->input_ended = false; /* said, once */
}

static void write_input(struct job *j)
{
	watch_stop(&j->writable);
	while (j->in >= 0 && j->input.n > 0) {
		ssize_t n = write(j->in, j->input.p, j->input.n);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			watch_start(j->agent->loop, &j->writable, j->in, WATCH_WRITE, on_writable,
				j);
			return;
		}
		if (n < 0) { /* the program reads no more */
			close_in(j);
			break;
		}
		j->last = j->input.p[n - 1];
		buf_drop(&j->input, (size_t)n);
		stream_passed(&j->stream, (size_t)n);
	}
	if (j->in < 0) { /* it goes nowhere, and must not stall its sender */
		stream_passed(&j->stream, j->input.n);
		j->input.n = 0;
	} else if (j->input_ended) {
		end_input(j);
	}
}

static void on_data(struct stream *st, const uint8_t *p, size_t n)
{
	struct job *j = (struct job *)st;

	if (n == 0)
		j->input_ended = true;
	buf_add(&j->input, p, n);
	if (j->input.failed) { /* no memory for it: the program sees its input end here */
		buf_done(&j->input);
		close_in(j);
	}
	if (!ev_is_active(&j->writable.ev))
		write_input(j);
}

/* Output. */

static void on_readable_1(void *ctx, int events UNUSED)
{
	on_output(ctx, 1);
}

static void on_readable_2(void *ctx, int events UNUSED)
{
	on_output(ctx, 2);
}

static void watch_output(struct job *j, unsigned ch)
{
	if (j->out[ch] >= 0 && !ev_is_active(&j->readable[ch].ev))
		watch_start(j->agent->loop, &j->readable[ch], j->out[ch], WATCH_READ,
			ch == 1 ? on_readable_1 : on_readable_2, j);
}

static void on_again(void *ctx);

/* Moves one chunk. */
static void move_output(struct job *j, unsigned ch)
{
	uint8_t chunk[CHUNK_BYTES];
	size_t room = stream_room(&j->stream, ch);
	ssize_t n;

	if (j->out[ch] < 0)
		return;
	if (room == 0 && !j->orphan) { /* on_room comes back to it */
		watch_stop(&j->readable[ch]);
		return;
	}
	n = read(j->out[ch], chunk, j->orphan ? sizeof(chunk) : room);
	if (n > 0 && j->orphan)
		return;
	if (n > 0) {
		stream_send(&j->stream, ch, chunk, (size_t)n);
		watch_output(j, ch);
		if (j->exited) /* is there more? nobody may be left to write and wake us */
			timer_start(j->agent->loop, &j->again, 0, on_again, j);
	} else if (n < 0 && (errno == EINTR || (errno == EAGAIN && !j->exited))) {
		watch_output(j, ch);
	} else {
		close_out(j, ch);
		stream_send(&j->stream, ch, NULL, 0);
	}
}

static void on_output(void *ctx, unsigned ch)
{
	struct job *j = ctx;

	move_output(j, ch);
	end_if_over(j);
}

static void on_again(void *ctx)
{
	struct job *j = ctx;

	move_output(j, 1);
	move_output(j, 2);
	end_if_over(j);
}

static void on_room(struct stream *st)
{
	on_again(st);
}

/* Signals and ends. */

static void send_signal(struct job *j, int number)
{
	if (j->exited || j->pid <= 0)
		return;
	if (kill(-j->pid, number) < 0 && errno == ESRCH)
		(void)kill(j->pid, number); /* it has not made its group yet */
}

static void on_signal(struct stream *st, int number)
{
	send_signal((struct job *)st, number);
}

static void on_resize(struct stream *st, uint16_t rows, uint16_t cols)
{
	struct job *j = (struct job *)st;

	if (j->terminal && j->out[1] >= 0)
		terminal_resize(j->out[1], rows, cols);
}

static void on_kill(void *ctx)
{
	struct job *j = ctx;

	(void)kill(-j->pid, SIGKILL);
	if (j->exited)
		job_free(j);
}

static void on_gone(struct stream *st)
{
	struct job *j = (struct job *)st;

	timer_stop(&j->again);
	close_in(j);
	if (j->exited || j->pid <= 0) {
		job_free(j);
		return;
	}
	j->orphan = true;
	if (j->terminal) {
		close_out(j, 1);
	} else { /* its last words go nowhere, but no broken pipe kills it before it cleans up */
		watch_output(j, 1);
		watch_output(j, 2);
	}
	send_signal(j, SIGHUP);
	send_signal(j, SIGCONT); /* a stopped one must wake up to hear it */
	timer_start(j->agent->loop, &j->kill, JOB_HUP_MS, on_kill, j);
}

bool job_reaped(struct agent *a, pid_t pid, int status)
{
	struct job *j;

	LIST_FOREACH(j, &a->jobs, entry)
		if (j->pid == pid && !j->exited)
			break;
	if (!j)
		return false;
	j->exited = true;
	j->status = status;
	if (!j->orphan)
		on_again(j);
	else if (kill(-pid, 0) < 0) /* nobody is left in its group */
		job_free(j);
	return true;
}

/* Starts. */

static const struct stream_calls calls = { on_data, on_room, on_resize, on_signal, on_gone };

static bool set_nonblocking(int fd)
{
	return fcntl(fd, F_SETFL, O_NONBLOCK) == 0;
}

/* ends: what the program gets as 0, 1 and 2. */
static enum err open_pipes(struct job *j, bool has_stdin, int ends[3], struct why *why)
{
	for (unsigned i = 0; i < 3; i++) {
		int p[2], ours = i == 0 ? 1 : 0;

		if (i == 0 && !has_stdin) {
			ends[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
			if (ends[0] < 0)
				return fail_errno(why, "cannot open /dev/null");
			continue;
		}
		if (pipe2(p, O_CLOEXEC) < 0)
			return fail_errno(why, "cannot make a pipe");
		ends[i] = p[!ours];
		*(i == 0 ? &j->in : &j->out[i]) = p[ours];
		if (!set_nonblocking(p[ours]))
			return fail_errno(why, "cannot prepare a pipe");
	}
	return OK;
}

static enum err open_terminal(struct job *j, const struct launch *l, const struct pty *pty,
	int ends[3], struct why *why)
{
	enum err e = terminal_open(l->root, pty, l->account, &j->out[1], &ends[0], why);

	if (e)
		return e;
	j->terminal = true;
	j->in = j->out[1];
	ends[1] = fcntl(ends[0], F_DUPFD_CLOEXEC, 3);
	ends[2] = fcntl(ends[0], F_DUPFD_CLOEXEC, 3);
	return ends[1] < 0 || ends[2] < 0 ? fail_errno(why, "cannot prepare a terminal") : OK;
}

static struct job *job_new(struct agent *a)
{
	struct job *j = calloc(1, sizeof(*j));

	if (!j)
		return NULL;
	j->agent = a;
	j->in = j->out[1] = j->out[2] = -1;
	buf_init(&j->input, 2 * (size_t)WINDOW_BYTES);
	LIST_INSERT_HEAD(&a->jobs, j, entry);
	a->jobs_n++;
	return j;
}

static void run(struct job *j, struct launch *l, const int ends[3])
{
	struct why why;

	l->in = ends[0];
	l->out = ends[1];
	l->err = ends[2];
	l->terminal = j->terminal;
	j->pid = spawn(l);
	if (j->pid > 0) {
		on_again(j); /* begins to watch */
		return;
	}
	fail_errno(&why, "cannot fork");
	stream_end_error(&j->stream, &why);
	job_free(j);
}

enum err job_start(struct session *s, uint32_t msgid, struct launch *l, bool has_stdin,
	const struct pty *pty, struct why *why)
{
	struct job *j = job_new(s->agent);
	int ends[3] = { -1, -1, -1 };
	enum err e;

	if (!j)
		return fail(why, ERR_no_memory, "no memory for a program");
	e = pty ? open_terminal(j, l, pty, ends, why) : open_pipes(j, has_stdin, ends, why);
	if (!e)
		e = stream_open(s, msgid, LETTER_agent_exec, &j->stream, &calls, why);
	if (e)
		job_free(j);
	else
		run(j, l, ends);
	for (unsigned i = 0; i < 3; i++)
		fd_done(&ends[i]);
	return e;
}
