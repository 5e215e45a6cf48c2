/*
 * network.c - a machine's network. In user mode the VMM brings one that needs nobody; in system
 * mode the net actor gives it an address and a tap, kept as long as the machine exists.
 */
#include "actors/vm/vm.h"
#include "base/log.h"
#include "base/text.h"

enum { NET_MS = 180000 };

bool machine_leases(const struct machine *m)
{
	return m->v->env->mode == mode_system && m->r.net == net_nat;
}

static void keep(struct machine *m, const struct net_leased *l)
{
	struct machine_net *n = &m->net;
	char address[16];
	size_t used = 0;

	snprintf(address, sizeof(address), "%.*s", (int)strcspn(l->address, "/"), l->address);
	if (!machine_set_address(m, address))
		log_line(LOG_WARN, "vm", "no name leads to its address", "vm", m->id, "address",
			address, NULL);
	str_copy(n->tap, sizeof(n->tap), l->tap);
	str_copy(n->address, sizeof(n->address), l->address);
	str_copy(n->gateway, sizeof(n->gateway), l->gateway);
	str_copy(n->mac, sizeof(n->mac), l->mac);
	n->dns[0] = '\0';
	for (uint32_t i = 0; i < l->dns.n; i++)
		used += (size_t)snprintf(
			n->dns + used, sizeof(n->dns) - used, "%s%s", i ? "," : "", l->dns.v[i]);
	must(used < sizeof(n->dns));
}

/* ---- steps ---- */

static void leased(
	void *state, uint64_t ctx, const struct why *why, const void *result, struct arena *arena)
{
	struct machine *m = vm_awaited(state, ctx);

	if (m && !why)
		keep(m, result);
	vm_step_answered(state, ctx, why, result, arena);
}

enum flow_said vm_lease_address(void *owner UNUSED, struct flow *f)
{
	struct machine *m = f->subject;
	struct net_lease q = { .vm = m->id, .out = true };

	if (!machine_leases(m))
		return FLOW_DONE;
	ask(m->v->me, LETTER_net_lease, &q, NET_MS, leased, vm_late_name(m, f));
	return FLOW_WAIT;
}

enum flow_said vm_return_address(void *owner UNUSED, struct flow *f)
{
	struct machine *m = f->subject;
	struct net_release q = { m->id };

	m->net.tap[0] = m->net.address[0] = '\0';
	if (!machine_leases(m))
		return FLOW_DONE;
	machine_set_address(m, NULL);
	ask(m->v->me, LETTER_net_release, &q, NET_MS, vm_step_answered, vm_late_name(m, f));
	return FLOW_WAIT;
}

/* ---- after a start of the daemon ---- */

static void mended(void *state, uint64_t ctx, const struct why *why, const void *result,
	struct arena *arena UNUSED)
{
	struct machine *m = machine_by_serial(state, (uint32_t)ctx);

	if (m && !why)
		keep(m, result);
	else if (m)
		log_line(LOG_WARN, "vm", "network not made sure of", "vm", m->id, "why", why->text,
			NULL);
}

void machine_mend_network(struct machine *m)
{
	struct net_lease q = { .vm = m->id, .out = true, .has_runs = true, .runs = true };

	if (machine_leases(m))
		ask(m->v->me, LETTER_net_lease, &q, NET_MS, mended, m->serial);
}

static void settled(void *state UNUSED, uint64_t ctx UNUSED, const struct why *why,
	const void *result UNUSED, struct arena *arena UNUSED)
{
	if (why)
		log_line(LOG_WARN, "vm", "leases not settled", "why", why->text, NULL);
}

void vm_settle_network(struct vmd *v)
{
	struct arena a = { .max = MiB };
	struct net_settle q = { .vms = { .v = arena_take(
						 &a, (v->by_id.count + 1) * sizeof(char *)) } };

	if (v->env->mode == mode_system && q.vms.v) {
		for (struct link *k = table_next(&v->by_id, NULL); k; k = table_next(&v->by_id, k))
			q.vms.v[q.vms.n++] = CONTAINER_OF(k, struct machine, by_id)->id;
		ask(v->me, LETTER_net_settle, &q, NET_MS, settled, 0);
	}
	arena_done(&a);
}

/* ---- what the guest is told ---- */

void machine_network_words(const struct machine *m, struct buf *line)
{
	if (m->r.net != net_nat)
		return;
	if (!m->net.address[0]) { /* QEMU's own, the same for every machine */
		buf_str(line, " banger.ip=10.0.2.15/24 banger.gw=10.0.2.2 banger.dns=10.0.2.3");
		return;
	}
	buf_fmt(line, " banger.ip=%s banger.gw=%s", m->net.address, m->net.gateway);
	if (m->net.dns[0])
		buf_fmt(line, " banger.dns=%s", m->net.dns);
}
