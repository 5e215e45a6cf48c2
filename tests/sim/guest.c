/*
 * guest.c - a simulated guest: how it boots, or does not; its agent, which answers openings by mark
 * and nonce and then speaks letters; and how it ends.
 */
#include "base/build.h"
#include "tests/sim/guest.h"

enum boot_fate { FATE_UP, FATE_PANIC };

struct guest *guest_new(struct proc *p)
{
	struct guest *g = calloc(1, sizeof(*g));

	must(g);
	g->p = p;
	g->sim = p->sim;
	TAILQ_INIT(&g->streams);
	return g;
}

static void drop_link(struct guest *g)
{
	struct rpc *rpc = take_ptr(&g->rpc);
	struct chan *chan = take_ptr(&g->chan);

	programs_end(g);
	g->forgot = false;
	g->finder = (struct mark_finder){ .n = 0 };
	rpc_free(rpc);
	chan_close(chan);
}

void guest_free(struct guest *g)
{
	sim_forget(g->sim, g);
	drop_link(g);
	free(g);
}

bool guest_is_connected(const struct guest *g)
{
	return g->chan || g->rpc;
}

bool guest_is_up(const struct guest *g)
{
	return g->up;
}

static void link_closed(void *ctx, const struct why *why UNUSED)
{
	struct guest *g = ctx;

	drop_link(g);
	vmm_agent_free(g->p);
}

/* ---- what the agent answers ---- */

static void answer_query(struct guest *g, enum letter_id id, uint32_t msgid)
{
	struct version version = { build_version, build_commit, build_time_ms };
	struct vm_health health = { .ok = true,
		.uptime_ms = 1000,
		.init = init_kind_systemd,
		.mounted = true,
		.processes = 20,
		.agent = version,
		.kernel = "6.1.0",
		.hostname = "guest" };
	struct vm_port port = { .proto = "tcp", .address = "*", .port = 80 };
	struct vm_ports ports = { { &port, 1 } };
	struct guest_stats stats = { .uptime_ms = 1000, .memory = GiB, .memory_used = MiB };
	const void *body = id == LETTER_agent_health ? (const void *)&health :
			   id == LETTER_agent_ports  ? (const void *)&ports :
						       (const void *)&stats;
	struct why why;

	must(rpc_answer(g->rpc, msgid, &letter_kinds[id], body, &why) == OK);
}

static void answer_ssh(struct guest *g, uint32_t msgid)
{
	static const char *key = SIM_SSH_KEY;
	struct agent_ssh_said said = {
		.user = "root", .server = true, .listens = true, .host_keys = { &key, 1 }
	};
	struct why why;

	must(rpc_answer(g->rpc, msgid, &letter_kinds[LETTER_agent_ssh], &said, &why) == OK);
}

/* The request is the low half; above it are the link that it came by, and whether they came up. */
static void services_over(void *ctx, uint64_t arg)
{
	static const char *const down = "web:80";
	struct agent_services_said said = { .down = { (const char **)(uintptr_t)&down,
						    arg >> 63 ? 0 : 1 } };
	struct guest *g = ctx;
	struct why why;

	if (!g->rpc || g->hung || g->forgot || (arg >> 32 & 0xffff) != (g->openings & 0xffff))
		return;
	if (said.down.n)
		sim_mark(g->sim, MARK_service_down);
	must(rpc_answer(g->rpc, (uint32_t)arg, &letter_kinds[LETTER_agent_services], &said, &why) ==
		OK);
}

static void await_services(struct guest *g, uint32_t msgid, struct bytes params)
{
	struct arena a = { .max = 64 * KiB };
	struct agent_services q;
	struct why why;
	bool up = g->sim->calm || !sim_chance(g->sim, 300);

	must(shape_read(&shape_agent_services, mp_over(params.p, params.n), STRICT, &a, &q, &why) ==
		OK);
	sim_after(g->sim, up ? sim_between(g->sim, 1, 2000) : q.wait_ms, services_over, g,
		(uint64_t)up << 63 | (uint64_t)(g->openings & 0xffff) << 32 | msgid);
	arena_done(&a);
}

static void end_event(void *ctx, uint64_t reboot)
{
	guest_ends(ctx, reboot);
}

static void answer_done(struct guest *g, enum letter_id id, uint32_t msgid)
{
	struct nothing none;
	struct why why;

	must(rpc_answer(g->rpc, msgid, &letter_kinds[id], &none, &why) == OK);
	if (id == LETTER_agent_clock)
		sim_mark(g->sim, MARK_clocks_set);
	if (id == LETTER_agent_grow)
		sim_mark(g->sim, MARK_disk_grew);
	/* where only a reset ends the VMM, the agent asks for that */
	if (id == LETTER_agent_shutdown && !sim_chance(g->sim, g->sim->weather.never))
		sim_after(g->sim, sim_between(g->sim, 20, 3000), end_event, g,
			vmm_is_firecracker(g->p));
}

static bool is_rude(struct guest *g, uint32_t msgid)
{
	static const uint8_t garbage[] = { 0xc1, 0x00, 0xff };
	struct sim *s = g->sim;

	if (s->calm || !sim_chance(s, s->weather.rude))
		return false;
	sim_mark(s, MARK_agent_malformed);
	if (sim_chance(s, 500))
		rpc_answer_packed(g->rpc, msgid, (struct bytes){ (const uint8_t *)"\xc3", 1 });
	else
		chan_write(rpc_chan(g->rpc), garbage, sizeof(garbage));
	return true;
}

static void on_request(void *ctx, uint32_t msgid, struct bytes method, struct bytes params)
{
	enum letter_id id = letter_by_method((const char *)method.p, method.n);
	struct guest *g = ctx;
	struct sim *s = g->sim;

	if (g->hung || g->forgot)
		return;
	if (!s->calm && sim_chance(s, s->weather.lost)) {
		sim_mark(s, MARK_answer_lost);
		return;
	}
	sim_trace(
		s, vmm_id(g->p), "the agent is asked %.*s", (int)method.n, (const char *)method.p);
	if (is_rude(g, msgid))
		return;
	if (id == LETTER_agent_health || id == LETTER_agent_ports || id == LETTER_agent_stats)
		answer_query(g, id, msgid);
	else if (id == LETTER_agent_clock || id == LETTER_agent_grow || id == LETTER_agent_shutdown)
		answer_done(g, id, msgid);
	else if (id == LETTER_agent_ssh)
		answer_ssh(g, msgid);
	else if (id == LETTER_agent_services)
		await_services(g, msgid, params);
	else if (id == LETTER_agent_exec || id == LETTER_agent_put || id == LETTER_agent_get ||
		 id == LETTER_agent_dial)
		programs_begin(g, id, msgid, params);
	else
		sim_fail(s, "the agent was asked %.*s", (int)method.n, (const char *)method.p);
}

static void on_note(void *ctx, struct bytes method, struct bytes params)
{
	struct guest *g = ctx;

	if (!g->hung && !g->forgot)
		programs_note(g, letter_by_method((const char *)method.p, method.n), params);
}

static void on_rpc_closed(void *ctx, const struct why *why)
{
	struct guest *g = ctx;

	if (why->code == ERR_malformed)
		sim_fail(g->sim, "the daemon's letters to an agent are malformed: %s", why->text);
	link_closed(ctx, why);
}

static const struct rpc_user rpc_user = {
	.request = on_request,
	.note = on_note,
	.closed = on_rpc_closed,
};

/* ---- the opening ---- */

static void say_hello(struct guest *g)
{
	struct agent_hello hello = {
		.version = { build_version, build_commit, build_time_ms },
		.boot_id = "guest-boot",
		.kernel = "6.1.0",
		.init = init_kind_systemd,
		.boot_ms = 400,
	};
	struct why why;

	must(rpc_note(g->rpc, &letter_kinds[LETTER_agent_hello], &hello, &why) == OK);
}

static size_t find_opening(void *ctx, const uint8_t *p, size_t n)
{
	struct guest *g = ctx;
	uint8_t nonce[NONCE_BYTES], opening[OPENING_BYTES];
	bool found;
	size_t used = mark_find(&g->finder, p, n, &found, nonce);

	if (!found)
		return used;
	if (sim_chance(g->sim, 300)) /* what an earlier opening left in the port */
		chan_write(g->chan, "\x94\x01\x07 left over", 13);
	mark_opening(opening, nonce);
	chan_write(g->chan, opening, sizeof(opening));
	g->rpc = rpc_new(g->chan, FRAME_BYTES_MAX, &rpc_user, g);
	must(g->rpc);
	g->chan = NULL;
	g->openings++;
	say_hello(g);
	return used;
}

static const struct chan_user opening_user = { find_opening, NULL, link_closed };

void guest_connected(struct guest *g, struct chan *c)
{
	must(!guest_is_connected(g));
	g->chan = c;
	chan_user_set(c, &opening_user, g);
	c->out_max = c->out.max = 64 * MiB;
	if (g->up && !g->hung)
		chan_pause(c, false);
}

/* ---- its life ---- */

static void agent_up(struct guest *g)
{
	g->up = true;
	vmm_port_event(g->p, true);
	if (g->chan)
		chan_pause(g->chan, false);
}

static void panic(struct guest *g)
{
	sim_mark(g->sim, MARK_guest_panic);
	vmm_console(g->p, "[    0.9] Kernel panic - not syncing: no init found\r\n");
	vmm_shutdown_event(g->p, true);
	proc_exit_later(g->p, sim_between(g->sim, 1, 20), 0);
}

static void booted(void *ctx, uint64_t fate)
{
	struct guest *g = ctx;

	if (fate == FATE_PANIC)
		panic(g);
	else
		agent_up(g);
}

static void print_more(void *ctx, uint64_t left)
{
	struct guest *g = ctx;

	vmm_console(g->p, "[    0.1] a line of the guest's kernel, as it comes\r\n");
	if (left > 0)
		sim_after(g->sim, sim_between(g->sim, 1, 200), print_more, g, left - 1);
}

/* It hangs, also in calm weather: started again it will boot. */
static void lose_timer(void *ctx, uint64_t arg UNUSED)
{
	struct guest *g = ctx;

	vmm_console(g->p, "[    0.2] APIC frequency too slow, disabling apic timer\r\n");
}

void guest_boot(struct guest *g)
{
	struct sim *s = g->sim;
	bool kvm = vmm_is_firecracker(g->p) || strstr(g->p->command, "-accel kvm");

	if (!kvm && sim_chance(s, 50)) {
		sim_mark(s, MARK_timer_lost);
		sim_after(s, sim_between(s, 1, 50), lose_timer, g, 0);
		return;
	}
	sim_after(s, sim_between(s, 1, 50), print_more, g, sim_roll(s, 8));
	if (!kvm && sim_chance(s, 30)) { /* also in calm weather: started again it will boot */
		sim_mark(s, MARK_spins);
		g->p->spins_since = s->now;
		return;
	}
	if ((kvm && s->kvm_hangs) || (!s->calm && sim_chance(s, s->weather.never))) {
		sim_mark(s, MARK_boot_never);
		return;
	}
	sim_after(s, sim_between(s, 100, sim_chance(s, 50) ? 70000 : 3000), booted, g,
		!s->calm && sim_chance(s, s->weather.panic) ? FATE_PANIC : FATE_UP);
}

void guest_silence(struct guest *g)
{
	if (g->up)
		sim_mark(g->sim, MARK_agent_silent);
	g->hung = true;
}

void guest_agent_again(struct guest *g)
{
	if (!g->up || g->hung)
		return;
	sim_mark(g->sim, MARK_agent_restart);
	programs_end(g);
	g->forgot = true;
	g->finder = (struct mark_finder){ .n = 0 };
	vmm_port_event(g->p, false);
	vmm_port_event(g->p, true);
}

void guest_ends(struct guest *g, bool reboot)
{
	sim_mark(g->sim, reboot ? MARK_guest_reboot : MARK_guest_off);
	vmm_shutdown_event(g->p, reboot);
	if (vmm_is_firecracker(g->p) && !reboot) {
		sim_mark(g->sim, MARK_fc_halted);
		g->hung = true;
		return;
	}
	proc_exit_later(g->p, sim_between(g->sim, 1, 30), 0);
}
