/*
 * namesd.c - the daemon's dns actor by itself, told names on its input: for tests that ask it hard
 * questions, and for `make bench`, which needs more names than a host can run machines.
 *
 *	namesd DIR ADDRESS:PORT
 *
 * DIR is scratch space. It prints "up" or "down WHY" first, then a line for each one that it reads:
 *	+ NAME ADDRESS [SUBNET]	publish: "ok", or "refused CODE FIELD"
 *	- NAME			withdraw: "ok"
 *	?			"RECORDS QUERIES DROPPED STREAMS"
 * The end of its input is its end.
 */
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "actors/roster.h"
#include "base/log.h"
#include "base/text.h"
#include "world/world_linux.h"

enum { DNS, TELLER, BOTH, DEADLINE_MS = 60000, OPEN_MAX = 512, LINE_BYTES = 256 };

extern const struct actor_class dns_actor;

struct tool {
	struct env env;
	struct config config;
	struct loop *loop;
	struct world *world;
	struct house *house;
	struct turn_hook letters;
	struct timer deadlines;
};

struct teller {
	struct actor *me;
	struct tool *tool;
	struct chan *chan;
	unsigned open; /* asks whose answer is not there */
};

/* ---- lines in and out ---- */

static void say(struct teller *t, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void say(struct teller *t, const char *fmt, ...)
{
	char line[512];
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(line, sizeof(line) - 1, fmt, args);
	va_end(args);
	line[n] = '\n';
	chan_write(t->chan, line, (size_t)n + 1);
}

static void done(void *state, uint64_t ctx UNUSED, const struct why *why, const void *result UNUSED,
	struct arena *arena UNUSED)
{
	struct teller *t = state;

	if (why)
		say(t, "refused %s %s", err_name(why->code), why->field);
	else
		say(t, "ok");
	if (--t->open < OPEN_MAX / 2)
		chan_pause(t->chan, false);
}

static void counted(void *state, uint64_t ctx UNUSED, const struct why *why, const void *result,
	struct arena *arena UNUSED)
{
	const struct dns_status *s = result;
	struct teller *t = state;

	must(!why);
	say(t, "%llu %llu %llu %llu", (unsigned long long)s->records,
		(unsigned long long)s->queries, (unsigned long long)s->dropped,
		(unsigned long long)s->streams);
	t->open--;
}

static void serve(struct teller *t, char *line)
{
	char *more[3] = { NULL, NULL, NULL }, *blank = line;
	struct nothing none;

	for (int i = 0; i < 3 && (blank = strchr(blank, ' ')) != NULL; i++) {
		*blank++ = '\0';
		more[i] = blank;
	}
	t->open++;
	if (line[0] == '?') {
		ask(t->me, LETTER_dns_status, &none, DEADLINE_MS, counted, 0);
	} else if (line[0] == '-' && more[0]) {
		struct dns_withdraw w = { more[0] };

		ask(t->me, LETTER_dns_withdraw, &w, DEADLINE_MS, done, 0);
	} else if (line[0] == '+' && more[1]) {
		struct dns_publish p = { more[0], more[1], more[2] };

		ask(t->me, LETTER_dns_publish, &p, DEADLINE_MS, done, 0);
	} else {
		t->open--;
		say(t, "what?");
	}
}

static size_t on_data(void *ctx, const uint8_t *p, size_t n)
{
	const uint8_t *end = memchr(p, '\n', n);
	struct teller *t = ctx;
	char line[LINE_BYTES];

	if (t->open >= OPEN_MAX) {
		chan_pause(t->chan, true);
		return 0;
	}
	if (!end)
		return 0;
	must(end - p < LINE_BYTES);
	memcpy(line, p, (size_t)(end - p));
	line[end - p] = '\0';
	serve(t, line);
	return (size_t)(end - p) + 1;
}

static void on_closed(void *ctx, const struct why *why UNUSED)
{
	struct teller *t = ctx;

	loop_stop(t->tool->loop);
}

static const struct chan_user user = { .data = on_data, .closed = on_closed };

/* ---- the one who tells ---- */

static void on_news(void *state, const struct letter *l UNUSED, const void *body)
{
	const struct dns_status *s = body;

	say(state, "%s%s%s", s->up ? "up" : "down", s->why ? " " : "", s->why ? s->why : "");
}

static enum err teller_open(void *state, struct actor *me, void *env, struct why *why)
{
	struct teller *t = state;

	t->me = me;
	t->tool = CONTAINER_OF(env, struct tool, env);
	return chan_open(t->tool->loop, 0, 1, &user, t, &t->chan, why);
}

static void teller_close(void *state)
{
	struct teller *t = state;

	chan_close(t->chan);
}

static const struct handler handlers[] = { { LETTER_dns_news, on_news }, { 0, NULL } };

static const struct actor_class teller = {
	.name = "teller",
	.state = sizeof(struct teller),
	.mail = 4 * TURN_LETTERS,
	.on = handlers,
	.open = teller_open,
	.close = teller_close,
};

static const struct actor_class *const classes[BOTH] = { [DNS] = &dns_actor, [TELLER] = &teller };
static const struct route routes[] = {
	{ LETTER_dns_publish, 1 << DNS, 1 << TELLER },
	{ LETTER_dns_withdraw, 1 << DNS, 1 << TELLER },
	{ LETTER_dns_status, 1 << DNS, 1 << TELLER },
	{ LETTER_dns_news, 1 << TELLER, 1 << DNS },
};

/* ---- the house ---- */

static uint64_t now_cb(void *ctx)
{
	return world_now_ms(((struct tool *)ctx)->world);
}

static void deadlines_cb(void *ctx)
{
	house_deadlines(((struct tool *)ctx)->house);
}

static void wake_at_cb(void *ctx, uint64_t ms)
{
	struct tool *t = ctx;
	uint64_t now = world_now_ms(t->world);

	if (ms == UINT64_MAX)
		timer_stop(&t->deadlines);
	else
		timer_start(t->loop, &t->deadlines, ms > now ? ms - now : 0, deadlines_cb, t);
}

static bool letters_cb(void *ctx)
{
	return house_turn(((struct tool *)ctx)->house);
}

static enum err begin(struct tool *t, const char *dir, const char *listen, struct why *why)
{
	struct house_setup setup = { .classes = classes,
		.actors = BOTH,
		.routes = routes,
		.routes_n = COUNT(routes),
		.kinds = letter_kinds,
		.kinds_n = LETTER_COUNT,
		.world = { now_cb, wake_at_cb, t },
		.env = &t->env };
	char state[512], runtime[512];
	enum err e = loop_new(&t->loop, why);

	snprintf(state, sizeof(state), "%s/s", dir);
	snprintf(runtime, sizeof(runtime), "%s/r", dir);
	mkdir(state, 0700);
	mkdir(runtime, 0700);
	t->config.dns_listen = listen;
	if (!e)
		e = world_linux_new(t->loop, state, runtime, 1, &t->world, why);
	t->env = (struct env){ .world = t->world, .config = &t->config };
	if (!e)
		e = house_new(&setup, &t->house, why);
	if (!e)
		e = house_open(t->house, why);
	if (!e)
		turn_hook_add(t->loop, &t->letters, letters_cb, t);
	return e;
}

int main(int argc, char **argv)
{
	static struct tool t;
	struct why why;

	if (argc != 3) {
		fputs("usage: namesd DIR ADDRESS:PORT\n", stderr);
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	umask(077);
	log_to(2, LOG_ERROR, false);
	if (begin(&t, argv[1], argv[2], &why)) {
		fprintf(stderr, "namesd: %s\n", why.text);
		return 1;
	}
	loop_run(t.loop);
	house_free(t.house);
	timer_stop(&t.deadlines);
	world_linux_free(t.world);
	loop_free(t.loop);
	return 0;
}
