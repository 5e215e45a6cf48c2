/*
 * world_sim.c - world/world.h on a seed: time, chance, sockets, and a daemon's life from start to
 * crash.
 *
 * A daemon may be killed inside any call of the seam: `dead` is set, and what its handler still
 * does reaches nothing. The world is dropped when the handler has returned.
 */
#include <unistd.h>

#include "tests/sim/sim.h"

#define STATE_DIR "/state"
#define RUNTIME_DIR "/runtime"

bool world_alive(struct world *w)
{
	if (w->dead)
		return false;
	if (w->crash_in_calls == 0 || --w->crash_in_calls > 0)
		return true;
	sim_trace(w->sim, "sim", "the daemon dies in this call");
	sim_mark(w->sim, MARK_crash_call);
	w->dead = true;
	return false;
}

enum err dead_daemon(struct why *why)
{
	return fail(why, ERR_internal, "the daemon is dead");
}

/* ---- time and chance ---- */

uint64_t world_now_ms(struct world *w)
{
	return w->sim->now - w->sim->boot_at;
}

uint64_t world_unix_ms(struct world *w)
{
	return (uint64_t)((int64_t)w->sim->now + w->sim->wall);
}

void world_random(struct world *w, void *p, size_t n)
{
	uint8_t *to = p;

	for (size_t i = 0; i < n; i++)
		to[i] = (uint8_t)(sim_random(w->sim) >> 24);
}

const char *world_boot_id(struct world *w)
{
	return w->sim->boot_id;
}

void world_timer(struct world *w, struct wtimer *t, uint64_t ms, void (*fn)(void *), void *ctx)
{
	if (t->sim_at == 0) {
		t->sim_next = w->timers;
		w->timers = t;
		w->timers_n++;
	}
	t->w = w;
	t->fn = fn;
	t->ctx = ctx;
	t->sim_at = w->sim->now + ms;
}

void world_timer_stop(struct wtimer *t)
{
	struct wtimer **at;

	if (t->sim_at == 0)
		return;
	for (at = &t->w->timers; *at != t; at = &(*at)->sim_next)
		must(*at);
	*at = t->sim_next;
	t->sim_at = 0;
	t->w->timers_n--;
}

uint64_t world_next_timer(struct world *w)
{
	uint64_t soonest = UINT64_MAX;

	for (struct wtimer *t = w->timers; t; t = t->sim_next)
		soonest = MIN(soonest, t->sim_at);
	return soonest;
}

/* One of those that are due; which one is the seed's choice. */
void world_fire_timer(struct world *w)
{
	uint64_t soonest = world_next_timer(w);
	struct wtimer *chosen = NULL;
	unsigned due = 0;

	if (w->deadlines_at <= soonest) {
		w->deadlines_at = UINT64_MAX;
		house_deadlines(w->house);
		return;
	}
	for (struct wtimer *t = w->timers; t; t = t->sim_next)
		if (t->sim_at == soonest && sim_roll(w->sim, ++due) == 0)
			chosen = t;
	world_timer_stop(chosen);
	chosen->fn(chosen->ctx);
}

/* ---- sockets ---- */

enum err world_listen(struct world *w, const char *path, int fd UNUSED,
	void (*accept)(void *ctx, struct chan *c, const struct world_peer *peer), void *ctx,
	struct world_listener **ret, struct why *why)
{
	struct world_listener *l;

	if (!world_alive(w))
		return dead_daemon(why);
	if (!node_put(w->sim, RUNTIME, path, 0))
		return fail(why, ERR_not_found, "cannot listen at %s", path);
	l = calloc(1, sizeof(*l));
	must(l);
	l->w = w;
	l->accept = accept;
	l->ctx = ctx;
	str_copy(l->path, sizeof(l->path), path);
	must(!w->listener);
	w->listener = l;
	w->listeners_n++;
	*ret = l;
	return OK;
}

enum err world_clock_watch(
	struct world *w, void (*jumped)(void *ctx), void *ctx, struct why *why UNUSED)
{
	w->clock_jumped = jumped;
	w->clock_ctx = ctx;
	return OK;
}

void world_listener_free(struct world_listener *l)
{
	if (!l)
		return;
	for (unsigned i = 0; i < COUNT(l->w->tcp); i++)
		if (l->w->tcp[i] == l)
			l->w->tcp[i] = NULL;
	if (l->w->listener == l)
		l->w->listener = NULL;
	l->w->listeners_n--;
	free(l);
}

static void accept_one(void *ctx, uint64_t arg UNUSED)
{
	struct world_peer peer = { geteuid(), 4000 };
	struct world *w = ctx;
	struct chan *c = w->backlog[0];

	memmove(w->backlog, w->backlog + 1, --w->backlog_n * sizeof(c));
	chan_pause(c, false);
	if (w->listener)
		w->listener->accept(w->listener->ctx, c, &peer);
	else
		chan_close(c);
}

struct chan *host_connect(struct sim *s, const char *path)
{
	struct world *w = s->world;
	struct pipe_end *ends[2];

	if (!w || w->dead || !w->listener || !str_eq(w->listener->path, path) ||
		w->backlog_n == COUNT(w->backlog) || !node_find(s, RUNTIME, path))
		return NULL;
	pipe_pair(s, w, ends);
	chan_pause(&ends[0]->c, true); /* nobody reads what was not accepted */
	w->backlog[w->backlog_n++] = &ends[0]->c;
	sim_after(s, sim_roll(s, 3), accept_one, w, 0);
	return &ends[1]->c;
}

static void reached(void *ctx, uint64_t arg)
{
	struct proc *p = ctx;

	vmm_connected(p, &p->sockets[arg]);
}

void proc_reach(struct proc *p, struct proc_socket *at, struct chan *c)
{
	chan_pause(c, true);
	chan_close(at->waiting);
	at->waiting = c;
	sim_after(p->sim, sim_roll(p->sim, 3), reached, p, (uint64_t)(at - p->sockets));
}

enum err world_connect(struct world *w, const char *path, const struct chan_user *user, void *ctx,
	struct chan **ret, struct why *why)
{
	struct proc_socket *at;
	struct pipe_end *ends[2];
	struct proc *p;

	if (!world_alive(w))
		return dead_daemon(why);
	if (files_are_out(w->sim, why))
		return why->code;
	if (!node_find(w->sim, RUNTIME, path))
		return fail(why, ERR_not_found, "cannot connect to %s: no such file", path);
	at = socket_at(w->sim, path, &p);
	if (!at)
		return fail(why, ERR_unavailable, "cannot connect to %s: refused", path);
	pipe_pair(w->sim, w, ends);
	chan_user_set(&ends[0]->c, user, ctx);
	proc_reach(p, at, &ends[1]->c);
	*ret = &ends[0]->c;
	return OK;
}

enum err world_open_fifo(struct world *w, const char *path, const struct chan_user *user, void *ctx,
	struct chan **ret, struct why *why)
{
	return world_connect(w, path, user, ctx, ret, why);
}

enum err world_connect_vsock(struct world *w UNUSED, uint32_t cid, uint32_t port UNUSED,
	const struct chan_user *user UNUSED, void *ctx UNUSED, struct chan **ret UNUSED,
	struct why *why)
{
	return fail(why, ERR_unsupported, "vsock %u: this host has none", cid);
}

/* ---- facts ---- */

void world_host_facts(struct world *w, struct host_facts *ret)
{
	*ret = w->sim->facts;
}

uid_t world_plain_uid(struct world *w UNUSED)
{
	return geteuid();
}

enum err world_find_program(struct world *w, const char *configured, const char *name, char *out,
	size_t size, struct why *why)
{
	if (!world_alive(w))
		return dead_daemon(why);
	if (w->sim->system && strstr(name, "firecracker"))
		return fail(why, ERR_unavailable, "%s is not on this host", name);
	if (configured && *configured)
		snprintf(out, size, "%s", configured);
	else
		snprintf(out, size, "/usr/bin/%s", name);
	return OK;
}

enum err world_companion(struct world *w, const char *name UNUSED, uint64_t *size,
	uint64_t *changed_ns, struct why *why)
{
	if (!world_alive(w))
		return dead_daemon(why);
	*size = 900000;
	*changed_ns = 1000 + w->sim->agent_build;
	return OK;
}

/* ---- a daemon's life ---- */

static uint64_t now_cb(void *ctx)
{
	return world_now_ms(ctx);
}

static void wake_at_cb(void *ctx, uint64_t ms)
{
	struct world *w = ctx;

	w->deadlines_at = ms == UINT64_MAX ? ms : MAX(ms + w->sim->boot_at, w->sim->now);
}

static void listening_cb(void *ctx, const struct why *why)
{
	struct world *w = ctx;

	w->listening = why == NULL;
	w->stopping |= why != NULL;
	sim_trace(w->sim, "sim", "the daemon %s%s", why ? "cannot listen: " : "listens",
		why ? why->text : "");
}

static void stop_cb(void *ctx)
{
	((struct world *)ctx)->stopping = true;
}

static struct config config_of(struct sim *s)
{
	return (struct config){
		.default_image = "debian",
		.vcpus = 2, .has_vcpus = true,
		.memory = GiB, .has_memory = true,
		.disk = 8 * GiB, .has_disk = true,
		.driver = driver_auto, .accel = accel_auto, .net = net_nat, .layer = layer_auto,
		.subnet = s->subnet,
		.has_driver = true, .has_accel = true, .has_net = true, .has_layer = true,
		.boot_timeout_ms = sim_between(s, 1, 4) * 15000, .has_boot_timeout_ms = true,
		.stop_timeout_ms = sim_between(s, 0, 4) * 2500, .has_stop_timeout_ms = true,
		.dns_listen = "127.0.0.1:42069",
		.log_level = severity_debug, .has_log_level = true,
	};
}

static void drop(struct sim *s, bool clean)
{
	struct world *w = s->world;

	w->dead |= !clean;
	store_drop(w, clean);
	house_free(w->house);
	parcels_drop(w);
	w->dead = true;
	procs_end_with_daemon(s);
	while (w->backlog_n > 0)
		chan_close(w->backlog[--w->backlog_n]);
	sim_forget(s, w);
	check_counts(s, w);
	s->world = NULL;
	free(w);
}

static void start_event(void *ctx, uint64_t arg UNUSED)
{
	struct sim *s = ctx;

	s->starting = false;
	if (!s->world)
		daemon_start(s);
}

void daemon_start_later(struct sim *s, uint64_t ms)
{
	if (s->starting)
		return;
	s->starting = true;
	sim_after(s, ms, start_event, s, 0);
}

void daemon_crash(struct sim *s)
{
	sim_trace(s, "sim", "daemon dropped");
	drop(s, false);
	daemon_start_later(s, sim_between(s, 1, 2000));
}

static struct catalog_kernel sim_kernels[] = { { .name = "debian", .package = "linux-image" } };
static struct catalog_image sim_images[] = {
	{ .name = "alpine", .reference = "docker.io/library/alpine:3" },
	{ .name = "bundled", .bundle = "https://a/b",
		.sha256 = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef" },
};
static const struct catalog sim_catalog = { .images = { sim_images, 2 },
	.kernels = { sim_kernels, 1 } };

void daemon_start(struct sim *s)
{
	struct world *w = calloc(1, sizeof(*w));
	struct house_world hw = { now_cb, wake_at_cb, w };
	struct why why;

	must(w && !s->world);
	sim_mark(s, MARK_daemon_starts);
	sim_trace(s, "sim", "daemon starts");
	s->agent_build += !s->calm && sim_chance(s, 120);
	w->sim = s;
	w->deadlines_at = UINT64_MAX;
	w->waiting_end = &w->waiting;
	w->gathered.b.max = 64 * MiB;
	w->config = config_of(s);
	w->env = (struct env){ .world = w, .config = &w->config, .catalog = &sim_catalog,
		.mode = s->system ? mode_system : mode_user, .listener = -1,
		.state_dir = STATE_DIR, .runtime_dir = RUNTIME_DIR, .jail_base = "/jails",
		.started_ms = world_now_ms(w), .listening = listening_cb, .stop = stop_cb,
		.stop_ctx = w };
	if (!s->calm && sim_chance(s, s->weather.call_crash))
		w->crash_in_calls = (unsigned)sim_between(s, 1, sim_chance(s, 300) ? 8 : 60);
	s->world = w;
	must(roster_house(&w->env, &hw, &w->house, &why) == OK);
	if (house_open(w->house, &why) || w->dead) {
		sim_trace(s, "sim", "the daemon did not start: %s", w->dead ? "dead" : why.text);
		sim_mark(s, MARK_crash_open);
		w->dead = true;
	}
}

static void turn_again(void *ctx UNUSED, uint64_t arg UNUSED)
{
	/* letters were left: the step ends with a turn */
}

void daemon_turn(struct sim *s)
{
	struct world *w = s->world;
	bool more = false;

	if (!w)
		return;
	if (!w->dead) {
		more = house_turn(w->house);
		if (!w->dead)
			store_flush(w);
		if (more)
			sim_after(s, 0, turn_again, w, 0);
		if (w->crash_in_events > 0 && --w->crash_in_events == 0 && !w->dead) {
			sim_mark(s, MARK_crash_event);
			w->dead = true;
		}
	}
	sim_trace(s, "sim", NULL);
	if (!w->dead && !more)
		names_step(s);
	if (w->dead) {
		daemon_crash(s);
	} else if (w->stopping && !more) {
		sim_trace(s, "sim", "daemon stops");
		sim_mark(s, MARK_clean_stop);
		drop(s, true);
		daemon_start_later(s, sim_between(s, 1, 2000));
	}
}

enum err world_path(struct world *w UNUSED, enum area p, const char *path, char *out, size_t size,
	struct why *why)
{
	if (snprintf(out, size, "%s/%s", p == STATE ? STATE_DIR : RUNTIME_DIR, path) >= (int)size)
		return fail(why, ERR_too_large, "path too long: %s", path);
	return OK;
}
