/*
 * world_sim_loopback.c - the loopback on a seed: one port for datagrams and some for connections,
 * which another program of the host may have taken already.
 */
#include "tests/sim/sim.h"

struct world_datagrams {
	struct world *w;
	datagram_fn *fn;
	void *ctx;
};

static enum err bind_port(struct world *w, uint16_t port, struct why *why)
{
	if (!world_alive(w))
		return dead_daemon(why);
	if (w->sim->calm || !sim_chance(w->sim, w->sim->weather.port))
		return OK;
	sim_mark(w->sim, MARK_port_taken);
	return fail(why, ERR_exists, "cannot bind port %u: address already in use", port);
}

enum err world_datagrams(struct world *w, uint32_t address UNUSED, uint16_t port, datagram_fn *fn,
	void *ctx, struct world_datagrams **ret, struct why *why)
{
	struct world_datagrams *d;

	if (bind_port(w, port, why))
		return why->code;
	must(!w->datagrams);
	d = calloc(1, sizeof(*d));
	must(d);
	*d = (struct world_datagrams){ w, fn, ctx };
	w->datagrams = d;
	w->listeners_n++;
	*ret = d;
	return OK;
}

void world_datagrams_free(struct world_datagrams *d)
{
	if (!d)
		return;
	d->w->datagrams = NULL;
	d->w->listeners_n--;
	free(d);
}

size_t host_datagram(struct sim *s, struct bytes in, uint8_t out[DATAGRAM_OUT_MAX])
{
	struct world_datagrams *d = s->world && !s->world->dead ? s->world->datagrams : NULL;

	return d ? d->fn(d->ctx, in, out) : 0;
}

enum err world_listen_tcp(struct world *w, uint32_t address, uint16_t port,
	void (*accept)(void *ctx, struct chan *c, const struct world_peer *peer), void *ctx,
	struct world_listener **ret, struct why *why)
{
	struct world_listener *l, **room = NULL;

	if (bind_port(w, port, why))
		return why->code;
	for (unsigned i = 0; i < COUNT(w->tcp); i++) {
		l = w->tcp[i];
		if (l && l->address == address && l->port == port)
			return fail(why, ERR_conflict, "cannot bind port %u: in use", port);
		if (!l && !room)
			room = &w->tcp[i];
	}
	if (!room)
		return fail(why, ERR_no_memory, "too many files are open");
	l = calloc(1, sizeof(*l));
	must(l);
	*l = (struct world_listener){
		.w = w, .address = address, .port = port, .accept = accept, .ctx = ctx
	};
	*room = l;
	w->listeners_n++;
	*ret = l;
	return OK;
}

/* Accepted at once: the kernel's queue is told by the daemon's own socket already. */
struct chan *host_connect_tcp(struct sim *s, uint16_t port)
{
	struct world_peer nobody = { (uid_t)-1, 0 };
	struct world *w = s->world;
	struct pipe_end *ends[2];
	struct world_listener *l = NULL;
	uint64_t from = sim_roll(s, COUNT(w->tcp));

	for (unsigned i = 0; w && !w->dead && !l && i < COUNT(w->tcp); i++) {
		l = w->tcp[(from + i) % COUNT(w->tcp)];
		if (l && (port ? l->port != port : l->port == NAMES_PORT))
			l = NULL;
	}
	if (!l)
		return NULL;
	pipe_pair(s, w, ends);
	l->accept(l->ctx, &ends[0]->c, &nobody);
	return &ends[1]->c;
}
