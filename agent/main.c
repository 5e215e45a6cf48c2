/*
 * main.c - banger-agent: the first process of a guest, and what it becomes (see boot.c, guard.c).
 */
#include <unistd.h>

#include "agent/agent.h"
#include "agent/boot.h"
#include "agent/guard.h"
#include "base/build.h"
#include "base/text.h"

struct arguments {
	int argc;
	char **argv;
};

static void run(void *ctx)
{
	struct arguments *a = ctx;

	agent_run(a->argc, a->argv);
}

static int show_version(void)
{
	char built[32];

	show_time(built, sizeof(built), build_time_ms);
	printf("banger-agent %s (commit %s, built %s)\n", build_version, build_commit, built);
	return fflush(stdout) == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
	if (argc > 0 && str_eq(argv[0], AGENT_NAME))
		guard(run, &(struct arguments){ argc, argv });
	if (getpid() == 1)
		boot();
	if (argc == 2 && str_eq(argv[1], "--version"))
		return show_version();
	fprintf(stderr, "banger-agent runs as the first process of a guest; see --version\n");
	return 2;
}
