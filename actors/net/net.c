/*
 * net.c - the net actor: the network of an installed system's machines (rows D1, D4, D5).
 *
 * What it is for: one bridge, an address and a tap for each machine that wants one, and nothing on
 * the host that no machine wants. What needs root it asks the priv actor for; addresses are kept in
 * the store. In user mode it has nothing to do and does nothing.
 */
#include "actors/net/net.h"

#include "base/log.h"
#include "proto/check.h"

/* ---- start ---- */

static void forgotten(void *state UNUSED, uint64_t ctx UNUSED, const struct why *why,
	const void *result UNUSED, struct arena *arena UNUSED)
{
	if (why)
		log_line(LOG_ERROR, "net", "record not removed", "why", why->text, NULL);
}

static void forget(struct netd *n, const char *vm)
{
	struct arena a = { .max = 4 * KiB };
	struct store_put put;
	struct why why;

	if (record_put(&put, store_table_lease, vm, &shape_lease_record, NULL, &a, &why) == OK)
		record_write(n->me, &put, 1, forgotten, 0);
	arena_done(&a);
}

static void take_lease(void *ctx, const char *key, const void *record)
{
	const struct lease_record *r = record;
	struct netd *n = ctx;
	struct why why;
	uint32_t address;

	must(parse_ipv4(r->address, strlen(r->address), &address));
	if (!addresses_take(&n->addresses, address)) {
		/* of another subnet, before the configuration changed */
		log_line(LOG_INFO, "net", "lease passed over", "vm", key, "address", r->address,
			NULL);
		forget(n, key);
		return;
	}
	if (!lease_new(n, r->vm, address, r->made, &why)) {
		addresses_give(&n->addresses, address);
		log_line(LOG_ERROR, "net", "lease not loaded", "vm", key, "why", why.text, NULL);
	}
}

static void loaded(void *ctx, const struct why *why)
{
	struct netd *n = ctx;

	if (why)
		log_line(LOG_ERROR, "net", "leases not read", "why", why->text, NULL);
	waiting_end(&n->early, n, why);
	if (!why)
		bridge_ensure(n);
}

/* ---- letters ---- */

static bool is_among(const char *vm, const struct net_settle *q)
{
	for (uint32_t i = 0; i < q->vms.n; i++)
		if (str_eq(q->vms.v[i], vm))
			return true;
	return false;
}

/* The vm actor has read its records: what no machine has goes. */
static void on_settle(void *state, const struct letter *letter, const void *body)
{
	struct netd *n = state;
	struct nothing none;
	struct link *k, *next;

	if (waiting_took(&n->early, letter, on_settle))
		return;
	for (k = table_next(&n->by_vm, NULL); k; k = next) {
		struct lease *l = CONTAINER_OF(k, struct lease, by_vm);

		next = table_next(&n->by_vm, k);
		if (l->state != LEASE_QUIET || is_among(l->vm, body))
			continue;
		log_line(LOG_INFO, "net", "lease of nobody", "vm", l->vm, NULL);
		lease_leave(l);
	}
	n->settled = true;
	taps_sweep(n);
	answer(n->me, letter->reply, &none);
}

static void on_status(void *state, const struct letter *letter, const void *body UNUSED)
{
	struct netd *n = state;
	struct address_text gateway = address_text(addresses_gateway(&n->addresses));
	struct address_text texts[RESOLVERS_MAX];
	const char *dns[RESOLVERS_MAX];
	uint32_t servers[RESOLVERS_MAX];
	char subnet[24];
	struct net_status s = { .up = n->bridge == BRIDGE_UP,
		.bridge = BRIDGE,
		.subnet = subnet,
		.gateway = gateway.s,
		.leases = n->by_vm.count,
		.leaving = n->leaving_n,
		.most = MIN(addresses_most(&n->addresses), (uint32_t)TAPS_MAX),
		.why = n->why.code ? n->why.text : NULL,
		.names_why = n->names_why.code ? n->names_why.text : NULL,
		.dns = { dns, 0 } };
	const char *missing[MISSING_MAX];

	for (unsigned i = 0; i < n->missing_n; i++)
		missing[i] = n->missing[i];
	s.missing.v = missing;
	s.missing.n = n->missing_n;
	snprintf(subnet, sizeof(subnet), "%s/%u", address_text(n->addresses.net).s,
		n->addresses.bits);
	s.dns.n = world_resolvers(n->world, servers);
	for (uint32_t i = 0; i < s.dns.n; i++) {
		texts[i] = address_text(servers[i]);
		dns[i] = texts[i].s;
	}
	answer(n->me, letter->reply, &s);
}

/* ---- class ---- */

static enum err net_open(void *state, struct actor *me, void *env, struct why *why)
{
	struct netd *n = state;
	uint64_t seeds[3];
	const char *text;
	unsigned bits;
	uint32_t net;

	n->me = me;
	n->env = env;
	n->world = n->env->world;
	text = n->env->config->subnet;
	must(parse_subnet(text, strlen(text), &net, &bits));
	TAILQ_INIT(&n->queue);
	TAILQ_INIT(&n->leaving);
	world_random(n->world, seeds, sizeof(seeds));
	table_init(&n->by_vm, seeds[0]);
	table_init(&n->by_serial, seeds[1]);
	table_init(&n->leaving_by_serial, seeds[2]);
	waiting_init(&n->early, me);
	if (!addresses_init(&n->addresses, net, bits))
		return fail(why, ERR_no_memory, "no memory for a subnet's addresses");
	if (n->env->mode != mode_system) {
		waiting_end(&n->early, n, NULL);
		return OK;
	}
	bridge_watch(n);
	n->scan = (struct record_scan){ .me = me,
		.table = store_table_lease,
		.shape = &shape_lease_record,
		.row = take_lease,
		.done = loaded,
		.ctx = n };
	record_scan(&n->scan);
	return OK;
}

static void net_close(void *state)
{
	struct netd *n = state;

	bridge_free(n);
	waiting_done(&n->early);
	leases_free(n);
	taps_free(n);
	table_done(&n->by_vm);
	table_done(&n->by_serial);
	table_done(&n->leaving_by_serial);
	addresses_done(&n->addresses);
}

static void net_verify(const void *state)
{
	const struct netd *n = state;
	const struct lease *l;
	const struct leaving *t;
	uint32_t queued = 0, working = 0, leaving = 0, in_queue = 0;

	must(n->by_vm.count == n->by_serial.count && n->by_vm.count == n->addresses.taken);
	for (const struct link *k = table_next(&n->by_vm, NULL); k; k = table_next(&n->by_vm, k)) {
		l = CONTAINER_OF(k, struct lease, by_vm);
		queued += l->state == LEASE_QUEUED;
		working += l->state == LEASE_TAP || l->state == LEASE_NAT;
		must(l->state != LEASE_QUIET || (!l->asker.serial && !l->leaver.serial));
	}
	TAILQ_FOREACH(l, &n->queue, entry)
	in_queue++;
	TAILQ_FOREACH(t, &n->leaving, entry)
	leaving++;
	must(queued == in_queue && working == n->working && working <= WORKING_MAX);
	must(leaving == n->leaving_n && leaving == n->leaving_by_serial.count);
	must(queued == 0 || n->bridge == BRIDGE_ASKED || working > 0);
}

static const struct handler handlers[] = {
	{ LETTER_net_settle, on_settle },
	{ LETTER_net_lease, net_on_lease },
	{ LETTER_net_release, net_on_release },
	{ LETTER_net_status, on_status },
	{ 0, NULL },
};

const struct actor_class net_actor = {
	.name = "net",
	.state = sizeof(struct netd),
	.mail = 4096,
	.on = handlers,
	.open = net_open,
	.close = net_close,
	.verify = net_verify,
};
