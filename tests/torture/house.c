/*
 * torture/house.c - two actors while the heap says no: an ask has exactly one answer all the same,
 * if only that the time is over.
 */
#include "tests/torture/torture.h"

#include "actor/actor.h"
#include "proto/proto.h"

enum { ECHO, KINDS, ASKER = 0, ECHOER, ACTORS };

static const struct letter_kind kinds[KINDS] = {
	{ "t.echo", ASK, &shape_setting, &shape_setting, "says it back" },
};
static const struct route routes[] = { { ECHO, 1 << ECHOER, 1 << ASKER } };

struct rig {
	struct actor *me[ACTORS];
	unsigned opened, answers;
	uint64_t now;
};

struct state {
	struct rig *rig;
};

static enum err open_one(void *p, struct actor *me, void *env, struct why *why UNUSED)
{
	struct state *s = p;

	s->rig = env;
	s->rig->me[s->rig->opened++] = me;
	return OK;
}

static void close_one(void *p)
{
	((struct state *)p)->rig->opened--;
}

static void on_echo(void *p, const struct letter *l, const void *body)
{
	struct rig *r = ((struct state *)p)->rig;
	const struct setting *said = body;
	struct why why;

	if (said->value[0] == 'y') {
		answer(r->me[ECHOER], l->reply, said);
		return;
	}
	fail(&why, ERR_conflict, "not that");
	refuse(r->me[ECHOER], l->reply, &why);
}

static const struct handler on_asker[] = { { 0, NULL } };
static const struct handler on_echoer[] = { { ECHO, on_echo }, { 0, NULL } };
static const struct actor_class asker = { "asker", sizeof(struct state), 256, on_asker, open_one,
	close_one, NULL, NULL };
static const struct actor_class echoer = { "echoer", sizeof(struct state), 256, on_echoer, open_one,
	close_one, NULL, NULL };
static const struct actor_class *const classes[ACTORS] = { &asker, &echoer };

static uint64_t now(void *ctx)
{
	return ((struct rig *)ctx)->now;
}

static void wake_at(void *ctx UNUSED, uint64_t ms UNUSED)
{
}

static void on_answer(void *p, uint64_t ctx, const struct why *why, const void *result,
	struct arena *a UNUSED)
{
	const struct setting *said = result;

	((struct state *)p)->rig->answers++;
	torture_must((why == NULL) == (said != NULL));
	if (said)
		torture_must(ctx == 0 && said->value[0] == 'y');
	else
		torture_must(why->code != OK && why->text[0] && (ctx == 1 || torture_struck()));
}

static void ask_both(struct house *h, struct rig *r)
{
	static const char *const words[] = { "yes", "no" };

	for (unsigned i = 0; i < 200; i++) {
		struct setting body = { .value = words[i % 2] };

		ask(r->me[ASKER], ECHO, &body, 1000, on_answer, i % 2);
		if (i % 50 == 49)
			while (house_turn(h))
				;
	}
	r->now = 5000;
	house_deadlines(h);
	torture_must(r->answers == 200);
}

static void two_actors(void)
{
	struct rig r = { .opened = 0 };
	struct house_setup s = { .classes = classes, .actors = ACTORS, .routes = routes,
		.routes_n = COUNT(routes), .kinds = kinds, .kinds_n = KINDS,
		.world = { now, wake_at, &r }, .env = &r };
	struct house *h = NULL;
	struct why why;

	if (house_new(&s, &h, &why)) {
		torture_must(torture_struck() && !h);
		return;
	}
	must(!house_open(h, &why));
	ask_both(h, &r);
	house_free(h);
	torture_must(r.opened == 0);
}

static const struct scenario scenarios[] = {
	{ .name = "two actors ask and answer", .run = two_actors },
};

TORTURE(scenarios)
