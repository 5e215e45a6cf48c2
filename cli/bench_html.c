/*
 * bench_html.c - a bench as one page that needs nothing else: no script, no font, no address. A
 * content security policy in it says so, and holds even if a text were not escaped.
 */
#include <sys/utsname.h>

#include "base/build.h"
#include "base/text.h"
#include "cli/bench.h"

static const char style[] =
	":root{--bg:#fff;--fg:#1b1f24;--dim:#6a737d;--line:#d8dee4;--bad:#c62828;"
	"--c0:#1f77b4;--c1:#e07b00;--c2:#2ca02c;--c3:#9467bd;--c4:#b8860b;--c5:#17a2b8;"
	"--c6:#d6498f;--c7:#7f7f7f}\n"
	"@media(prefers-color-scheme:dark){:root{--bg:#14171a;--fg:#e3e7eb;--dim:#98a2ad;"
	"--line:#343a40;--bad:#ff7b72;--c0:#58a6ff;--c1:#ffa657;--c2:#56d364;--c3:#bc8cff;"
	"--c4:#e3b341;--c5:#39c5cf;--c6:#f778ba;--c7:#b1bac4}}\n"
	"body{background:var(--bg);color:var(--fg);font:15px/1.5 system-ui,sans-serif;"
	"max-width:54rem;margin:2rem auto;padding:0 1rem}\n"
	"h1{font-size:1.5rem}h2{font-size:1.2rem;margin-top:2.5rem}h3{font-size:1rem;"
	"margin-bottom:.3rem}\n"
	"table{border-collapse:collapse;margin:.5rem 0;font-variant-numeric:tabular-nums}\n"
	"th,td{padding:.15rem .8rem .15rem 0;text-align:right;"
	"border-bottom:1px solid var(--line)}\n"
	"th:first-child,td:first-child{text-align:left}th{color:var(--dim);font-weight:600}\n"
	"svg{width:100%;height:auto;font:12px system-ui,sans-serif}text{fill:var(--fg)}\n"
	".axis{stroke:var(--dim)}.grid{stroke:var(--line)}.mark{stroke:var(--c6);"
	"stroke-dasharray:3 3}.curve{stroke:var(--c0);stroke-width:2;fill:none}\n"
	".c0{fill:var(--c0)}.c1{fill:var(--c1)}.c2{fill:var(--c2)}.c3{fill:var(--c3)}"
	".c4{fill:var(--c4)}.c5{fill:var(--c5)}.c6{fill:var(--c6)}.c7{fill:var(--c7)}\n"
	".bad{color:var(--bad)}.dim{color:var(--dim)}\n";

static void facts(struct bench *b, struct buf *out)
{
	struct utsname u;

	buf_str(out, "<p class=\"dim\">");
	html_text(out, b->started);
	buf_str(out, ", banger ");
	html_text(out, build_version);
	buf_str(out, " (commit ");
	html_text(out, build_commit);
	buf_str(out, ")");
	if (uname(&u) == 0) {
		buf_str(out, ", Linux ");
		html_text(out, u.release);
		buf_str(out, " ");
		html_text(out, u.machine);
	}
	buf_str(out, "</p>\n<p>");
	buf_str(out, b->stub ? "<b>Stub machines: no guest ran, the figures are banger's own.</b>" :
			       "Driver ");
	if (!b->stub)
		html_text(out, word_of(driver, b->body.driver));
	buf_str(out, " Image ");
	html_text(out, b->image);
	buf_str(out, b->hold ? ". Machines were kept until all were made.</p>\n" : ".</p>\n");
}

static void ms_cell(struct buf *out, double ms)
{
	char text[24];

	show_ms(text, sizeof(text), ms);
	buf_fmt(out, "<td>%s</td>", text);
}

static void ratio_cell(struct buf *out, double ratio)
{
	if (ratio > 0)
		buf_fmt(out, "<td%s>%.2f</td>", ratio > 1.1 ? " class=\"bad\"" : "", ratio);
	else
		buf_str(out, "<td>-</td>");
}

static void row(struct bench *b, struct bench_run *r, struct series *s, const char *name,
	const char *stage, struct buf *out)
{
	static const double at[] = { 50, 90, 99, 100 };

	buf_str(out, "<tr><td>");
	html_text(out, name);
	buf_fmt(out, "</td><td>%llu</td>", (unsigned long long)s->told);
	for (size_t i = 0; i < COUNT(at); i++)
		ms_cell(out, series_at(s, at[i]));
	if (b->baseline && s != &r->removal) {
		ratio_cell(out, bench_ratio(b, r, stage, "p50_ms", series_at(s, 50)));
		ratio_cell(out, bench_ratio(b, r, stage, "p99_ms", series_at(s, 99)));
	}
	buf_str(out, "</tr>\n");
}

static void table(struct bench *b, struct bench_run *r, struct buf *out)
{
	buf_str(out, "<table><tr><th>what</th><th>count</th><th>p50</th><th>p90</th><th>p99</th>"
		     "<th>max</th>");
	if (b->baseline)
		buf_str(out, "<th>p50 to baseline</th><th>p99 to baseline</th>");
	buf_str(out, "</tr>\n");
	row(b, r, &r->whole, "create", NULL, out);
	for (unsigned i = 0; i < r->stages_n; i++)
		row(b, r, &r->stages[i], r->stages[i].name, r->stages[i].name, out);
	if (r->removal.n > 0)
		row(b, r, &r->removal, "delete", NULL, out);
	buf_str(out, "</table>\n");
}

static void faults_and_leaks(const struct bench_run *r, struct buf *out)
{
	for (unsigned i = 0; i < r->faults_n; i++) {
		const struct bench_fault *f = &r->faults[i];

		buf_fmt(out, "<p class=\"bad\">%llu failed at ", (unsigned long long)f->count);
		html_text(out, f->stage);
		buf_str(out, ": ");
		html_text(out, f->code);
		buf_str(out, ": ");
		html_text(out, f->text);
		buf_str(out, "</p>\n");
	}
	for (unsigned i = 0; i < r->leaks_n; i++) {
		buf_str(out, "<p class=\"bad\">leaked: ");
		html_text(out, r->leaks[i].kind);
		buf_str(out, " ");
		html_text(out, r->leaks[i].what);
		buf_str(out, "</p>\n");
	}
	if (r->leaks_all > r->leaks_n)
		buf_fmt(out, "<p class=\"bad\">leaked: %llu more</p>\n",
			(unsigned long long)(r->leaks_all - r->leaks_n));
	else if (r->leaks_all == 0)
		buf_str(out, "<p>Nothing leaked.</p>\n");
}

static void plot(struct buf *out, const char *title)
{
	buf_fmt(out, "<h3>%s</h3>\n", title);
}

static void run(struct bench *b, struct bench_run *r, struct buf *out)
{
	buf_fmt(out, "<h2>%s%u at once</h2>\n<p>%llu made, %llu failed%s, %.3g a second",
		r->soak ? "Soak, " : "", r->at_once, (unsigned long long)r->made,
		(unsigned long long)r->failed, r->cut ? " (interrupted)" : "", bench_throughput(r));
	if (r->soak)
		buf_fmt(out, ", %llu works with them", (unsigned long long)r->works);
	buf_str(out, ".</p>\n");
	faults_and_leaks(r, out);
	table(b, r, out);
	plot(out, "Distribution of creations");
	svg_histogram(out, r);
	if (r->soak) {
		plot(out, "The daemon's own memory");
		svg_history(out, r);
		return;
	}
	plot(out, "Stages, one after the other (medians)");
	svg_waterfall(out, r);
}

void bench_html(struct bench *b, struct buf *out)
{
	buf_str(out, "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
		     "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
		     "style-src 'unsafe-inline'\">\n"
		     "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
		     "<meta name=\"color-scheme\" content=\"light dark\">\n"
		     "<title>banger bench</title>\n<style>\n");
	buf_str(out, style);
	buf_str(out, "</style></head><body>\n<h1>banger bench</h1>\n");
	facts(b, out);
	if (b->baseline) {
		buf_str(out, "<p>Baseline: ");
		html_text(out, b->baseline_path);
		buf_str(out, ". Over 1 is slower than it.</p>\n");
	}
	plot(out, "Throughput against concurrency");
	svg_throughput(out, b);
	plot(out, "Memory of a machine");
	svg_memory(out, b);
	for (unsigned i = 0; i < b->runs_n; i++)
		run(b, &b->runs[i], out);
	buf_str(out, "</body></html>\n");
}
