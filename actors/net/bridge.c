/*
 * bridge.c - the one bridge: made sure of at start, whenever something that stands on it fails, and
 * when the host tells that it, or a tap of a machine, is gone. With it the host's resolver learns
 * where names under .vm are answered.
 *
 * Whether the subnet collides with somebody else's is the helper's to say, before it makes
 * anything; its words become the status and the reason of every machine that cannot start.
 */
#include "actors/net/net.h"
#include "base/log.h"
#include "proto/check.h"

/* What goes may go with others: they are looked at together, and not before it has settled. */
enum { MEND_MS = 300, MEND_MS_MAX = 60000 };

static void forget_missing(struct netd *n)
{
	while (n->missing_n > 0)
		free(n->missing[--n->missing_n]);
}

static void keep_missing(struct netd *n, const struct priv_bridged *b)
{
	forget_missing(n);
	for (uint32_t i = 0; i < b->missing.n && n->missing_n < MISSING_MAX; i++) {
		char *copy = strdup(b->missing.v[i]);

		if (copy)
			n->missing[n->missing_n++] = copy;
		log_line(LOG_WARN, "net", "another firewall drops what machines send", "missing",
			b->missing.v[i], NULL);
	}
}

/* ---- names ---- */

static void names_told(void *state, uint64_t ctx UNUSED, const struct why *why,
	const void *result UNUSED, struct arena *arena UNUSED)
{
	struct netd *n = state;

	n->names_why.code = OK;
	if (!why)
		return;
	n->names_why = *why;
	log_line(LOG_INFO, "net", "resolver not told of .vm", "why", why->text, "hint",
		why->hint[0] ? why->hint : NULL, NULL);
}

/* ---- the bridge ---- */

static void ensured(void *state, uint64_t ctx UNUSED, const struct why *why, const void *result,
	struct arena *arena UNUSED)
{
	struct netd *n = state;
	struct priv_sync_resolver names = { BRIDGE, n->env->config->dns_listen };

	if (why) {
		n->bridge = BRIDGE_UNKNOWN;
		n->why = *why;
		if (why->code == ERR_conflict)
			fail_hint(&n->why,
				"set `subnet` in config.yaml and in the helper's unit to "
				"a network that nothing on this host uses");
		log_line(LOG_WARN, "net", "no bridge", "why", why->text, NULL);
		leases_fail(n, &n->why);
		return;
	}
	n->bridge = BRIDGE_UP;
	n->why.code = OK;
	keep_missing(n, result);
	ask(n->me, LETTER_priv_sync_resolver_routing, &names, HELPER_MS, names_told, 0);
	leases_go_on(n);
}

void bridge_ensure(struct netd *n)
{
	struct priv_bridge q = { .bridge = BRIDGE };
	char address[24];

	if (n->bridge != BRIDGE_UNKNOWN)
		return;
	n->bridge = BRIDGE_ASKED;
	snprintf(address, sizeof(address), "%s/%u",
		address_text(addresses_gateway(&n->addresses)).s, n->addresses.bits);
	q.address = address;
	ask(n->me, LETTER_priv_ensure_bridge, &q, HELPER_MS, ensured, 0);
}

void bridge_doubt(struct netd *n)
{
	if (n->bridge == BRIDGE_UP)
		n->bridge = BRIDGE_UNKNOWN;
}

/* ---- what others take away ---- */

static void mend(void *ctx)
{
	struct netd *n = ctx;

	n->mend_due = false;
	log_line(LOG_INFO, "net", "mending what was taken away", NULL);
	bridge_doubt(n);
	leases_mend(n);
	bridge_ensure(n);
}

void bridge_mend_later(struct netd *n)
{
	uint64_t ms = (uint64_t)MEND_MS << MIN(n->mend_tries + 1, 10u);

	if (n->mend_due)
		return;
	n->mend_due = true;
	n->mend_tries++;
	world_timer(n->world, &n->mend, MIN(ms, (uint64_t)MEND_MS_MAX), mend, n);
}

static bool is_wanted(struct netd *n, const char *name)
{
	size_t prefix = sizeof(TAP_PREFIX) - 1;
	const struct lease *l;

	if (str_eq(name, BRIDGE))
		return n->bridge == BRIDGE_UP;
	if (strncmp(name, TAP_PREFIX, prefix) != 0)
		return false;
	l = lease_find(n, name + prefix);
	return l && l->up && l->state == LEASE_QUIET;
}

static void on_link(void *ctx, const char *name, bool there)
{
	struct netd *n = ctx;

	if (!name && n->settled)
		taps_sweep(n);
	if (name && there)
		tap_appeared(n, name);
	else if (!name || is_wanted(n, name))
		world_timer(n->world, &n->mend, MEND_MS, mend, n);
}

void bridge_watch(struct netd *n)
{
	struct why why;

	if (world_links_watch(n->world, on_link, n, &n->links, &why))
		log_line(LOG_WARN, "net", "links are not watched", "why", why.text, NULL);
}

void bridge_free(struct netd *n)
{
	world_timer_stop(&n->mend);
	world_links_unwatch(n->links);
	n->links = NULL;
	forget_missing(n);
}
