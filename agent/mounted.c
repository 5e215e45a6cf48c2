/*
 * mounted.c - waits for the image's init, woken by events, never by a clock.
 *
 * systemd shows a link in /run/systemd/units for each unit that it runs a program for. Some of them
 * only ever come behind sysinit.target: by then local filesystems are mounted, and /tmp has been
 * emptied of what the last boot left. Where an image has none of those, the start of any other
 * service that is not of the early kind is the moment to ask systemctl. Other inits are taken at
 * their mounts: a writable root and /proc.
 */
#include "agent/mounted.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/image.h"
#include "agent/spawn.h"

#define UNITS "/run/systemd/units"
static bool systemd_is_up(struct agent *a)
{
	static const char *const late[] = { "dbus.service", "systemd-user-sessions.service",
		"systemd-logind.service" };
	char path[128];

	for (size_t i = 0; i < COUNT(late); i++) {
		own_fd fd = -1;

		snprintf(path, sizeof(path), UNITS "/invocation:%s", late[i]);
		fd = image_open(a->root, path, O_PATH | O_NOFOLLOW);
		if (fd >= 0)
			return true;
	}
	return false;
}

static bool other_is_up(struct agent *a)
{
	own_fd proc = image_open(a->root, "/proc/self", O_PATH | O_NOFOLLOW);
	struct statvfs fs;

	return proc >= 0 && statvfs(fd_path(a->root).s, &fs) == 0 && !(fs.f_flag & ST_RDONLY);
}

bool mounted_now(struct agent *a)
{
	if (!a->mounted.yes)
		a->mounted.yes = a->init == init_kind_none ||
				 (a->init == init_kind_systemd ? systemd_is_up(a) : other_is_up(a));
	return a->mounted.yes;
}

static void stop_watching(struct mounted *m)
{
	if (!m->watching)
		return;
	watch_stop(&m->on_news);
	watch_stop(&m->on_mounts);
	fd_done(&m->news);
	fd_done(&m->mounts);
	fd_done(&m->mountinfo);
	m->watching = false;
}

static void tell_all(struct mounted *m, bool mounted)
{
	struct mount_wait *w;

	while ((w = LIST_FIRST(&m->waits)) != NULL) {
		mounted_forget(w);
		w->fn(w->ctx, mounted);
	}
	stop_watching(m);
}

static void ask_systemctl(struct agent *a)
{
	struct mounted *m = &a->mounted;
	static const char *const argv[] = { "systemctl", "is-active", "--quiet", "sysinit.target",
		NULL };

	m->ask_again = m->asking > 0;
	if (m->asking <= 0)
		m->asking = spawn_tool(a->root, argv);
}

bool mounted_reaped(struct agent *a, pid_t pid, int status)
{
	struct mounted *m = &a->mounted;

	if (pid != m->asking)
		return false;
	m->asking = 0;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
		m->yes = true;
		tell_all(m, true);
	} else if (m->ask_again && m->watching) {
		ask_systemctl(a);
	}
	return true;
}

/* Watches the units' directory, or the deepest of those above it that are there yet. */
static void watch_deepest(struct agent *a)
{
	static const char *const dirs[] = { UNITS, "/run/systemd", "/run", "/" };
	struct mounted *m = &a->mounted;
	int was = m->watched;

	for (size_t i = 0; i < COUNT(dirs); i++) {
		own_fd dir = image_open(a->root, dirs[i], O_PATH | O_DIRECTORY);

		if (dir < 0)
			continue;
		m->watched = inotify_add_watch(m->news, fd_path(dir).s, IN_CREATE | IN_MOVED_TO);
		if (m->watched >= 0)
			break;
	}
	if (was >= 0 && was != m->watched)
		(void)inotify_rm_watch(m->news, was);
}

static void look_again(struct agent *a)
{
	watch_deepest(a);
	if (mounted_now(a))
		tell_all(&a->mounted, true);
}

static bool begins(const char *s, const char *with)
{
	return strncmp(s, with, strlen(with)) == 0;
}

/* A service of the kind that systemd starts behind sysinit.target, as a rule. */
static bool is_late(const char *name)
{
	static const char unit[] = "invocation:";
	static const char *const early[] = { "systemd-", "modprobe@", "kmod-", "keyboard-" };
	const char *dot = strrchr(name, '.');

	if (!begins(name, unit) || !dot || !str_eq(dot, ".service"))
		return false;
	for (size_t i = 0; i < COUNT(early); i++)
		if (begins(name + sizeof(unit) - 1, early[i]))
			return false;
	return true;
}

static bool tells_of_late_unit(const uint8_t *p, size_t n)
{
	const struct inotify_event *e;

	for (size_t i = 0; i + sizeof(*e) <= n; i += sizeof(*e) + e->len) {
		e = (const struct inotify_event *)(const void *)(p + i);
		if (e->len > 0 && is_late(e->name))
			return true;
	}
	return false;
}

static void on_news(void *ctx, int events UNUSED)
{
	struct agent *a = ctx;
	_Alignas(struct inotify_event) uint8_t news[4096];
	bool late = false;
	ssize_t n;

	while ((n = read(a->mounted.news, news, sizeof(news))) > 0)
		late |= tells_of_late_unit(news, (size_t)n);
	look_again(a);
	if (late && a->mounted.watching && a->init == init_kind_systemd)
		ask_systemctl(a);
}

static void on_mounts(void *ctx, int events UNUSED)
{
	struct agent *a = ctx;
	struct epoll_event e;

	while (epoll_wait(a->mounted.mounts, &e, 1, 0) > 0)
		;
	look_again(a);
}

static void begin_watching(struct agent *a)
{
	struct mounted *m = &a->mounted;
	struct epoll_event e = { .events = EPOLLPRI | EPOLLET };

	m->watching = true;
	m->watched = -1;
	m->news = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	m->mountinfo = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
	m->mounts = epoll_create1(EPOLL_CLOEXEC);
	if (m->news >= 0)
		watch_start(a->loop, &m->on_news, m->news, WATCH_READ, on_news, a);
	if (m->mounts >= 0 && epoll_ctl(m->mounts, EPOLL_CTL_ADD, m->mountinfo, &e) == 0)
		watch_start(a->loop, &m->on_mounts, m->mounts, WATCH_READ, on_mounts, a);
	watch_deepest(a);
}

static void on_deadline(void *ctx)
{
	struct mount_wait *w = ctx;
	struct agent *a = w->agent;

	mounted_forget(w);
	w->fn(w->ctx, mounted_now(a));
	if (LIST_EMPTY(&a->mounted.waits))
		stop_watching(&a->mounted);
}

void mounted_wait(struct agent *a, struct mount_wait *w, void (*fn)(void *ctx, bool mounted),
	void *ctx)
{
	w->agent = a;
	w->fn = fn;
	w->ctx = ctx;
	LIST_INSERT_HEAD(&a->mounted.waits, w, entry);
	if (!a->mounted.watching)
		begin_watching(a);
	/* it may have come between the caller's look and the watch */
	timer_start(a->loop, &w->deadline, mounted_now(a) ? 0 : MOUNTED_WAIT_MS, on_deadline, w);
}

void mounted_forget(struct mount_wait *w)
{
	timer_stop(&w->deadline);
	LIST_REMOVE(w, entry);
}
