/*
 * world_linux_parcels.c - descriptors that came with a letter, kept by ticket until whoever gets
 * the letter takes them. A ticket that nobody takes holds one descriptor of a bounded number.
 */
#include <unistd.h>

#include "world/sockets_linux.h"

static struct parcel *find(struct world *w, uint64_t ticket)
{
	for (unsigned i = 0; ticket && i < PARCELS_MAX; i++)
		if (w->parcels[i].ticket == ticket)
			return &w->parcels[i];
	return NULL;
}

uint64_t world_parcel_keep(struct world *w, int fd)
{
	for (unsigned i = 0; i < PARCELS_MAX; i++) {
		struct parcel *p = &w->parcels[i];

		if (p->ticket)
			continue;
		*p = (struct parcel){ ++w->next_parcel, fd };
		return p->ticket;
	}
	return 0;
}

int parcel_take(struct world *w, uint64_t ticket)
{
	struct parcel *p = find(w, ticket);
	int fd = p ? p->fd : -1;

	if (p)
		*p = (struct parcel){ 0, -1 };
	return fd;
}

void world_parcel_drop(struct world *w, uint64_t ticket)
{
	own_fd fd = parcel_take(w, ticket);
}

enum err world_parcel_chan(struct world *w, uint64_t ticket, const struct chan_user *user,
	void *ctx, struct chan **ret, struct why *why)
{
	own_fd fd = parcel_take(w, ticket);
	enum err e;

	if (fd < 0)
		return fail(why, ERR_internal, "the helper's answer brought no connection");
	e = chan_open(w->loop, fd, fd, user, ctx, ret, why);
	if (!e)
		take_fd(&fd);
	return e;
}

void parcels_done(struct world *w)
{
	for (unsigned i = 0; i < PARCELS_MAX; i++)
		world_parcel_drop(w, w->parcels[i].ticket);
}
