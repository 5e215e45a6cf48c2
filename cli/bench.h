/*
 * cli/bench.h - `banger bench` (row G7): what its parts share. One connection makes, uses and
 * deletes machines; what they took goes into series, and a document, tables and pages are made
 * from these.
 */
#ifndef CLI_BENCH_H
#define CLI_BENCH_H

#include "base/buf.h"
#include "cli/interrupts.h"
#include "cli/json.h"

enum {
	BENCH_RAMP_MAX = 16, /* concurrencies of one line */
	BENCH_COUNT_MAX = 100000, /* machines of one run */
	BENCH_AT_ONCE_MAX = 4096,
	BENCH_SERIES_MAX = 24, /* stages of a run, or kinds of work */
	BENCH_SAMPLES_MAX = 200000, /* of one series; further ones are only counted */
	BENCH_FAULTS_MAX = 32, /* kinds of failures that are told apart */
	BENCH_LEAKS_MAX = 64,
	BENCH_BINS = 12,
	BENCH_HISTORY_MAX = 600
};

/* ---- bench_stats.c: figures; pure ---- */

struct series {
	char name[40];
	double *v; /* milliseconds, or bytes */
	uint32_t n, cap;
	uint64_t told; /* all that came, also those that were not kept */
	bool sorted;
};

void series_add(struct series *s, double v);
void series_free(struct series *s);
/* By nearest rank: the least value that p percent of all do not exceed; 0 when there is none. */
double series_at(struct series *s, double p);
double series_max(struct series *s);

struct histogram {
	double least, width; /* of the first bin; of each */
	uint32_t bins, most; /* how many bins; the fullest one's count */
	uint32_t count[BENCH_BINS];
};

/* Equal bins from the least to the greatest value; one when all are the same, none when empty. */
void histogram_of(struct series *s, struct histogram *ret);

/* "950 us", "12.3 ms", "1.25 s": three digits. */
void show_ms(char *out, size_t size, double ms);

/* ---- one run ---- */

struct bench_fault {
	char stage[40]; /* or what was asked for */
	char code[33];
	char text[200]; /* of the first one */
	uint64_t count;
};

struct bench_leak {
	char kind[16];
	char what[200];
};

struct bench_moment { /* of a soak */
	double seconds;
	uint64_t memory, done; /* the daemon's own bytes; machines and works so far */
	uint32_t machines; /* that exist now */
};

struct bench_run {
	uint32_t at_once;
	uint64_t wanted, made, failed, works; /* works: what a soak did to machines */
	bool soak, cut; /* cut: it was interrupted */
	double ms; /* from the first begin to the last end of a creation */
	struct series whole; /* a creation as its client sees it */
	struct series
		stages[BENCH_SERIES_MAX]; /* as op.stage tells them; of a soak kinds of work */
	unsigned stages_n;
	struct series memory; /* bytes resident of a VMM */
	struct series removal; /* deletions */
	uint64_t daemon_before, daemon_after; /* bytes of its own memory */
	uint64_t fds_before, fds_after;
	struct bench_fault faults[BENCH_FAULTS_MAX];
	unsigned faults_n;
	struct bench_leak leaks[BENCH_LEAKS_MAX];
	unsigned leaks_n;
	uint64_t leaks_all;
	struct bench_moment *history;
	unsigned history_n;
	char (*ids)[11]; /* of all machines that were begun */
	uint64_t ids_n, ids_cap;
};

struct bench {
	struct cli *c;
	struct interrupts interrupts;
	struct vm_create body; /* what each machine is */
	char prefix[24]; /* of their names */
	uint64_t count, soak_ms, seed, serial;
	uint32_t ramp[BENCH_RAMP_MAX];
	unsigned ramp_n;
	bool stub, hold;
	char state_dir[1024], runtime_dir[1024], image[129], started[32];
	uint64_t daemon_pid;
	struct bench_run runs[BENCH_RAMP_MAX];
	unsigned runs_n;
	json_t *baseline;
	const char *baseline_path;
};

double bench_now_ms(void); /* monotonic */

double bench_throughput(const struct bench_run *r); /* machines a second */
struct series *bench_stage(struct bench_run *r, const char *name);
void bench_fault(struct bench_run *r, const char *stage, const struct why *why);
void bench_run_free(struct bench_run *r);

/* "1,4,16": at most BENCH_RAMP_MAX numbers. */
enum err bench_ramp(
	const char *text, uint32_t ramp[BENCH_RAMP_MAX], unsigned *ret, struct why *why) MUST_CHECK;

/* ---- bench_run.c: makes r->wanted machines, or works for soak_ms; 0 or the exit code ---- */
int bench_run(struct bench *b, struct bench_run *r);
/* The daemon's own memory and descriptors now. */
enum err bench_daemon(struct bench *b, uint64_t *memory, uint64_t *fds, struct why *why) MUST_CHECK;

/* ---- bench_leaks.c: what is left of the run's machines ---- */
void bench_leaks(struct bench *b, struct bench_run *r);

/* ---- bench_text.c, bench_json.c, bench_html.c: for people, for programs, for a browser ---- */
void bench_print(struct bench *b);
json_t *bench_json(struct bench *b);
/* A document that an earlier bench_json made. */
enum err bench_baseline(struct bench *b, const char *path, struct why *why) MUST_CHECK;
/* Ratio of this figure to the baseline's: 0 when that has none. stage NULL: the whole. */
double bench_ratio(const struct bench *b, const struct bench_run *r, const char *stage,
	const char *figure, double now);
void bench_html(struct bench *b, struct buf *out);

/* ---- bench_svg.c: plots into a page; every text is escaped ---- */

void html_text(struct buf *b, const char *s);
void svg_histogram(struct buf *b, struct bench_run *r);
void svg_waterfall(struct buf *b, struct bench_run *r);
void svg_throughput(struct buf *b, struct bench *bench);
void svg_memory(struct buf *b, struct bench *bench);
void svg_history(struct buf *b, const struct bench_run *r);

#endif
