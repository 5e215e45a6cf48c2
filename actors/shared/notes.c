/*
 * notes.c - op.stage, op.done, stream.end and events on their way to the gate.
 */
#include "actors/shared/notes.h"

static void to_client(struct actor *me, uint64_t client, enum letter_id kind, const void *body)
{
	if (client)
		(void)!tell_for(me, GATE_BIT, kind, client, body);
}

void note_stage(struct actor *me, uint64_t client, uint64_t op, const char *stage,
	enum stage_state state, uint64_t ms, const char *detail)
{
	struct op_stage body = {
		.op = op, .stage = stage, .state = state, .ms = ms, .detail = detail
	};

	note_progress(me, client, &body);
}

void note_progress(struct actor *me, uint64_t client, const struct op_stage *stage)
{
	to_client(me, client, LETTER_op_stage, stage);
}

void note_done(struct actor *me, uint64_t client, uint64_t op, enum op_state state, uint64_t ms,
	const char *subject, const struct why *why)
{
	struct op_done body = { .op = op, .state = state, .ms = ms, .subject = subject };
	struct error error;

	if (why) {
		error = error_of(why);
		body.error = &error;
	}
	if (client)
		tell_last(me, GATE_BIT, LETTER_op_done, client, &body);
}

void note_event(struct actor *me, struct world *w, const struct event *event)
{
	struct event body = *event;

	body.time = world_unix_ms(w);
	(void)!tell_for(me, GATE_BIT, LETTER_event, 0, &body);
}

void note_stream_end(
	struct actor *me, uint64_t client, uint64_t stream, uint64_t code, const struct why *why)
{
	struct stream_end body = { .stream = stream };
	struct error error;

	if (why) {
		error = error_of(why);
		body.error = &error;
	} else {
		body.code = code;
		body.has_code = true;
	}
	if (client)
		tell_last(me, GATE_BIT, LETTER_stream_end, client, &body);
}
