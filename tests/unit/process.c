/*
 * unit/process.c - children get what they were given and nothing else, and are told apart from
 * whoever has their pid later.
 */
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sys/process.h"

static int shell(void)
{
	int fd = open("/bin/sh", O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

struct started {
	pid_t pid;
	int pidfd, out; /* out: what it writes to descriptor 7 */
	char text[4096];
};

/* sh -c script, with a pipe on descriptor 7 and what else is in spec. */
static void start(struct started *s, struct process_spec *spec, const char *script)
{
	char sh[] = "sh", c[] = "-c", *body = strdup(script);
	char *argv[] = { sh, c, body, NULL };
	own_fd program = shell();
	struct why why = { .text = "" };
	enum err e;
	int pipes[2];

	assert_non_null(body);
	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	spec->program = program;
	spec->argv = argv;
	spec->gifts[spec->gifts_n++] = (struct fd_gift){ pipes[1], 7 };
	e = process_start(spec, &s->pid, &s->pidfd, &why);
	check_row(e == OK, "%s", why.text);
	close(pipes[1]);
	s->out = pipes[0];
	free(body);
}

static int await_end(int pidfd)
{
	int status;

	assert_int_equal(poll(&(struct pollfd){ .fd = pidfd, .events = POLLIN }, 1, 30000), 1);
	status = pidfd_reap(pidfd);
	close(pidfd);
	return status;
}

static int finish(struct started *s)
{
	size_t have = 0;
	ssize_t n;

	while (have + 1 < sizeof(s->text) &&
		(n = read(s->out, s->text + have, sizeof(s->text) - 1 - have)) > 0)
		have += (size_t)n;
	s->text[have] = '\0';
	close(s->out);
	return await_end(s->pidfd);
}

static void ends_are_told(void **state UNUSED)
{
	static const struct {
		const char *script;
		int status;
	} rows[] = { { "exit 0", 0 }, { "exit 3", 3 }, { "kill -9 $$", 128 + 9 },
		{ "kill -15 $$", 128 + 15 } };

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct process_spec spec = { .gifts_n = 0 };
		struct started s;

		start(&s, &spec, rows[i].script);
		assert_int_equal(finish(&s), rows[i].status);
	}
	assert_int_equal(pidfd_reap(-1), -1);
}

/* A program may be a script, as those that wrap QEMU are. */
static void scripts_are_programs(void **state UNUSED)
{
	static const char text[] = "#!/bin/sh\nexit $1\n";
	char file[] = "/tmp/banger-unit-XXXXXX", five[] = "5", *argv[] = { file, five, NULL };
	int made = mkstemp(file), pidfd = -1;
	struct process_spec spec = { .argv = argv };
	struct why why;
	enum err e;
	pid_t pid;

	assert_int_equal(write(made, text, sizeof(text) - 1), sizeof(text) - 1);
	assert_int_equal(fchmod(made, 0700), 0);
	close(made);
	spec.program = open(file, O_RDONLY | O_CLOEXEC);
	e = process_start(&spec, &pid, &pidfd, &why);
	check_row(e == OK, "%s", why.text);
	assert_int_equal(await_end(pidfd), 5);
	close(spec.program);
	unlink(file);
}

static void exec_failure_is_told(void **state UNUSED)
{
	char name[] = "nothing", *argv[] = { name, NULL };
	own_fd program = open("/etc/passwd", O_RDONLY | O_CLOEXEC);
	struct process_spec spec = { .program = program, .argv = argv };
	struct why why;
	int pidfd = -1;
	pid_t pid;

	assert_int_equal(process_start(&spec, &pid, &pidfd, &why), ERR_denied);
	assert_non_null(strstr(why.text, "nothing"));
	assert_int_equal(pidfd, -1);
	spec.program = -1;
	assert_int_not_equal(process_start(&spec, &pid, &pidfd, &why), OK);
	assert_int_equal(waitid(P_ALL, 0, &(siginfo_t){ .si_pid = 0 }, WEXITED | WNOHANG), -1);
}

/* What is open in the child, whatever is open here. */
static void nothing_else_is_open(void **state UNUSED)
{
	static const char list[] =
		"i=0; while [ $i -lt 256 ]; do [ -e /proc/$$/fd/$i ] && l=\"$l$i \"; i=$((i+1)); "
		"done; l=$l$(readlink /proc/$$/fd/0 /proc/$$/fd/1 /proc/$$/fd/2); echo $l >&7";
	struct process_spec spec = { .gifts_n = 0 };
	int held[40], low;
	struct started s;

	for (size_t i = 0; i < COUNT(held); i++)
		held[i] = open("/dev/zero", O_RDONLY); /* not close-on-exec */
	low = held[0];
	start(&s, &spec, list);
	assert_int_equal(finish(&s), 0);
	assert_string_equal(s.text, "0 1 2 7 /dev/null /dev/null /dev/null\n");
	for (size_t i = 0; i < COUNT(held); i++)
		close(held[i]);

	/* a gift takes the number that is free here: it does not become the child's input */
	spec = (struct process_spec){ .gifts = { { 2, low }, { 2, low + 1 } }, .gifts_n = 2 };
	assert_true(low < 7);
	start(&s, &spec, "l=$(readlink /proc/$$/fd/0 /proc/$$/fd/1 /proc/$$/fd/2); echo $l >&7");
	assert_int_equal(finish(&s), 0);
	assert_string_equal(s.text, "/dev/null /dev/null /dev/null\n");
}

static void gifts_may_cross(void **state UNUSED)
{
	int a[2], b[2];
	struct process_spec spec = { .gifts_n = 0 };
	struct started s;

	assert_int_equal(pipe2(a, O_CLOEXEC), 0);
	assert_int_equal(pipe2(b, O_CLOEXEC), 0);
	assert_int_equal(write(a[1], "A\n", 2), 2);
	assert_int_equal(write(b[1], "B\n", 2), 2);
	close(a[1]);
	close(b[1]);
	assert_true(a[0] < 10 && b[0] < 10);
	spec.gifts[0] = (struct fd_gift){ a[0], b[0] };
	spec.gifts[1] = (struct fd_gift){ b[0], a[0] };
	spec.gifts_n = 2;
	if (a[0] != 7 && b[0] != 7) {
		char script[64];

		snprintf(script, sizeof(script), "cat <&%d >&7; cat <&%d >&7", a[0], b[0]);
		start(&s, &spec, script);
		assert_int_equal(finish(&s), 0);
		assert_string_equal(s.text, "B\nA\n");
	}
	close(a[0]);
	close(b[0]);
}

static void session_signals_environment(void **state UNUSED)
{
	char word[] = "WORD=here", *envp[] = { word, NULL };
	struct process_spec spec = { .new_session = true, .envp = envp };
	struct started s;
	uint64_t ours = ~(UINT64_C(3) << 31); /* 32 and 33 are libc's: posix_spawn ignores them */
	sigset_t all, old;
	const char *ign;

	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &old);
	signal(SIGPIPE, SIG_IGN);
	start(&s, &spec, "read -r p c st pp g sid rest < /proc/$$/stat; [ $sid = $$ ] || exit 1; "
			 "echo $WORD >&7; grep -E 'Sig(Blk|Ign)' /proc/self/status >&7");
	sigprocmask(SIG_SETMASK, &old, NULL);
	signal(SIGPIPE, SIG_DFL);
	assert_int_equal(finish(&s), 0);
	assert_non_null(strstr(s.text, "here\n"));
	assert_non_null(strstr(s.text, "SigBlk:\t0000000000000000"));
	ign = strstr(s.text, "SigIgn:\t");
	assert_non_null(ign);
	assert_int_equal(strtoull(ign + strlen("SigIgn:\t"), NULL, 16) & ours, 0);
}

static void told_apart(void **state UNUSED)
{
	struct process_spec spec = { .gifts_n = 0 };
	int waits_for[2], found;
	char needle[64];
	struct started s;
	uint64_t start_time, rss = 0, cpu;
	char script[128];

	assert_int_equal(pipe2(waits_for, O_CLOEXEC), 0);
	spec.gifts[spec.gifts_n++] = (struct fd_gift){ waits_for[0], 0 };
	snprintf(needle, sizeof(needle), "banger-unit-%d", (int)getpid());
	snprintf(script, sizeof(script), "echo >&7; : %s; read x", needle);
	start(&s, &spec, script);
	assert_int_equal(read(s.out, s.text, 1), 1); /* it runs */
	start_time = process_start_time(s.pid);
	assert_true(start_time > 0);
	assert_int_equal(process_find(s.pid, start_time + 1, needle), -1);
	assert_int_equal(process_find(s.pid, start_time, "another-word-than-that"), -1);
	found = process_find(s.pid, start_time, needle);
	assert_true(found >= 0);
	assert_int_equal(process_search(geteuid(), geteuid(), needle), s.pid);
	assert_int_equal(process_search(geteuid(), geteuid(), "no-process-has-this-word-ever"), 0);
	assert_true(process_usage(s.pid, &rss, &cpu) && rss > 0);
	(void)pidfd_signal(found, SIGKILL);
	close(found);
	(void)finish(&s);
	close(waits_for[0]);
	close(waits_for[1]);
	assert_int_equal(process_start_time(s.pid), 0);
	assert_int_equal(process_find(s.pid, start_time, needle), -1);
	assert_false(process_usage(s.pid, &rss, &cpu));
}

static void boot_id(void **state UNUSED)
{
	char a[37], b[37];

	assert_true(host_boot_id(a) && host_boot_id(b));
	assert_int_equal(strlen(a), 36);
	assert_string_equal(a, b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(ends_are_told),
		TEST(scripts_are_programs),
		TEST(exec_failure_is_told),
		TEST(nothing_else_is_open),
		TEST(gifts_may_cross),
		TEST(session_signals_environment),
		TEST(told_apart),
		TEST(boot_id),
	};

	return RUN(tests);
}
