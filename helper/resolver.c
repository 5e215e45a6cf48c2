/*
 * resolver.c - priv.sync_resolver_routing and priv.clear_resolver_routing: what systemd-resolved is
 * told over D-Bus about the bridge's link. Names under .vm go to the responder, and nothing else
 * does.
 *
 * The bus may hang, so a child speaks to it, with a deadline.
 */
#include <net/if.h>
#include <netinet/in.h>

#include "base/text.h"
#include "helper/bus.h"
#include "helper/net.h"
#include "helper/task.h"
#include "helper/undo.h"
#include "helper/verbs.h"
#include "proto/check.h"

enum { DNS_PORT = 53 };

#define RESOLVED \
	"org.freedesktop.resolve1", "/org/freedesktop/resolve1", "org.freedesktop.resolve1.Manager"

struct job {
	struct call *call;
	struct helper *h;
	char bridge[NIC_NAME], resolver[32];
	int index;
	bool set; /* else revert */
};

/* ---- on the bus ---- */

static enum err resolved_failed(const sd_bus_error *error, int r, struct why *why)
{
	const char *name = error->name ? error->name : "";

	if (str_eq(name, SD_BUS_ERROR_UNKNOWN_METHOD))
		return fail(why, ERR_unsupported,
			"this systemd-resolved takes no port (systemd 246 or newer does)");
	if (str_eq(name, "org.freedesktop.resolve1.LinkBusy"))
		return fail_field(
			why, ERR_conflict, "bridge", "systemd-networkd manages the link itself");
	return bus_failed("systemd-resolved", error, r, why);
}

static int set_server(sd_bus *bus, const struct job *j, sd_bus_error *error)
{
	const char *colon = strchr(j->resolver, ':');
	size_t n = colon ? (size_t)(colon - j->resolver) : strlen(j->resolver);
	uint64_t port = DNS_PORT;
	uint32_t a = 0;

	(void)!parse_ipv4(j->resolver, n, &a);
	if (colon)
		(void)!parse_u64(colon + 1, &port, NULL);
	if (port == DNS_PORT) /* which every resolved understands */
		return sd_bus_call_method(bus, RESOLVED, "SetLinkDNS", error, NULL, "ia(iay)",
			j->index, 1, AF_INET, 4, a >> 24, a >> 16 & 255, a >> 8 & 255, a & 255);
	return sd_bus_call_method(bus, RESOLVED, "SetLinkDNSEx", error, NULL, "ia(iayqs)", j->index,
		1, AF_INET, 4, a >> 24, a >> 16 & 255, a >> 8 & 255, a & 255, (int)port, "");
}

/* Only what a link of machines is for; a resolved that lacks one of these had it never on. */
static void set_the_rest(sd_bus *bus, const struct job *j)
{
	static const char *const off[] = { "SetLinkLLMNR", "SetLinkMulticastDNS", "SetLinkDNSSEC",
		"SetLinkDNSOverTLS" };

	(void)sd_bus_call_method(
		bus, RESOLVED, "SetLinkDefaultRoute", NULL, NULL, "ib", j->index, 0);
	for (size_t i = 0; i < COUNT(off); i++)
		(void)sd_bus_call_method(bus, RESOLVED, off[i], NULL, NULL, "is", j->index, "no");
	(void)sd_bus_call_method(bus, RESOLVED, "FlushCaches", NULL, NULL, "");
}

static enum err speak(const struct job *j, struct why *why)
{
	sd_bus_error error = SD_BUS_ERROR_NULL;
	sd_bus *bus = NULL;
	enum err e = bus_open("systemd-resolved", &bus, why);
	int r;

	if (e)
		return e;
	if (j->set) {
		r = set_server(bus, j, &error);
		if (r >= 0)
			r = sd_bus_call_method(bus, RESOLVED, "SetLinkDomains", &error, NULL,
				"ia(sb)", j->index, 1, "vm", 1);
		if (r >= 0)
			set_the_rest(bus, j);
	} else {
		r = sd_bus_call_method(bus, RESOLVED, "RevertLink", &error, NULL, "i", j->index);
	}
	if (r < 0)
		e = resolved_failed(&error, r, why);
	sd_bus_error_free(&error);
	sd_bus_close_unref(bus);
	return e;
}

static enum err work(void *arg, struct buf *result UNUSED, int *ret_fd UNUSED, struct why *why)
{
	return speak(arg, why);
}

/* ---- verbs ---- */

void sync_resolver_about(const void *body, char out[ABOUT_MAX])
{
	snprintf(out, ABOUT_MAX, "bridge %s", ((const struct priv_sync_resolver *)body)->bridge);
}

void clear_resolver_about(const void *body, char out[ABOUT_MAX])
{
	snprintf(out, ABOUT_MAX, "bridge %s", ((const struct priv_clear_resolver *)body)->bridge);
}

static void forget(struct helper *h, const char *bridge)
{
	(void)ledger_forget(h->ledger, priv_thing_resolver, bridge, NULL);
}

/* The one line for a host without resolved (row D4). */
static void hint_without_resolved(const struct job *j, struct why *why)
{
	const char *colon = strchr(j->resolver, ':');

	fail_hint(why, "with dnsmasq, add to its configuration: server=/vm/%.*s#%s",
		(int)strcspn(j->resolver, ":"), j->resolver, colon ? colon + 1 : "53");
}

static void done(void *ctx, const struct why *failure, struct bytes result UNUSED, int fd UNUSED)
{
	struct job *j = ctx;
	struct why why = { .code = OK };

	if (failure)
		why = *failure;
	if (!j->set && why.code == ERR_unavailable)
		why.code = OK; /* what was told ended with whom it was told to */
	if (j->set ? why.code == ERR_unavailable : why.code == OK)
		forget(j->h, j->bridge);
	if (j->set && why.code == ERR_unavailable)
		hint_without_resolved(j, &why);
	if (why.code)
		call_fail(j->call, &why);
	else
		call_done(j->call, NULL);
	free(j);
}

/* The bridge must be ours, and be there. */
static enum err find_link(struct job *j, struct why *why)
{
	struct bridge_entry b;
	struct nic nic;
	enum err e = net_bridge(j->h, j->bridge, &b, why);

	if (!e && (nic_find(j->h->net->nics, j->bridge, 0, &nic, NULL) || nic.index != b.index))
		e = fail_field(why, ERR_conflict, "bridge",
			"bridge %s is gone; priv.ensure_bridge makes it anew", j->bridge);
	j->index = b.index;
	return e;
}

static enum err begin(struct job *j, struct why *why)
{
	struct task_spec spec = { .what = "telling the resolver",
		.run = work,
		.arg = j,
		.deadline_ms = NET_DEADLINE_MS };
	struct priv_entry r = { .kind = priv_thing_resolver,
		.name = j->bridge,
		.made = ledger_now(),
		.detail = j->resolver };
	enum err e = find_link(j, why);

	r.number = (uint64_t)j->index;
	r.has_number = true;
	if (!e && j->set)
		e = ledger_note(j->h->ledger, &r, why);
	return e ? e : task_start(j->h, &spec, done, j, why);
}

static void start(struct call *c, const char *bridge, const char *resolver)
{
	struct job *j = calloc(1, sizeof(*j));
	struct why why;

	if (!j) {
		fail(&why, ERR_no_memory, "no memory for the resolver");
		call_fail(c, &why);
		return;
	}
	j->call = c;
	j->h = c->h;
	j->set = resolver != NULL;
	snprintf(j->bridge, sizeof(j->bridge), "%s", bridge);
	snprintf(j->resolver, sizeof(j->resolver), "%s", resolver ? resolver : "");
	if (begin(j, &why)) {
		call_fail(c, &why);
		free(j);
	}
}

void sync_resolver_act(struct call *c, const void *body)
{
	const struct priv_sync_resolver *q = body;

	start(c, q->bridge, q->resolver);
}

void clear_resolver_act(struct call *c, const void *body)
{
	const struct priv_clear_resolver *q = body;

	start(c, q->bridge, NULL);
}

/* ---- at start, and at uninstall ---- */

static void mend_one(void *ctx, const struct priv_entry *r)
{
	struct helper *h = ctx;
	struct nic nic;

	enum err e = nic_find(h->net->nics, r->name, 0, &nic, NULL);

	if (e == ERR_not_found || (!e && (uint64_t)nic.index != r->number))
		forget(h, r->name); /* what resolved knew of a link ended with it */
}

enum err resolver_mend(struct helper *h, struct why *why UNUSED)
{
	ledger_each(h->ledger, priv_thing_resolver, mend_one, h);
	return OK;
}

struct undoing {
	struct helper *h;
	struct why *why;
	enum err e;
};

static void undo_one(void *ctx, const struct priv_entry *r)
{
	struct undoing *u = ctx;
	struct job j = { .h = u->h, .index = (int)r->number };
	enum err e = speak(&j, u->why);

	if (e && e != ERR_unavailable)
		u->e = e;
	else
		forget(u->h, r->name);
}

enum err resolver_undo(struct helper *h, struct why *why)
{
	struct undoing u = { .h = h, .why = why };

	ledger_each(h->ledger, priv_thing_resolver, undo_one, &u);
	return u.e;
}
