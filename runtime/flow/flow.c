/*
 * flow.c - the engine behind every operation of several steps; see flow/flow.h for its states.
 *
 * Invariants: before a step acts, the journal on disk says that it may have; after the flow ended,
 * the journal holds nothing of it; a ticket is used once.
 */
#include "flow/flow.h"

static void go_on(struct flow *f);
static void turn_back(struct flow *f);

const char *flow_step_name(const struct flow *f)
{
	return f->at < f->kind->count ? f->kind->steps[f->at].name : "";
}

static void tell_news(struct flow *f, enum flow_news news)
{
	uint64_t ms = world_now_ms(f->host->w) - f->step_began_ms;

	if (news != FLOW_STEP_BEGUN && news != FLOW_STEP_UNDONE)
		f->step_ms[f->at] = ms;
	f->host->news(f->host->owner, f, f->at, news, ms);
}

static void journal(struct flow *f, bool over)
{
	f->writing++;
	f->host->journal(f->host->owner, f, over);
}

static void close_flow(struct flow *f)
{
	f->state = FLOW_CLOSING;
	f->closing = true;
	world_timer_stop(&f->deadline);
	journal(f, true);
}

static void rest(struct flow *f);

static void settle(struct flow *f, enum flow_said said)
{
	bool back = f->undoing;

	if (said == FLOW_WAIT)
		return;
	if (said == FLOW_FAILED) {
		if (!back)
			tell_news(f, FLOW_STEP_FAILED);
		if (back || f->kind->forward_only) {
			rest(f);
			return;
		}
		f->failed = true;
		turn_back(f);
		return;
	}
	f->tries = 0;
	tell_news(f, back ? FLOW_STEP_UNDONE : FLOW_STEP_DONE);
	if (back) {
		go_on(f);
		return;
	}
	f->at++;
	go_on(f);
}

static void act(struct flow *f)
{
	const struct flow_step *s = &f->kind->steps[f->at];
	uint32_t ticket = ++f->ticket;
	enum flow_said said;

	f->state = FLOW_ACTING;
	said = s->act(f->host->owner, f);
	if (ticket == f->ticket) /* else it was settled or turned meanwhile */
		settle(f, said);
}

/* Undoes the steps below `at`, the nearest first. */
static void undo_next(struct flow *f)
{
	while (f->at > 0) {
		const struct flow_step *s = &f->kind->steps[--f->at];
		enum flow_said said;
		uint32_t ticket;

		if (!s->undo)
			continue;
		f->state = FLOW_UNDOING;
		f->step_began_ms = world_now_ms(f->host->w);
		ticket = ++f->ticket;
		said = s->undo(f->host->owner, f);
		if (ticket == f->ticket)
			settle(f, said);
		return;
	}
	close_flow(f);
}

static void go_on(struct flow *f)
{
	unsigned covers;

	if (f->undoing) {
		undo_next(f);
		return;
	}
	if (f->at == f->kind->count) {
		close_flow(f);
		return;
	}
	f->step_began_ms = world_now_ms(f->host->w);
	tell_news(f, FLOW_STEP_BEGUN);
	if (f->at < f->journaled) {
		act(f);
		return;
	}
	covers = MAX(f->kind->steps[f->at].covers, 1u);
	f->journaled = MIN(f->at + covers, f->kind->count);
	f->state = FLOW_WRITING;
	journal(f, false);
}

static void turn_back(struct flow *f)
{
	f->undoing = true;
	f->closing = false;
	f->ticket++;
	f->at = f->journaled;
	f->state = FLOW_TURNING;
	world_timer_stop(&f->deadline);
	journal(f, false);
}

static void try_again(void *ctx)
{
	struct flow *f = ctx;

	if (f->closing) {
		close_flow(f);
	} else if (f->undoing) {
		f->at++;
		undo_next(f);
	} else if (f->at < f->journaled) {
		act(f);
	} else {
		go_on(f); /* it was the journal that failed: nothing acts before it is written */
	}
}

static void rest(struct flow *f)
{
	uint64_t ms = (uint64_t)FLOW_RETRY_MS << MIN(f->tries, 8u);

	f->tries++;
	f->ticket++;
	f->state = FLOW_RESTING;
	world_timer(f->host->w, &f->retry, MIN(ms, (uint64_t)FLOW_RETRY_MS_MAX), try_again, f);
}

static void ended(struct flow *f)
{
	flow_stop(f);
	f->state = FLOW_IDLE;
	f->host->ended(f->host->owner, f, f->failed ? &f->why : NULL);
}

/* Not removed: what was done is not acknowledged then, and what failed may leave its entry. */
static void close_written(struct flow *f, const struct why *why)
{
	if (why && f->kind->forward_only) {
		rest(f);
		return;
	}
	if (why && !f->failed) {
		f->why = *why;
		f->failed = true;
		f->journaled = f->kind->count;
		turn_back(f);
		return;
	}
	f->unclosed = why != NULL;
	ended(f);
}

void flow_written(struct flow *f, const struct why *why)
{
	if (--f->writing > 0)
		return; /* a later entry is under way; its answer counts */
	switch (f->state) {
	case FLOW_WRITING:
		if (!why) {
			act(f);
			return;
		}
		/* nothing of this step has acted: what the journal covered before is undone */
		f->journaled = f->at;
		f->why = *why;
		tell_news(f, FLOW_STEP_FAILED);
		if (f->kind->forward_only) {
			rest(f);
			return;
		}
		f->failed = true;
		turn_back(f);
		return;
	case FLOW_TURNING: /* written or not, going back is right: the older entry undoes as well */
		undo_next(f);
		return;
	case FLOW_CLOSING:
		close_written(f, why);
		return;
	case FLOW_IDLE:
	case FLOW_ACTING:
	case FLOW_UNDOING:
	case FLOW_RESTING:
	case FLOW_STATE_COUNT:
		return;
	}
}

static void on_deadline(void *ctx)
{
	struct flow *f = ctx;
	struct why why;

	fail(&why, ERR_timeout, "stage '%s' did not end in time (%llu ms)", flow_step_name(f),
		(unsigned long long)(world_now_ms(f->host->w) - f->step_began_ms));
	flow_cancel(f, &why);
}

static void begin(struct flow *f, const struct flow_kind *kind, const struct flow_host *host,
	void *subject, uint64_t op)
{
	must(kind->count <= FLOW_STEPS_MAX);
	must(f->state == FLOW_IDLE);
	*f = (struct flow){ .kind = kind,
		.host = host,
		.subject = subject,
		.op = op,
		.ticket = f->ticket + 1,
		.writing = f->writing,
		.detach = f->detach };
	f->began_ms = f->step_began_ms = world_now_ms(host->w);
}

void flow_start(struct flow *f, const struct flow_kind *kind, const struct flow_host *host,
	void *subject, uint64_t op, uint64_t timeout_ms)
{
	begin(f, kind, host, subject, op);
	flow_deadline(f, timeout_ms);
	go_on(f);
}

void flow_deadline(struct flow *f, uint64_t timeout_ms)
{
	if (timeout_ms)
		world_timer(f->host->w, &f->deadline, timeout_ms, on_deadline, f);
	else
		world_timer_stop(&f->deadline);
}

void flow_recover(struct flow *f, const struct flow_kind *kind, const struct flow_host *host,
	void *subject, uint64_t op, unsigned journaled, const struct why *why)
{
	begin(f, kind, host, subject, op);
	f->journaled = MIN(journaled, kind->count);
	if (kind->forward_only) {
		go_on(f);
		return;
	}
	f->why = *why;
	f->failed = true;
	turn_back(f);
}

void flow_done(struct flow *f, uint32_t ticket)
{
	if (ticket != f->ticket || (f->state != FLOW_ACTING && f->state != FLOW_UNDOING))
		return;
	f->ticket++;
	settle(f, FLOW_DONE);
}

void flow_fail(struct flow *f, uint32_t ticket, const struct why *why)
{
	if (ticket != f->ticket || (f->state != FLOW_ACTING && f->state != FLOW_UNDOING))
		return;
	f->ticket++;
	if (!f->undoing)
		f->why = *why;
	settle(f, FLOW_FAILED);
}

void flow_cancel(struct flow *f, const struct why *why)
{
	if (f->undoing || f->kind->forward_only)
		return;
	if (f->state != FLOW_ACTING && f->state != FLOW_WRITING)
		return;
	f->why = *why;
	f->failed = true;
	if (f->at < f->kind->count)
		tell_news(f, FLOW_STEP_FAILED);
	turn_back(f);
}

void flow_stop(struct flow *f)
{
	world_timer_stop(&f->retry);
	world_timer_stop(&f->deadline);
}
