/*
 * world_linux_clock.c - jumps of the wall clock, told by the kernel: a timer on that clock that is
 * far away, and that each setting of the clock (and each wake-up of the host) cancels.
 */
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/log.h"
#include "world/world_linux.h"

/* Far, and yet within what every kernel's conversions take. */
enum { FAR_SECONDS = 2000000000 };

static enum err arm(int fd, struct why *why)
{
	struct itimerspec far = { .it_value.tv_sec = (time_t)FAR_SECONDS * 4 };

	if (timerfd_settime(fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &far, NULL) < 0 &&
		errno != ECANCELED)
		return fail_errno(why, "cannot watch the host's clock");
	return OK;
}

static void on_jump(void *ctx, int events UNUSED)
{
	struct world *w = ctx;
	uint64_t fired;
	struct why why;

	if (read(w->clock.fd, &fired, sizeof(fired)) >= 0 || errno != ECANCELED)
		return;
	if (arm(w->clock.fd, &why)) {
		log_line(LOG_ERROR, "world", "clock not watched", "why", why.text, NULL);
		watch_stop(&w->clock.watch);
	}
	w->clock.jumped(w->clock.ctx);
}

enum err world_clock_watch(struct world *w, void (*jumped)(void *ctx), void *ctx, struct why *why)
{
	own_fd fd = -1;
	enum err e;

	watch_stop(&w->clock.watch);
	if (w->clock.jumped)
		close(w->clock.fd);
	w->clock.jumped = NULL;
	if (!jumped)
		return OK;
	fd = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK | TFD_CLOEXEC);
	if (fd < 0)
		return fail_errno(why, "cannot watch the host's clock");
	e = arm(fd, why);
	if (e)
		return e;
	w->clock.jumped = jumped;
	w->clock.ctx = ctx;
	w->clock.fd = take_fd(&fd);
	watch_start(w->loop, &w->clock.watch, w->clock.fd, WATCH_READ, on_jump, w);
	return OK;
}
