/*
 * doctor_daemon.c - what only the daemon knows: how guests fared under KVM, which layer a machine
 * gets, images and kernels, the network of an installed system, and what is nobody's.
 */
#include "base/text.h"
#include "cli/doctor.h"
#include "cli/link.h"

static void kvm_trial(struct part *p, const struct doctor_seen *s)
{
	const char *why = s->kvm_why ? s->kvm_why : "?";

	switch (s->kvm) {
	case kvm_trial_absent:
		finding(p, "kvm-trial", health_note, "see kvm", "not tried: %s", why);
		return;
	case kvm_trial_untried:
		finding(p, "kvm-trial", health_note, "banger vm run --rm -- true",
			"no guest was begun with KVM yet; the first one is the trial");
		return;
	case kvm_trial_works:
		finding(p, "kvm-trial", health_ok, NULL, "guests reach their programs under KVM");
		return;
	case kvm_trial_hangs:
		finding(p, "kvm-trial", health_warn,
			"nothing to do: machines are emulated; a host with real KVM is faster",
			"KVM hangs guests here: %s", why);
		return;
	case kvm_trial_COUNT:
		break;
	}
}

static void layers(struct part *p, const struct doctor_seen *s)
{
	for (uint32_t i = 0; i < s->layers.n; i++) {
		const struct layer_state *l = &s->layers.v[i];

		if (l->chosen)
			finding(p, "layer", health_ok, NULL, "machines get %s by %s: %s",
				word_of(layer, l->layer), word_of(driver, s->driver), l->why);
		else
			finding(p, "layer", health_ok, NULL, "%s %s: %s", word_of(layer, l->layer),
				l->works ? "works too" : "does not", l->why);
	}
}

static void strays(struct part *p, const struct doctor_seen *s)
{
	uint64_t bytes = 0;

	for (uint32_t i = 0; i < s->strays.n; i++) {
		const struct stray *x = &s->strays.v[i];
		struct doctor_check *k;

		bytes += x->has_bytes ? x->bytes : 0;
		if (i >= 8)
			continue;
		k = finding(p, "leftovers", x->removed ? health_note : health_warn,
			x->removed ? NULL : "banger doctor --fix", "%s %s: %s", x->kind, x->name,
			x->why);
		if (x->removed)
			k->did = "removed it";
	}
	if (s->strays.n == 0)
		finding(p, "leftovers", health_ok, NULL, "nothing that belongs to no machine");
	else if (s->strays.n > 8)
		finding(p, "leftovers", health_note, NULL, "%u in all, %llu bytes", s->strays.n,
			(unsigned long long)bytes);
	if (s->parked)
		finding(p, "operations", health_warn,
			"banger daemon logs says why; they are tried again by themselves",
			"%llu operations could not be undone yet", (unsigned long long)s->parked);
}

static void host(struct part *p)
{
	struct doctor_look q = { .has_mend = true, .mend = p->fix };
	struct doctor_seen s;
	struct why why;

	if (ask(p->c, LETTER_doctor_look, &q, &s, &why)) {
		finding(p, "daemon", health_warn,
			why.code == ERR_unknown_method ? "banger daemon restart" : why.hint, "%s",
			why.text);
		return;
	}
	kvm_trial(p, &s);
	layers(p, &s);
	strays(p, &s);
}

static void status(struct part *p)
{
	struct daemon_status s;
	struct nothing none;
	struct why why;

	if (ask(p->c, LETTER_daemon_status, &none, &s, &why)) {
		finding(p, "daemon", health_fail, why.hint, "%s", why.text);
		return;
	}
	finding(p, "daemon", health_ok, NULL, "pid %llu, %s mode, %llu machines, %llu running",
		(unsigned long long)s.pid, word_of(mode, s.mode), (unsigned long long)s.machines,
		(unsigned long long)s.running);
	for (uint32_t i = 0; i < s.warnings.n; i++)
		finding(p, "daemon", health_warn,
			"who has the port: ss -ulpn; or another `dns_listen` in config.yaml", "%s",
			s.warnings.v[i]);
}

/* ---- images and kernels ---- */

static bool in_catalog(const struct catalog *k, const char *image)
{
	for (uint32_t i = 0; i < k->images.n; i++)
		if (str_eq(k->images.v[i].name, image))
			return true;
	return false;
}

static void default_image(struct part *p, bool there)
{
	const char *name = p->configured ? p->conf.v.default_image : NULL;
	struct nothing none;
	struct catalog k;
	struct why why;

	if (!name)
		return;
	if (there)
		finding(p, "image", health_ok, NULL, "the default image '%s' is here", name);
	else if (ask(p->c, LETTER_image_catalog, &none, &k, &why) == OK && in_catalog(&k, name))
		finding(p, "image", health_note, "banger image pull NAME fetches it before",
			"the default image '%s' is in the catalog, and fetched on first use", name);
	else
		finding(p, "image", health_warn,
			"banger image import or pull one of that name, or set `default_image` in "
			"config.yaml",
			"the default image '%s' is neither here nor in the catalog", name);
}

static void images(struct part *p)
{
	struct image_list q = { .after = NULL };
	bool there = false;
	struct why why;

	for (;;) {
		struct image_listed l;

		if (ask(p->c, LETTER_image_list, &q, &l, &why)) {
			finding(p, "image", health_warn, why.hint, "%s", why.text);
			return;
		}
		for (uint32_t i = 0; i < l.images.n; i++) {
			const struct image_info *m = &l.images.v[i];

			there |= m->is_default;
			if (m->missing.n > 0)
				finding(p, "image", health_warn,
					"put it back, or banger image delete NAME",
					"image '%s' has lost %s", m->name, m->missing.v[0]);
		}
		if (!l.more || l.images.n == 0)
			break;
		q.after = l.images.v[l.images.n - 1].name;
	}
	default_image(p, there);
}

static void kernels(struct part *p)
{
	struct kernel_listed l;
	struct nothing none;
	struct why why;

	if (ask(p->c, LETTER_kernel_list, &none, &l, &why)) {
		finding(p, "guest-kernel", health_warn, why.hint, "%s", why.text);
		return;
	}
	for (uint32_t i = 0; i < l.kernels.n; i++)
		if (l.kernels.v[i].is_default) {
			finding(p, "guest-kernel", health_ok, NULL, "machines boot '%s'",
				l.kernels.v[i].name);
			return;
		}
	finding(p, "guest-kernel", l.kernels.n ? health_warn : health_note,
		l.kernels.n ? "banger kernel default NAME" :
			      "banger kernel pull, or the first machine fetches it",
		l.kernels.n ? "no kernel is the default" : "no kernel is here yet");
}

static void network(struct part *p)
{
	struct net_status s;
	struct nothing none;
	struct why why;

	if (!p->c->link || !p->c->link->system)
		return;
	if (ask(p->c, LETTER_net_status, &none, &s, &why)) {
		finding(p, "nat", health_warn, why.hint, "%s", why.text);
		return;
	}
	finding(p, "nat", s.up ? health_ok : health_fail,
		s.up ? NULL : "banger system status; journalctl -u banger-helper",
		"bridge %s, %s, %llu of %llu addresses taken%s%s", s.bridge, s.subnet,
		(unsigned long long)s.leases, (unsigned long long)s.most, s.why ? ": " : "",
		s.why ? s.why : "");
	for (uint32_t i = 0; i < s.missing.n; i++)
		finding(p, "firewall", health_warn, s.missing.v[i],
			"another firewall drops what machines send");
	if (s.names_why)
		finding(p, "resolver", health_note, "see `names`", "%s", s.names_why);
	if (s.dns.n == 0)
		finding(p, "resolver", health_note,
			"a resolver that listens on no loopback address",
			"guests get no resolver: this host's own listen on its loopback only");
}

void doctor_daemon(struct part *p)
{
	struct why why;

	if (link_open(p->c, &why)) {
		finding(p, "daemon", health_fail, why.hint[0] ? why.hint : "banger daemon logs",
			"it does not serve, so guests, layers, images and leftovers are "
			"unknown: %s",
			why.text);
		return;
	}
	status(p);
	host(p);
	images(p);
	kernels(p);
	network(p);
}
