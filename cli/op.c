/*
 * op.c - follows one operation by its notifications (row B3) and shows its stages.
 *
 * Shown only on stderr. While a stage runs its line is rewritten ten times a second; nothing ticks
 * when nobody looks. The layers of a pull are stages as well: several run at once.
 */
#include "cli/op.h"

#include "base/log.h"
#include "base/text.h"
#include "cli/json.h"
#include "cli/report.h"

enum { TICK_MS = 100, LINES_MAX = 12 };

void op_init(struct op *o, struct cli *c, const uint64_t *id)
{
	*o = (struct op){ .c = c, .link = c->link, .id = id, .show = OP_QUIET };
	if (c->quiet)
		return;
	if (c->progress && c->json)
		o->show = OP_JSON;
	else if (c->progress)
		o->show = OP_LINES;
	else if (c->err_live && !c->json)
		o->show = OP_LIVE;
}

static void print_step(const struct op *o, const struct op_step *s, bool running)
{
	char time[24], size[24] = "", name[96], detail[200];
	const char *color = "", *off = o->c->err_color ? "\033[0m" : "";

	show_duration(time, sizeof(time), s->ms);
	log_escape(name, sizeof(name), s->name, strlen(s->name));
	log_escape(detail, sizeof(detail), s->detail, strlen(s->detail));
	if (o->bytes && *o->bytes)
		show_size(size, sizeof(size), *o->bytes);
	if (o->c->err_color && running)
		color = "\033[2m";
	else if (o->c->err_color)
		color = s->state == stage_state_failed ? "\033[31m" : "\033[32m";
	fprintf(stderr, "  %s%-10s%s %8s", color, name, off, time);
	if (s->state == stage_state_failed || s->state == stage_state_undone)
		fprintf(stderr, "  %s", word_of(stage_state, s->state));
	if (size[0])
		fprintf(stderr, "  %s", size);
	if (detail[0] && (running || s->measured))
		fprintf(stderr, "  %.40s", detail);
}

static void clear_lines(struct op *o)
{
	for (; o->lines_open > 1; o->lines_open--)
		fputs("\r\033[K\033[A", stderr);
	if (o->lines_open)
		fputs("\r\033[K", stderr);
	o->lines_open = 0;
}

static bool is_running(const struct op_step *s)
{
	return s->state == stage_state_progress || (s->state == stage_state_begun && !s->measured);
}

/* Every stage that runs has a line; those of layers come first, then the stage that they are of. */
static void draw_some(struct op *o, bool measured)
{
	for (unsigned i = 0; i < o->steps_n && o->lines_open < LINES_MAX; i++) {
		struct op_step *s = &o->steps[i];

		if (!is_running(s) || s->measured != measured)
			continue;
		s->ms = loop_now_ms(o->c->loop) - s->began;
		if (o->lines_open++)
			fputc('\n', stderr);
		print_step(o, s, true);
	}
}

static void draw(void *ctx)
{
	struct op *o = ctx;

	clear_lines(o);
	draw_some(o, true);
	draw_some(o, false);
	fflush(stderr);
	if (o->lines_open)
		timer_start(o->c->loop, &o->tick, TICK_MS, draw, o);
}

static struct op_step *step_of(struct op *o, const char *name)
{
	struct op_step *s;

	for (unsigned i = 0; i < o->steps_n; i++)
		if (str_eq(o->steps[i].name, name))
			return &o->steps[i];
	if (o->steps_n == OP_STAGES_MAX)
		return NULL;
	s = &o->steps[o->steps_n++];
	str_copy(s->name, sizeof(s->name), name);
	return s;
}

static void show_step(struct op *o, struct op_step *s)
{
	bool over = s->state != stage_state_begun && s->state != stage_state_progress;

	if (o->show == OP_QUIET || o->show == OP_JSON || (!over && o->show == OP_LINES))
		return;
	timer_stop(&o->tick);
	clear_lines(o);
	if (over) {
		print_step(o, s, false);
		fputc('\n', stderr);
	}
	if (o->show == OP_LIVE)
		draw(o);
}

static void on_stage(struct op *o, const struct op_stage *m)
{
	char name[sizeof(((struct op_step *)0)->name)];
	struct op_step *s;

	str_copy(name, sizeof(name), m->stage);
	s = step_of(o, name);
	if (!s)
		return;
	s->state = m->state;
	s->ms = m->ms;
	s->began = loop_now_ms(o->c->loop) - m->ms;
	s->measured = m->has_total;
	str_copy(s->detail, sizeof(s->detail), m->detail ? m->detail : "");
	show_step(o, s);
}

static void on_done(struct op *o, const struct op_done *m)
{
	o->done = true;
	o->state = m->state;
	str_copy(o->subject, sizeof(o->subject), m->subject ? m->subject : "");
	if (m->error)
		why_of(m->error, &o->why);
	else if (m->state == op_state_cancelled)
		fail(&o->why, ERR_cancelled, "cancelled");
	else if (m->state == op_state_failed)
		fail(&o->why, ERR_internal, "the operation failed without a reason");
	op_close(o);
}

/* A stage that cannot be read is only not shown; the end must not be missed. */
static void unreadable(struct op *o, enum letter_id letter, const struct why *why)
{
	if (letter != LETTER_op_done)
		return;
	o->done = true;
	o->state = op_state_failed;
	fail(&o->why, why->code, "the end of the operation could not be read: %.200s", why->text);
	op_close(o);
}

bool op_note(struct op *o, enum letter_id letter, struct bytes params)
{
	union {
		struct op_stage stage;
		struct op_done done;
	} u;
	struct arena mem;
	struct why why;
	bool ours = true;

	if ((letter != LETTER_op_stage && letter != LETTER_op_done) || o->done)
		return false;
	arena_init(&mem, 64 * KiB);
	if (shape_read(letter_kinds[letter].in, mp_over(params.p, params.n), LENIENT, &mem, &u,
		    &why)) {
		unreadable(o, letter, &why);
	} else {
		uint64_t id = letter == LETTER_op_stage ? u.stage.op : u.done.op;

		ours = !o->id || *o->id == 0 || *o->id == id;
		if (ours && o->show == OP_JSON)
			json_print_line(stderr, json_of(letter_kinds[letter].in, &u));
		if (ours && letter == LETTER_op_stage)
			on_stage(o, &u.stage);
		else if (ours)
			on_done(o, &u.done);
	}
	arena_done(&mem);
	return ours;
}

static void ignore(void *ctx UNUSED, const struct why *why UNUSED, struct bytes result UNUSED)
{
}

void op_cancel(struct op *o)
{
	struct op_cancel m = { o->id ? *o->id : 0 };

	if (m.op == 0 || o->cancelled || o->done || o->link->gone)
		return;
	o->cancelled = true;
	(void)!rpc_ask(o->link->rpc, &letter_kinds[LETTER_op_cancel], &m, ignore, o, NULL);
}

void op_close(struct op *o)
{
	timer_stop(&o->tick);
	clear_lines(o);
	fflush(stderr);
}

void op_blame(const struct op *o, struct why *why)
{
	const struct op_step *worst = NULL;
	char time[24], text[sizeof(why->text)];

	for (unsigned i = 0; i < o->steps_n; i++)
		if (o->steps[i].state == stage_state_failed)
			worst = &o->steps[i];
	for (unsigned i = 0; !worst && i < o->steps_n; i++)
		if (o->steps[i].state == stage_state_begun)
			worst = &o->steps[i];
	if (!worst && why->code == ERR_timeout)
		for (unsigned i = 0; i < o->steps_n; i++)
			if (!worst || o->steps[i].ms > worst->ms)
				worst = &o->steps[i];
	if (!worst || strstr(why->text, worst->name))
		return;
	show_duration(time, sizeof(time), worst->ms);
	str_copy(text, sizeof(text), why->text);
	snprintf(why->text, sizeof(why->text), "%.300s (stage %.39s, %s)", text, worst->name, time);
}

/* ---- an ask with stages ---- */

static void on_note(void *ctx, enum letter_id letter, struct bytes params)
{
	op_note(ctx, letter, params);
}

void op_hear(struct op *o)
{
	o->link->note = on_note;
	o->link->note_ctx = o;
}

void op_unheard(struct op *o)
{
	o->link->note = NULL;
}

enum err op_ask(
	struct cli *c, enum letter_id letter, const void *body, void *result, struct why *why)
{
	struct op op;
	enum err e = link_open(c, why);

	if (e)
		return e;
	op_init(&op, c, NULL);
	op_hear(&op);
	e = ask(c, letter, body, result, why);
	op_unheard(&op);
	op_close(&op);
	if (e)
		op_blame(&op, why);
	return e;
}
