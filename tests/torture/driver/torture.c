/*
 * torture.c - counts calls, fails the chosen one, and looks after each run at what was left behind.
 *
 * Its state is global: the wrapped calls have no other way to reach it. It lies in shared memory,
 * so that a scenario that runs in children still counts here.
 */
#include "tests/torture/torture.h"

#include <fcntl.h>
#include <sanitizer/common_interface_defs.h>
#include <sanitizer/lsan_interface.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "tests/torture/driver/driver.h"

enum { FDS = 256, RUNS_MAX = 20000, SECONDS_MAX = 60 };

struct plan {
	const char *name;
	enum torture_kind kind;
	bool lasting; /* every call from the n-th on fails, not only the n-th */
};

static const struct plan plans[] = {
	{ "one allocation", KIND_MEMORY, false },
	{ "every later allocation", KIND_MEMORY, true },
	{ "one system call", KIND_CALLS, false },
	{ "every later system call", KIND_CALLS, true },
	{ "one interruption", KIND_SIGNALS, false },
};

static struct {
	bool on;
	enum torture_kind kind;
	bool lasting;
	unsigned long fail_at, count; /* fail_at 0: none fails */
	const char *scenario, *plan;
} *now;

const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "handle_abort=1:allocator_may_return_null=1:detect_leaks=1";
}

bool torture_fails(enum torture_kind kind)
{
	if (!now || !now->on || kind != now->kind)
		return false;
	now->count++;
	return now->fail_at && (now->lasting ? now->count >= now->fail_at :
					       now->count == now->fail_at);
}

void torture_off(void)
{
	now->on = false;
}

void torture_on(void)
{
	now->on = true;
}

bool torture_struck(void)
{
	return now->fail_at && now->count >= now->fail_at;
}

static void tell_where(void)
{
	now->on = false;
	/* NOLINTNEXTLINE(bugprone-signal-handler): it aborts next, and nothing else runs */
	fprintf(stderr, "in scenario '%s' with %s failing, number %lu\n", now->scenario, now->plan,
		now->fail_at);
}

NORETURN static void too_long(int signal UNUSED)
{
	tell_where();
	fprintf(stderr, "it took longer than %d seconds\n", SECONDS_MAX);
	abort();
}

void torture_broken(const char *what, const char *file, int line)
{
	now->on = false;
	fprintf(stderr, "%s:%d: broken: %s\n", file, line, what);
	abort();
}

static unsigned open_fds(void)
{
	unsigned n = 0;

	for (int fd = 0; fd < FDS; fd++)
		n += __real_fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void run_here(const struct scenario *s)
{
	unsigned before = open_fds();

	alarm(SECONDS_MAX);
	now->on = true;
	s->run();
	now->on = false;
	alarm(0);
	if (open_fds() != before)
		torture_broken("descriptors were left open", __FILE__, __LINE__);
}

static void run_in_child(const struct scenario *s)
{
	int status;
	pid_t pid = fork();

	must(pid >= 0);
	if (pid == 0) {
		run_here(s);
		exit(__lsan_do_recoverable_leak_check() ? 1 : 0);
	}
	while (waitpid(pid, &status, 0) < 0)
		must(errno == EINTR);
	if (status != 0)
		torture_broken("the child failed", __FILE__, __LINE__);
}

static void run_once(const struct scenario *s, const struct plan *p, unsigned long fail_at)
{
	now->kind = p->kind;
	now->lasting = p->lasting;
	now->fail_at = fail_at;
	now->count = 0;
	now->scenario = s->name;
	now->plan = p->name;
	if (s->forks)
		run_in_child(s);
	else
		run_here(s);
}

/* Answers how many places there were to fail at. */
static unsigned long run_plan(const struct scenario *s, const struct plan *p)
{
	unsigned long n;

	run_once(s, p, 0);
	for (n = 1; n < RUNS_MAX; n++) {
		run_once(s, p, n);
		if (now->count < n)
			return n - 1;
	}
	torture_broken("a scenario with too many calls", __FILE__, __LINE__);
}

int torture_main(const struct scenario *list, size_t n)
{
	unsigned number = 0;
	bool leaked = false;

	now = mmap(NULL, sizeof(*now), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	must(now != MAP_FAILED);
	__sanitizer_set_death_callback(tell_where);
	signal(SIGALRM, too_long);
	signal(SIGPIPE, SIG_IGN);
	setvbuf(stdout, NULL, _IOLBF, 0);
	log_to(-1, LOG_ERROR, LOG_TIMED);
	for (size_t i = 0; i < n; i++) {
		for (size_t k = 0; k < COUNT(plans); k++) {
			unsigned long places = run_plan(&list[i], &plans[k]);
			bool leaks = __lsan_do_recoverable_leak_check();

			leaked |= leaks;
			if (places == 0 && !leaks)
				continue; /* nothing of that kind happens in it */
			printf("%s %u - %s: %s fails (%lu)\n", leaks ? "not ok" : "ok", ++number,
				list[i].name, plans[k].name, places);
		}
	}
	printf("1..%u\n", number);
	return leaked;
}
