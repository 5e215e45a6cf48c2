/*
 * pull_talk.c - what the two workers of a pull say to each other goes through here: the one that
 * builds says what it wants, the one with the network what it has.
 *
 * Two pulls that want the same layer share its download: the second one listens to the first one's
 * downloader, and asks its own when that one goes without having finished.
 */
#include "actors/image/pull.h"

#include "actors/shared/notes.h"
#include "base/text.h"

enum { TELL_MS = 250, STAGE_BYTES = 24 };

/* ---- what people see ---- */

static void show(struct pull *p, struct pull_want *w, enum stage_state state, uint64_t bytes)
{
	struct pull_wait *who;
	struct making *m = &p->im.sm.m;
	uint64_t now = world_now_ms(p->im.sm.s->world), ms = w->begun ? now - w->began_ms : 0;
	char stage[STAGE_BYTES], done[16], total[16], rate[16], text[80];
	struct op_stage body = { .op = m->op, .stage = stage, .state = state, .ms = ms,
		.detail = text, .bytes = bytes, .has_bytes = true, .total = w->size,
		.has_total = w->size > 0, .cached = w->cached, .has_cached = w->cached };
	struct event event = { .kind = "image.stage", .name = m->name, .op = m->op, .has_op = true,
		.stage = stage, .state = word_of(stage_state, state), .ms = ms, .has_ms = true,
		.detail = text };

	if (!w->layer)
		return;
	w->told_ms = now;
	if (ms > 0 && !w->cached) {
		body.rate = (bytes - MIN(bytes, w->began_bytes)) * 1000 / ms;
		body.has_rate = true;
	}
	snprintf(stage, sizeof(stage), "layer %.12s", w->digest + 7);
	show_size(done, sizeof(done), bytes);
	show_size(total, sizeof(total), w->size);
	show_size(rate, sizeof(rate), body.rate);
	if (w->cached)
		snprintf(text, sizeof(text), "%s, cached", total);
	else
		snprintf(text, sizeof(text), "%s%s%s%s%s%s", done, w->size ? " of " : "",
			w->size ? total : "",
			body.has_rate ? ", " : "", body.has_rate ? rate : "",
			body.has_rate ? "/s" : "");
	TAILQ_FOREACH(who, &p->waits, entry) {
		body.op = who->op ? who->op : m->op;
		note_progress(p->im.sm.s->me, who->client, &body);
	}
	note_event(p->im.sm.s->me, p->im.sm.s->world, &event);
}

static void show_have(struct pull *p, struct pull_want *w, const struct work_have *have)
{
	uint64_t now = world_now_ms(p->im.sm.s->world);

	if (!w->begun) {
		w->began_ms = now;
		w->began_bytes = have->bytes;
	}
	w->begun = true;
	if (have->whole)
		show(p, w, stage_state_done, have->bytes);
	else if (now >= w->told_ms + TELL_MS)
		show(p, w, stage_state_progress, have->bytes);
}

/* ---- wants ---- */

static struct pull_want *find(struct pull *p, const char *digest)
{
	for (uint32_t i = 0; i < p->wants_n; i++)
		if (str_eq(p->wants[i].digest, digest))
			return &p->wants[i];
	return NULL;
}

static struct pull_want *add(struct pull *p, const char *digest, struct why *why)
{
	uint32_t room = p->wants_room ? 2 * p->wants_room : 16;
	struct pull_want *more;

	if (p->wants_n == PULL_WANTS_MAX) {
		fail(why, ERR_too_large, "an image of more than %d parts", PULL_WANTS_MAX);
		return NULL;
	}
	if (p->wants_n == p->wants_room) {
		more = realloc(p->wants, room * sizeof(*more));
		if (!more) {
			fail(why, ERR_no_memory, "no memory for a pull");
			return NULL;
		}
		p->wants = more;
		p->wants_room = room;
	}
	more = &p->wants[p->wants_n++];
	*more = (struct pull_want){ .size = 0 };
	must(str_copy(more->digest, sizeof(more->digest), digest));
	return more;
}

/* Whether another pull's downloader is at it. */
static bool is_coming(struct pull *p, const struct pull_want *w)
{
	struct making *m;

	TAILQ_FOREACH(m, &p->im.sm.s->makings.list, entry) {
		struct pull *q = pull_of(m);
		struct pull_want *its = q && q != p && q->fetch ? find(q, w->digest) : NULL;

		if (its && its->asked && !its->whole)
			return true;
	}
	return false;
}

static void stop(struct pull *p, const struct why *why)
{
	if (!p->why.code)
		p->why = *why;
	if (p->fetch)
		job_stop(p->fetch, why);
	if (p->im.sm.m.job)
		job_stop(p->im.sm.m.job, why);
}

static void ask_for(struct pull *p, struct pull_want *w)
{
	struct work_want body = { .manifest = w->manifest, .has_manifest = w->manifest,
		.digest = w->digest, .size = w->size, .has_size = w->size > 0 };
	struct why why;

	w->asked = w->manifest || !is_coming(p, w);
	if (w->asked && p->fetch && job_tell(p->fetch, LETTER_work_want, &body, &why))
		stop(p, &why);
}

void pull_on_want(struct pull *p, const struct work_want *q)
{
	struct pull_want *w;
	struct why why;

	if (!p->fetch)
		return;
	if (q->tag) {
		if (job_tell(p->fetch, LETTER_work_want, q, &why))
			stop(p, &why);
		return;
	}
	w = q->digest && !find(p, q->digest) ? add(p, q->digest, &why) : NULL;
	if (!w) {
		if (!q->digest || find(p, q->digest))
			fail(&why, ERR_internal, "the worker wants something twice, or nothing");
		stop(p, &why);
		return;
	}
	w->manifest = q->manifest;
	w->layer = q->layer;
	w->size = q->size;
	show(p, w, stage_state_begun, 0);
	ask_for(p, w);
}

void pull_hand_over(struct pull *p)
{
	struct making *m;

	TAILQ_FOREACH(m, &p->im.sm.s->makings.list, entry) {
		struct pull *q = pull_of(m);

		for (uint32_t i = 0; q && q != p && i < q->wants_n; i++)
			if (!q->wants[i].asked && !q->wants[i].whole)
				ask_for(q, &q->wants[i]);
	}
}

/* ---- haves ---- */

static void take(struct pull *p, struct pull_want *w, const struct work_have *have)
{
	struct why why;

	w->whole |= have->whole;
	w->cached |= have->cached && !w->begun;
	show_have(p, w, have);
	if (p->im.sm.m.job && job_tell(p->im.sm.m.job, LETTER_work_have, have, &why))
		stop(p, &why);
}

void pull_on_have(struct pull *p, const struct work_have *have)
{
	struct making *m;
	struct why why;

	if (have->tag && p->im.sm.m.job && job_tell(p->im.sm.m.job, LETTER_work_have, have, &why))
		stop(p, &why);
	TAILQ_FOREACH(m, &p->im.sm.s->makings.list, entry) {
		struct pull *q = pull_of(m);
		struct pull_want *w = q ? find(q, have->digest) : NULL;

		if (w && !w->whole && (q == p ? w->asked : !w->asked))
			take(q, w, have);
	}
}
