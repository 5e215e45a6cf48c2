/*
 * torture/sys.c - files beneath a directory and children, while memory and system calls say no.
 */
#include "tests/torture/torture.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sys/beneath.h"
#include "sys/process.h"

static const struct bytes old = { (const uint8_t *)"old", 3 };
static const struct bytes new = { (const uint8_t *)"newer", 5 };

static void count(void *ctx, const char *name UNUSED)
{
	++*(unsigned *)ctx;
}

/* A file holds its old content or its new one, and what was told done is done. */
static void work_beneath(int dir)
{
	own_buf text = { .p = NULL }, now = { .p = NULL };
	bool made, written, removed;
	unsigned names = 0;
	struct why why;

	made = make_dirs(dir, "a/b/c", &why) == OK;
	torture_must(made || torture_struck());
	written = write_file(dir, "file", 0600, new, &why) == OK;
	torture_must(written || torture_struck());
	if (read_file(dir, "file", 100, &text, &why) == OK)
		torture_must(text.n == 5 || (!written && text.n == 3));
	torture_must(list_dir(dir, ".", count, &names, &why) != OK || names >= 1);
	removed = remove_tree(dir, "a", &why) == OK;
	torture_must(removed || torture_struck());
	torture_off();
	if (removed)
		torture_must(faccessat(dir, "a", F_OK, 0) < 0);
	torture_must(!read_file(dir, "file", 100, &now, &why));
	/* one that was put in place, and whose name could not be flushed, is there all the same */
	torture_must(now.n == 5 || (!written && now.n == 3));
	if (now.n == 5)
		torture_must(memcmp(now.p, "newer", 5) == 0);
	torture_on();
}

static void beneath(void)
{
	char path[] = "/tmp/banger-torture-XXXXXX";
	struct why why;
	int dir, top;

	torture_off();
	must(mkdtemp(path));
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	top = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	must(dir >= 0 && top >= 0 && !write_file(dir, "file", 0600, old, &why));
	torture_on();
	work_beneath(dir);
	torture_off();
	must(!remove_tree(top, path + strlen("/tmp/"), &why));
	close(dir);
	close(top);
	torture_on();
}

/* Whatever fails in it or here, no child is left behind unless it was answered. */
static void children(void)
{
	char name[] = "true", *argv[] = { name, NULL };
	struct process_spec spec = { .argv = argv, .gifts = { { 2, 5 } }, .gifts_n = 1 };
	int program, pidfd = -1;
	struct why why;
	enum err e;
	pid_t pid;

	torture_off();
	program = open("/bin/true", O_RDONLY | O_CLOEXEC);
	must(program >= 0);
	spec.program = program;
	torture_on();
	e = process_start(&spec, &pid, &pidfd, &why);
	torture_must(e == OK || torture_struck());
	if (e == OK) {
		struct pollfd p = { .fd = pidfd, .events = POLLIN };

		(void)process_start_time(pid);
		torture_must(poll(&p, 1, 30000) == 1);
		torture_must(pidfd_reap(pidfd) == 0 || torture_struck());
	} else {
		torture_must(pidfd == -1);
	}
	torture_off();
	torture_must(waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD);
	if (pidfd >= 0)
		close(pidfd);
	close(program);
	torture_on();
}

static const struct scenario scenarios[] = {
	{ .name = "files beneath a directory", .run = beneath },
	{ .name = "a child from start to end", .run = children },
};

TORTURE(scenarios)
