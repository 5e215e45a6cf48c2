/*
 * bench_text.c - a bench on a screen: a table of stages for each run, a histogram as wide as the
 * terminal, what failed and what is left. Colour and blocks only where they are understood.
 */
#include <unistd.h>

#include "base/text.h"
#include "cli/bench.h"
#include "cli/report.h"
#include "cli/tty.h"

enum { LABEL_BYTES = 40, WIDTH_LEAST = 40, WIDTH_MOST = 160, COUNT_COLUMNS = 8 };

static unsigned screen_width(void)
{
	const char *columns = getenv("COLUMNS");
	uint64_t n = 80;
	struct pty t;

	if (isatty(1)) {
		tty_describe(1, &t);
		n = t.cols;
	} else if (columns && parse_u64(columns, &n, NULL)) {
		n = 80;
	}
	return (unsigned)MIN(MAX(n, (uint64_t)WIDTH_LEAST), (uint64_t)WIDTH_MOST);
}

static bool takes_utf8(void)
{
	static const char *const names[] = { "LC_ALL", "LC_CTYPE", "LANG" };

	for (size_t i = 0; i < COUNT(names); i++) {
		const char *v = getenv(names[i]);

		if (v && v[0])
			return strcasestr(v, "utf-8") || strcasestr(v, "utf8");
	}
	return false;
}

static void ms_cell(struct grid *g, double ms)
{
	char text[24];

	show_ms(text, sizeof(text), ms);
	grid_cell(g, PLAIN, "%s", text);
}

static void ratio_cell(struct grid *g, double ratio)
{
	enum color color = ratio > 1.1 ? RED : ratio > 0 && ratio < 0.9 ? GREEN : PLAIN;

	if (ratio > 0)
		grid_cell(g, color, "%.2f", ratio);
	else
		grid_cell(g, DIM, "-");
}

static void row(struct grid *g, struct bench *b, struct bench_run *r, struct series *s,
	const char *name, const char *stage)
{
	static const double at[] = { 50, 90, 99, 100 };
	bool compares = b->baseline != NULL;

	grid_cell(g, PLAIN, "%s", name);
	grid_cell(g, PLAIN, "%llu", (unsigned long long)s->told);
	for (size_t i = 0; i < COUNT(at); i++)
		ms_cell(g, series_at(s, at[i]));
	if (!compares)
		return;
	ratio_cell(g, s == &r->removal ? 0 : bench_ratio(b, r, stage, "p50_ms", series_at(s, 50)));
	ratio_cell(g, s == &r->removal ? 0 : bench_ratio(b, r, stage, "p99_ms", series_at(s, 99)));
}

static void table(struct bench *b, struct bench_run *r)
{
	static const char *const heads[] = { "WHAT", "COUNT", "P50", "P90", "P99", "MAX",
		"P50 RATIO", "P99 RATIO" };
	struct grid g;

	grid_init(&g, b->c, heads, b->baseline ? 8 : 6);
	row(&g, b, r, &r->whole, "create", NULL);
	for (unsigned i = 0; i < r->stages_n; i++) {
		char name[48];

		snprintf(name, sizeof(name), "%s%s", r->soak ? "" : "- ", r->stages[i].name);
		row(&g, b, r, &r->stages[i], name, r->stages[i].name);
	}
	if (r->removal.n > 0)
		row(&g, b, r, &r->removal, "delete", NULL);
	grid_print(&g);
}

static void bar(struct cli *c, unsigned n, bool blocks)
{
	if (c->out_color)
		fputs("\033[36m", stdout);
	while (n-- > 0)
		fputs(blocks ? "\xe2\x96\x88" : "#", stdout);
	if (c->out_color)
		fputs("\033[0m", stdout);
}

static void histogram(struct cli *c, struct bench_run *r)
{
	bool blocks = takes_utf8();
	unsigned room = screen_width() - LABEL_BYTES / 2 - COUNT_COLUMNS - 4;
	struct histogram h;

	histogram_of(&r->whole, &h);
	if (h.bins < 2)
		return;
	putchar('\n');
	for (uint32_t i = 0; i < h.bins; i++) {
		char from[24];
		unsigned n = (unsigned)((uint64_t)h.count[i] * room / h.most);

		show_ms(from, sizeof(from), h.least + i * h.width);
		printf("%*s  ", LABEL_BYTES / 2 - 4, from);
		bar(c, MAX(n, h.count[i] > 0 ? 1u : 0u), blocks);
		printf("%s%u\n", h.count[i] ? " " : "", h.count[i]);
	}
}

static void memory(struct bench_run *r)
{
	char machine[24], most[24], before[24], after[24];

	show_size(before, sizeof(before), r->daemon_before);
	show_size(after, sizeof(after), r->daemon_after);
	printf("memory: ");
	if (r->memory.n > 0) {
		show_size(machine, sizeof(machine), (uint64_t)series_at(&r->memory, 50));
		show_size(most, sizeof(most), (uint64_t)series_max(&r->memory));
		printf("%s a machine (most %s); ", machine, most);
	}
	printf("the daemon's own %s, before %s\n", after, before);
}

static void faults(struct cli *c, const struct bench_run *r)
{
	for (unsigned i = 0; i < r->faults_n; i++) {
		const struct bench_fault *f = &r->faults[i];

		printf("%sfailed%s: %llu at %s: %s: %s\n", c->out_color ? "\033[31m" : "",
			c->out_color ? "\033[0m" : "", (unsigned long long)f->count,
			clean(c, f->stage), f->code, clean(c, f->text));
	}
}

static void leaks(struct cli *c, const struct bench_run *r)
{
	if (r->leaks_all == 0) {
		printf("leaked: nothing\n");
		return;
	}
	for (unsigned i = 0; i < r->leaks_n; i++)
		printf("%sleaked%s: %s %s\n", c->out_color ? "\033[31m" : "",
			c->out_color ? "\033[0m" : "", r->leaks[i].kind,
			clean(c, r->leaks[i].what));
	if (r->leaks_all > r->leaks_n)
		printf("leaked: %llu more\n", (unsigned long long)(r->leaks_all - r->leaks_n));
}

static void verdict(struct bench *b, struct bench_run *r)
{
	double ratio = bench_ratio(b, r, NULL, "throughput_per_s", bench_throughput(r));

	printf("%llu made, %llu failed%s, %.3g a second", (unsigned long long)r->made,
		(unsigned long long)r->failed, r->cut ? " (interrupted)" : "", bench_throughput(r));
	if (ratio > 0)
		printf(" (%.2f of the baseline's)", ratio);
	if (r->soak)
		printf(", %llu works with them", (unsigned long long)r->works);
	putchar('\n');
}

void bench_print(struct bench *b)
{
	for (unsigned i = 0; i < b->runs_n; i++) {
		struct bench_run *r = &b->runs[i];

		printf("%s%s, image %s: %s%u at once\n", i ? "\n" : "",
			b->stub ? "stub machines (no guest runs)" : word_of(driver, b->body.driver),
			clean(b->c, b->image), r->soak ? "soak, " : "", r->at_once);
		table(b, r);
		histogram(b->c, r);
		putchar('\n');
		verdict(b, r);
		memory(r);
		faults(b->c, r);
		leaks(b->c, r);
	}
}
