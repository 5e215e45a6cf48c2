/*
 * logs.c - vm.logs: what a machine's console printed, and what it prints from now on, as a stream.
 * A follower that does not read loses what does not fit; the console never waits for it.
 */
#include "actors/shared/notes.h"
#include "actors/vm/vm.h"

enum { FOLLOW_BYTES_MAX = 1310720 };

static void send_chunk(struct session *s, const uint8_t *p, size_t n)
{
	struct stream_data d = { s->stream, 1, { p ? p : (const uint8_t *)"", n } };

	tell_for(s->m->v->me, GATE_BIT, LETTER_stream_data, s->client, &d);
}

void logs_pump(struct session *s)
{
	size_t sent = 0;

	while (sent < s->pending.n && s->out[0].left > 0) {
		size_t n = MIN(s->pending.n - sent, (size_t)CHUNK_BYTES);

		n = MIN(n, (size_t)s->out[0].left);
		if (!window_use(&s->out[0], n))
			break;
		send_chunk(s, s->pending.p + sent, n);
		sent += n;
	}
	buf_drop(&s->pending, sent);
	if (s->pending.n > 0 || s->follow)
		return;
	send_chunk(s, NULL, 0);
	session_over(s);
}

void session_logs(struct vmd *v, const struct letter *l, const struct vm_logs *q)
{
	struct machine *m = machine_find(v, q->vm);
	struct stream_begun b;
	struct session *s;
	struct why why;

	if (!m) {
		fail_field(&why, ERR_not_found, "vm", "no machine '%s'", q->vm);
		refuse(v->me, l->reply, &why);
		return;
	}
	s = session_new(m, SESSION_LOGS, l, &why);
	if (!s) {
		refuse(v->me, l->reply, &why);
		return;
	}
	s->follow = q->has_follow && q->follow;
	s->reply.serial = 0;
	s->pending.max = FOLLOW_BYTES_MAX;
	if (console_read(m, q->has_tail ? q->tail : UINT64_MAX, &s->pending, &why)) {
		s->pending.failed = false;
		s->pending.n = 0;
	}
	s->pending.max = FOLLOW_BYTES_MAX;
	b.stream = s->stream;
	answer(v->me, l->reply, &b);
	logs_pump(s);
}

void session_console(struct machine *m, const uint8_t *p, size_t n)
{
	struct session *s, *next;

	for (s = TAILQ_FIRST(&m->sessions); s; s = next) {
		next = TAILQ_NEXT(s, entry);
		if (s->kind != SESSION_LOGS || !s->follow)
			continue;
		if (s->pending.n + n <= FOLLOW_BYTES_MAX)
			buf_add(&s->pending, p, n);
		s->pending.failed = false;
		logs_pump(s);
	}
}

/* The machine is going for good: its followers have read all there will be. */
void logs_end(struct machine *m)
{
	struct session *s, *next;

	for (s = TAILQ_FIRST(&m->sessions); s; s = next) {
		next = TAILQ_NEXT(s, entry);
		if (s->kind == SESSION_LOGS) {
			s->follow = false;
			s->pending.n = 0;
			logs_pump(s);
		}
	}
}
