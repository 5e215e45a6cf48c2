/*
 * hung.c - guests that hang before their agent answers, and are started again within the same step
 * of the boot: under a KVM that hangs all of them; without their timer; or computing for ever.
 */
#include "base/log.h"
#include "actors/vm/vm.h"

enum {
	KVM_TRIAL_MS = 20000,
	STARTS_AGAIN_MAX = 8, /* in one boot */
	SPIN_MS = 30000, /* of CPU time: boots take 2 to 4 s of it on hosts of today */
	SPIN_TIMES = 4, /* or so much more than a guest of this host has needed */
	LOOK_AGAIN_MS = 500
};

/* With another process. */
static void start_again(struct machine *m, const char *reason)
{
	log_line(LOG_WARN, "vm", reason, "vm", m->id, NULL);
	m->relaunch = true;
	machine_vmm_end(m);
}

/*
 * KVM can open and still hang every guest (a paravirtual backend below us); only a guest that
 * reached userspace proves it. So the first boot with it is a trial, and after a failed one
 * machines of this host boot are emulated.
 */
static void trial_over(void *ctx)
{
	struct machine *m = ctx;

	m->v->kvm_hangs = true;
	m->kvm_on_trial = false;
	m->r.accel = accel_auto;
	start_again(m, "kvm hangs guests on this host, emulating from now on");
}

static bool may_start_again(const struct machine *m)
{
	return m->wants_hello && !m->relaunch && m->r.accel == accel_tcg &&
	       m->hung < STARTS_AGAIN_MAX;
}

/*
 * An emulated guest has one timer, which its kernel measures against the TSC for a tenth of a
 * second. A host that rests the VMM just then spoils the measure; the kernel gives the timer up,
 * says so, and waits for ever for its first tick.
 */
void vm_notice_lost_timer(struct machine *m)
{
	if (!may_start_again(m) ||
		!console_says(m, "APIC frequency too slow, disabling apic timer"))
		return;
	m->hung++;
	start_again(m, "guest could not measure its timer, starting it again");
}

/* CPU time that this launch may take: on a slow host the limit finds its height by itself. */
static uint64_t spin_limit_ms(const struct machine *m)
{
	return MAX((uint64_t)SPIN_MS << m->hung, SPIN_TIMES * m->v->boot_cpu_ms);
}

/*
 * On a busy host an emulated kernel stops once in some hundred boots, all of its CPUs spinning and
 * without a word. A guest that only waits takes no CPU time, so that is what is looked at.
 */
static void look_for_spin(void *ctx)
{
	struct machine *m = ctx;
	uint64_t rss, cpu_ms, limit = spin_limit_ms(m);

	if (!may_start_again(m) || !m->child || !child_usage(m->child, &rss, &cpu_ms))
		return;
	if (cpu_ms < limit) {
		world_timer(m->v->world, &m->patience,
			MAX((limit - cpu_ms) / m->r.vcpus, (uint64_t)LOOK_AGAIN_MS), look_for_spin,
			m);
		return;
	}
	m->hung++;
	start_again(m, "guest computes without end, starting it again");
}

void vm_hung_watch(struct machine *m)
{
	if (m->kvm_on_trial)
		world_timer(m->v->world, &m->patience, KVM_TRIAL_MS, trial_over, m);
	else
		look_for_spin(m);
}

void vm_hung_not(struct machine *m)
{
	uint64_t rss, cpu_ms;

	m->kvm_on_trial = false;
	world_timer_stop(&m->patience);
	if (m->r.accel == accel_tcg && m->child && child_usage(m->child, &rss, &cpu_ms))
		m->v->boot_cpu_ms = MAX(m->v->boot_cpu_ms, cpu_ms);
}
