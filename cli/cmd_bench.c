/*
 * cmd_bench.c - `banger bench` (row G7): stress runs of concurrent boots on this host, or a soak.
 *
 * What can be wrong with the line or with files is found before the first machine is made; what was
 * measured is told also after Ctrl-C. Exit code 1: something failed or leaked.
 */
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "base/text.h"
#include "cli/bench.h"
#include "cli/file.h"
#include "cli/link.h"
#include "cli/report.h"
#include "cli/ssh.h"

enum { COUNT_USUAL = 20, HTML_MAX = 16 * 1024 * 1024, PATH_BYTES = 4096 };

static const struct flag flags[] = {
	{ .name = "count",
		.type = &type_u64,
		.value = "N",
		.doc = "machines of each run; 20 when absent" },
	{ .name = "concurrency",
		.type = &type_word,
		.value = "N[,N...]",
		.doc = "so many at once; a run for each number; the host's CPUs when absent" },
	{ .name = "image",
		.type = &type_image_name,
		.value = "IMAGE",
		.offer = OFFER_IMAGES,
		.doc = "what to boot; config's default_image when absent" },
	{ .name = "kernel",
		.type = &type_kernel_name,
		.value = "NAME",
		.offer = OFFER_KERNELS,
		.doc = "kernel to boot; the image's own, else the default" },
	{ .name = "driver",
		.type = &type_driver,
		.value = "NAME",
		.offer = OFFER_WORDS,
		.doc = "auto, qemu or firecracker" },
	{ .name = "stub", .doc = "machines without a guest: what is measured is banger alone" },
	{ .name = "accel",
		.type = &type_accel,
		.value = "NAME",
		.offer = OFFER_WORDS,
		.doc = "auto, kvm or tcg" },
	{ .name = "vcpus", .type = &type_u64, .value = "N", .doc = "virtual CPUs, 1 to 64" },
	{ .name = "memory", .type = &type_size, .value = "SIZE", .doc = "memory, like 512M or 2G" },
	{ .name = "disk", .type = &type_size, .value = "SIZE", .doc = "work disk, like 20G" },
	{ .name = "net",
		.type = &type_net,
		.value = "NAME",
		.offer = OFFER_WORDS,
		.doc = "nat or none" },
	{ .name = "layer",
		.type = &type_layer,
		.value = "NAME",
		.offer = OFFER_WORDS,
		.doc = "how writes are kept: auto, qcow2, reflink, copy or dm" },
	{ .name = "hold", .doc = "keep machines until all of a run are made, then delete them" },
	{ .name = "for",
		.type = &type_ms,
		.value = "DURATION",
		.doc = "soak: create, use, kill and delete by chance for so long, like 1h" },
	{ .name = "seed", .type = &type_u64, .value = "N", .doc = "of the soak's chances" },
	{ .name = "timeout",
		.type = &type_ms,
		.value = "DURATION",
		.doc = "of each creation, like 90s" },
	{ .name = "no-services", .doc = "do not wait for the image's required services" },
	{ .name = "force", .doc = "also when the host seems to have too little room" },
	{ .name = "save-baseline",
		.type = &type_path,
		.value = "FILE",
		.offer = OFFER_FILES,
		.doc = "write the figures there, to compare with later" },
	{ .name = "baseline",
		.type = &type_path,
		.value = "FILE",
		.offer = OFFER_FILES,
		.doc = "show ratios to the figures of that file" },
	{ .name = "html",
		.type = &type_path,
		.value = "FILE",
		.offer = OFFER_FILES,
		.doc = "write a page with plots, which needs nothing else" },
	{ .name = NULL },
};

/* ---- a run's lists ---- */

double bench_now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

struct series *bench_stage(struct bench_run *r, const char *name)
{
	for (unsigned i = 0; i < r->stages_n; i++)
		if (strncmp(r->stages[i].name, name, sizeof(r->stages[i].name) - 1) == 0)
			return &r->stages[i];
	if (r->stages_n == BENCH_SERIES_MAX)
		return NULL;
	str_copy(r->stages[r->stages_n].name, sizeof(r->stages[0].name), name);
	return &r->stages[r->stages_n++];
}

/* A text that was cut may end within a character. */
static void trim_text(char *s)
{
	size_t n = strlen(s);

	for (int i = 0; i < 3 && n > 0 && !utf8_valid(s, n); i++)
		n--;
	if (utf8_valid(s, n))
		s[n] = '\0';
}

/* Messages name machines, so they are told apart by where they came from and their code. */
void bench_fault(struct bench_run *r, const char *stage, const struct why *why)
{
	struct bench_fault *f = r->faults;

	while (f < r->faults + r->faults_n &&
		!(str_eq(f->stage, stage) && str_eq(f->code, err_name(why->code))))
		f++;
	if (f == r->faults + BENCH_FAULTS_MAX)
		f--; /* the last one stands for the rest */
	if (f == r->faults + r->faults_n) {
		r->faults_n++;
		str_copy(f->stage, sizeof(f->stage), stage);
		str_copy(f->code, sizeof(f->code), err_name(why->code));
		str_copy(f->text, sizeof(f->text), why->text);
		trim_text(f->text);
	}
	f->count++;
}

void bench_run_free(struct bench_run *r)
{
	series_free(&r->whole);
	series_free(&r->memory);
	series_free(&r->removal);
	for (unsigned i = 0; i < r->stages_n; i++)
		series_free(&r->stages[i]);
	free(r->history);
	free(r->ids);
	*r = (struct bench_run){ .at_once = 0 };
}

/* ---- the line ---- */

static enum err bad_ramp(struct why *why, const char *text)
{
	fail_field(why, ERR_invalid_value, "concurrency",
		"--concurrency: '%.40s' is no list of at most %d numbers from 1 to %d", text,
		BENCH_RAMP_MAX, BENCH_AT_ONCE_MAX);
	return fail_hint(why, "write 4, or 1,4,16");
}

enum err bench_ramp(const char *text, uint32_t ramp[BENCH_RAMP_MAX], unsigned *ret, struct why *why)
{
	const char *at = text;
	unsigned n = 0;

	for (;;) {
		size_t len = strcspn(at, ",");
		char one[16];
		uint64_t v;

		snprintf(one, sizeof(one), "%.*s", (int)MIN(len, sizeof(one) - 1), at);
		if (n == BENCH_RAMP_MAX || len >= sizeof(one) || parse_u64(one, &v, NULL) ||
			v < 1 || v > BENCH_AT_ONCE_MAX)
			return bad_ramp(why, text);
		ramp[n++] = (uint32_t)v;
		if (!at[len])
			break;
		at += len + 1;
	}
	*ret = n;
	return OK;
}

static enum err take_machine(struct bench *b, struct why *why)
{
	enum err e = flags_fill(b->c, &shape_vm_create, &b->body, why);

	b->stub = flag_on(b->c, "stub") || (b->body.has_driver && b->body.driver == driver_stub);
	if (!e && flag_on(b->c, "stub") && b->body.has_driver && b->body.driver != driver_stub)
		e = fail_field(why, ERR_invalid_value, "stub",
			"--stub and --driver %s exclude each other",
			word_of(driver, b->body.driver));
	b->body.rm = b->body.has_rm = true;
	if (!b->stub)
		return e;
	b->body.driver = driver_stub;
	b->body.has_driver = true;
	b->body.no_services = b->body.has_no_services = true;
	b->body.force = b->body.has_force = true; /* they take no memory that could be short */
	return e;
}

static enum err take_numbers(struct bench *b, struct why *why)
{
	const struct given *count = flag_given(b->c, "count"), *soak = flag_given(b->c, "for"),
			   *seed = flag_given(b->c, "seed");
	const char *ramp = flag_text(b->c, "concurrency");
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	enum err e = OK;

	b->count = count->set ? count->number : COUNT_USUAL;
	b->soak_ms = soak->set ? soak->number : 0;
	b->hold = flag_on(b->c, "hold");
	b->ramp[0] = (uint32_t)MIN(MAX(cpus, 1), BENCH_AT_ONCE_MAX);
	b->ramp_n = 1;
	if (getrandom(&b->seed, sizeof(b->seed), 0) != sizeof(b->seed))
		b->seed = (uint64_t)time(NULL);
	if (seed->set)
		b->seed = seed->number;
	if (ramp)
		e = bench_ramp(ramp, b->ramp, &b->ramp_n, why);
	if (!e && (b->count < 1 || b->count > (b->hold ? BENCH_AT_ONCE_MAX : BENCH_COUNT_MAX)))
		e = fail_field(why, ERR_invalid_value, "count", "--count must be 1 to %d%s",
			b->hold ? BENCH_AT_ONCE_MAX : BENCH_COUNT_MAX,
			b->hold ? " with --hold" : "");
	if (!e && soak->set && (b->ramp_n > 1 || count->set || b->hold))
		e = fail_field(why, ERR_invalid_value, "for",
			"--for takes one --concurrency, and neither --count nor --hold");
	if (!e && soak->set && b->soak_ms < 1000)
		e = fail_field(why, ERR_invalid_value, "for", "--for must be a second or more");
	if (!e && b->c->has_tail && (!soak->set || b->stub))
		e = fail_field(why, ERR_invalid_value, "for",
			"a command is run by a soak of guests: --for, and no --stub");
	return e;
}

/* Nobody wants to learn after an hour that the report cannot be written. */
static enum err check_target(struct cli *c, const char *flag, struct why *why)
{
	const char *path = flag_text(c, flag), *slash = path ? strrchr(path, '/') : NULL;
	char dir[PATH_BYTES] = ".";

	if (!path)
		return OK;
	if (slash)
		snprintf(
			dir, sizeof(dir), "%.*s", (int)MIN(slash - path + 1, PATH_BYTES - 1), path);
	if (access(dir, W_OK) == 0)
		return OK;
	fail_errno(why, "--%s: cannot write into %.250s", flag, dir);
	snprintf(why->field, sizeof(why->field), "%s", flag);
	return why->code;
}

static enum err prepare(struct bench *b, struct why *why)
{
	uint8_t tag[3];
	char hex[8];
	struct timespec now;
	enum err e = take_machine(b, why);

	if (!e)
		e = take_numbers(b, why);
	if (!e)
		e = check_target(b->c, "html", why);
	if (!e)
		e = check_target(b->c, "save-baseline", why);
	b->baseline_path = flag_text(b->c, "baseline");
	if (!e && b->baseline_path)
		e = bench_baseline(b, b->baseline_path, why);
	if (!e && getrandom(tag, sizeof(tag), 0) != sizeof(tag))
		e = fail_errno(why, "no random bytes for the machines' names");
	if (e)
		return e;
	hex_of(hex, tag, sizeof(tag));
	snprintf(b->prefix, sizeof(b->prefix), "bench-%s-", hex);
	snprintf(b->image, sizeof(b->image), "%s", b->body.image ? b->body.image : "(default)");
	clock_gettime(CLOCK_REALTIME, &now);
	show_time(b->started, sizeof(b->started),
		(uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000);
	return OK;
}

/* ---- the runs ---- */

static int run_all(struct bench *b)
{
	int code = 0;

	for (unsigned i = 0; !code && !b->interrupts.first && i < b->ramp_n; i++) {
		struct bench_run *r = &b->runs[b->runs_n++];

		*r = (struct bench_run){ .at_once = b->ramp[i],
			.wanted = b->soak_ms ? BENCH_AT_ONCE_MAX * (uint64_t)UINT32_MAX : b->count,
			.soak = b->soak_ms > 0 };
		code = bench_run(b, r);
		if (!code)
			bench_leaks(b, r);
	}
	return code;
}

static enum err write_json(struct bench *b, const char *path, struct why *why)
{
	json_t *doc = bench_json(b);
	own_mem char *text = doc ? json_dumps(doc, JSON_INDENT(1) | JSON_REAL_PRECISION(12)) : NULL;
	own_buf out = { .max = FILE_BYTES_MAX };

	json_decref(doc);
	if (!text)
		return fail(why, ERR_no_memory, "no memory for the figures");
	buf_str(&out, text);
	buf_str(&out, "\n");
	return file_replace(path, 0644, &out, why);
}

static enum err write_html(struct bench *b, const char *path, struct why *why)
{
	own_buf out = { .max = HTML_MAX };

	bench_html(b, &out);
	return file_replace(path, 0644, &out, why);
}

static int tell(struct bench *b)
{
	const char *html = flag_text(b->c, "html"), *save = flag_text(b->c, "save-baseline");
	int code = EXIT_DONE;
	struct why why;

	if (b->c->json)
		json_print(b->c, bench_json(b));
	else
		bench_print(b);
	for (unsigned i = 0; i < b->runs_n; i++)
		if (b->runs[i].failed || b->runs[i].faults_n || b->runs[i].leaks_all)
			code = EXIT_REFUSED;
	b->c->spoke = true; /* the document is out: what goes wrong now is said beside it */
	if (html && write_html(b, html, &why))
		code = report(b->c, &why);
	if (save && write_json(b, save, &why))
		code = report(b->c, &why);
	return b->interrupts.first ? EXIT_SIGNAL + b->interrupts.first : code;
}

static int bench(struct cli *c)
{
	struct bench *b = arena_take(&c->mem, sizeof(*b));
	struct why why;
	int code;

	if (!b) {
		fail(&why, ERR_no_memory, "no memory for a bench");
		return report(c, &why);
	}
	b->c = c;
	if (prepare(b, &why)) {
		json_decref(b->baseline);
		return report_usage(c, &why);
	}
	if (link_open(c, &why)) {
		json_decref(b->baseline);
		return report(c, &why);
	}
	b->body.ssh_key = ssh_key_for_letters(c);
	interrupts_start(&b->interrupts, c->loop);
	code = run_all(b);
	interrupts_stop(&b->interrupts);
	if (!code)
		code = tell(b);
	for (unsigned i = 0; i < b->runs_n; i++)
		bench_run_free(&b->runs[i]);
	json_decref(b->baseline);
	return code;
}

const struct command cmd_bench = {
	.words = "bench",
	.args = "[-- CMD...]",
	.traits = TAIL,
	.flags = flags,
	.doc = "boot many machines at once, and measure",
	.more = "Makes and deletes machines named bench-*, tells percentiles of each stage, "
		"throughput,\nfailures and memory, and looks for whatever the machines may have "
		"left behind. Exit\ncode 1 when something failed or leaked. However this command "
		"ends, the daemon deletes\nits machines. A soak runs `sh -c :` in them, or the "
		"command behind --.",
	.example = "banger bench --count 50 --concurrency 1,4,16 --html bench.html\n"
		   "banger bench --stub --count 1000 --concurrency 64 --hold\n"
		   "banger bench --save-baseline before.json\n"
		   "banger bench --baseline before.json\n"
		   "banger bench --for 1h --concurrency 4 --progress -- make test",
	.run = bench,
};
