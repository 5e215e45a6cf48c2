/*
 * streams.c - DNS over TCP: queries with their length in front, one behind the other, each answered
 * in its turn.
 *
 * A connection lives as long as it goes on asking: whoever has not brought a whole query for a
 * while is cut, and the one that has been silent for longest makes room for a new one. Who asks
 * much has a turn's share and then waits for the next; who does not read is not read.
 */
#include "actors/dns/dns.h"

struct stream {
	TAILQ_ENTRY(stream) entry;
	struct streams *of;
	struct chan *chan;
	uint64_t heard_ms; /* when its last whole query came */
	unsigned share; /* queries that are answered before others have their turn */
	bool held; /* it had its share */
};

static void stream_free(struct stream *x)
{
	struct streams *s = x->of;

	TAILQ_REMOVE(&s->list, x, entry);
	s->count--;
	s->held -= x->held;
	chan_close(x->chan);
	free(x);
	if (s->count == 0)
		world_timer_stop(&s->idle);
}

static void watch_idle(struct streams *s);

static void idle_due(void *ctx)
{
	struct streams *s = ctx;
	uint64_t now = world_now_ms(s->world);
	struct stream *x;

	while ((x = TAILQ_FIRST(&s->list)) != NULL && x->heard_ms + STREAM_IDLE_MS <= now)
		stream_free(x);
	watch_idle(s);
}

/* One timer, of the connection that is due first; it may find that one asked again meanwhile. */
static void watch_idle(struct streams *s)
{
	struct stream *x = TAILQ_FIRST(&s->list);
	uint64_t now = world_now_ms(s->world);

	if (x)
		world_timer(s->world, &s->idle, MAX(x->heard_ms + STREAM_IDLE_MS, now + 1) - now,
			idle_due, s);
}

static void heard(struct stream *x)
{
	struct streams *s = x->of;

	x->heard_ms = world_now_ms(s->world);
	TAILQ_REMOVE(&s->list, x, entry);
	TAILQ_INSERT_TAIL(&s->list, x, entry);
}

static void answer_one(struct stream *x, struct bytes query)
{
	struct streams *s = x->of;
	size_t n = dns_respond(s->zones, query, s->out + 2, sizeof(s->out) - 2, true);

	if (n == 0) {
		s->dropped++;
		return;
	}
	s->out[0] = (uint8_t)(n >> 8);
	s->out[1] = (uint8_t)n;
	chan_write(x->chan, s->out, n + 2);
	s->answered++;
}

/* Holds a reader back that has had enough: false, and it goes on by itself. */
static bool may_go_on(struct stream *x)
{
	if (x->share == 0) {
		x->of->held += !x->held;
		x->held = true;
	}
	if (x->share > 0 && chan_pending(x->chan) <= STREAM_UNREAD_MAX)
		return true;
	chan_pause(x->chan, true);
	return false;
}

static size_t on_data(void *ctx, const uint8_t *p, size_t n)
{
	struct stream *x = ctx;
	size_t used = 0;

	while (n - used >= 2) {
		size_t length = (size_t)p[used] << 8 | p[used + 1];

		if (length > DNS_QUERY_MAX) { /* no query, and not worth to be waited for */
			x->of->dropped++;
			stream_free(x);
			return n;
		}
		if (n - used - 2 < length || !may_go_on(x))
			break;
		answer_one(x, (struct bytes){ p + used + 2, length });
		x->share--;
		used += 2 + length;
	}
	if (used > 0)
		heard(x);
	return used;
}

static void on_drained(void *ctx)
{
	struct stream *x = ctx;

	if (!x->held)
		chan_pause(x->chan, false);
}

static void on_closed(void *ctx, const struct why *why UNUSED)
{
	stream_free(ctx);
}

static const struct chan_user user = { .data = on_data,
	.drained = on_drained,
	.closed = on_closed };

static void on_accept(void *ctx, struct chan *c, const struct world_peer *peer UNUSED)
{
	struct streams *s = ctx;
	struct stream *x;

	if (s->count >= STREAMS_MAX)
		stream_free(TAILQ_FIRST(&s->list));
	x = calloc(1, sizeof(*x));
	if (!x) {
		chan_close(c);
		return;
	}
	x->of = s;
	x->chan = c;
	x->share = TURN_LETTERS;
	x->heard_ms = world_now_ms(s->world);
	c->crowd = STREAM_UNREAD_MAX;
	chan_user_set(c, &user, x);
	TAILQ_INSERT_TAIL(&s->list, x, entry);
	if (s->count++ == 0)
		watch_idle(s);
}

void streams_init(struct streams *s, struct world *w, const struct dns_zones *zones)
{
	s->world = w;
	s->zones = zones;
	TAILQ_INIT(&s->list);
}

enum err streams_listen(struct streams *s, uint32_t address, uint16_t port, struct why *why)
{
	return world_listen_tcp(s->world, address, port, on_accept, s, &s->listener, why);
}

void streams_close(struct streams *s)
{
	struct stream *x;

	world_listener_free(s->listener);
	s->listener = NULL;
	while ((x = TAILQ_FIRST(&s->list)) != NULL)
		stream_free(x);
}

void streams_turn(struct streams *s)
{
	struct stream *x;

	if (s->held == 0)
		return;
	TAILQ_FOREACH(x, &s->list, entry)
	{
		x->share = TURN_LETTERS;
		if (x->held && chan_pending(x->chan) <= STREAM_UNREAD_MAX)
			chan_pause(x->chan, false); /* else on_drained goes on */
		x->held = false;
	}
	s->held = 0;
}

void streams_verify(const struct streams *s)
{
	const struct stream *x;
	uint32_t n = 0, held = 0;

	TAILQ_FOREACH(x, &s->list, entry)
	{
		n++;
		held += x->held;
	}
	must(n == s->count && held == s->held && n <= STREAMS_MAX);
}
