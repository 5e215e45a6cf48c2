/*
 * spawn.c - the child's way from the agent's initramfs into the image: descriptors, root, limits,
 * user, directory, program.
 */
#include "agent/spawn.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/close_range.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { EXIT_NOT_RUNNABLE = 126, EXIT_NOT_FOUND = 127, FILES_SOFT = 1024, FILES_HARD = 524288 };

static void complain(const char *what, const char *why, int code) NORETURN;

static void complain(const char *what, const char *why, int code)
{
	char line[512];
	int n = snprintf(line, sizeof(line), "banger: %.300s: %s\n", what, why);

	if (write(2, line, MIN((size_t)n, sizeof(line) - 1)) < 0)
		_exit(code);
	_exit(code);
}

static void default_signals(void)
{
	struct sigaction dfl = { .sa_handler = SIG_DFL };
	sigset_t none;

	for (int s = 1; s < NSIG; s++)
		sigaction(s, &dfl, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* The agent itself is spared by the OOM killer; what it runs is not. */
static void default_oom(void)
{
	int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	(void)!write(fd, "0", 1); /* refused: then it is as killable as before */
	close(fd);
}

static void take_descriptors(const struct launch *l)
{
	/* none of the three is below 3, so none is overwritten before it was taken */
	if (dup2(l->err, 2) < 0 || dup2(l->in, 0) < 0 || dup2(l->out, 1) < 0)
		_exit(EXIT_NOT_RUNNABLE);
	if (l->terminal)
		(void)ioctl(0, TIOCSCTTY, 0);
}

static void enter_image(const struct launch *l)
{
	struct rlimit files = { FILES_SOFT, FILES_HARD };

	if (fchdir(l->root) < 0 || chroot(".") < 0)
		complain("the image's root", strerror(errno), EXIT_NOT_RUNNABLE);
	if (syscall(SYS_close_range, 3, ~0U, 0) < 0)
		complain("close_range", strerror(errno), EXIT_NOT_RUNNABLE);
	(void)setrlimit(RLIMIT_NOFILE, &files);
	umask(022);
}

static void become_user(const struct account *a)
{
	if (setgroups(a->groups_n, a->groups) < 0 || setresgid(a->gid, a->gid, a->gid) < 0 ||
		setresuid(a->uid, a->uid, a->uid) < 0)
		complain(a->name, strerror(errno), EXIT_NOT_RUNNABLE);
}

static void enter_directory(const struct launch *l)
{
	if (l->cwd) {
		if (chdir(l->cwd) < 0)
			complain(l->cwd, strerror(errno), EXIT_NOT_RUNNABLE);
	} else if (chdir(l->account->home) < 0 && chdir("/") < 0) {
		complain("/", strerror(errno), EXIT_NOT_RUNNABLE);
	}
}

static void child(const struct launch *l) NORETURN;

static void child(const struct launch *l)
{
	int e;

	setsid();
	default_signals();
	take_descriptors(l);
	default_oom();
	enter_image(l);
	become_user(l->account);
	enter_directory(l);
	environ = (char **)(uintptr_t)l->env;
	execvp(l->file, l->argv); /* searches the PATH of environ */
	e = errno;
	complain(l->file, e == ENOENT || e == ENOTDIR ? "not found" : strerror(e),
		e == ENOENT || e == ENOTDIR ? EXIT_NOT_FOUND : EXIT_NOT_RUNNABLE);
}

pid_t spawn(const struct launch *l)
{
	sigset_t all, was;
	pid_t pid;
	int e;

	/*
	 * what is sent to the child meets the agent's dispositions until it has set its own: it
	 * waits
	 */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &was);
	pid = fork();
	if (pid == 0)
		child(l);
	e = errno;
	sigprocmask(SIG_SETMASK, &was, NULL);
	errno = e;
	return pid;
}

pid_t spawn_tool(int root, const char *const *argv)
{
	char *env[] = { (char[]){ DEFAULT_PATH }, NULL };
	struct account superuser = { .name = "root", .home = "/", .shell = "/bin/sh" };
	own_fd null = open("/dev/null", O_RDWR | O_CLOEXEC);
	struct launch l = { .root = root, .file = argv[0], .argv = (char *const *)(uintptr_t)argv,
		.env = env, .account = &superuser, .in = null, .out = null, .err = null };

	return null < 0 ? -1 : spawn(&l);
}
