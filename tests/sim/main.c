/*
 * main.c - runs seeds: a daemon with all its actors on a simulated host, clients, mischief, then a
 * calm in which everything must come to rest, a restart, and once more.
 *
 *	sim --seeds N [--from S]	runs N seeds and counts what was reached
 *	sim --seed S --trace		replays one, and tells what happened when
 */
#include <fcntl.h>
#include <getopt.h>
#include <sanitizer/common_interface_defs.h>
#include <unistd.h>

#include "base/log.h"
#include "tests/sim/client.h"

enum { EVENTS_MAX = 600000, SCRIPT_MS = 900000, REST_MS = 2400000, SHORT_REST_MS = 900000 };

static const char *const mark_texts[MARK_COUNT] = {
#define M(name, text) text,
	MARKS(M)
#undef M
};

/* What a crash of this program itself names; set before each seed. */
static volatile uint64_t running;

static void name_seed(void)
{
	fprintf(stderr, "seed %llu failed: the program died\n", (unsigned long long)running);
}

void __wrap_must_failed(const char *expr, const char *file, int line);
void __wrap_must_failed(const char *expr, const char *file, int line)
{
	fflush(stdout);
	fprintf(stderr, "seed %llu failed: must(%s) at %s:%d\n", (unsigned long long)running, expr,
		file, line);
	__sanitizer_print_stack_trace();
	_exit(1);
}

/* The daemon tells its pid; how many bytes that takes must not differ from run to run. */
pid_t __wrap_getpid(void);
pid_t __wrap_getpid(void)
{
	return 4242;
}

/* ---- one seed ---- */

static void host_begin(struct sim *s, uint64_t seed)
{
	s->seed = seed;
	s->rng = (seed + 1) * 0x9e3779b97f4a7c15;
	for (int i = 0; i < 8; i++)
		sim_random(s);
	TAILQ_INIT(&s->files);
	TAILQ_INIT(&s->procs);
	TAILQ_INIT(&s->clients);
	TAILQ_INIT(&s->askers);
	TAILQ_INIT(&s->visitors);
	s->now = 1000;
	s->boot_at = 500;
	s->wall = 1700000000000;
	snprintf(s->boot_id, sizeof(s->boot_id), "00000000-0000-4000-8000-000000000000");
	s->facts = (struct host_facts){ .kvm = sim_chance(s, 300),
		.tsc_khz = 2000000,
		.memory = 64 * GiB,
		.memory_free = sim_chance(s, 150) ? 2 * GiB : 32 * GiB };
	s->kvm_hangs = sim_chance(s, 400);
	s->reflinks = sim_chance(s, 500);
	s->prepared = sim_chance(s, 800);
	s->system = sim_chance(s, 500);
	s->facts.device_mapper = sim_chance(s, 800);
	s->subnet = sim_chance(s, 800) ? "10.87.48.0/20" : "10.99.0.8/30";
	helper_begin(s);
	weather_choose(s);
}

static void host_end(struct sim *s)
{
	clients_leave(s);
	names_end(s);
	visitors_end(s);
	procs_end_all(s);
	helper_end(s);
	nodes_clear(s, STATE);
	nodes_clear(s, RUNTIME);
	nodes_clear(s, HOST);
	rows_free(s);
	if (s->ends)
		sim_fail(s, "%u ends of connections are left", s->ends);
	free(s->queue);
}

static void run_until(struct sim *s, uint64_t until, bool script)
{
	while (!(script && script_over(s)) && sim_step(s, until)) {
		/* a flow that runs in circles would never come to rest */
		if (++s->steps > EVENTS_MAX)
			sim_fail(s, "it does not come to rest: %d events", EVENTS_MAX);
	}
	if (!script)
		s->now = until;
}

static void be_calm(struct sim *s)
{
	sim_trace(s, "sim", "calm");
	s->calm = true;
	s->disk_full_until = s->no_files_until = 0;
	s->store_fails = s->store_breaks = false;
	if (!s->world)
		return;
	s->world->crash_in_calls = s->world->crash_in_events = 0;
	if (s->world->store_failures > 0)
		daemon_crash(s);
}

static void look_at_all(struct sim *s)
{
	struct client *c = client_new(s);
	struct vm_list q = { .limit = 1000, .has_limit = true };

	if (!c)
		sim_fail(s, "nobody can connect when all has settled");
	client_ask(c, LETTER_vm_list, &q)->last = true;
	run_until(s, s->now + 60000, false);
	clients_check(s);
	clients_leave(s);
	run_until(s, s->now + 1000, false);
}

static void live(struct sim *s)
{
	daemon_start(s);
	daemon_turn(s);
	script_begin(s);
	mischief_begin(s);
	names_begin(s);
	visitors_begin(s);
	run_until(s, s->now + SCRIPT_MS, true);
	run_until(s, s->now + sim_roll(s, 20000), false);
	be_calm(s);
	run_until(s, s->now + REST_MS, false);
	clients_check(s);
	sim_trace(s, "sim", "all clients leave");
	clients_leave(s);
	visitors_end(s);
	run_until(s, s->now + SHORT_REST_MS, false);
	check_settled(s, false);
	look_at_all(s);
	sim_trace(s, "sim", "the last restart");
	daemon_crash(s);
	run_until(s, s->now + SHORT_REST_MS, false);
	check_settled(s, true);
	look_at_all(s);
	daemon_crash(s);
}

/* True when nothing was wrong. */
static bool run_seed(uint64_t seed, uint64_t *marks, int log_read, bool trace)
{
	struct sim *s = calloc(1, sizeof(*s));

	must(s);
	s->marks = marks;
	s->trace = trace;
	s->log_read = log_read;
	running = seed;
	if (setjmp(s->over)) {
		printf("seed %llu failed: %s\n", (unsigned long long)seed, s->fault);
		return false;
	}
	host_begin(s, seed);
	live(s);
	host_end(s);
	free(s);
	return true;
}

/* ---- many seeds ---- */

static void print_marks(const uint64_t *marks, uint64_t seeds)
{
	printf("%llu seeds\n", (unsigned long long)seeds);
	for (int i = 0; i < MARK_COUNT; i++)
		printf("%10llu  %s\n", (unsigned long long)marks[i], mark_texts[i]);
}

static bool run_seeds(uint64_t from, uint64_t n)
{
	uint64_t marks[MARK_COUNT] = { 0 };

	for (uint64_t i = 0; i < n; i++) {
		if (!run_seed(from + i, marks, -1, false))
			return false;
		if ((i + 1) % 500 == 0) {
			printf("%llu seeds\n", (unsigned long long)i + 1);
			fflush(stdout);
		}
	}
	print_marks(marks, n);
	return true;
}

static bool trace_seed(uint64_t seed)
{
	uint64_t marks[MARK_COUNT] = { 0 };
	int ends[2];

	must(pipe2(ends, O_NONBLOCK | O_CLOEXEC) == 0);
	fcntl(ends[1], F_SETPIPE_SZ, 1048576);
	log_to(ends[1], LOG_DEBUG, LOG_PRIORITY);
	setvbuf(stdout, NULL, _IOLBF, 0);
	return run_seed(seed, marks, ends[0], true);
}

static int usage(void)
{
	fputs("usage: sim --seeds N [--from S] | --seed S [--trace]\n", stderr);
	return 2;
}

int main(int argc, char **argv)
{
	static const struct option options[] = { { "seeds", required_argument, NULL, 'n' },
		{ "from", required_argument, NULL, 'f' }, { "seed", required_argument, NULL, 's' },
		{ "trace", no_argument, NULL, 't' }, { NULL, 0, NULL, 0 } };
	uint64_t n = 0, from = 0, seed = 0;
	bool one = false, trace = false, good;
	int o;

	while ((o = getopt_long(argc, argv, "", options, NULL)) != -1) {
		uint64_t *to = o == 'n' ? &n : o == 'f' ? &from : o == 's' ? &seed : NULL;

		trace |= o == 't';
		one |= o == 's';
		if (o == '?' || (to && parse_u64(optarg, to, NULL)))
			return usage();
	}
	if (optind < argc || (!one && n == 0))
		return usage();
	__sanitizer_set_death_callback(name_seed);
	log_to(open("/dev/null", O_WRONLY | O_CLOEXEC), LOG_ERROR, LOG_PRIORITY);
	good = one ? (trace ? trace_seed(seed) : run_seeds(seed, 1)) : run_seeds(from, n);
	fflush(stdout);
	if (!good)
		_exit(1); /* what a broken seed left is no leak to be told of */
	return 0;
}
