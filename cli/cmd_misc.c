/*
 * cmd_misc.c - version and events.
 */
#include "base/build.h"
#include "base/text.h"
#include "cli/json.h"
#include "cli/link.h"
#include "cli/report.h"

static struct version own_version(void)
{
	return (struct version){ build_version, build_commit, build_time_ms };
}

static void print_version(const char *who, const struct version *v)
{
	char built[40];

	show_time(built, sizeof(built), v->built);
	printf("%s %s (commit %s, built %.19sZ)\n", who, v->version, v->commit, built);
}

/* The daemon's build, when one runs and answers; none is started for it. */
static int version(struct cli *c)
{
	struct version own = own_version();
	struct nothing none;
	struct pong pong;
	struct why why;
	bool there = false;
	json_t *doc;

	c->silent_version = true;
	if (link_try(c, &there, &why) || (there && ask(c, LETTER_ping, &none, &pong, &why)))
		there = false;
	c->unreachable = false;
	if (c->json) {
		doc = json_of(&shape_version, &own);
		if (there)
			json_set(&doc, "daemon", json_of(&shape_version, &pong.version));
		json_print(c, doc);
		return EXIT_DONE;
	}
	print_version("banger", &own);
	if (there)
		print_version("bangerd", &pong.version);
	return EXIT_DONE;
}

const struct command cmd_version = {
	.words = "version",
	.args = "",
	.doc = "which build this is, and which the daemon is of when one runs",
	.example = "banger version",
	.run = version,
};

static void on_note(void *ctx, enum letter_id letter, struct bytes params)
{
	struct cli *c = ctx;
	struct event event;
	struct arena mem;

	if (letter != LETTER_event)
		return;
	arena_init(&mem, 64 * KiB);
	if (!shape_read(&shape_event, mp_over(params.p, params.n), LENIENT, &mem, &event, NULL))
		json_print_line(stdout, json_of(&shape_event, &event));
	arena_done(&mem);
	if (ferror(stdout))
		c->link->gone = true; /* nobody reads them any more */
}

static int events(struct cli *c)
{
	struct nothing none;
	struct why why;
	bool never = false;

	if (link_open(c, &why))
		return report(c, &why);
	c->link->note = on_note;
	c->link->note_ctx = c;
	if (ask(c, LETTER_events_watch, &none, NULL, &why))
		return report(c, &why);
	link_until(c->link, &never);
	if (ferror(stdout))
		return EXIT_REFUSED;
	return report(c, &c->link->gone_why);
}

const struct command cmd_events = {
	.words = "events",
	.args = "",
	.doc = "what happens from now on, one JSON object a line, until Ctrl-C",
	.example = "banger events | jq -c 'select(.kind == \"vm.running\")'",
	.run = events,
};
