/*
 * agent.c - the agent's own life: takes over from boot, opens the links, reaps.
 */
#include "agent/agent.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/job.h"
#include "agent/link.h"
#include "base/log.h"
#include "base/text.h"

enum { FILES_MAX = 4096 };

/* Every child's end comes here: programs, tools, and without an init whatever lost its parent. */
static void on_child(void *ctx, int signal UNUSED)
{
	struct agent *a = ctx;
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		if (!job_reaped(a, pid, status) && !mounted_reaped(a, pid, status) &&
			!serving_reaped(a, pid, status))
			(void)down_reaped(a, pid, status);
	if (pid < 0 && errno == ECHILD)
		down_alone(a);
}

static bool take_over(struct agent *a, int argc, char **argv)
{
	char bad[64];
	uint64_t root;
	int kind;

	if (argc < 3 || parse_u64(argv[1], &root, NULL) || root > FILES_MAX)
		return false;
	kind = type_enum(&type_init_kind, argv[2]);
	if (kind < 0 || fcntl((int)root, F_SETFD, FD_CLOEXEC) < 0)
		return false;
	a->root = (int)root;
	a->init = (enum init_kind)kind;
	for (int i = 3; i < argc && a->warnings.n < WARNINGS_MAX; i++)
		(void)str_copy(a->warnings.text[a->warnings.n++], WARNING_BYTES, argv[i]);
	conf_load(&a->conf, bad, sizeof(bad));
	return true;
}

static void open_links(struct agent *a)
{
	struct why why;
	enum err e = vsock_start(a, &why);

	if (e && (a->conf.vsock || e != ERR_unsupported))
		warn(&a->warnings, "%s", why.text);
	if (!a->conf.vsock && serial_start(a, &why))
		warn(&a->warnings, "%s", why.text);
}

void agent_run(int argc, char **argv)
{
	struct rlimit files = { FILES_MAX, FILES_MAX };
	struct agent *a = calloc(1, sizeof(*a));
	struct why why;

	(void)prctl(PR_SET_NAME, "banger-agent");
	if (!a || !take_over(a, argc, argv) || loop_new(&a->loop, &why)) {
		log_line(LOG_ERROR, "agent", "cannot begin", NULL);
		return;
	}
	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGTERM, SIG_IGN); /* an init's good-bye to all: somebody may still watch */
	(void)signal(SIGHUP, SIG_IGN);
	(void)setrlimit(RLIMIT_NOFILE, &files);
	if (a->init == init_kind_none)
		(void)prctl(PR_SET_CHILD_SUBREAPER, 1);
	sigwatch_start(a->loop, &a->on_child, SIGCHLD, on_child, a);
	a->ready_ms = uptime_ms();
	open_links(a);
	loop_run(a->loop);
}
