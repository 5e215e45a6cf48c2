/*
 * world_sim_net.c - the seam to the root helper and to the host's network and devices, on a seed.
 */
#include "tests/sim/sim.h"

enum err world_connect_helper(struct world *w, const struct chan_user *user, void *ctx,
	struct chan **ret, struct why *why)
{
	struct chan *c;

	if (!world_alive(w))
		return dead_daemon(why);
	if (!w->sim->system)
		sim_fail(w->sim, "a daemon of user mode asks for the root helper");
	c = helper_connect(w->sim, w);
	if (!c)
		return fail(why, ERR_unavailable, "nobody listens");
	chan_user_set(c, user, ctx);
	*ret = c;
	return OK;
}

/* ---- parcels ---- */

static struct sim_parcel *find_parcel(struct world *w, uint64_t ticket)
{
	for (size_t i = 0; ticket && i < COUNT(w->parcels); i++)
		if (w->parcels[i].ticket == ticket)
			return &w->parcels[i];
	return NULL;
}

static void untaken(void *ctx, uint64_t ticket)
{
	struct world *w = ctx;

	if (find_parcel(w, ticket))
		sim_mark(w->sim, MARK_parcel_untaken);
	world_parcel_drop(w, ticket);
}

uint64_t world_parcel_from(struct world *w, struct chan *c UNUSED)
{
	struct sim_parcel *p = w->parcels;
	struct sim_parcel came;

	if (!helper_parcel(w, &came))
		return 0;
	while (p < w->parcels + COUNT(w->parcels) && p->ticket)
		p++;
	must(p < w->parcels + COUNT(w->parcels));
	*p = came;
	p->ticket = ++w->next_parcel;
	sim_after(w->sim, PARCEL_MS, untaken, w, p->ticket);
	return p->ticket;
}

enum err world_parcel_child(struct world *w, uint64_t ticket, pid_t pid, child_exit_fn *exited,
	void *ctx, struct child **ret, struct why *why)
{
	struct sim_parcel *p = find_parcel(w, ticket);

	if (!world_alive(w))
		return dead_daemon(why);
	if (!p || !p->pid)
		return fail(why, ERR_unavailable, "the helper's answer brought no process");
	must(p->pid == pid);
	*p = (struct sim_parcel){ .ticket = 0 };
	*ret = child_of_parcel(w, pid, exited, ctx);
	return OK;
}

enum err world_parcel_chan(struct world *w, uint64_t ticket, const struct chan_user *user,
	void *ctx, struct chan **ret, struct why *why)
{
	struct sim_parcel *p = find_parcel(w, ticket);
	struct pipe_end *e;

	if (!world_alive(w))
		return dead_daemon(why);
	if (!p || !p->chan)
		return fail(why, ERR_unavailable, "the helper's answer brought no connection");
	e = (struct pipe_end *)p->chan;
	e->world = w;
	w->chans++;
	*ret = p->chan;
	*p = (struct sim_parcel){ .ticket = 0 };
	chan_user_set(*ret, user, ctx);
	chan_pause(*ret, false);
	return OK;
}

void world_parcel_drop(struct world *w, uint64_t ticket)
{
	struct sim_parcel *p = find_parcel(w, ticket);

	if (!p)
		return;
	chan_close(p->chan);
	*p = (struct sim_parcel){ .ticket = 0 };
}

void parcels_drop(struct world *w)
{
	for (size_t i = 0; i < COUNT(w->parcels); i++)
		world_parcel_drop(w, w->parcels[i].ticket);
}

/* ---- links ---- */

enum err world_links(
	struct world *w, void (*fn)(void *ctx, const char *name), void *ctx, struct why *why)
{
	if (!world_alive(w))
		return dead_daemon(why);
	fn(ctx, "lo");
	fn(ctx, "eth0");
	helper_each_tap(w->sim, fn, ctx);
	return OK;
}

struct links_watch {
	struct world *w;
	link_news_fn *news;
	void *ctx;
};

enum err world_links_watch(
	struct world *w, link_news_fn *news, void *ctx, struct links_watch **ret, struct why *why)
{
	if (!world_alive(w))
		return dead_daemon(why);
	must(!w->links);
	w->links = calloc(1, sizeof(*w->links));
	must(w->links);
	*w->links = (struct links_watch){ w, news, ctx };
	*ret = w->links;
	return OK;
}

void world_links_unwatch(struct links_watch *l)
{
	if (!l)
		return;
	sim_forget(l->w->sim, l);
	l->w->links = NULL;
	free(l);
}

/* One in a while a whole buffer of news is lost. */
static void tell_news(void *ctx, uint64_t arg)
{
	struct link_news *news = (struct link_news *)(uintptr_t)arg;
	struct links_watch *l = ctx;

	l->news(l->ctx, news->name[0] ? news->name : NULL, news->there);
}

void world_link_news(struct sim *s, const char *name, bool there)
{
	struct world *w = s->world;
	struct link_news *news = &s->link_news[s->link_news_at++ % COUNT(s->link_news)];

	if (!w || w->dead || !w->links)
		return;
	str_copy(news->name, sizeof(news->name), sim_chance(s, 50) ? "" : name);
	news->there = there;
	sim_after(s, sim_roll(s, 3), tell_news, w->links, (uint64_t)(uintptr_t)news);
}

enum err world_dm_names(
	struct world *w, void (*fn)(void *ctx, const char *name), void *ctx, struct why *why)
{
	if (!world_alive(w))
		return dead_daemon(why);
	fn(ctx, "somebodys-root");
	helper_each_snapshot(w->sim, fn, ctx);
	return OK;
}

unsigned world_resolvers(struct world *w, uint32_t ret[RESOLVERS_MAX])
{
	unsigned n = (unsigned)sim_roll(w->sim, RESOLVERS_MAX + 1);

	for (unsigned i = 0; i < n; i++)
		ret[i] = 0x0a000035 + i;
	return n;
}
