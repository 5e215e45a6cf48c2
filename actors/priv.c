/*
 * priv.c - the priv actor: the only one that holds the root helper's socket.
 *
 * Who may ask root for what is in the roster; how each verb is treated on its way is in the table
 * below. A letter passes through as the packed bytes it came in; its answer is read by its shape
 * and told on. Whatever the helper does (refuses, stalls, dies, answers late or unasked), each
 * asker hears once, in time; nothing is done twice that must not be, and what comes too late is
 * undone.
 *
 * The link is made when something is wanted, and while nothing is, nothing here wakes.
 */
#include <sys/queue.h>

#include "actors/roster.h"
#include "base/build.h"
#include "base/log.h"
#include "letter/letter.h"
#include "wire/rpc.h"

enum {
	CALLS_MAX = 1024, /* asked and not answered; one more is refused as busy */
	CALLS_BYTES_MAX = 8388608, /* of their letters */
	SENT_MAX = 64, /* that the helper has before it at once */
	FDS_MAX = CHAN_FDS_MAX, /* of these, whose answers bring descriptors */
	HELPER_FRAME_MAX = 65536, /* row A5 */
	BODY_MAX = HELPER_FRAME_MAX - 128, /* beside msgid and method */
	TRIES_MAX = 3, /* of a verb that may be said again, when the link breaks */
	AWAY_MS = 3000, /* how long a helper that is restarted may take to come back */
	RETRY_MS = 50, /* first pause between two tries to connect; then ever longer */
	RETRY_MS_MAX = 1000
};

/* again: saying it twice does no more than saying it once. */
struct rule {
	enum letter_id id;
	unsigned ms; /* until the asker hears that the helper does not answer */
	bool again;
	bool brings_fd;
};

static const struct rule rules[] = {
	{ LETTER_priv_ping, 5000, true, false },
	{ LETTER_priv_ensure_bridge, 20000, true, false },
	{ LETTER_priv_create_tap, 20000, true, false },
	{ LETTER_priv_delete_tap, 30000, true, false },
	{ LETTER_priv_ensure_nat, 20000, true, false },
	{ LETTER_priv_sync_resolver_routing, 20000, true, false },
	{ LETTER_priv_clear_resolver_routing, 20000, true, false },
	{ LETTER_priv_create_dm_snapshot, 30000, false, false },
	{ LETTER_priv_cleanup_dm_snapshot, 30000, true, false },
	{ LETTER_priv_remove_dm_snapshot, 30000, true, false },
	{ LETTER_priv_dm_status, 10000, true, false },
	{ LETTER_priv_fsck_snapshot, 150000, true, false },
	{ LETTER_priv_read_ext4_file, 30000, true, false },
	{ LETTER_priv_write_ext4_files, 30000, true, false },
	{ LETTER_priv_ensure_socket_access, 10000, true, false },
	{ LETTER_priv_cleanup_jailer_chroot, 90000, true, false },
	{ LETTER_priv_launch_vmm, 45000, false, true },
	{ LETTER_priv_kill_process, 10000, true, false },
	{ LETTER_priv_signal_process, 10000, true, false },
	{ LETTER_priv_connect_vmm, 10000, true, true },
	{ LETTER_priv_list_things, 10000, true, false },
};

/* ---- state ---- */

enum call_state {
	CALL_WAITS, /* in the queue -> SENT, or answered */
	CALL_SENT, /* the helper has it -> WAITS (the link broke), LATE, or answered */
	CALL_LATE /* its asker has heard of the time-out; the helper's answer is still due */
};

struct call {
	TAILQ_ENTRY(call) entry;
	struct priv *p;
	const struct rule *rule;
	struct reply_to reply;
	enum call_state state;
	unsigned tries;
	struct wtimer deadline;
	size_t n;
	uint8_t body[];
};

TAILQ_HEAD(call_list, call);

struct priv {
	struct actor *me;
	struct env *env;
	struct rpc *rpc; /* NULL: no link */
	struct call_list waiting, sent; /* late ones are among the sent */
	uint32_t count, sent_n, fds_n;
	size_t bytes;
	struct wtimer retry;
	unsigned tries; /* to connect, since the link was last there */
	uint64_t away_since; /* 0: it is not away */
	uint64_t next_try;
	struct why why; /* why it is away */
	bool told_version;
};

static void pump(struct priv *p);

/* ---- one call ---- */

static const struct rule *rule_of(unsigned kind)
{
	for (size_t i = 0; i < COUNT(rules); i++)
		if ((unsigned)rules[i].id == kind)
			return &rules[i];
	return NULL;
}

static const char *method_of(const struct call *c)
{
	return letter_kinds[c->rule->id].method;
}

static void enqueue(struct call *c, bool first)
{
	c->state = CALL_WAITS;
	if (first)
		TAILQ_INSERT_HEAD(&c->p->waiting, c, entry);
	else
		TAILQ_INSERT_TAIL(&c->p->waiting, c, entry);
}

static void leave_list(struct call *c)
{
	struct priv *p = c->p;

	if (c->state == CALL_WAITS) {
		TAILQ_REMOVE(&p->waiting, c, entry);
		return;
	}
	TAILQ_REMOVE(&p->sent, c, entry);
	p->sent_n--;
	p->fds_n -= c->rule->brings_fd;
}

static void call_free(struct call *c)
{
	leave_list(c);
	world_timer_stop(&c->deadline);
	c->p->count--;
	c->p->bytes -= c->n;
	free(c);
}

static void call_refuse(struct call *c, const struct why *why)
{
	refuse(c->p->me, c->reply, why);
	call_free(c);
}

static void too_late(void *ctx)
{
	struct call *c = ctx;
	struct why why;

	if (c->state == CALL_WAITS && !c->p->rpc) {
		call_refuse(c, &c->p->why);
		return;
	}
	fail(&why, ERR_timeout, "the root helper does not answer %s", method_of(c));
	fail_hint(&why, "see `systemctl status banger-helper`");
	log_line(LOG_WARN, "priv", "helper not answering", "letter", method_of(c), NULL);
	if (c->state == CALL_WAITS) {
		call_refuse(c, &why);
		return;
	}
	refuse(c->p->me, c->reply, &why);
	c->reply.serial = 0;
	c->state = CALL_LATE;
}

/* ---- answers ---- */

/* The descriptor that the answer brought, as a ticket in the answer. */
static void put_parcel(struct call *c, void *result)
{
	uint64_t ticket = world_parcel_from(c->p->env->world, rpc_chan(c->p->rpc));

	if (c->rule->id == LETTER_priv_launch_vmm) {
		((struct priv_launched *)result)->parcel = ticket;
		((struct priv_launched *)result)->has_parcel = ticket != 0;
	} else {
		((struct priv_connected *)result)->parcel = ticket;
		((struct priv_connected *)result)->has_parcel = ticket != 0;
	}
}

static void ignored(void *ctx UNUSED, const struct why *why, struct bytes result UNUSED)
{
	if (why)
		log_line(LOG_WARN, "priv", "a late answer's effect stays", "why", why->text, NULL);
}

/* Nobody waits for it any more: what it made goes again, where nobody would ever miss it. */
static void undo_late(struct call *c, void *result)
{
	struct priv *p = c->p;
	struct priv_launched *l = result;
	struct priv_pid kill;
	struct why why;

	log_line(LOG_INFO, "priv", "answer came too late", "letter", method_of(c), NULL);
	if (c->rule->id == LETTER_priv_connect_vmm) {
		world_parcel_drop(p->env->world, ((struct priv_connected *)result)->parcel);
		return;
	}
	if (c->rule->id != LETTER_priv_launch_vmm)
		return;
	world_parcel_drop(p->env->world, l->parcel);
	kill.pid = l->pid;
	if (rpc_ask(p->rpc, &letter_kinds[LETTER_priv_kill_process], &kill, ignored, p, &why))
		log_line(LOG_WARN, "priv", "a late answer's effect stays", "why", why.text, NULL);
}

static void take_result(struct call *c, struct bytes packed)
{
	const struct shape *shape = letter_kinds[c->rule->id].out;
	struct arena a = { .max = 256 * KiB };
	void *result = arena_take(&a, MAX(shape->size, 1u));
	struct why why;

	if (!result || shape_read(shape, mp_over(packed.p, packed.n), LENIENT, &a, result, &why)) {
		fail(&why, ERR_version_mismatch, "the root helper's answer to %s cannot be read",
			method_of(c));
		refuse(c->p->me, c->reply, &why);
	} else {
		if (c->rule->brings_fd)
			put_parcel(c, result);
		if (c->state == CALL_LATE)
			undo_late(c, result);
		else
			answer(c->p->me, c->reply, result);
	}
	arena_done(&a);
	call_free(c);
}

/* The link broke. Said again where that is harmless; else nobody knows whether it was done. */
static void link_broke(struct call *c)
{
	struct why why;

	if (c->state == CALL_LATE) {
		call_free(c);
		return;
	}
	if (c->rule->again && ++c->tries < TRIES_MAX) {
		leave_list(c);
		enqueue(c, true);
		return;
	}
	fail(&why, ERR_unavailable, "the root helper went away before it answered %s",
		method_of(c));
	fail_hint(&why, "see `systemctl status banger-helper`");
	call_refuse(c, &why);
}

static void answered(void *ctx, const struct why *why, struct bytes result)
{
	struct call *c = ctx;
	struct priv *p = c->p;

	if (why && rpc_over(p->rpc)) {
		link_broke(c);
		return; /* on_closed comes next */
	}
	if (!why)
		take_result(c, result);
	else
		call_refuse(c, why);
	pump(p);
}

/* ---- the link ---- */

static void ponged(void *ctx, const struct why *why, struct bytes result)
{
	struct arena a = { .max = 4 * KiB };
	struct priv *p = ctx;
	struct version v;

	if (!why &&
		shape_read(&shape_version, mp_over(result.p, result.n), LENIENT, &a, &v, NULL) ==
			OK &&
		(!str_eq(v.version, build_version) || !str_eq(v.commit, build_commit)) &&
		!p->told_version) {
		p->told_version = true;
		log_line(LOG_WARN, "priv", "version_mismatch", "helper", v.version, "commit",
			v.commit, "hint", "systemctl restart banger-helper", NULL);
	}
	arena_done(&a);
}

static void on_closed(void *ctx, const struct why *why)
{
	struct priv *p = ctx;

	log_line(LOG_WARN, "priv", "helper's link closed", "why", why->code ? why->text : "", NULL);
	rpc_free(p->rpc);
	p->rpc = NULL;
	must(TAILQ_EMPTY(&p->sent));
	pump(p);
}

static const struct rpc_user rpc_user = { .closed = on_closed };

static void refuse_all(struct priv *p)
{
	struct call *c;

	while ((c = TAILQ_FIRST(&p->waiting)) != NULL)
		call_refuse(c, &p->why);
}

static void try_again(void *ctx)
{
	pump(ctx);
}

static void stay_away(struct priv *p, const struct why *problem)
{
	uint64_t now = world_now_ms(p->env->world);
	uint64_t pause = MIN((uint64_t)RETRY_MS << MIN(p->tries, 5u), (uint64_t)RETRY_MS_MAX);

	if (p->away_since == 0) {
		p->away_since = MAX(now, 1u);
		log_line(LOG_WARN, "priv", "helper is away", "why", problem->text, NULL);
	}
	fail(&p->why, ERR_unavailable, "the root helper is away: %.300s", problem->text);
	fail_hint(&p->why, "see `systemctl status banger-helper`");
	p->tries++;
	p->next_try = now + pause;
	if (now >= p->away_since + AWAY_MS)
		refuse_all(p); /* whoever asks next is the reason for the next try */
	else
		world_timer(p->env->world, &p->retry, pause, try_again, p);
}

static bool connect_helper(struct priv *p)
{
	static const struct chan_user nobody;
	struct nothing none;
	struct chan *chan;
	struct why why;

	if (world_connect_helper(p->env->world, &nobody, NULL, &chan, &why)) {
		stay_away(p, &why);
		return false;
	}
	p->rpc = rpc_new(chan, HELPER_FRAME_MAX, &rpc_user, p);
	if (!p->rpc) {
		chan_close(chan);
		fail(&why, ERR_no_memory, "no memory for its link");
		stay_away(p, &why);
		return false;
	}
	if (rpc_ask(p->rpc, &letter_kinds[LETTER_priv_ping], &none, ponged, p, &why))
		log_line(LOG_WARN, "priv", "helper not asked for its version", "why", why.text,
			NULL);
	world_timer_stop(&p->retry);
	p->tries = 0;
	p->away_since = 0;
	return true;
}

/* It was tried a moment ago: what is wanted waits for the next try. */
static bool is_away(struct priv *p)
{
	uint64_t now = world_now_ms(p->env->world);

	if (p->away_since == 0 || now >= p->next_try)
		return false;
	world_timer(p->env->world, &p->retry, p->next_try - now, try_again, p);
	return true;
}

static void send_first(struct priv *p, struct call *c)
{
	struct bytes body = { c->body, c->n };
	struct why why;

	if (rpc_ask_packed(p->rpc, method_of(c), body, answered, c, &why)) {
		call_refuse(c, &why);
		return;
	}
	TAILQ_REMOVE(&p->waiting, c, entry);
	TAILQ_INSERT_TAIL(&p->sent, c, entry);
	c->state = CALL_SENT;
	p->sent_n++;
	p->fds_n += c->rule->brings_fd;
}

static void pump(struct priv *p)
{
	struct call *c;

	if (TAILQ_EMPTY(&p->waiting)) {
		world_timer_stop(&p->retry);
		return;
	}
	if (!p->rpc && (is_away(p) || !connect_helper(p)))
		return;
	while (p->sent_n < SENT_MAX && (c = TAILQ_FIRST(&p->waiting)) != NULL &&
		(!c->rule->brings_fd || p->fds_n < FDS_MAX))
		send_first(p, c);
}

/* ---- letters in ---- */

static enum err may_ask(const struct priv *p, const struct letter *l, struct why *why)
{
	if (p->env->mode != mode_system) {
		fail(why, ERR_unsupported, "%s needs the root helper of a system install",
			letter_kinds[l->kind].method);
		return fail_hint(why, "sudo banger system install");
	}
	if (p->count >= CALLS_MAX || p->bytes + l->packed.n > CALLS_BYTES_MAX)
		return fail(
			why, ERR_busy, "%u requests to the root helper are under way", p->count);
	if (l->packed.n > BODY_MAX)
		return fail(why, ERR_too_large, "a request to the root helper may have %d bytes",
			BODY_MAX);
	return OK;
}

static void on_verb(void *state, const struct letter *l, const void *body UNUSED)
{
	struct priv *p = state;
	struct call *c = NULL;
	struct why why;
	enum err e = may_ask(p, l, &why);

	if (!e) {
		c = malloc(sizeof(*c) + l->packed.n);
		if (!c)
			e = fail(&why, ERR_no_memory, "no memory for a request");
	}
	if (e) {
		refuse(p->me, l->reply, &why);
		return;
	}
	*c = (struct call){ .p = p, .rule = rule_of(l->kind), .reply = l->reply, .n = l->packed.n };
	must(c->rule);
	memcpy(c->body, l->packed.p, c->n);
	p->count++;
	p->bytes += c->n;
	enqueue(c, false);
	world_timer(p->env->world, &c->deadline, c->rule->ms, too_late, c);
	pump(p);
}

/* ---- class ---- */

static enum err priv_open(void *state, struct actor *me, void *env, struct why *why UNUSED)
{
	struct priv *p = state;

	p->me = me;
	p->env = env;
	TAILQ_INIT(&p->waiting);
	TAILQ_INIT(&p->sent);
	return OK;
}

static void priv_close(void *state)
{
	struct priv *p = state;
	struct call *c;

	world_timer_stop(&p->retry);
	rpc_free(p->rpc);
	p->rpc = NULL;
	while ((c = TAILQ_FIRST(&p->sent)) != NULL || (c = TAILQ_FIRST(&p->waiting)) != NULL)
		call_free(c);
}

static void priv_verify(const void *state)
{
	const struct priv *p = state;
	uint32_t waiting = 0, sent = 0, fds = 0;
	const struct call *c;

	TAILQ_FOREACH(c, &p->waiting, entry)
	waiting++;
	TAILQ_FOREACH(c, &p->sent, entry)
	{
		sent++;
		fds += c->rule->brings_fd;
	}
	must(waiting + sent == p->count && sent == p->sent_n && fds == p->fds_n);
	must(p->rpc || sent == 0);
}

#define V(id) \
	{ \
		LETTER_##id, on_verb \
	}
static const struct handler handlers[] = {
	V(priv_ping),
	V(priv_ensure_bridge),
	V(priv_create_tap),
	V(priv_delete_tap),
	V(priv_ensure_nat),
	V(priv_sync_resolver_routing),
	V(priv_clear_resolver_routing),
	V(priv_create_dm_snapshot),
	V(priv_cleanup_dm_snapshot),
	V(priv_remove_dm_snapshot),
	V(priv_dm_status),
	V(priv_fsck_snapshot),
	V(priv_read_ext4_file),
	V(priv_write_ext4_files),
	V(priv_ensure_socket_access),
	V(priv_cleanup_jailer_chroot),
	V(priv_launch_vmm),
	V(priv_kill_process),
	V(priv_signal_process),
	V(priv_connect_vmm),
	V(priv_list_things),
	{ 0, NULL },
};

const struct actor_class priv_actor = {
	.name = "priv",
	.state = sizeof(struct priv),
	.mail = 4096,
	.on = handlers,
	.open = priv_open,
	.close = priv_close,
	.verify = priv_verify,
};
