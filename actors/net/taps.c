/*
 * taps.c - taps that nobody has any more. Deleting one costs the kernel 23 ms, a hundred together
 * hardly more: so nobody waits for it, and the helper is asked for all of them at once, since it
 * deletes what waits together. A tap that goes still counts among the most that there may be.
 */
#include "actors/net/net.h"
#include "base/log.h"
#include "base/text.h"

enum { AGAIN_MS = 500, AGAIN_MS_MAX = 60000 };

static void delete_more(struct netd *n);

static void leaving_free(struct leaving *t)
{
	struct netd *n = t->n;

	world_timer_stop(&t->again);
	table_del(&n->leaving_by_serial, &t->by_serial);
	TAILQ_REMOVE(&n->leaving, t, entry);
	n->leaving_n--;
	free(t);
}

static void try_again(void *ctx)
{
	struct leaving *t = ctx;

	t->asked = false;
	delete_more(t->n);
}

static void deleted(void *state, uint64_t ctx, const struct why *why, const void *result UNUSED,
	struct arena *arena UNUSED)
{
	struct netd *n = state;
	uint32_t serial = (uint32_t)ctx;
	struct link *k = table_get(&n->leaving_by_serial, &serial, sizeof(serial));
	struct leaving *t = k ? CONTAINER_OF(k, struct leaving, by_serial) : NULL;

	n->deleting--;
	if (t && (!why || why->code == ERR_not_found || why->code == ERR_not_owned)) {
		if (why)
			log_line(LOG_WARN, "net", "tap left alone", "tap", t->tap, "why", why->text,
				NULL);
		leaving_free(t);
	} else if (t) {
		log_line(LOG_WARN, "net", "tap not deleted", "tap", t->tap, "why", why->text, NULL);
		world_timer(n->world, &t->again,
			MIN((uint64_t)AGAIN_MS << MIN(t->tries, 10u), (uint64_t)AGAIN_MS_MAX),
			try_again, t);
		t->tries++;
	}
	delete_more(n);
}

static void delete_more(struct netd *n)
{
	struct leaving *t;

	TAILQ_FOREACH(t, &n->leaving, entry)
	{
		struct priv_tap q = { t->tap };

		if (n->deleting >= DELETING_MAX)
			return;
		if (t->asked)
			continue;
		t->asked = true;
		n->deleting++;
		ask(n->me, LETTER_priv_delete_tap, &q, HELPER_MS, deleted, t->serial);
	}
}

void tap_leave(struct netd *n, const char *tap)
{
	struct leaving *t = calloc(1, sizeof(*t));

	if (!t) { /* the next start finds it: no lease names it */
		log_line(LOG_ERROR, "net", "no memory to delete a tap", "tap", tap, NULL);
		return;
	}
	t->n = n;
	t->serial = ++n->next_serial;
	str_copy(t->tap, sizeof(t->tap), tap);
	if (!table_add(&n->leaving_by_serial, &t->by_serial, &t->serial, sizeof(t->serial))) {
		log_line(LOG_ERROR, "net", "no memory to delete a tap", "tap", tap, NULL);
		free(t);
		return;
	}
	TAILQ_INSERT_TAIL(&n->leaving, t, entry);
	n->leaving_n++;
	delete_more(n);
}

bool tap_is_leaving(const struct netd *n, const char *tap)
{
	const struct leaving *t;

	TAILQ_FOREACH(t, &n->leaving, entry)
	if (str_eq(t->tap, tap))
		return true;
	return false;
}

static void sweep_one(void *ctx, const char *name)
{
	size_t prefix = sizeof(TAP_PREFIX) - 1;
	struct netd *n = ctx;

	if (strncmp(name, TAP_PREFIX, prefix) != 0 || lease_find(n, name + prefix) ||
		tap_is_leaving(n, name) || type_ok(&type_tap_name, "tap", name, NULL))
		return;
	log_line(LOG_INFO, "net", "tap of nobody", "tap", name, NULL);
	tap_leave(n, name);
}

/*
 * A request of an earlier daemon, which a helper that had stalled acts on only now, makes a tap
 * that nobody waits for.
 */
void tap_appeared(struct netd *n, const char *name)
{
	if (n->settled)
		sweep_one(n, name);
}

void taps_sweep(struct netd *n)
{
	struct why why;

	if (world_links(n->world, sweep_one, n, &why))
		log_line(LOG_WARN, "net", "cannot look for leftovers", "why", why.text, NULL);
}

void taps_free(struct netd *n)
{
	struct leaving *t;

	while ((t = TAILQ_FIRST(&n->leaving)) != NULL)
		leaving_free(t);
}
