/*
 * shutdown.c - agent.shutdown: answered first, then the guest goes down the way it is used to.
 *
 * An image's init is asked in its own language. Without one the agent does it: TERM to all, KILL to
 * those that stay, filesystems read-only, power off.
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/boot.h"
#include "agent/handlers.h"
#include "agent/image.h"
#include "agent/spawn.h"
#include "base/log.h"

enum { TERM_MS = 3000, KILL_MS = 1000, SYSTEMD_POWEROFF = 4, SYSTEMD_REBOOT = 5 };

/* Read-only, so that the disks are clean; the work disk first, it lies on the root. */
static void settle_disks(struct agent *a)
{
	own_fd home = a->conf.home[0] ? image_open(a->root, a->conf.home, O_PATH) : -1;

	sync();
	if (home >= 0)
		(void)mount(NULL, fd_path(home).s, NULL, MS_REMOUNT | MS_RDONLY, NULL);
	if (mount(NULL, fd_path(a->root).s, NULL, MS_REMOUNT | MS_RDONLY, NULL) < 0)
		log_line(LOG_WARN, "shutdown", "the root stays writable", "why", strerror(errno),
			NULL);
}

static void end_now(void *ctx)
{
	struct agent *a = ctx;

	settle_disks(a);
	power_off(a->down.reboot, a->conf.reset_ends);
}

static bool has_children(void)
{
	siginfo_t info;

	return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

static void kill_all(void *ctx)
{
	struct agent *a = ctx;

	a->down.killed = true;
	(void)kill(-1, SIGKILL);
	timer_start(a->loop, &a->down.deadline, has_children() ? KILL_MS : 0, end_now, a);
}

void down_alone(struct agent *a)
{
	if (a->down.now && a->init == init_kind_none)
		timer_start(a->loop, &a->down.deadline, 0, end_now, a);
}

bool down_reaped(struct agent *a, pid_t pid, int status)
{
	if (!a->down.now || pid != a->down.tool)
		return false;
	a->down.tool = 0;
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		end_now(a); /* the image has no such program, or it would not */
	return true;
}

/* Whether a power-off would only halt: then the init is asked for a reboot, which ends the VMM. */
static bool ask_for_reset(const struct agent *a)
{
	return a->down.reboot || a->conf.reset_ends ||
	       access("/sys/firmware/acpi/tables/FACP", F_OK) != 0;
}

/* sysvinit waits for every process but those that are listed here. */
static void be_omitted(const struct agent *a)
{
	static const char dir[] = "/run/sendsigs.omit.d";
	own_fd there = image_open(a->root, dir, O_PATH | O_DIRECTORY);
	char path[64], pids[64];
	int n = snprintf(pids, sizeof(pids), "%d\n%d\n", getppid(), getpid());
	struct why why;

	snprintf(path, sizeof(path), "%s/banger", dir);
	if (there >= 0 && image_write(a->root, path, pids, (size_t)n, 0644, false, &why))
		log_line(LOG_WARN, "shutdown", "the init will wait", "why", why.text, NULL);
}

static void ask_other_init(struct agent *a)
{
	const char *const argv[] = { ask_for_reset(a) ? "reboot" : "poweroff", NULL };

	be_omitted(a);
	a->down.tool = spawn_tool(a->root, argv);
	if (a->down.tool < 0)
		end_now(a);
}

static void go_down(void *ctx)
{
	struct agent *a = ctx;

	switch (a->init) {
	case init_kind_systemd:
		if (kill(1, SIGRTMIN + (ask_for_reset(a) ? SYSTEMD_REBOOT : SYSTEMD_POWEROFF)) < 0)
			end_now(a);
		break;
	case init_kind_other:
		ask_other_init(a);
		break;
	case init_kind_none:
	case init_kind_COUNT:
		(void)kill(-1, SIGTERM); /* all but process 1 and the agent */
		(void)kill(-1, SIGCONT);
		timer_start(a->loop, &a->down.deadline, has_children() ? TERM_MS : 0, kill_all, a);
		break;
	}
}

void on_shutdown(const struct request *r)
{
	const struct agent_shutdown *x = r->body;
	struct agent *a = r->session->agent;
	struct nothing none;

	answer(r->session, r->msgid, r->id, &none);
	if (a->down.now)
		return;
	a->down.now = true;
	a->down.reboot = x->reboot;
	log_line(LOG_INFO, "shutdown", x->reboot ? "reboot" : "power off", NULL);
	timer_start(a->loop, &a->down.deadline, 0, go_down, a); /* behind the answer */
}
