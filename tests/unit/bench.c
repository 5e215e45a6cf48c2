/*
 * unit/bench.c - what `banger bench` makes of its figures: percentiles, bins, the page, ratios.
 */
#include "tests/unit/unit.h"

#include <unistd.h>

#include "base/text.h"
#include "cli/bench.h"

/* Exactly: these have no fractions that could be lost. */
static bool is(double got, double want)
{
	return got >= want && got <= want;
}

static struct series filled(const double *v, size_t n)
{
	struct series s = { .n = 0 };

	for (size_t i = 0; i < n; i++)
		series_add(&s, v[i]);
	return s;
}

static void percentiles(void **state UNUSED)
{
	static const double odd[] = { 50, 15, 40, 20, 35 }, one[] = { 7 };
	static const struct {
		double p, want;
	} rows[] = { { 0, 15 }, { 5, 15 }, { 20, 15 }, { 20.1, 20 }, { 30, 20 }, { 40, 20 },
		{ 50, 35 }, { 90, 50 }, { 99, 50 }, { 100, 50 } };
	struct series s = filled(odd, COUNT(odd)), single = filled(one, 1), none = { .n = 0 };
	struct series hundred = { .n = 0 };

	for (size_t i = 0; i < COUNT(rows); i++)
		check_row(is(series_at(&s, rows[i].p), rows[i].want), "p%g: %g", rows[i].p,
			series_at(&s, rows[i].p));
	series_add(&s, 1); /* sorted before, and not any more */
	assert_true(is(series_at(&s, 0), 1) && is(series_max(&s), 50));
	assert_true(is(series_at(&single, 50), 7) && is(series_at(&single, 99), 7));
	assert_true(is(series_at(&none, 50), 0) && is(series_max(&none), 0));
	for (int i = 100; i > 0; i--)
		series_add(&hundred, i);
	assert_true(is(series_at(&hundred, 50), 50) && is(series_at(&hundred, 90), 90) &&
		    is(series_at(&hundred, 99), 99));
	series_free(&s);
	series_free(&single);
	series_free(&hundred);
}

static void series_have_a_ceiling(void **state UNUSED)
{
	struct series s = { .n = 0 };

	for (uint32_t i = 0; i < BENCH_SAMPLES_MAX + 10; i++)
		series_add(&s, i);
	assert_int_equal(s.n, BENCH_SAMPLES_MAX);
	assert_int_equal(s.told, BENCH_SAMPLES_MAX + 10);
	series_free(&s);
}

static void histograms(void **state UNUSED)
{
	static const double edges[] = { 0, 12, 1, 11.99, 6, 6 }, same[] = { 3, 3, 3 };
	struct series s = filled(edges, COUNT(edges)), t = filled(same, COUNT(same)),
		      none = { .n = 0 };
	struct histogram h;
	uint32_t all = 0;

	histogram_of(&s, &h);
	assert_int_equal(h.bins, BENCH_BINS);
	for (uint32_t i = 0; i < h.bins; i++)
		all += h.count[i];
	assert_int_equal(all, COUNT(edges));
	assert_true(is(h.least, 0) && is(h.width, 1));
	assert_int_equal(h.count[0], 1);
	assert_int_equal(h.count[1], 1);
	assert_int_equal(h.count[6], 2);
	assert_int_equal(h.count[11], 2); /* the greatest lies in the last bin */
	assert_int_equal(h.most, 2);
	histogram_of(&t, &h);
	assert_true(h.bins == 1 && h.count[0] == 3 && h.most == 3 && is(h.least, 3));
	histogram_of(&none, &h);
	assert_int_equal(h.bins, 0);
	series_free(&s);
	series_free(&t);
}

static void durations(void **state UNUSED)
{
	static const struct {
		double ms;
		const char *want;
	} rows[] = { { 0, "0" }, { 0.25, "250 us" }, { 0.9999, "1.00 ms" }, { 1.234, "1.23 ms" },
		{ 12.34, "12.3 ms" }, { 123.4, "123 ms" }, { 999.9, "1.00 s" }, { 1234, "1.23 s" },
		{ 12345, "12.3 s" }, { 123456, "123 s" } };
	char text[24];

	for (size_t i = 0; i < COUNT(rows); i++) {
		show_ms(text, sizeof(text), rows[i].ms);
		check_row(strcmp(text, rows[i].want) == 0, "%g: %s", rows[i].ms, text);
	}
}

static void ramps(void **state UNUSED)
{
	static const char *const bad[] = { "", ",", "1,", ",1", "0", "4097", "-1", "1 ", "1;2", "x",
		"99999999999999999999", "1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1" };
	uint32_t ramp[BENCH_RAMP_MAX];
	unsigned n = 0;
	struct why why;

	assert_int_equal(bench_ramp("1,4,4096", ramp, &n, &why), OK);
	assert_true(n == 3 && ramp[0] == 1 && ramp[1] == 4 && ramp[2] == 4096);
	for (size_t i = 0; i < COUNT(bad); i++)
		check_row(bench_ramp(bad[i], ramp, &n, &why) == ERR_invalid_value &&
				  strcmp(why.field, "concurrency") == 0,
			"'%s'", bad[i]);
	assert_int_equal(n, 3);
}

/* ---- the page ---- */

static void escapes(void **state UNUSED)
{
	static const struct {
		const char *in, *want;
	} rows[] = { { "plain", "plain" }, { "<script>", "&lt;script&gt;" }, { "a&b", "a&amp;b" },
		{ "\" onload='x'", "&quot; onload=&#39;x&#39;" },
		{ "gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f" }, { "a\x01z", "a\xef\xbf\xbdz" },
		{ "a\x7fz", "a\xef\xbf\xbdz" }, { "a\xffz", "a\xef\xbf\xbdz" },
		{ "cut\xc3", "cut\xef\xbf\xbd" },
		{ "\xe2\x80\xae"
		  "drow",
			"\xef\xbf\xbd"
			"drow" } };

	for (size_t i = 0; i < COUNT(rows); i++) {
		own_buf b = { .max = 4096 };

		html_text(&b, rows[i].in);
		check_row(strcmp(buf_cstr(&b), rows[i].want) == 0, "'%s': %s", rows[i].in,
			buf_cstr(&b));
	}
}

#define EVIL "\"></title><script>alert(1)</script><img src=x onerror='y'>\xff\x1b"

static struct bench *hostile(void)
{
	struct bench *b = calloc(1, sizeof(*b));
	struct bench_run *r;
	struct why why;

	assert_non_null(b);
	b->runs_n = 1;
	r = &b->runs[0];
	r->at_once = 4;
	snprintf(b->image, sizeof(b->image), "%s", EVIL);
	snprintf(b->started, sizeof(b->started), "%s", "</p><script>");
	fail(&why, ERR_internal, "%s", EVIL);
	bench_fault(r, EVIL, &why);
	r->leaks_n = 1;
	r->leaks_all = 1;
	snprintf(r->leaks[0].kind, sizeof(r->leaks[0].kind), "process");
	snprintf(r->leaks[0].what, sizeof(r->leaks[0].what), "%s", EVIL);
	for (int i = 0; i < 20; i++) {
		series_add(&r->whole, i);
		series_add(bench_stage(r, "image"), 1);
		series_add(bench_stage(r, "</text><script>"), i);
		series_add(&r->memory, 1e6);
	}
	r->made = 20;
	r->ms = 1000;
	return b;
}

static void bench_free(struct bench *b)
{
	bench_run_free(&b->runs[0]);
	json_decref(b->baseline);
	free(b);
}

static unsigned count(const char *text, const char *word)
{
	unsigned n = 0;

	while ((text = strstr(text, word)) != NULL) {
		text += strlen(word);
		n++;
	}
	return n;
}

static void the_page_is_its_own(void **state UNUSED)
{
	static const char *const never[] = { "<script", "<img", "href=", "http://", "https://",
		"@import", "url(", "\x1b", "\xff" };
	struct bench *b = hostile();
	own_buf page = { .max = MiB };
	const char *text;

	bench_html(b, &page);
	assert_false(page.failed);
	text = buf_cstr(&page);
	for (size_t i = 0; i < COUNT(never); i++)
		check_row(!strstr(text, never[i]), "'%s' is in the page", never[i]);
	assert_true(count(text, "&lt;script&gt;") >= 4);
	assert_int_equal(count(text, "<svg"), 4);
	assert_int_equal(count(text, "</svg>"), 4);
	assert_int_equal(count(text, "<rect"), count(text, "</rect>"));
	assert_int_equal(count(text, "<text"), count(text, "</text>"));
	assert_int_equal(count(text, "<title>"), count(text, "</title>"));
	assert_non_null(strstr(text, "default-src 'none'"));
	assert_non_null(strstr(text, "prefers-color-scheme:dark"));
	bench_free(b);
}

/* A run in which nothing was made must not divide by it. */
static void an_empty_run_has_a_page(void **state UNUSED)
{
	struct bench *b = calloc(1, sizeof(*b));
	own_buf page = { .max = MiB };

	assert_non_null(b);
	b->runs_n = 1;
	b->runs[0].at_once = 1;
	bench_html(b, &page);
	assert_false(page.failed);
	assert_null(strstr(buf_cstr(&page), "nan"));
	assert_null(strstr(buf_cstr(&page), "inf"));
	bench_free(b);
}

/* ---- documents ---- */

static void cut_messages_stay_text(void **state UNUSED)
{
	struct bench_run r = { .at_once = 1 };
	struct why why = { .code = ERR_internal };

	for (size_t i = 0; i + 3 < sizeof(why.text); i += 3) /* every cut but one in three splits */
		memcpy(why.text + i, "\xe2\x96\x88", 4);
	for (int shift = 0; shift < 3; shift++) {
		char stage[8] = "s1";

		stage[1] = (char)('1' + shift);
		memmove(why.text + 1, why.text, sizeof(why.text) - 2);
		why.text[0] = 'x';
		bench_fault(&r, stage, &why);
		assert_true(utf8_valid(r.faults[shift].text, strlen(r.faults[shift].text)));
		assert_true(strlen(r.faults[shift].text) > 190);
	}
	bench_fault(&r, "s1", &why);
	assert_int_equal(r.faults_n, 3);
	assert_int_equal(r.faults[0].count, 2);
}

static void write_text(const char *path, const char *text)
{
	own_file f = fopen(path, "we");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
}

static void ratios(void **state UNUSED)
{
	struct bench *b = hostile();
	struct bench_run *r = &b->runs[0];
	json_t *doc = bench_json(b), *x;
	own_mem char *text = json_dumps(doc, 0);
	char path[] = "/tmp/bench-unit-XXXXXX";
	own_fd fd = mkstemp(path);
	struct why why;

	assert_true(fd >= 0);
	assert_non_null(text); /* hostile bytes and all */
	write_text(path, text);
	assert_int_equal(bench_baseline(b, path, &why), OK);
	assert_true(is(bench_ratio(b, r, NULL, "p50_ms", 2 * series_at(&r->whole, 50)), 2));
	assert_true(is(bench_ratio(b, r, "image", "max_ms", 3), 3));
	assert_true(is(bench_ratio(b, r, "nothing", "p50_ms", 1), 0));
	assert_true(is(bench_ratio(b, r, NULL, "throughput_per_s", 10), 0.5));
	r->at_once = 5; /* which the baseline does not have */
	assert_true(is(bench_ratio(b, r, NULL, "p50_ms", 1), 0));
	json_decref(doc);
	doc = bench_json(b);
	x = json_object_get(doc, "ratios");
	assert_int_equal(json_array_size(x), 0);
	json_decref(doc);
	unlink(path);
	bench_free(b);
}

static void bad_baselines(void **state UNUSED)
{
	static const char *const bad[] = { "", "{", "[]", "{}", "7", "{\"form\": 2, \"runs\": []}",
		"{\"form\": 1}", "{\"form\": 1, \"runs\": 7}" };
	static const char odd[] =
		"{\"form\": 1, \"runs\": [7, {\"concurrency\": 0, \"soak\": false,"
		" \"whole\": [], \"stages\": [1, {\"stage\": 2}]}]}";
	char path[] = "/tmp/bench-unit-XXXXXX";
	own_fd fd = mkstemp(path);
	struct why why;

	assert_true(fd >= 0);
	for (size_t i = 0; i < COUNT(bad); i++) {
		struct bench b = { .count = 0 };

		write_text(path, bad[i]);
		check_row(bench_baseline(&b, path, &why) == ERR_invalid_value &&
				  strcmp(why.field, "baseline") == 0,
			"%s", bad[i]);
		json_decref(b.baseline);
	}
	{
		static struct bench b;

		write_text(path, odd);
		assert_int_equal(bench_baseline(&b, path, &why), OK);
		assert_true(is(bench_ratio(&b, &b.runs[0], NULL, "p50_ms", 1), 0));
		assert_true(is(bench_ratio(&b, &b.runs[0], "x", "p50_ms", 1), 0));
		json_decref(b.baseline);
	}
	unlink(path);
	{
		static struct bench b;

		assert_int_equal(bench_baseline(&b, path, &why), ERR_not_found);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(percentiles),
		TEST(series_have_a_ceiling),
		TEST(histograms),
		TEST(durations),
		TEST(ramps),
		TEST(escapes),
		TEST(the_page_is_its_own),
		TEST(an_empty_run_has_a_page),
		TEST(cut_messages_stay_text),
		TEST(ratios),
		TEST(bad_baselines),
	};

	return RUN(tests);
}
