/*
 * bench_stats.c - series of figures: percentiles by nearest rank, bins of equal width. Pure.
 */
#include "cli/bench.h"

void series_add(struct series *s, double v)
{
	s->told++;
	if (s->n == s->cap && s->cap < BENCH_SAMPLES_MAX) {
		uint32_t cap = MIN(s->cap ? 2 * s->cap : 64, (uint32_t)BENCH_SAMPLES_MAX);
		void *p = realloc(s->v, cap * sizeof(*s->v));

		if (!p)
			return; /* counted, not kept */
		s->v = p;
		s->cap = cap;
	}
	if (s->n == s->cap)
		return;
	s->v[s->n++] = v;
	s->sorted = false;
}

void series_free(struct series *s)
{
	free(s->v);
	*s = (struct series){ .n = 0 };
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void sort(struct series *s)
{
	if (!s->sorted && s->n > 0)
		qsort(s->v, s->n, sizeof(*s->v), by_value);
	s->sorted = true;
}

double series_at(struct series *s, double p)
{
	double exact = p / 100 * s->n;
	uint32_t rank = (uint32_t)exact;

	if (s->n == 0)
		return 0;
	sort(s);
	rank += rank < exact;
	return s->v[MIN(MAX(rank, 1u), s->n) - 1];
}

double series_max(struct series *s)
{
	return series_at(s, 100);
}

void histogram_of(struct series *s, struct histogram *ret)
{
	double least, most;

	*ret = (struct histogram){ .bins = 0 };
	if (s->n == 0)
		return;
	least = series_at(s, 0);
	most = series_max(s);
	ret->least = least;
	ret->bins = most > least ? BENCH_BINS : 1;
	ret->width = (most - least) / ret->bins;
	for (uint32_t i = 0; i < s->n; i++) {
		uint32_t bin = ret->bins > 1 ? (uint32_t)((s->v[i] - least) / ret->width) : 0;

		bin = MIN(bin, ret->bins - 1); /* the greatest lies in the last one */
		ret->count[bin]++;
		ret->most = MAX(ret->most, ret->count[bin]);
	}
}

void show_ms(char *out, size_t size, double ms)
{
	if (ms <= 0)
		snprintf(out, size, "0");
	else if (ms < 0.9995)
		snprintf(out, size, "%.0f us", ms * 1000);
	else if (ms < 9.995)
		snprintf(out, size, "%.2f ms", ms);
	else if (ms < 99.95)
		snprintf(out, size, "%.1f ms", ms);
	else if (ms < 999.5)
		snprintf(out, size, "%.0f ms", ms);
	else if (ms < 99950)
		snprintf(out, size, "%.*f s", ms < 9995 ? 2 : 1, ms / 1000);
	else
		snprintf(out, size, "%.0f s", ms / 1000);
}
