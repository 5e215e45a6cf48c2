/*
 * process.c - priv.kill_process and priv.signal_process (row F2): only VMMs that the helper
 * launched, and only through the pidfd that it holds.
 *
 * Unknown, foreign and recycled pids get one and the same answer.
 */
#include <signal.h>

#include "helper/verbs.h"
#include "helper/vmms.h"
#include "sys/process.h"

static void signal_vmm(struct call *c, uint64_t pid, int number)
{
	int pidfd = vmms_pidfd(c->h->vmms, (pid_t)pid);
	struct why why;

	if (pidfd < 0) {
		fail_field(&why, ERR_not_owned, "pid", "no VMM of this helper has that pid");
		call_fail(c, &why);
	} else if (pidfd_signal(pidfd, number) < 0 && errno != ESRCH) {
		fail_errno(&why, "cannot signal a VMM");
		call_fail(c, &why);
	} else {
		call_done(c, NULL);
	}
}

void kill_act(struct call *c, const void *body)
{
	signal_vmm(c, ((const struct priv_pid *)body)->pid, SIGKILL);
}

void signal_act(struct call *c, const void *body)
{
	static const int numbers[vmm_signal_COUNT] = {
		[vmm_signal_TERM] = SIGTERM,
		[vmm_signal_KILL] = SIGKILL,
		[vmm_signal_INT] = SIGINT,
		[vmm_signal_CONT] = SIGCONT,
		[vmm_signal_STOP] = SIGSTOP,
	};
	const struct priv_signal_process *q = body;

	signal_vmm(c, q->pid, numbers[q->signal]);
}
