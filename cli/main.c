/*
 * main.c - banger, the command line: sentences in, letters out.
 *
 * Starts cheaply: no configuration is read and no library is set up unless the command needs it.
 */
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "cli/args.h"
#include "cli/help.h"
#include "cli/link.h"
#include "cli/report.h"

enum { MEMORY_MAX = 1 << 30 };

extern const struct command cmd_version;

/* A closed standard descriptor would be taken by the first file or socket that is opened. */
static bool standard_descriptors(void)
{
	for (int fd = 0; fd <= 2; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)
			return false;
	return true;
}

static void look_at_terminals(struct cli *c)
{
	const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
	bool dumb = !term || !term[0] || str_eq(term, "dumb");
	bool color = !(no_color && no_color[0]) && !dumb;

	c->err_live = isatty(2) && !dumb;
	c->out_color = color && isatty(1);
	c->err_color = color && isatty(2);
}

static int run(struct cli *c, int argc, char **argv)
{
	struct why why;

	if (args_parse(c, argc, argv, &why))
		return report_usage(c, &why);
	if (c->help) {
		const char *const none[] = { "help" };

		if (help_print(stdout, c->args, c->args_n) ||
			(c->args_n > 1 && help_print(stdout, c->args, 1)))
			return EXIT_DONE;
		help_print(stdout, none, 0);
		return EXIT_USAGE;
	}
	if (c->version)
		c->command = &cmd_version;
	return c->command->run(c);
}

int main(int argc, char **argv)
{
	struct cli c = { 0 };
	int code;

	if (!standard_descriptors())
		return EXIT_REFUSED;
	signal(SIGPIPE, SIG_IGN);
	arena_init(&c.mem, MEMORY_MAX);
	look_at_terminals(&c);
	code = finish(&c, run(&c, argc, argv));
	link_close(&c);
	loop_free(c.loop);
	arena_done(&c.mem);
	return code;
}
