/*
 * bench_svg.c - plots of a bench as inline SVG. Colours are the page's own variables, so that
 * light and dark are one drawing. Every text goes through html_text: names are whatever somebody
 * called them.
 */
#include "base/text.h"
#include "cli/bench.h"

enum { WIDE = 640, LEFT = 96, RIGHT = 72, TICKS = 4 };

/* ---- text ---- */

static const char *entity(uint32_t c)
{
	switch (c) {
	case '<':
		return "&lt;";
	case '>':
		return "&gt;";
	case '&':
		return "&amp;";
	case '"':
		return "&quot;";
	case '\'':
		return "&#39;";
	default:
		return NULL;
	}
}

/* Signs that turn the direction of writing hide what a text says. */
static bool is_shown(uint32_t c)
{
	return c >= 0x20 && !(c >= 0x7f && c <= 0x9f) && !(c >= 0x200e && c <= 0x200f) &&
	       !(c >= 0x202a && c <= 0x202e) && !(c >= 0x2066 && c <= 0x2069) && c != 0xfffe &&
	       c != 0xffff;
}

void html_text(struct buf *b, const char *s)
{
	const uint8_t *p = (const uint8_t *)s;
	size_t n = strlen(s);

	while (n > 0) {
		uint32_t c = 0;
		size_t len = utf8_next(p, n, &c);
		const char *e = len ? entity(c) : NULL;

		if (e)
			buf_str(b, e);
		else if (len && is_shown(c))
			buf_add(b, p, len);
		else
			buf_str(b, "\xef\xbf\xbd");
		p += MAX(len, 1u);
		n -= MAX(len, 1u);
	}
}

/* ---- parts of a plot ---- */

static void open_svg(struct buf *b, int high, const char *title)
{
	buf_fmt(b, "<svg viewBox=\"0 0 %d %d\" role=\"img\"><title>", WIDE, high);
	html_text(b, title);
	buf_str(b, "</title>\n");
}

static void text_at(struct buf *b, double x, double y, const char *anchor, const char *s)
{
	buf_fmt(b, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">", x, y, anchor);
	html_text(b, s);
	buf_str(b, "</text>\n");
}

static void line(struct buf *b, const char *class, double x1, double y1, double x2, double y2)
{
	buf_fmt(b, "<line class=\"%s\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>\n", class,
		x1, y1, x2, y2);
}

static void rect(
	struct buf *b, double x, double y, double w, double h, unsigned color, const char *tip)
{
	buf_fmt(b,
		"<rect class=\"c%u\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"><title>",
		color % 8, x, y, MAX(w, 1.0), MAX(h, 0.5));
	html_text(b, tip);
	buf_str(b, "</title></rect>\n");
}

/* ---- distribution ---- */

static void marker(
	struct buf *b, const struct histogram *h, double v, const char *name, int top, int foot)
{
	double span = h->width * h->bins;
	double x = LEFT + (span > 0 ? (v - h->least) / span : 0.5) * (WIDE - LEFT - RIGHT);

	line(b, "mark", x, top, x, foot);
	text_at(b, x, top - 3, "middle", name);
}

void svg_histogram(struct buf *b, struct bench_run *r)
{
	enum { HIGH = 180, TOP = 24, FOOT = 150 };
	double each;
	struct histogram h;
	char from[24], to[24], tip[80];

	histogram_of(&r->whole, &h);
	if (h.bins == 0)
		return;
	each = (double)(WIDE - LEFT - RIGHT) / h.bins;
	open_svg(b, HIGH, "how long creations took");
	line(b, "axis", LEFT, FOOT, WIDE - RIGHT, FOOT);
	for (uint32_t i = 0; i < h.bins; i++) {
		double high = (double)h.count[i] / h.most * (FOOT - TOP - 6);

		show_ms(from, sizeof(from), h.least + i * h.width);
		show_ms(to, sizeof(to), h.least + (i + 1) * h.width);
		snprintf(tip, sizeof(tip), "%s to %s: %u", from, to, h.count[i]);
		if (h.count[i])
			rect(b, LEFT + i * each + 1, FOOT - high, each - 2, high, 0, tip);
	}
	show_ms(from, sizeof(from), h.least);
	show_ms(to, sizeof(to), h.least + h.bins * h.width);
	text_at(b, LEFT, FOOT + 16, "start", from);
	text_at(b, WIDE - RIGHT, FOOT + 16, "end", to);
	snprintf(tip, sizeof(tip), "%u", h.most);
	text_at(b, LEFT - 6, TOP + 12, "end", tip);
	marker(b, &h, series_at(&r->whole, 50), "p50", TOP, FOOT);
	marker(b, &h, series_at(&r->whole, 99), "p99", TOP, FOOT);
	buf_str(b, "</svg>\n");
}

/* ---- stages ---- */

void svg_waterfall(struct buf *b, struct bench_run *r)
{
	enum { EACH = 24, TOP = 8 };
	double all = 0, at = 0, scale;
	char tip[160], p50[24], p99[24];

	for (unsigned i = 0; i < r->stages_n; i++)
		all += series_at(&r->stages[i], 50);
	if (r->stages_n == 0)
		return;
	scale = (WIDE - LEFT - RIGHT) / MAX(all, 1e-3);
	open_svg(b, TOP + EACH * (int)r->stages_n + 8, "stages, one after the other, medians");
	for (unsigned i = 0; i < r->stages_n; i++) {
		struct series *s = &r->stages[i];
		double y = TOP + EACH * i, v = series_at(s, 50);

		show_ms(p50, sizeof(p50), v);
		show_ms(p99, sizeof(p99), series_at(s, 99));
		snprintf(tip, sizeof(tip), "%s: p50 %s, p99 %s", s->name, p50, p99);
		text_at(b, LEFT - 6, y + 15, "end", s->name);
		rect(b, LEFT + at * scale, y + 2, v * scale, EACH - 6, i, tip);
		text_at(b, MIN(LEFT + (at + v) * scale + 5, (double)WIDE - RIGHT + 5), y + 15,
			"start", p50);
		at += v;
	}
	buf_str(b, "</svg>\n");
}

/* ---- against concurrency ---- */

static double most_throughput(const struct bench *bench)
{
	double most = 0;

	for (unsigned i = 0; i < bench->runs_n; i++)
		most = MAX(most, bench_throughput(&bench->runs[i]));
	return MAX(most, 1e-6);
}

/* Runs stand side by side in the order of the ramp: concurrencies tend to double. */
static double run_x(const struct bench *bench, unsigned i)
{
	double each = (double)(WIDE - LEFT - RIGHT) / bench->runs_n;

	return LEFT + (i + 0.5) * each;
}

static void run_labels(struct buf *b, const struct bench *bench, double y)
{
	for (unsigned i = 0; i < bench->runs_n; i++) {
		char text[24];

		snprintf(text, sizeof(text), "%u", bench->runs[i].at_once);
		text_at(b, run_x(bench, i), y, "middle", text);
	}
	text_at(b, LEFT - 6, y, "end", "at once");
}

void svg_throughput(struct buf *b, struct bench *bench)
{
	enum { HIGH = 220, TOP = 16, FOOT = 190 };
	double most = most_throughput(bench), x0 = 0, y0 = 0;
	char tip[80];

	open_svg(b, HIGH, "machines a second against concurrency");
	for (int i = 0; i <= TICKS; i++) {
		double y = FOOT - (double)(FOOT - TOP) * i / TICKS;

		snprintf(tip, sizeof(tip), "%.3g/s", most * i / TICKS);
		line(b, i ? "grid" : "axis", LEFT, y, WIDE - RIGHT, y);
		text_at(b, LEFT - 6, y + 4, "end", tip);
	}
	for (unsigned i = 0; i < bench->runs_n; i++) {
		double v = bench_throughput(&bench->runs[i]), x = run_x(bench, i);
		double y = FOOT - v / most * (FOOT - TOP);

		if (i > 0)
			line(b, "curve", x0, y0, x, y);
		snprintf(tip, sizeof(tip), "%u at once: %.3g machines a second",
			bench->runs[i].at_once, v);
		buf_fmt(b, "<circle class=\"c0\" cx=\"%.1f\" cy=\"%.1f\" r=\"5\"><title>", x, y);
		html_text(b, tip);
		buf_str(b, "</title></circle>\n");
		x0 = x;
		y0 = y;
	}
	run_labels(b, bench, FOOT + 18);
	buf_str(b, "</svg>\n");
}

void svg_memory(struct buf *b, struct bench *bench)
{
	enum { HIGH = 220, TOP = 24, FOOT = 190 };
	double most = 1, each = (double)(WIDE - LEFT - RIGHT) / MAX(bench->runs_n, 1u);
	char tip[120], p50[24], top[24];

	for (unsigned i = 0; i < bench->runs_n; i++)
		most = MAX(most, series_max(&bench->runs[i].memory));
	open_svg(b, HIGH, "host memory of a machine's VMM");
	line(b, "axis", LEFT, FOOT, WIDE - RIGHT, FOOT);
	for (unsigned i = 0; i < bench->runs_n; i++) {
		struct series *s = &bench->runs[i].memory;
		double v = series_at(s, 50), high = v / most * (FOOT - TOP);
		double x = run_x(bench, i), w = MIN(each * 0.6, 80.0);

		show_size(p50, sizeof(p50), (uint64_t)v);
		show_size(top, sizeof(top), (uint64_t)series_max(s));
		snprintf(tip, sizeof(tip), "%u at once: median %s, most %s, of %llu machines",
			bench->runs[i].at_once, p50, top, (unsigned long long)s->told);
		rect(b, x - w / 2, FOOT - high, w, high, 2, tip);
		text_at(b, x, FOOT - high - 5, "middle", p50);
	}
	run_labels(b, bench, FOOT + 18);
	buf_str(b, "</svg>\n");
}

/* ---- a soak ---- */

void svg_history(struct buf *b, const struct bench_run *r)
{
	enum { HIGH = 220, TOP = 24, FOOT = 190 };
	double most = 1, last = 1e-3;
	char text[48];

	for (unsigned i = 0; i < r->history_n; i++) {
		most = MAX(most, (double)r->history[i].memory);
		last = MAX(last, r->history[i].seconds);
	}
	if (r->history_n < 2)
		return;
	open_svg(b, HIGH, "the daemon's own memory while it worked");
	line(b, "axis", LEFT, FOOT, WIDE - RIGHT, FOOT);
	show_size(text, sizeof(text), (uint64_t)most);
	text_at(b, LEFT - 6, TOP + 4, "end", text);
	line(b, "grid", LEFT, TOP, WIDE - RIGHT, TOP);
	buf_str(b, "<polyline class=\"curve\" points=\"");
	for (unsigned i = 0; i < r->history_n; i++)
		buf_fmt(b, "%.1f,%.1f ",
			LEFT + r->history[i].seconds / last * (WIDE - LEFT - RIGHT),
			FOOT - (double)r->history[i].memory / most * (FOOT - TOP));
	buf_str(b, "\"/>\n");
	show_ms(text, sizeof(text), last * 1000);
	text_at(b, WIDE - RIGHT, FOOT + 18, "end", text);
	buf_str(b, "</svg>\n");
}
