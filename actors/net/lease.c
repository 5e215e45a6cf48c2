/*
 * lease.c - a machine's address and tap, from the record on disk to the helper's rules, and back.
 *
 * Every ask makes sure of all of it (the bridge, the tap, its address in the rules): what is there
 * already costs the helper next to nothing, and what somebody took away is made anew.
 */
#include "actors/net/net.h"
#include "base/log.h"
#include "base/text.h"
#include "proto/check.h"

struct address_text address_text(uint32_t v)
{
	struct address_text t;

	snprintf(t.s, sizeof(t.s), "%u.%u.%u.%u", v >> 24, v >> 16 & 255, v >> 8 & 255, v & 255);
	return t;
}

struct lease *lease_find(struct netd *n, const char *vm)
{
	struct link *k = table_get(&n->by_vm, vm, strlen(vm));

	return k ? CONTAINER_OF(k, struct lease, by_vm) : NULL;
}

static struct lease *by_serial(struct netd *n, uint64_t ctx)
{
	uint32_t serial = (uint32_t)ctx;
	struct link *k = table_get(&n->by_serial, &serial, sizeof(serial));

	return k ? CONTAINER_OF(k, struct lease, by_serial) : NULL;
}

struct lease *lease_new(
	struct netd *n, const char *vm, uint32_t address, uint64_t made, struct why *why)
{
	struct lease *l = calloc(1, sizeof(*l));

	if (!l)
		goto fail;
	l->n = n;
	l->address = address;
	l->made = made;
	l->serial = ++n->next_serial;
	str_copy(l->vm, sizeof(l->vm), vm);
	snprintf(l->tap, sizeof(l->tap), TAP_PREFIX "%s", vm);
	if (!table_add(&n->by_vm, &l->by_vm, l->vm, strlen(l->vm)))
		goto fail;
	if (table_add(&n->by_serial, &l->by_serial, &l->serial, sizeof(l->serial)))
		return l;
	table_del(&n->by_vm, &l->by_vm);
fail:
	free(l);
	fail(why, ERR_no_memory, "no memory for a lease");
	return NULL;
}

static void lease_free(struct lease *l)
{
	struct netd *n = l->n;

	if (l->state == LEASE_QUEUED)
		TAILQ_REMOVE(&n->queue, l, entry);
	table_del(&n->by_vm, &l->by_vm);
	table_del(&n->by_serial, &l->by_serial);
	addresses_give(&n->addresses, l->address);
	free(l);
}

void leases_free(struct netd *n)
{
	struct link *k;

	while ((k = table_next(&n->by_vm, NULL)) != NULL)
		lease_free(CONTAINER_OF(k, struct lease, by_vm));
}

/* ---- answers ---- */

static void refuse_asker(struct lease *l, const struct why *why)
{
	refuse(l->n->me, l->asker, why);
	l->asker.serial = 0;
}

static void answer_asker(struct lease *l)
{
	const struct addresses *a = &l->n->addresses;
	struct address_text own = address_text(l->address);
	struct address_text gateway = address_text(addresses_gateway(a)), texts[RESOLVERS_MAX];
	char cidr[24], mac[18];
	const char *dns[RESOLVERS_MAX];
	uint32_t servers[RESOLVERS_MAX];
	uint8_t m[6];
	struct net_leased r = { l->tap, cidr, gateway.s, mac, { dns, 0 } };

	if (!l->asker.serial)
		return;
	snprintf(cidr, sizeof(cidr), "%s/%u", own.s, a->bits);
	guest_mac(l->address, m);
	snprintf(mac, sizeof(mac), "%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4],
		m[5]);
	r.dns.n = world_resolvers(l->n->world, servers);
	for (uint32_t i = 0; i < r.dns.n; i++) {
		texts[i] = address_text(servers[i]);
		dns[i] = texts[i].s;
	}
	answer(l->n->me, l->asker, &r);
	l->asker.serial = 0;
}

/* ---- the record ---- */

static enum err write_record(struct lease *l, bool there, answer_fn *fn, struct why *why)
{
	struct arena a = { .max = 16 * KiB };
	struct address_text text = address_text(l->address);
	struct lease_record r = { l->vm, text.s, l->made };
	struct store_put put;
	enum err e = record_put(
		&put, store_table_lease, l->vm, &shape_lease_record, there ? &r : NULL, &a, why);

	if (!e)
		record_write(l->n->me, &put, 1, fn, l->serial);
	arena_done(&a);
	return e;
}

/* ---- end ---- */

static void forgotten(void *state, uint64_t ctx, const struct why *why, const void *result UNUSED,
	struct arena *arena UNUSED)
{
	struct netd *n = state;
	struct lease *l = by_serial(n, ctx);
	struct nothing none;

	if (!l)
		return;
	if (why) {
		log_line(LOG_ERROR, "net", "lease not ended", "vm", l->vm, "why", why->text, NULL);
		l->state = LEASE_QUIET;
		refuse(n->me, l->leaver, why);
		l->leaver.serial = 0;
		return;
	}
	answer(n->me, l->leaver, &none);
	tap_leave(n, l->tap);
	lease_free(l);
}

void lease_leave(struct lease *l)
{
	struct why why;

	fail(&why, ERR_cancelled, "the lease of machine %s ends", l->vm);
	refuse_asker(l, &why);
	l->state = LEASE_LEAVING;
	if (write_record(l, false, forgotten, &why) == OK)
		return;
	l->state = LEASE_QUIET;
	refuse(l->n->me, l->leaver, &why);
	l->leaver.serial = 0;
}

/* Nothing is under way with it any more. True: it is wanted no more, and ends. */
static bool rest(struct lease *l)
{
	l->state = LEASE_QUIET;
	if (l->leaver.serial == 0)
		return false;
	lease_leave(l);
	return true;
}

/* ---- making sure ---- */

static void enqueue(struct lease *l)
{
	l->state = LEASE_QUEUED;
	TAILQ_INSERT_TAIL(&l->n->queue, l, entry);
}

static void failed(struct lease *l, const struct why *why)
{
	bool runs = l->up && (l->runs || !l->asker.serial);

	l->up = runs;
	if (rest(l))
		return;
	log_line(LOG_WARN, "net", "no network", "vm", l->vm, "why", why->text, NULL);
	refuse_asker(l, why);
	if (runs)
		bridge_mend_later(l->n);
}

/* A step is over: go on with the others, and try once more where the bridge had gone. */
static bool went_wrong(struct lease *l, const struct why *why)
{
	struct netd *n = l->n;

	n->working--;
	if (!why)
		return false;
	if (!l->again && !l->leaver.serial &&
		(str_eq(why->field, "bridge") || str_eq(why->field, "tap"))) {
		l->again = true;
		bridge_doubt(n);
		enqueue(l);
	} else {
		failed(l, why);
	}
	leases_go_on(n);
	return true;
}

static void bound(void *state, uint64_t ctx, const struct why *why, const void *result UNUSED,
	struct arena *arena UNUSED)
{
	struct netd *n = state;
	struct lease *l = by_serial(n, ctx);

	must(l); /* it does not end while the helper works on it */
	if (went_wrong(l, why))
		return;
	l->up = true;
	n->mend_tries = 0;
	if (!rest(l))
		answer_asker(l);
	leases_go_on(n);
}

static void tapped(void *state, uint64_t ctx, const struct why *why, const void *result UNUSED,
	struct arena *arena UNUSED)
{
	struct lease *l = by_serial(state, ctx);
	struct address_text address;
	struct priv_nat q = { .enable = true };

	must(l);
	if (went_wrong(l, why))
		return;
	address = address_text(l->address);
	q.guest_ip = address.s;
	q.tap = l->tap;
	q.enable = l->out;
	l->state = LEASE_NAT;
	l->n->working++;
	ask(l->n->me, LETTER_priv_ensure_nat, &q, HELPER_MS, bound, l->serial);
}

static void begin(struct lease *l)
{
	struct priv_create_tap q = { l->tap, BRIDGE };

	TAILQ_REMOVE(&l->n->queue, l, entry);
	l->state = LEASE_TAP;
	l->n->working++;
	ask(l->n->me, LETTER_priv_create_tap, &q, HELPER_MS, tapped, l->serial);
}

void leases_go_on(struct netd *n)
{
	struct lease *l;

	if (TAILQ_EMPTY(&n->queue))
		return;
	if (n->bridge != BRIDGE_UP) {
		bridge_ensure(n);
		return;
	}
	while (n->working < WORKING_MAX && (l = TAILQ_FIRST(&n->queue)) != NULL)
		begin(l);
}

void leases_fail(struct netd *n, const struct why *why)
{
	struct lease *l;

	while ((l = TAILQ_FIRST(&n->queue)) != NULL) {
		TAILQ_REMOVE(&n->queue, l, entry);
		l->state = LEASE_QUIET;
		failed(l, why);
	}
}

void leases_mend(struct netd *n)
{
	for (struct link *k = table_next(&n->by_vm, NULL); k; k = table_next(&n->by_vm, k)) {
		struct lease *l = CONTAINER_OF(k, struct lease, by_vm);

		if (l->up && l->state == LEASE_QUIET)
			enqueue(l);
	}
}

/* ---- letters ---- */

static void written(void *state, uint64_t ctx, const struct why *why, const void *result UNUSED,
	struct arena *arena UNUSED)
{
	struct lease *l = by_serial(state, ctx);

	must(l);
	if (why) {
		/* it may be on disk all the same: the next start's settling ends it */
		refuse_asker(l, why);
		answer(l->n->me, l->leaver, &(struct nothing){});
		lease_free(l);
		return;
	}
	if (rest(l))
		return;
	enqueue(l);
	leases_go_on(l->n);
}

static enum err may_lease(const struct netd *n, struct why *why)
{
	uint32_t most = MIN(addresses_most(&n->addresses), (uint32_t)TAPS_MAX);

	if (n->env->mode != mode_system)
		return fail(
			why, ERR_unsupported, "this daemon has no network of its own for machines");
	if (n->by_vm.count + n->leaving_n < TAPS_MAX && n->by_vm.count < most)
		return OK;
	fail(why, ERR_busy,
		"%u machines have a network and %u taps are being deleted; there may be "
		"%u",
		n->by_vm.count, n->leaving_n, most);
	return fail_hint(why, "delete machines, or give this one no network: --net none");
}

static void lease_first(struct netd *n, const struct net_lease *q, struct reply_to reply)
{
	struct lease *l = NULL;
	uint32_t address;
	struct why why;
	enum err e = may_lease(n, &why);

	if (!e) {
		must(addresses_find(&n->addresses, &address));
		l = lease_new(n, q->vm, address, world_unix_ms(n->world), &why);
		if (!l)
			addresses_give(&n->addresses, address);
	}
	if (!l) {
		refuse(n->me, reply, &why);
		return;
	}
	l->asker = reply;
	l->out = q->out;
	l->runs = l->up = q->has_runs && q->runs;
	l->state = LEASE_WRITING;
	if (write_record(l, true, written, &why)) {
		refuse_asker(l, &why);
		lease_free(l);
	}
}

void net_on_lease(void *state, const struct letter *letter, const void *body)
{
	const struct net_lease *q = body;
	struct netd *n = state;
	struct lease *l;
	struct why why;

	if (waiting_took(&n->early, letter, net_on_lease))
		return;
	l = lease_find(n, q->vm);
	if (!l) {
		lease_first(n, q, letter->reply);
		return;
	}
	if (l->state == LEASE_LEAVING || l->leaver.serial) {
		fail(&why, ERR_conflict, "the lease of machine %s ends", l->vm);
		refuse(n->me, letter->reply, &why);
		return;
	}
	fail(&why, ERR_cancelled, "the machine's network was asked for again");
	refuse_asker(l, &why);
	l->asker = letter->reply;
	l->out = q->out;
	l->runs = q->has_runs && q->runs;
	l->up |= l->runs;
	l->again = false;
	if (l->state != LEASE_QUIET)
		return; /* its end is this one's answer too */
	enqueue(l);
	leases_go_on(n);
}

void net_on_release(void *state, const struct letter *letter, const void *body)
{
	const struct net_release *q = body;
	struct netd *n = state;
	struct nothing none;
	struct lease *l;
	struct why why;

	if (waiting_took(&n->early, letter, net_on_release))
		return;
	l = lease_find(n, q->vm);
	if (!l) {
		answer(n->me, letter->reply, &none);
		return;
	}
	fail(&why, ERR_cancelled, "asked for again");
	refuse(n->me, l->leaver, &why);
	l->leaver = letter->reply;
	if (l->state == LEASE_QUEUED) {
		TAILQ_REMOVE(&n->queue, l, entry);
		l->state = LEASE_QUIET;
	}
	if (l->state == LEASE_QUIET)
		lease_leave(l);
}
