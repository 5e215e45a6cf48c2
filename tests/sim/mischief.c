/*
 * mischief.c - what goes wrong on a host, and how often: each seed has weather of its own, from
 * fair to foul.
 */
#include <signal.h>

#include "tests/sim/sim.h"

static unsigned some(struct sim *s, unsigned days, unsigned most)
{
	return sim_chance(s, days) ? (unsigned)sim_between(s, 1, most) : 0;
}

void weather_choose(struct sim *s)
{
	struct weather *w = &s->weather;

	if (sim_chance(s, 60))
		return; /* fair */
	w->crash = some(s, 500, 400);
	w->call_crash = some(s, 400, 400);
	w->kill = some(s, 500, 400);
	w->reboot = some(s, 120, 150);
	w->clock = some(s, 200, 300);
	w->silence = some(s, 200, 200);
	w->agent_restart = some(s, 200, 300);
	w->guest_end = some(s, 300, 300);
	w->disk = some(s, 250, 300);
	w->files = some(s, 150, 300);
	w->store = some(s, 200, 300);
	w->store_hard = some(s, 150, 300);
	w->never = some(s, 300, 300);
	w->panic = some(s, 250, 300);
	w->stillborn = some(s, 200, 300);
	w->lost = some(s, 250, 150);
	w->rude = some(s, 200, 100);
	w->spawn = some(s, 200, 300);
	w->worker = some(s, 300, 400);
	w->port = some(s, 200, 800);
	w->helper_dies = some(s, 350, 120);
	w->helper_refuses = some(s, 350, 150);
	w->helper_stalls = some(s, 250, 100);
	w->helper_late = some(s, 250, 500);
	w->robbed = some(s, 300, 400);
	w->cut = some(s, 500, 150);
	w->slow = some(s, 200, 500);
	w->malformed = some(s, 200, 150);
	w->delays = sim_chance(s, 500);
	w->cuts = sim_chance(s, 500);
}

static struct proc *any_vmm(struct sim *s)
{
	struct proc *p, *chosen = NULL;
	unsigned n = 0;

	TAILQ_FOREACH(p, &s->procs, entry)
		if (p->kind == PROC_VMM && !p->dying && sim_roll(s, ++n) == 0)
			chosen = p;
	return chosen;
}

static void reboot_host(struct sim *s)
{
	sim_mark(s, MARK_host_reboot);
	sim_trace(s, "sim", "the host reboots");
	if (s->world)
		daemon_crash(s);
	procs_end_all(s);
	helper_reboots(s);
	nodes_clear(s, RUNTIME);
	if (sim_chance(s, 500))
		nodes_power_loss(s);
	s->boot_at = s->now - 500; /* its own start took so long */
	snprintf(s->boot_id, sizeof(s->boot_id), "%08llx-0000-4000-8000-%012llx",
		(unsigned long long)(sim_random(s) & 0xffffffff),
		(unsigned long long)(sim_random(s) & 0xffffffffffff));
}

static void crash_soon(struct sim *s)
{
	if (!s->world)
		return;
	s->world->crash_in_events = (unsigned)sim_between(s, 1, sim_chance(s, 500) ? 5 : 150);
}

static void trouble_vmm(struct sim *s)
{
	const struct weather *w = &s->weather;
	struct proc *p = any_vmm(s);

	if (!p)
		return;
	if (sim_chance(s, w->kill)) {
		sim_mark(s, MARK_vmm_killed);
		proc_exit_later(p, 0, 128 + SIGKILL);
	} else if (sim_chance(s, w->silence)) {
		guest_silence(vmm_guest(p));
	} else if (sim_chance(s, w->agent_restart)) {
		guest_agent_again(vmm_guest(p));
	} else if (sim_chance(s, w->guest_end)) {
		guest_ends(vmm_guest(p), sim_chance(s, 500));
	}
}

static void trouble_host(struct sim *s)
{
	const struct weather *w = &s->weather;

	if (sim_chance(s, w->disk))
		s->disk_full_until = s->now + sim_between(s, 10, 4000);
	if (sim_chance(s, w->files))
		s->no_files_until = s->now + sim_between(s, 10, 2000);
	if (sim_chance(s, w->store))
		s->store_fails = true;
	if (sim_chance(s, w->store_hard))
		s->store_breaks = true;
	if (sim_chance(s, w->clock)) {
		sim_mark(s, MARK_clock_jump);
		if (sim_chance(s, 300)) /* a day, either way */
			s->wall += sim_chance(s, 500) ? 86400000 : -86400000;
		else
			s->wall += (int64_t)sim_roll(s, 8000000) - 4000000;
		if (s->world && !s->world->dead && s->world->clock_jumped)
			s->world->clock_jumped(s->world->clock_ctx);
	}
	if (sim_chance(s, w->robbed))
		helper_is_robbed(s);
	if (sim_chance(s, w->helper_dies))
		helper_dies(s);
	if (sim_chance(s, w->reboot))
		reboot_host(s);
}

static void mischief(void *ctx, uint64_t arg UNUSED)
{
	struct sim *s = ctx;
	const struct weather *w = &s->weather;

	if (s->calm)
		return;
	trouble_vmm(s);
	trouble_host(s);
	if (sim_chance(s, w->crash))
		crash_soon(s);
	if (s->world && sim_chance(s, w->call_crash))
		s->world->crash_in_calls = (unsigned)sim_between(s, 1, 40);
	sim_after(s, sim_chance(s, 500) ? sim_between(s, 5, 300) : sim_between(s, 100, 6000),
		mischief, s, 0);
}

void mischief_begin(struct sim *s)
{
	sim_after(s, s->prepared ? 8000 : sim_roll(s, 3000), mischief, s, 0);
}
