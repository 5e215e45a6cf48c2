/*
 * world_linux_parcels.c - the root helper's socket, and the descriptors that come over it, kept by
 * ticket until whoever gets the letter takes them. One that nobody takes is closed when its time is
 * over, so that a letter that came too late costs nothing for long.
 */
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/text.h"
#include "world/sockets_linux.h"

/* ---- the helper's socket ---- */

void world_linux_helper(struct world *w, const char *path, uid_t uid)
{
	must(str_copy(w->helper_path, sizeof(w->helper_path), path));
	w->helper_uid = uid;
}

/* Who called listen(): the helper, or systemd for it. */
static enum err check_peer(struct world *w, int fd, struct why *why)
{
	struct ucred peer;
	socklen_t n = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) < 0)
		return fail_errno(why, "cannot tell who listens at %.200s", w->helper_path);
	if (peer.uid != 0 && peer.uid != w->helper_uid)
		return fail(why, ERR_denied, "uid %u listens at %.200s, not root",
			(unsigned)peer.uid, w->helper_path);
	return OK;
}

enum err world_connect_helper(struct world *w, const struct chan_user *user, void *ctx,
	struct chan **ret, struct why *why)
{
	own_fd fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	enum err e;

	if (!w->helper_path[0])
		return fail(why, ERR_unavailable, "this daemon has no root helper");
	if (!str_copy(sa.sun_path, sizeof(sa.sun_path), w->helper_path))
		return fail(why, ERR_too_large, "socket path too long: %.200s", w->helper_path);
	if (fd < 0)
		return fail_errno(why, "cannot make a socket");
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		return fail_errno(why, "cannot connect to %.200s", w->helper_path);
	e = check_peer(w, fd, why);
	if (!e)
		e = chan_open(w->loop, fd, fd, user, ctx, ret, why);
	if (e)
		return e;
	take_fd(&fd);
	chan_fds_want(*ret);
	return OK;
}

/* ---- parcels ---- */

static void drop_due(void *ctx);

/* For the one whose time is over first; none, no timer. */
static void arm(struct world *w)
{
	uint64_t soonest = UINT64_MAX, now = world_now_ms(w);

	timer_stop(&w->parcels_due);
	for (unsigned i = 0; i < PARCELS_MAX && w->parcels_n > 0; i++)
		if (w->parcels[i].ticket)
			soonest = MIN(soonest, w->parcels[i].until);
	if (soonest != UINT64_MAX)
		timer_start(
			w->loop, &w->parcels_due, soonest > now ? soonest - now : 0, drop_due, w);
}

static void drop_due(void *ctx)
{
	struct world *w = ctx;
	uint64_t now = world_now_ms(w);

	for (unsigned i = 0; i < PARCELS_MAX; i++)
		if (w->parcels[i].ticket && w->parcels[i].until <= now)
			world_parcel_drop(w, w->parcels[i].ticket);
	arm(w);
}

uint64_t world_parcel_keep(struct world *w, int fd)
{
	for (unsigned i = 0; i < PARCELS_MAX; i++) {
		struct parcel *p = &w->parcels[i];

		if (p->ticket)
			continue;
		*p = (struct parcel){ ++w->next_parcel, world_now_ms(w) + PARCEL_MS, fd };
		if (w->parcels_n++ == 0)
			arm(w);
		return p->ticket;
	}
	return 0;
}

uint64_t world_parcel_from(struct world *w, struct chan *c)
{
	own_fd fd = chan_fd_take(c);
	uint64_t ticket = fd < 0 ? 0 : world_parcel_keep(w, fd);

	if (ticket)
		take_fd(&fd);
	return ticket;
}

int parcel_take(struct world *w, uint64_t ticket)
{
	for (unsigned i = 0; ticket && i < PARCELS_MAX; i++) {
		struct parcel *p = &w->parcels[i];
		int fd = p->fd;

		if (p->ticket != ticket)
			continue;
		*p = (struct parcel){ 0, 0, -1 };
		if (--w->parcels_n == 0)
			timer_stop(&w->parcels_due);
		return fd;
	}
	return -1;
}

void world_parcel_drop(struct world *w, uint64_t ticket)
{
	own_fd UNUSED fd = parcel_take(w, ticket);
}

enum err world_parcel_chan(struct world *w, uint64_t ticket, const struct chan_user *user,
	void *ctx, struct chan **ret, struct why *why)
{
	own_fd fd = parcel_take(w, ticket);
	enum err e;

	if (fd < 0)
		return fail(why, ERR_unavailable, "the helper's answer brought no connection");
	e = chan_open(w->loop, fd, fd, user, ctx, ret, why);
	if (!e)
		take_fd(&fd);
	return e;
}

void parcels_done(struct world *w)
{
	for (unsigned i = 0; i < PARCELS_MAX; i++)
		world_parcel_drop(w, w->parcels[i].ticket);
	timer_stop(&w->parcels_due);
}
