/*
 * process.c - clone with a pidfd, /proc readers, pidfd signals.
 *
 * The child shares the starter's memory until it executes (copying the page tables of a daemon of a
 * thousand machines costs more than all the rest), while the starter waits. So it only makes system
 * calls, and raw ones where the C library would speak to the starter's other threads. Failures
 * travel back over a close-on-exec pipe: "no such program" is the starter's error.
 */
#include "sys/process.h"

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sys/beneath.h"

enum {
	GIFT_BASE = 24, /* descriptors are moved to here and above first: none is overwritten */
	CHILD_STACK = 65536, /* with room for what sanitizers add */
};

/* What a child that could not exec leaves in the pipe. */
struct exec_report {
	int e;
	char step[28];
};

static void child_fail(int report, const char *step)
{
	struct exec_report msg = { errno, "" };

	for (size_t i = 0; i + 1 < sizeof(msg.step) && step[i]; i++)
		msg.step[i] = step[i];
	(void)!write(report, &msg, sizeof(msg));
	_exit(127);
}

static void give_fds(const struct process_spec *s, int report)
{
	bool given[3] = { false, false, false };
	int fds[GIFTS_MAX];
	int null;

	for (unsigned i = 0; i < s->gifts_n; i++) {
		must(s->gifts[i].as < GIFT_BASE);
		fds[i] = fcntl(s->gifts[i].fd, F_DUPFD_CLOEXEC, GIFT_BASE);
		if (fds[i] < 0)
			child_fail(report, "keeping descriptors");
	}
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null >= 0) /* high as well: a gift that lands on it would become all three */
		null = fcntl(null, F_DUPFD_CLOEXEC, GIFT_BASE);
	for (unsigned i = 0; i < s->gifts_n; i++) {
		if (dup2(fds[i], s->gifts[i].as) < 0)
			child_fail(report, "placing descriptors");
		if (s->gifts[i].as < 3)
			given[s->gifts[i].as] = true;
	}
	for (int i = 0; i < 3; i++)
		if (!given[i] && (null < 0 || dup2(null, i) < 0))
			child_fail(report, "opening /dev/null");
}

/* Everything that was not given goes at exec. */
static void close_others(const struct process_spec *s, int report)
{
	unsigned first = 3;

	for (unsigned i = 0; i < s->gifts_n; i++)
		first = MAX(first, (unsigned)s->gifts[i].as + 1);
	for (unsigned fd = 3; fd < first; fd++) {
		bool given = false;

		for (unsigned i = 0; i < s->gifts_n; i++)
			given |= s->gifts[i].as == (int)fd;
		if (!given && fcntl((int)fd, F_GETFD) >= 0)
			fcntl((int)fd, F_SETFD, FD_CLOEXEC);
	}
	if (syscall(SYS_close_range, first, ~0u, 4 /* CLOSE_RANGE_CLOEXEC */) < 0)
		child_fail(report, "closing descriptors");
}

static void reset_signals(void)
{
	struct sigaction dfl = { .sa_handler = SIG_DFL };
	sigset_t none;

	for (int i = 1; i < 65; i++)
		sigaction(i, &dfl, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

struct starting {
	const struct process_spec *s;
	int program, report;
	pid_t parent;
};

static int drop(const struct process_spec *s)
{
	if (syscall(SYS_setgroups, 0, NULL) < 0 ||
		syscall(SYS_setresgid, s->gid, s->gid, s->gid) < 0)
		return -1;
	return (int)syscall(SYS_setresuid, s->uid, s->uid, s->uid);
}

static int child(void *arg)
{
	static char *const no_env[] = { NULL };
	const struct starting *c = arg;
	const struct process_spec *s = c->s;
	int program = c->program, report = c->report;
	char *const *envp;
	const char *step = "preparing";

	reset_signals();
	if (s->new_session)
		setsid();
	if (s->prepare && s->prepare(s->prepare_arg, &step) < 0)
		child_fail(report, step);
	give_fds(s, report);
	if (s->drop && drop(s) < 0)
		child_fail(report, "dropping privileges");
	if (s->die_with_parent) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != c->parent)
			_exit(127);
	}
	close_others(s, report);
	envp = s->envp ? s->envp : no_env;
	execveat(program, "", s->argv, envp, AT_EMPTY_PATH);
	/* the interpreter of a script opens the descriptor by its name in /dev/fd */
	if (errno == ENOENT && fcntl(program, F_SETFD, 0) == 0)
		execveat(program, "", s->argv, envp, AT_EMPTY_PATH);
	child_fail(report, "starting the program");
	_exit(127);
}

/*
 * clone and not clone3: filters that look at its flags (systemd's, containers') refuse the latter,
 * whose flags they cannot see. Signals wait: the child takes the starter's handlers off first.
 */
static pid_t clone_with_pidfd(struct starting *c, int *pidfd)
{
	_Alignas(16) char stack[CHILD_STACK];
	sigset_t all, old;
	int saved;
	pid_t pid;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	pid = clone(child, stack + sizeof(stack), CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, c,
		pidfd);
	saved = errno;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	errno = saved;
	return pid;
}

enum err process_start(
	const struct process_spec *spec, pid_t *ret_pid, int *ret_pidfd, struct why *why)
{
	struct exec_report msg;
	own_fd report = -1, report_child = -1, program = -1, pidfd = -1;
	int pipes[2], raw = -1;
	struct starting c = { .s = spec, .parent = getpid() };
	pid_t pid;
	ssize_t n;

	if (pipe2(pipes, O_CLOEXEC) < 0)
		return fail_errno(why, "cannot start %s", spec->argv[0]);
	report = pipes[0];
	/* high numbers, so that no gift lands on them */
	report_child = fcntl(pipes[1], F_DUPFD_CLOEXEC, GIFT_BASE);
	close(pipes[1]);
	program = fcntl(spec->program, F_DUPFD_CLOEXEC, GIFT_BASE);
	if (report_child < 0 || program < 0)
		return fail_errno(why, "cannot start %s", spec->argv[0]);
	c.program = program;
	c.report = report_child;
	pid = clone_with_pidfd(&c, &raw);
	if (pid < 0)
		return fail_errno(why, "cannot start %s", spec->argv[0]);
	pidfd = raw;
	fd_done(&report_child);
	do
		n = read(report, &msg, sizeof(msg));
	while (n < 0 && errno == EINTR);
	if (n == (ssize_t)sizeof(msg)) {
		pidfd_reap(pidfd);
		errno = msg.e;
		return fail_errno(why, "cannot start %s: %.27s", spec->argv[0], msg.step);
	}
	*ret_pid = pid;
	*ret_pidfd = take_fd(&pidfd);
	return OK;
}

/* Field `index` (1 = pid) of /proc/PID/stat, which follows the command in parentheses. */
static bool stat_fields(pid_t pid, unsigned long long *fields, int first, int last)
{
	char path[32], text[1024], *at;
	own_fd fd = -1;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	n = read(fd, text, sizeof(text) - 1);
	if (n <= 0)
		return false;
	text[n] = '\0';
	at = strrchr(text, ')');
	for (int field = 2; at && field <= last; field++) {
		if (field >= first)
			fields[field - first] = strtoull(at + 1, NULL, 10);
		at = strchr(at + 1, ' ');
	}
	return at != NULL;
}

uint64_t process_start_time(pid_t pid)
{
	unsigned long long start = 0;

	return stat_fields(pid, &start, 22, 22) ? start : 0;
}

bool process_names(pid_t pid, const char *needle)
{
	own_buf text = { .max = 256 * KiB };
	char path[32];
	own_fd proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	snprintf(path, sizeof(path), "%d/cmdline", (int)pid);
	if (proc < 0 || read_file(proc, path, 128 * KiB, &text, NULL))
		return false;
	return memmem(text.p, text.n, needle, strlen(needle)) != NULL;
}

int process_find(pid_t pid, uint64_t start_time, const char *needle)
{
	own_fd fd = pidfd_of(pid);

	if (fd < 0 || process_start_time(pid) != start_time || !process_names(pid, needle))
		return -1;
	/* still the one that was opened: a signal that does nothing reaches it, or may not */
	if (pidfd_signal(fd, 0) < 0 && errno != EPERM)
		return -1;
	return take_fd(&fd);
}

pid_t process_search(uid_t least, uid_t most, const char *needle)
{
	own_dir d = opendir("/proc");
	struct dirent *e;

	while (d && (e = readdir(d)) != NULL) {
		pid_t pid = (pid_t)strtol(e->d_name, NULL, 10);
		struct stat st;

		if (pid > 1 && pid != getpid() && fstatat(dirfd(d), e->d_name, &st, 0) == 0 &&
			((st.st_uid >= least && st.st_uid <= most) || st.st_uid == 0) &&
			process_names(pid, needle))
			return pid;
	}
	return 0;
}

bool process_usage(pid_t pid, uint64_t *rss, uint64_t *cpu_ms)
{
	unsigned long long f[11]; /* fields 14 to 24 */
	uint64_t tick = (uint64_t)sysconf(_SC_CLK_TCK);

	if (!stat_fields(pid, f, 14, 24))
		return false;
	*cpu_ms = (f[0] + f[1]) * 1000 / tick;
	*rss = f[10] * (uint64_t)sysconf(_SC_PAGESIZE);
	return true;
}

int pidfd_signal(int pidfd, int signal)
{
	return (int)syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0);
}

int pidfd_of(pid_t pid)
{
	return (int)syscall(SYS_pidfd_open, pid, 0);
}

int pidfd_reap(int pidfd)
{
	siginfo_t info = { .si_pid = 0 };
	int r;

	do
		r = waitid((idtype_t)P_PIDFD, (id_t)pidfd, &info, WEXITED);
	while (r < 0 && errno == EINTR);
	if (r < 0)
		return -1;
	return info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
}

bool host_boot_id(char out[37])
{
	own_fd fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);

	if (fd < 0 || read(fd, out, 36) != 36)
		return false;
	out[36] = '\0';
	return true;
}

void process_memory(uint64_t *all, uint64_t *own)
{
	own_file f = fopen("/proc/self/status", "re");
	unsigned long long kib, file = 0, rss = 0;
	char line[128];

	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "VmRSS: %llu", &kib) == 1)
			rss = kib;
		else if (sscanf(line, "RssFile: %llu", &kib) == 1)
			file = kib;
	}
	*all = rss * 1024;
	*own = (rss - MIN(file, rss)) * 1024;
}
