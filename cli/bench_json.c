/*
 * bench_json.c - a bench as a document, and an earlier document to compare with. What a series of
 * durations comes to ends in _ms and may have a fraction.
 */
#include <sys/utsname.h>
#include <unistd.h>

#include "base/build.h"
#include "base/text.h"
#include "cli/bench.h"
#include "cli/file.h"

enum { FORM = 1 }; /* of the document; a baseline of another one is refused */

static const struct {
	const char *key;
	double at;
} figures[] = { { "p50_ms", 50 }, { "p90_ms", 90 }, { "p99_ms", 99 }, { "max_ms", 100 } };

static json_t *number(double v)
{
	return json_real((double)(int64_t)(v * 1000 + 0.5) / 1000);
}

/* What a process or a peer calls something need not be UTF-8. */
static void set_text(json_t **o, const char *key, const char *s)
{
	char b64[600], name[32];

	if (utf8_valid(s, strlen(s))) {
		json_set(o, key, json_string(s));
		return;
	}
	base64_of(b64, sizeof(b64), s, strlen(s));
	snprintf(name, sizeof(name), "%s_b64", key);
	json_set(o, name, json_string(b64));
}

static json_t *of_series(struct series *s, const char *name_key)
{
	json_t *o = json_object();

	if (name_key)
		set_text(&o, name_key, s->name);
	json_set(&o, "count", json_integer((json_int_t)s->told));
	for (size_t i = 0; i < COUNT(figures); i++)
		json_set(&o, figures[i].key, number(series_at(s, figures[i].at)));
	return o;
}

static json_t *of_histogram(struct series *s)
{
	struct histogram h;
	json_t *all = json_array();

	histogram_of(s, &h);
	for (uint32_t i = 0; i < h.bins; i++) {
		json_t *o = json_object();

		json_set(&o, "from_ms", number(h.least + i * h.width));
		json_set(&o, "to_ms", number(h.least + (i + 1) * h.width));
		json_set(&o, "count", json_integer(h.count[i]));
		json_add(&all, o);
	}
	return all;
}

static json_t *of_memory(struct bench_run *r)
{
	json_t *o = json_object();

	json_set(&o, "machine_p50", json_integer((json_int_t)series_at(&r->memory, 50)));
	json_set(&o, "machine_max", json_integer((json_int_t)series_max(&r->memory)));
	json_set(&o, "machines_looked_at", json_integer((json_int_t)r->memory.told));
	json_set(&o, "daemon_before", json_integer((json_int_t)r->daemon_before));
	json_set(&o, "daemon_after", json_integer((json_int_t)r->daemon_after));
	return o;
}

static json_t *of_faults(const struct bench_run *r)
{
	json_t *all = json_array();

	for (unsigned i = 0; i < r->faults_n; i++) {
		const struct bench_fault *f = &r->faults[i];
		json_t *o = json_object();

		set_text(&o, "stage", f->stage);
		json_set(&o, "code", json_string(f->code));
		set_text(&o, "message", f->text);
		json_set(&o, "count", json_integer((json_int_t)f->count));
		json_add(&all, o);
	}
	return all;
}

static json_t *of_leaks(const struct bench_run *r)
{
	json_t *all = json_array();

	for (unsigned i = 0; i < r->leaks_n; i++) {
		json_t *o = json_object();

		json_set(&o, "kind", json_string(r->leaks[i].kind));
		set_text(&o, "what", r->leaks[i].what);
		json_add(&all, o);
	}
	return all;
}

static json_t *of_history(const struct bench_run *r)
{
	json_t *all = json_array();

	for (unsigned i = 0; i < r->history_n; i++) {
		const struct bench_moment *m = &r->history[i];
		json_t *o = json_object();

		json_set(&o, "at_ms", json_integer((json_int_t)(m->seconds * 1000)));
		json_set(&o, "daemon", json_integer((json_int_t)m->memory));
		json_set(&o, "machines", json_integer(m->machines));
		json_set(&o, "done", json_integer((json_int_t)m->done));
		json_add(&all, o);
	}
	return all;
}

double bench_throughput(const struct bench_run *r)
{
	return r->ms > 0 ? (double)r->made / r->ms * 1000 : 0;
}

static json_t *of_stages(struct bench_run *r)
{
	json_t *all = json_array();

	for (unsigned i = 0; i < r->stages_n; i++)
		json_add(&all, of_series(&r->stages[i], "stage"));
	return all;
}

static json_t *of_run(struct bench_run *r)
{
	json_t *o = json_object();

	json_set(&o, "concurrency", json_integer(r->at_once));
	json_set(&o, "soak", json_boolean(r->soak));
	json_set(&o, "interrupted", json_boolean(r->cut));
	json_set(&o, "made", json_integer((json_int_t)r->made));
	json_set(&o, "failed", json_integer((json_int_t)r->failed));
	json_set(&o, "works", json_integer((json_int_t)r->works));
	json_set(&o, "creations_ms", number(r->ms));
	json_set(&o, "throughput_per_s", number(bench_throughput(r)));
	json_set(&o, "whole", of_series(&r->whole, NULL));
	json_set(&o, "stages", of_stages(r));
	json_set(&o, "delete", of_series(&r->removal, NULL));
	json_set(&o, "histogram", of_histogram(&r->whole));
	json_set(&o, "memory", of_memory(r));
	json_set(&o, "failures", of_faults(r));
	json_set(&o, "leaked", json_integer((json_int_t)r->leaks_all));
	json_set(&o, "leaks", of_leaks(r));
	if (r->soak)
		json_set(&o, "history", of_history(r));
	return o;
}

static json_t *of_host(void)
{
	json_t *o = json_object();
	struct utsname u;

	json_set(&o, "cpus", json_integer(sysconf(_SC_NPROCESSORS_ONLN)));
	json_set(&o, "memory",
		json_integer((json_int_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE)));
	if (uname(&u) == 0) {
		json_set(&o, "kernel", json_string(u.release));
		json_set(&o, "machine", json_string(u.machine));
	}
	return o;
}

static json_t *of_build(void)
{
	json_t *o = json_object();

	json_set(&o, "version", json_string(build_version));
	json_set(&o, "commit", json_string(build_commit));
	return o;
}

/* ---- beside a baseline ---- */

static json_t *baseline_run(const struct bench *b, const struct bench_run *r)
{
	json_t *runs = json_object_get(b->baseline, "runs"), *x;
	size_t i;

	json_array_foreach(runs, i,
		x) if (json_integer_value(json_object_get(x, "concurrency")) == r->at_once &&
		       json_is_true(json_object_get(x, "soak")) == r->soak) return x;
	return NULL;
}

double bench_ratio(const struct bench *b, const struct bench_run *r, const char *stage,
	const char *figure, double now)
{
	json_t *run = baseline_run(b, r), *x = NULL, *row;
	double was;
	size_t i;

	if (!stage)
		x = json_object_get(run, "whole");
	json_array_foreach(json_object_get(run, "stages"), i, row)
	{
		const char *name = json_string_value(json_object_get(row, "stage"));

		if (stage && name && str_eq(name, stage))
			x = row;
	}
	if (str_eq(figure, "throughput_per_s"))
		x = run;
	was = json_number_value(json_object_get(x, figure));
	return was > 0 ? now / was : 0;
}

/* 0: the baseline does not have it. */
static json_t *ratio(double v)
{
	return v > 0 ? number(v) : json_null();
}

static json_t *ratios_of(struct bench *b, struct bench_run *r)
{
	json_t *o = json_object(), *stages = json_array();

	json_set(&o, "concurrency", json_integer(r->at_once));
	for (size_t i = 0; i < COUNT(figures); i++)
		json_set(&o, figures[i].key,
			ratio(bench_ratio(
				b, r, NULL, figures[i].key, series_at(&r->whole, figures[i].at))));
	json_set(&o, "throughput_per_s",
		ratio(bench_ratio(b, r, NULL, "throughput_per_s", bench_throughput(r))));
	for (unsigned k = 0; k < r->stages_n; k++) {
		json_t *s = json_object();

		set_text(&s, "stage", r->stages[k].name);
		for (size_t i = 0; i < COUNT(figures); i++)
			json_set(&s, figures[i].key,
				ratio(bench_ratio(b, r, r->stages[k].name, figures[i].key,
					series_at(&r->stages[k], figures[i].at))));
		json_add(&stages, s);
	}
	json_set(&o, "stages", stages);
	return o;
}

json_t *bench_json(struct bench *b)
{
	json_t *o = json_object(), *runs = json_array(), *ratios = json_array();
	uint64_t leaked = 0;

	json_set(&o, "form", json_integer(FORM));
	set_text(&o, "started", b->started);
	json_set(&o, "banger", of_build());
	json_set(&o, "host", of_host());
	json_set(&o, "driver", json_string(word_of(driver, b->body.driver)));
	json_set(&o, "stub", json_boolean(b->stub));
	set_text(&o, "image", b->image);
	json_set(&o, "hold", json_boolean(b->hold));
	for (unsigned i = 0; i < b->runs_n; i++) {
		json_add(&runs, of_run(&b->runs[i]));
		leaked += b->runs[i].leaks_all;
		if (b->baseline && baseline_run(b, &b->runs[i]))
			json_add(&ratios, ratios_of(b, &b->runs[i]));
	}
	json_set(&o, "leaked", json_integer((json_int_t)leaked));
	json_set(&o, "runs", runs);
	if (b->baseline)
		json_set(&o, "ratios", ratios);
	else
		json_decref(ratios);
	return o;
}

enum err bench_baseline(struct bench *b, const char *path, struct why *why)
{
	own_buf text = { .max = FILE_BYTES_MAX };
	json_error_t at;
	bool there;
	enum err e = file_read(path, &text, &there, why);

	if (e)
		return e;
	if (!there)
		return fail_field(why, ERR_not_found, "baseline", "%.250s is not there", path);
	b->baseline = json_loadb((const char *)text.p, text.n, 0, &at);
	if (!b->baseline)
		return fail_field(why, ERR_invalid_value, "baseline", "%.200s:%d: %.100s", path,
			at.line, at.text);
	if (json_integer_value(json_object_get(b->baseline, "form")) == FORM &&
		json_is_array(json_object_get(b->baseline, "runs")))
		return OK;
	fail_field(
		why, ERR_invalid_value, "baseline", "%.250s is no baseline of this banger", path);
	return fail_hint(why, "make one with banger bench --save-baseline FILE");
}
