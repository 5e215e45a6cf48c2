/*
 * runs.c - times whole commands, one after the other in turns, so that what the host does meanwhile
 * meets all of them alike.
 *
 *	runs ROUNDS -- COMMAND... [-- COMMAND...]...
 *
 * Prints one line a run: which command, the monotonic nanosecond at which it was spawned, the one
 * at which it had ended. A command that fails ends it all. `---` stands for a `--` of the command's
 * own.
 */
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/text.h"

enum { COMMANDS_MAX = 8 };

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static int run_once(unsigned which, char **argv, const posix_spawn_file_actions_t *files)
{
	uint64_t began = now_ns(), ended;
	int status = 0, e;
	pid_t pid;

	e = posix_spawnp(&pid, argv[0], files, NULL, argv, environ);
	if (e) {
		fprintf(stderr, "runs: %s: %s\n", argv[0], strerror(e));
		return 1;
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	ended = now_ns();
	if (status != 0) {
		fprintf(stderr, "runs: %s ended with status 0x%x\n", argv[0], (unsigned)status);
		return 1;
	}
	printf("%u %llu %llu\n", which, (unsigned long long)began, (unsigned long long)ended);
	return 0;
}

/* Cuts argv at each `--`; answers how many commands there are. */
static unsigned split(int argc, char **argv, char **commands[COMMANDS_MAX])
{
	unsigned n = 0;

	for (int i = 2; i < argc; i++) {
		if (str_eq(argv[i], "---")) {
			argv[i][2] = '\0';
		} else if (str_eq(argv[i], "--")) {
			argv[i] = NULL;
			if (n == COMMANDS_MAX || i + 1 >= argc)
				return 0;
			commands[n++] = &argv[i + 1];
		}
	}
	return n;
}

int main(int argc, char **argv)
{
	posix_spawn_file_actions_t files;
	char **commands[COMMANDS_MAX];
	uint64_t rounds;
	unsigned n = argc > 3 ? split(argc, argv, commands) : 0;

	if (n == 0 || parse_u64(argv[1], &rounds, NULL)) {
		fputs("usage: runs ROUNDS -- COMMAND... [-- COMMAND...]...\n", stderr);
		return 2;
	}
	if (posix_spawn_file_actions_init(&files) ||
		posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0) ||
		posix_spawn_file_actions_addopen(&files, 1, "/dev/null", O_WRONLY, 0))
		return 1;
	for (uint64_t i = 0; i < rounds; i++)
		for (unsigned k = 0; k < n; k++)
			if (run_once(k, commands[k], &files))
				return 1;
	posix_spawn_file_actions_destroy(&files);
	return 0;
}
