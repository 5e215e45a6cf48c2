/*
 * report.c - errors, notes and tables on a screen.
 *
 * Exit codes are decided here and nowhere else (row G8).
 */
#include "cli/report.h"

#include <stdarg.h>

#include "base/log.h"
#include "base/text.h"
#include "cli/json.h"

static const char *sgr(enum color color)
{
	switch (color) {
	case GREEN:
		return "\033[32m";
	case YELLOW:
		return "\033[33m";
	case RED:
		return "\033[31m";
	case DIM:
		return "\033[2m";
	case PLAIN:
		break;
	}
	return "";
}

const char *clean(struct cli *c, const char *s)
{
	size_t n = strlen(s), room = 10 * n + 8;
	char *out = arena_take(&c->mem, room);

	if (!out)
		return "?";
	log_escape(out, room, s, n);
	return out;
}

static int code_of(const struct cli *c, bool usage)
{
	if (c->command && (c->command->traits & SESSION))
		return EXIT_OWN;
	if (usage)
		return EXIT_USAGE;
	return c->unreachable ? EXIT_UNREACHABLE : EXIT_REFUSED;
}

static void say(struct cli *c, const struct why *why)
{
	char text[2 * sizeof(why->text)], hint[2 * sizeof(why->hint)];

	if (c->json) {
		json_error(c->spoke ? stderr : stdout, why);
		return;
	}
	fflush(stdout);
	log_escape(text, sizeof(text), why->text, strlen(why->text));
	log_escape(hint, sizeof(hint), why->hint, strlen(why->hint));
	fprintf(stderr, "%sbanger:%s %s\n", c->err_color ? sgr(RED) : "",
		c->err_color ? "\033[0m" : "", text);
	if (hint[0])
		fprintf(stderr, "hint: %s\n", hint);
}

int report(struct cli *c, const struct why *why)
{
	say(c, why);
	return code_of(c, false);
}

int report_code(const struct cli *c)
{
	return code_of(c, false);
}

int report_usage(struct cli *c, const struct why *why)
{
	say(c, why);
	return code_of(c, why->code != ERR_no_memory);
}

void note(struct cli *c, const char *fmt, ...)
{
	char text[512], shown[768];
	va_list ap;

	if (c->quiet)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	log_escape(shown, sizeof(shown), text, strlen(text));
	fflush(stdout);
	fprintf(stderr, "banger: %s\n", shown);
}

void print_document(struct cli *c, const struct shape *s, const void *obj)
{
	json_print(c, json_of(s, obj));
}

int finish(struct cli *c, int code)
{
	struct why why;

	if (c->no_memory && !code)
		code = code_of(c, false);
	errno = 0;
	if (fflush(stdout) == 0 && !ferror(stdout))
		return code;
	if (errno == EPIPE)
		return code ? code : EXIT_REFUSED; /* the reader went; it knows */
	fail_errno(&why, "cannot write the output");
	c->json = false;
	say(c, &why);
	return code ? code : code_of(c, false);
}

/* Tables. */

static unsigned width_of(const char *s)
{
	unsigned n = 0;

	for (; *s; s++)
		n += (*s & 0xc0) != 0x80; /* code points */
	return n;
}

static void add_cell(struct grid *g, enum color color, const char *s)
{
	char tag = (char)(color + 1), shown[512];
	unsigned column = g->cells % g->columns;

	log_escape(shown, sizeof(shown), s, strlen(s));
	buf_add(&g->text, &tag, 1);
	buf_add(&g->text, shown, strlen(shown) + 1);
	g->width[column] = MAX(g->width[column], width_of(shown));
	g->cells++;
}

void grid_init(struct grid *g, struct cli *c, const char *const *heads, unsigned columns)
{
	*g = (struct grid){ .c = c, .columns = columns };
	must(columns <= GRID_COLUMNS);
	buf_init(&g->text, 64 * MiB);
	for (unsigned i = 0; i < columns; i++)
		add_cell(g, PLAIN, heads[i]);
}

void grid_cell(struct grid *g, enum color color, const char *fmt, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	add_cell(g, color, text[0] ? text : "-");
}

void grid_size(struct grid *g, bool known, uint64_t bytes)
{
	char text[24] = "-";

	if (known)
		show_size(text, sizeof(text), bytes);
	add_cell(g, PLAIN, text);
}

void grid_duration(struct grid *g, bool known, uint64_t ms)
{
	char text[24] = "-";

	if (known)
		show_duration(text, sizeof(text), ms);
	add_cell(g, PLAIN, text);
}

void grid_print(struct grid *g)
{
	const char *s = (const char *)g->text.p;

	g->c->no_memory |= g->text.failed;
	for (unsigned i = 0; !g->text.failed && i < g->cells; i++) {
		enum color color = (enum color)(*s - 1);
		unsigned column = i % g->columns;
		bool last = column + 1 == g->columns, on = g->c->out_color && color != PLAIN;

		s++;
		printf("%s%s%s", on ? sgr(color) : "", s, on ? "\033[0m" : "");
		if (last)
			putchar('\n');
		else
			printf("%*s", (int)(g->width[column] - width_of(s) + 2), "");
		s += strlen(s) + 1;
	}
	buf_done(&g->text);
}

void line_text(struct cli *c, const char *key, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	printf("%-12s %s\n", key, clean(c, text[0] ? text : "-"));
}
