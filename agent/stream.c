/*
 * stream.c - what all streams share: ids, windows, the last word.
 *
 * A stream never sends more than its reader granted, and nothing while the link itself is crowded;
 * so a reader that stops stalls its own stream, and memory has a bound.
 */
#include "agent/session.h"

#include "base/log.h"
#include "proto/check.h"

enum err stream_open(struct session *s, uint32_t msgid, enum letter_id id, struct stream *st,
	const struct stream_calls *calls, struct why *why)
{
	struct agent *a = s->agent;
	struct stream_begun begun;

	if (a->streams_n >= STREAMS_MAX)
		return fail(why, ERR_busy, "%d streams are open in this guest", STREAMS_MAX);
	a->next_stream = a->next_stream == UINT32_MAX ? 1 : a->next_stream + 1;
	st->calls = calls;
	st->session = s;
	st->id = a->next_stream;
	window_init(&st->in);
	window_init(&st->out[1]);
	window_init(&st->out[2]);
	TAILQ_INSERT_TAIL(&s->streams, st, entry);
	a->streams_n++;
	begun.stream = st->id;
	answer(s, msgid, id, &begun);
	return OK;
}

static void take_off(struct stream *st)
{
	TAILQ_REMOVE(&st->session->streams, st, entry);
	st->session->agent->streams_n--;
	st->session = NULL;
}

size_t stream_room(const struct stream *st, unsigned ch)
{
	if (!st->session || chan_crowded(rpc_chan(st->session->rpc)))
		return 0;
	return MIN(st->out[ch].left, (uint64_t)CHUNK_BYTES);
}

static void note(struct stream *st, enum letter_id id, const void *body)
{
	struct why why;

	if (st->session && rpc_note(st->session->rpc, &letter_kinds[id], body, &why))
		log_line(LOG_DEBUG, "stream", "not sent", "why", why.text, NULL);
}

void stream_send(struct stream *st, unsigned ch, const uint8_t *p, size_t n)
{
	static const uint8_t none[1];
	struct stream_data d = { st->id, ch, { n ? p : none, n } };

	if (n > 0)
		must(window_use(&st->out[ch], n));
	note(st, LETTER_stream_data, &d);
}

void stream_passed(struct stream *st, size_t n)
{
	struct stream_credit c = { st->id, 0, window_passed(&st->in, n) };

	if (c.bytes > 0)
		note(st, LETTER_stream_credit, &c);
}

void stream_end_code(struct stream *st, unsigned code)
{
	struct stream_end end = { .stream = st->id, .code = code, .has_code = true };

	if (!st->session)
		return;
	note(st, LETTER_stream_end, &end);
	take_off(st);
}

void stream_end_signal(struct stream *st, int number)
{
	struct stream_end end = { .stream = st->id, .signal = signal_word(number) };

	if (!st->session)
		return;
	note(st, LETTER_stream_end, &end);
	take_off(st);
}

void stream_end_error(struct stream *st, const struct why *why)
{
	struct error error = error_of(why);
	struct stream_end end = { .stream = st->id, .error = &error };

	if (!st->session)
		return;
	note(st, LETTER_stream_end, &end);
	take_off(st);
}

static struct stream *find(struct session *s, uint64_t id)
{
	struct stream *st;

	TAILQ_FOREACH(st, &s->streams, entry)
		if (st->id == id)
			return st;
	return NULL; /* it has just ended: what was under way to it goes nowhere */
}

static void on_data(struct session *s, const struct stream_data *d)
{
	struct stream *st = find(s, d->stream);

	if (!st || d->ch != 0)
		return;
	if (!window_use(&st->in, d->data.n)) {
		log_line(LOG_WARN, "stream", "overrun: the link's session ends", NULL);
		session_free(s);
		return;
	}
	st->calls->data(st, d->data.p, d->data.n);
}

static void on_credit(struct session *s, const struct stream_credit *c)
{
	struct stream *st = find(s, c->stream);

	if (!st || c->ch == 0)
		return;
	if (!window_grant(&st->out[c->ch], c->bytes)) {
		log_line(LOG_WARN, "stream", "absurd credit: the link's session ends", NULL);
		session_free(s);
		return;
	}
	st->calls->room(st);
}

static void on_resize(struct session *s, const struct stream_resize *r)
{
	struct stream *st = find(s, r->stream);

	if (st && st->calls->resize)
		st->calls->resize(st, (uint16_t)r->rows, (uint16_t)r->cols);
}

static void on_signal(struct session *s, const struct stream_signal *g)
{
	struct stream *st = find(s, g->stream);

	if (st && st->calls->signal)
		st->calls->signal(st, signal_number(g->signal));
}

void stream_note(struct session *s, enum letter_id id, const void *body)
{
	if (id == LETTER_stream_data)
		on_data(s, body);
	else if (id == LETTER_stream_credit)
		on_credit(s, body);
	else if (id == LETTER_stream_resize)
		on_resize(s, body);
	else if (id == LETTER_stream_signal)
		on_signal(s, body);
}

void streams_drained(struct session *s)
{
	struct stream *st, *next;

	for (st = TAILQ_FIRST(&s->streams); st; st = next) {
		next = TAILQ_NEXT(st, entry);
		st->calls->room(st);
	}
	/* who was first this time is last the next */
	st = TAILQ_FIRST(&s->streams);
	if (st) {
		TAILQ_REMOVE(&s->streams, st, entry);
		TAILQ_INSERT_TAIL(&s->streams, st, entry);
	}
}

void streams_gone(struct session *s)
{
	struct stream *st;

	while ((st = TAILQ_FIRST(&s->streams)) != NULL) {
		take_off(st);
		st->calls->gone(st);
	}
}
