/*
 * dns.c - the dns actor: answers for NAME.vm and for the addresses that names have.
 *
 * What it is for: the vm actor tells it which machines run, and it answers queries, on UDP and TCP
 * of one port of the loopback, from what it was told and from nothing else. It keeps no file and no
 * record: after a restart it is told anew. A port that is taken costs names and no more: it is
 * tried again, ever more rarely, and the gate is told.
 */
#include "actors/dns/dns.h"

#include "base/log.h"
#include "proto/check.h"

/* ---- state ---- */

struct dnsd {
	struct actor *me;
	struct env *env;
	struct names names;
	struct streams streams;
	struct world_datagrams *datagrams;
	uint32_t address;
	uint16_t port;
	bool up;
	struct why why; /* while it is not */
	struct wtimer retry;
	uint64_t retry_ms, retried;
	uint64_t answered, dropped; /* datagrams */
};

static struct dns_status status_of(const struct dnsd *d)
{
	return (struct dns_status){ .up = d->up,
		.address = d->env->config->dns_listen,
		.why = d->up ? NULL : d->why.text,
		.retried = d->retried,
		.records = d->names.by_name.count,
		.queries = d->answered + d->streams.answered,
		.dropped = d->dropped + d->streams.dropped,
		.streams = d->streams.count };
}

/* ---- listening ---- */

static size_t on_datagram(void *ctx, struct bytes in, uint8_t out[DATAGRAM_OUT_MAX])
{
	struct dnsd *d = ctx;
	size_t n = dns_respond(&d->names.zones, in, out, DATAGRAM_OUT_MAX, false);

	*(n ? &d->answered : &d->dropped) += 1;
	return n;
}

static void listen_now(void *ctx);

static void listen_later(struct dnsd *d)
{
	d->retry_ms = d->retry_ms ? MIN(2 * d->retry_ms, (uint64_t)RETRY_MS_MAX) : RETRY_MS;
	world_timer(d->env->world, &d->retry, d->retry_ms, listen_now, d);
}

/* Both or none: a client that is cut short on one comes on the other. */
static enum err listen_both(struct dnsd *d, struct why *why)
{
	enum err e = world_datagrams(
		d->env->world, d->address, d->port, on_datagram, d, &d->datagrams, why);

	if (!e)
		e = streams_listen(&d->streams, d->address, d->port, why);
	if (e) {
		world_datagrams_free(d->datagrams);
		d->datagrams = NULL;
	}
	return e;
}

static void listen_now(void *ctx)
{
	struct dnsd *d = ctx;
	bool first = d->retry_ms == 0;
	struct dns_status news;

	d->retried += !first;
	d->up = listen_both(d, &d->why) == OK;
	if (d->up) {
		log_line(LOG_INFO, "dns", "names are answered", "address",
			d->env->config->dns_listen, NULL);
		d->retry_ms = 0;
	} else {
		if (first)
			log_line(LOG_WARN, "dns", "names are not answered", "address",
				d->env->config->dns_listen, "why", d->why.text, NULL);
		listen_later(d);
	}
	if (!d->up && !first)
		return;
	news = status_of(d);
	tell(d->me, LETTER_dns_news, &news);
}

/* ---- letters in ---- */

static void on_publish(void *state, const struct letter *l, const void *body)
{
	struct dnsd *d = state;
	struct nothing none;
	struct why why;

	if (names_put(&d->names, body, &why))
		refuse(d->me, l->reply, &why);
	else
		answer(d->me, l->reply, &none);
}

static void on_withdraw(void *state, const struct letter *l, const void *body)
{
	struct dnsd *d = state;
	struct nothing none;

	names_drop(&d->names, ((const struct dns_withdraw *)body)->name);
	answer(d->me, l->reply, &none);
}

static void on_status(void *state, const struct letter *l, const void *body UNUSED)
{
	struct dnsd *d = state;
	struct dns_status s = status_of(d);

	answer(d->me, l->reply, &s);
}

/* ---- class ---- */

static enum err dns_open(void *state, struct actor *me, void *env, struct why *why)
{
	struct dnsd *d = state;
	uint64_t seeds[3];

	d->me = me;
	d->env = env;
	world_random(d->env->world, seeds, sizeof(seeds));
	names_init(&d->names, seeds);
	streams_init(&d->streams, d->env->world, &d->names.zones);
	if (!parse_local(d->env->config->dns_listen, &d->address, &d->port))
		return fail_field(why, ERR_invalid_value, "dns_listen",
			"%s is no address to listen at", d->env->config->dns_listen);
	listen_now(d);
	return OK;
}

static void dns_close(void *state)
{
	struct dnsd *d = state;

	world_timer_stop(&d->retry);
	world_datagrams_free(d->datagrams);
	streams_close(&d->streams);
	names_done(&d->names);
}

static void dns_turn(void *state)
{
	struct dnsd *d = state;

	streams_turn(&d->streams);
}

static void dns_verify(const void *state)
{
	const struct dnsd *d = state;

	must(d->up == (d->datagrams && d->streams.listener));
	names_verify(&d->names);
	streams_verify(&d->streams);
}

static const struct handler handlers[] = {
	{ LETTER_dns_publish, on_publish },
	{ LETTER_dns_withdraw, on_withdraw },
	{ LETTER_dns_status, on_status },
	{ 0, NULL },
};

const struct actor_class dns_actor = {
	.name = "dns",
	.state = sizeof(struct dnsd),
	.mail = 4 * 4096, /* more than all machines can come and go in a turn: none is refused */
	.on = handlers,
	.open = dns_open,
	.close = dns_close,
	.turn = dns_turn,
	.verify = dns_verify,
};
