/*
 * link.c - the way to a guest's agent: opening by mark and nonce, hello, and letters.
 *
 * A virtio-serial port has no connection of its own: what lies in it from before the opening is
 * passed over, and when the agent behind it is a new one, the way is opened anew.
 */
#include "base/log.h"
#include "base/text.h"
#include "actors/vm/vm.h"

enum { LETTERS_PORT = 1024, RETRY_MS = 1000, SOON_TRIES = 100 };

static void on_agent_note(void *ctx, struct bytes method, struct bytes params);
static void on_agent_closed(void *ctx, const struct why *why);

static bool gate_is_full(void *ctx)
{
	struct machine *m = ctx;

	/* the gate's mailbox empties within this turn; the link is read again in the next one */
	return mail_full(m->v->me, GATE_BIT) && (m->v->held = 1);
}

static const struct rpc_user rpc_user = {
	.note = on_agent_note,
	.closed = on_agent_closed,
	.full = gate_is_full,
};

static void on_hello(struct machine *m, struct bytes params)
{
	struct arena a = { .max = 64 * KiB };
	struct agent_link *l = &m->link;
	struct agent_hello hello;
	struct why why;

	if (shape_read(
		    &shape_agent_hello, mp_over(params.p, params.n), LENIENT, &a, &hello, &why)) {
		log_line(
			LOG_WARN, "vm", "hello not understood", "vm", m->id, "why", why.text, NULL);
		arena_done(&a);
		return;
	}
	str_copy(l->version, sizeof(l->version), hello.version.version);
	str_copy(l->commit, sizeof(l->commit), hello.version.commit);
	str_copy(l->kernel, sizeof(l->kernel), hello.kernel);
	l->built = hello.version.built;
	l->boot_ms = hello.boot_ms;
	l->hello = true;
	m->v->kvm_ran |= m->r.accel == accel_kvm;
	for (uint32_t i = 0; i < hello.warnings.n; i++)
		log_line(LOG_WARN, "vm", "guest", "vm", m->id, "says", hello.warnings.v[i], NULL);
	log_line(LOG_INFO, "vm", "agent answers", "vm", m->id, "name", m->name, "guest_ms",
		log_u64(hello.boot_ms).s, NULL);
	arena_done(&a);
	if (m->wants_hello) {
		m->wants_hello = false;
		flow_done(&m->flow, m->hello_ticket);
	} else if (m->on_probation) {
		link_set_clock(m);
		vm_probation_over(m);
	} else { /* its link was gone for a while, or its daemon: who knows what time it has */
		link_set_clock(m);
		machine_changed(m);
	}
	world_timer_stop(&m->early_deadline);
	waiting_end(&m->early, m->v, NULL);
	forwards_begin(m);
}

static void on_agent_note(void *ctx, struct bytes method, struct bytes params)
{
	struct machine *m = ctx;

	if (letter_by_method((const char *)method.p, method.n) == LETTER_agent_hello)
		on_hello(m, params);
	else if (m->link.hello)
		session_from_agent(m, method, params);
}

/*
 * A guest that boots is not there yet: asked again soon, ever less often. With a serial port the
 * way is there from the start, so a failure is a fault.
 */
static uint64_t retry_ms(struct machine *m)
{
	if (m->driver->link != link_kind_vsock || m->link.tries > SOON_TRIES)
		return RETRY_MS;
	m->link.tries++;
	return MIN((uint64_t)RETRY_MS, (uint64_t)10 + m->link.tries * m->link.tries * 2);
}

static void lost(struct machine *m, const struct why *why)
{
	struct why gone;

	fail(&gone, ERR_guest_failed, "the way to the agent of %s broke%s%s", m->name,
		why->code ? ": " : "", why->code ? why->text : "");
	log_line(LOG_WARN, "vm", "agent lost", "vm", m->id, "why", gone.text, NULL);
	sessions_end(m, &gone);
	link_close(m);
}

static void try_again(void *ctx)
{
	struct machine *m = ctx;

	if (m->child && !m->link.chan && !m->link.rpc)
		link_open(m);
}

static void on_agent_closed(void *ctx, const struct why *why)
{
	struct machine *m = ctx;

	if (m->link.hello || m->driver->link != link_kind_vsock)
		lost(m, why);
	else
		link_close(m); /* its agent does not listen yet */
	if (m->child)
		world_timer(m->v->world, &m->link.retry, retry_ms(m), try_again, m);
}

/* Before the opening is answered: everything else is left over from another time. */
static size_t find_opening(void *ctx, const uint8_t *p, size_t n)
{
	struct machine *m = ctx;
	struct agent_link *l = &m->link;
	uint8_t nonce[NONCE_BYTES];
	bool found;
	size_t used = mark_find(&l->finder, p, n, &found, nonce);

	if (!found || memcmp(nonce, l->nonce, sizeof(nonce)) != 0)
		return used;
	l->rpc = rpc_new(l->chan, FRAME_BYTES_MAX, &rpc_user, m);
	if (!l->rpc) {
		struct why why;

		fail(&why, ERR_no_memory, "no memory for the agent's link");
		on_agent_closed(m, &why);
		return n;
	}
	l->chan = NULL;
	return used;
}

static const struct chan_user opening_user = { find_opening, NULL, on_agent_closed };

static void send_opening(struct machine *m)
{
	struct agent_link *l = &m->link;
	uint8_t opening[OPENING_BYTES];

	world_random(m->v->world, l->nonce, sizeof(l->nonce));
	mark_opening(opening, l->nonce);
	chan_write(l->chan, opening, sizeof(opening));
}

/* Behind the VMM's line is the guest's vsock port. */
static size_t take_line(void *ctx, const uint8_t *p, size_t n)
{
	struct machine *m = ctx;
	struct agent_link *l = &m->link;
	enum hybrid_said said;
	size_t used = hybrid_take(&l->line, p, n, &said);
	struct why why;

	if (said == HYBRID_OPEN) {
		chan_user_set(l->chan, &opening_user, m);
		send_opening(m);
	} else if (said == HYBRID_BAD) {
		fail(&why, ERR_vmm_failed, "the VMM does not know vsock's first line");
		on_agent_closed(m, &why);
		return n;
	}
	return used;
}

static const struct chan_user line_user = { take_line, NULL, on_agent_closed };

enum err link_reach(struct machine *m, uint64_t parcel, struct why *why)
{
	struct agent_link *l = &m->link;
	bool hybrid = m->driver->link == link_kind_vsock;
	char line[HYBRID_LINE_MAX];
	enum err e;

	link_close(m);
	e = machine_chan(m, vmm_channel_vsock, parcel, hybrid ? &line_user : &opening_user, m,
		&l->chan, why);
	if (e) {
		l->chan = NULL;
		return e;
	}
	/* windows of all sessions may be open at once */
	l->chan->out_max = l->chan->out.max = (size_t)SESSIONS_MAX * WINDOW_BYTES + MiB;
	l->line = (struct hybrid_line){ .n = 0 };
	if (hybrid)
		chan_write(l->chan, line, hybrid_ask(line, LETTERS_PORT));
	else
		send_opening(m);
	return OK;
}

void link_unreached(struct machine *m, const struct why *why)
{
	uint64_t ms = retry_ms(m);

	/* a guest that comes or goes is no news; one that stays away is */
	log_line(ms < RETRY_MS ? LOG_DEBUG : LOG_WARN, "vm", "no way to the agent", "vm", m->id,
		"why", why->text, NULL);
	world_timer(m->v->world, &m->link.retry, ms, try_again, m);
}

void link_open(struct machine *m)
{
	struct why why;

	link_close(m);
	if (machine_dial(m, vmm_channel_vsock, &why))
		link_unreached(m, &why);
}

void link_close(struct machine *m)
{
	struct agent_link *l = &m->link;
	struct rpc *rpc = l->rpc;
	struct chan *chan = l->chan;
	struct why gone;

	fail(&gone, ERR_guest_failed, "the agent of %s went away", m->name);
	queries_end(m, &gone);
	look_gone(m);
	world_timer_stop(&l->retry);
	l->rpc = NULL;
	l->chan = NULL;
	l->hello = false;
	waiting_again(&m->early);
	l->finder = (struct mark_finder){ .n = 0 };
	rpc_free(rpc);
	chan_close(chan);
}

void link_reopen(struct machine *m)
{
	struct why why;

	/* the news of the port's first opening may come behind the agent's hello */
	if (!m->link.hello || !m->link.port_closed)
		return;
	fail(&why, ERR_guest_failed, "the agent was started again");
	lost(m, &why);
	link_open(m);
}

bool link_up(const struct machine *m)
{
	return m->link.hello;
}

static void early_over(void *ctx)
{
	struct machine *m = ctx;
	struct why why;

	fail_field(&why, ERR_unavailable, "vm", "the agent of %s does not answer", m->name);
	fail_hint(&why, "see `banger vm logs %s`", m->name);
	waiting_end(&m->early, m->v, &why);
	waiting_again(&m->early);
}

bool link_waits(struct machine *m, const struct letter *l, letter_fn *fn)
{
	if (!m->child || link_up(m) || !waiting_took(&m->early, l, fn))
		return false;
	if (m->early.count == 1)
		world_timer(m->v->world, &m->early_deadline, EARLY_MS, early_over, m);
	return true;
}

static void clock_set(void *ctx, const struct why *why, struct bytes result UNUSED)
{
	struct machine *m = ctx;

	if (why)
		log_line(LOG_WARN, "vm", "guest's clock not set", "vm", m->id, "why", why->text,
			NULL);
}

void link_set_clock(struct machine *m)
{
	struct agent_clock c = { world_unix_ms(m->v->world) * 1000000 };
	struct why why;

	if (rpc_ask(m->link.rpc, &letter_kinds[LETTER_agent_clock], &c, clock_set, m, &why))
		clock_set(m, &why, (struct bytes){ NULL, 0 });
}

/* A guest's clock stood while the host slept, and follows no jump of the host's. */
void link_set_clocks(void *vmd)
{
	struct vmd *v = vmd;
	uint32_t told = 0;

	for (uint32_t i = 0; i < v->in_order_n; i++) {
		struct machine *m = v->in_order[i];

		if (!link_up(m) || !m->link.rpc)
			continue;
		told++;
		link_set_clock(m);
	}
	if (told)
		log_line(LOG_INFO, "vm", "the host's clock jumped, guests follow", "guests",
			log_u64(told).s, NULL);
}

void link_install_key(struct machine *m, rpc_answer_fn *fn, void *ctx)
{
	struct agent_ssh x = { m->ssh_key, m->use ? m->use->facts.config.user : NULL };
	struct why why;

	if (rpc_ask(m->link.rpc, &letter_kinds[LETTER_agent_ssh], &x, fn, ctx, &why))
		fn(ctx, &why, (struct bytes){ NULL, 0 });
}
