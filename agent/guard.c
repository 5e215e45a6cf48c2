/*
 * guard.c - forks the agent and waits. It holds no link and parses nothing, so it does not crash;
 * where the image has no init it is process 1.
 */
#include "agent/guard.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "agent/uevent.h"
#include "base/log.h"

enum { SHORT_LIFE_MS = 1000, PAUSE_MS_MAX = 5000 };

/* The console is the image's; what is said here goes to the kernel's log. */
static void quiet_descriptors(void)
{
	own_fd null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int log = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);

	for (int fd = 0; fd <= 2 && null >= 0; fd++)
		dup2(null, fd);
	if (log >= 0)
		log_to(log, LOG_INFO, true);
}

static void spare_from_oom(void)
{
	own_fd fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	if (fd >= 0 && write(fd, "-1000", 5) < 0)
		log_line(LOG_WARN, "guard", "cannot be spared from the OOM killer", NULL);
}

/* Waits for the child's end, reaping orphans meanwhile. */
static int await(pid_t child)
{
	int status;

	for (;;) {
		pid_t pid = waitpid(-1, &status, 0);

		if (pid == child || (pid < 0 && errno == ECHILD))
			return status;
	}
}

/* A child that dies at once again and again must not eat the machine. */
static void pause_ms(unsigned ms)
{
	uint64_t until = monotonic_ms() + ms, now;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	while ((now = monotonic_ms()) < until) {
		struct timespec t = { (time_t)((until - now) / 1000),
			(long)((until - now) % 1000 * 1000000) };

		if (sigtimedwait(&set, NULL, &t) > 0)
			while (waitpid(-1, NULL, WNOHANG) > 0)
				;
	}
}

void guard(void (*run)(void *ctx), void *ctx)
{
	unsigned short_lives = 0;
	sigset_t all, was;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &was);
	quiet_descriptors();
	spare_from_oom();
	(void)prctl(PR_SET_NAME, "banger-guard");
	for (;;) {
		uint64_t began = monotonic_ms();
		pid_t child = fork();
		int status;

		if (child == 0) {
			sigprocmask(SIG_SETMASK, &was, NULL);
			run(ctx);
			_exit(1);
		}
		status = child < 0 ? 0 : await(child);
		log_line(LOG_ERROR, "guard",
			child < 0 ? "cannot fork the agent" : "the agent ended", "status",
			log_u64((uint64_t)status).s, NULL);
		short_lives = monotonic_ms() - began < SHORT_LIFE_MS ? short_lives + 1 : 0;
		if (short_lives > 0)
			pause_ms(MIN(100u << MIN(short_lives, 6u), (unsigned)PAUSE_MS_MAX));
	}
}
