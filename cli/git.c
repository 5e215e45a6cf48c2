/*
 * git.c - runs git with an environment of ours, and hears signals meanwhile.
 *
 * Input goes through a file in memory, so a child that does not read cannot hold us up; output is
 * read until its end with a ceiling; what it says on stderr is the reason when it fails.
 */
#include "cli/git.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/text.h"
#include "cli/spawn.h"

enum { ENV_MAX = 32, SAID_BYTES = 320, TICK_MS = 50, ARGS_MAX = 64 };

/* What of our own environment it may see. */
static const char *const kept[] = { "PATH", "HOME", "XDG_CONFIG_HOME", "TMPDIR", "LANG" };

static const char *const fixed[] = { "LC_ALL=C", "GIT_CONFIG_NOSYSTEM=1", "GIT_ATTR_NOSYSTEM=1",
	"GIT_TERMINAL_PROMPT=0", "GIT_OPTIONAL_LOCKS=0", "GIT_NO_REPLACE_OBJECTS=1",
	"GIT_NO_LAZY_FETCH=1", "GIT_ALLOW_PROTOCOL=none", "GIT_ASKPASS=/bin/false",
	"SSH_ASKPASS=/bin/false", "GIT_PAGER=cat", "GIT_EDITOR=/bin/false",
	"GIT_AUTHOR_NAME=banger", "GIT_AUTHOR_EMAIL=banger@localhost", "GIT_COMMITTER_NAME=banger",
	"GIT_COMMITTER_EMAIL=banger@localhost" };

struct running {
	pid_t pid; /* 0: waited for */
	int out; /* to read from, or -1 */
	int said; /* what it says on stderr */
	int code;
};

enum err git_init(struct git *g, struct cli *c, struct interrupts *i, struct why *why)
{
	*g = (struct git){ .c = c, .interrupts = i };
	if (program_path("git", g->program, sizeof(g->program), why)) {
		fail(why, ERR_not_found, "git is not installed on this host");
		return fail_hint(why, "install it (`apt install git`); the guest needs none");
	}
	return OK;
}

static enum err add_env(
	const struct git *g, struct arena *a, const char **env, bool own, struct why *why)
{
	const struct {
		const char *name, *value;
	} ours[] = { { "GIT_DIR", g->dir }, { "GIT_WORK_TREE", g->work },
		{ "GIT_INDEX_FILE", g->index }, { "GIT_OBJECT_DIRECTORY", g->objects },
		{ "GIT_CONFIG_GLOBAL", "/dev/null" }, { "GIT_CEILING_DIRECTORIES", "/" } };
	unsigned n = 0;

	for (unsigned i = 0; i < COUNT(kept); i++)
		if (getenv(kept[i]))
			env[n++] = arena_fmt(a, "%s=%s", kept[i], getenv(kept[i]));
	for (unsigned i = 0; i < COUNT(fixed); i++)
		env[n++] = fixed[i];
	for (unsigned i = 0; !own && i < COUNT(ours); i++)
		if (ours[i].value[0])
			env[n++] = arena_fmt(a, "%s=%s", ours[i].name, ours[i].value);
	must(n < ENV_MAX);
	for (unsigned i = 0; i < n; i++)
		if (!env[i])
			return fail(why, ERR_no_memory, "no memory to run git");
	return OK;
}

static int memory_file(struct bytes in)
{
	own_fd fd = memfd_create("banger-git", MFD_CLOEXEC);
	size_t done = 0;

	while (fd >= 0 && done < in.n) {
		ssize_t n = write(fd, in.p + done, in.n - done);

		if (n < 0 && errno != EINTR)
			return -1;
		done += n > 0 ? (size_t)n : 0;
	}
	if (fd >= 0 && lseek(fd, 0, SEEK_SET) < 0)
		return -1;
	return take_fd(&fd);
}

static enum err spawn_git(const struct git *g, const char *const *argv, const char *const *env,
	const int fds[3], pid_t *pid, struct why *why)
{
	posix_spawn_file_actions_t act;
	posix_spawnattr_t attr;
	sigset_t all, none;
	int e = posix_spawn_file_actions_init(&act);

	if (e == 0 && (e = posix_spawnattr_init(&attr)) != 0)
		posix_spawn_file_actions_destroy(&act);
	if (e) {
		errno = e;
		return fail_errno(why, "cannot start git");
	}
	sigfillset(&all);
	sigdelset(&all, SIGKILL);
	sigdelset(&all, SIGSTOP);
	sigemptyset(&none);
	for (int i = 0; i < 3 && !e; i++)
		e = posix_spawn_file_actions_adddup2(&act, fds[i], i);
	if (!e)
		e = posix_spawn_file_actions_addclosefrom_np(&act, 3);
	if (!e && !g->work[0])
		e = posix_spawn_file_actions_addchdir_np(&act, "/");
	else if (!e)
		e = posix_spawn_file_actions_addchdir_np(&act, g->work);
	if (!e)
		e = posix_spawnattr_setsigmask(&attr, &none) ||
		    posix_spawnattr_setsigdefault(&attr, &all) ||
		    posix_spawnattr_setpgroup(&attr, 0) ||
		    posix_spawnattr_setflags(&attr,
			    POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
	if (!e)
		e = posix_spawn(pid, g->program, &act, &attr, (char *const *)(uintptr_t)argv,
			(char *const *)(uintptr_t)env);
	posix_spawn_file_actions_destroy(&act);
	posix_spawnattr_destroy(&attr);
	errno = e;
	return e ? fail_errno(why, "cannot start git") : OK;
}

/* in: what it reads; out: where it writes, -1 for a pipe to us. */
static enum err start(struct git *g, const char *const *args, bool own, int in, int out,
	struct running *r, struct why *why)
{
	const char *argv[ARGS_MAX] = { "git" }, *env[ENV_MAX] = { NULL };
	struct arena a = { .max = 256 * KiB };
	own_fd theirs = -1;
	int ends[2] = { -1, -1 };
	enum err e = add_env(g, &a, env, own, why);

	for (unsigned i = 0; args[i]; i++) {
		must(i + 2 < ARGS_MAX);
		argv[i + 1] = args[i];
	}
	*r = (struct running){ .out = -1, .said = memfd_create("banger-git", MFD_CLOEXEC) };
	if (!e && r->said < 0)
		e = fail_errno(why, "cannot start git");
	if (!e && out < 0 && pipe2(ends, O_CLOEXEC) < 0)
		e = fail_errno(why, "cannot make a pipe");
	theirs = ends[1];
	r->out = ends[0];
	if (!e)
		e = spawn_git(
			g, argv, env, (int[]){ in, out < 0 ? theirs : out, r->said }, &r->pid, why);
	arena_done(&a);
	return e;
}

static bool interrupted(const struct git *g)
{
	if (!g->interrupts)
		return false;
	loop_turn(g->c->loop, false);
	return g->interrupts->first != 0;
}

/* Its end; a signal to us ends it. */
static enum err finish_git(struct git *g, struct running *r, struct why *why)
{
	own_fd life = (int)syscall(SYS_pidfd_open, r->pid, 0);
	struct pollfd pf = { .fd = life, .events = POLLIN };
	bool killed = false;
	int status = 0;
	pid_t got;

	while (life >= 0 && poll(&pf, 1, TICK_MS) <= 0)
		if (!killed && interrupted(g)) {
			kill(-r->pid, SIGTERM);
			killed = true;
		}
	do
		got = waitpid(r->pid, &status, 0);
	while (got < 0 && errno == EINTR);
	r->pid = 0;
	fd_done(&r->out);
	if (got < 0)
		return fail_errno(why, "cannot wait for git");
	if (killed || interrupted(g))
		return fail(why, ERR_cancelled, "interrupted");
	if (!WIFEXITED(status))
		return fail(why, ERR_internal, "git was ended by signal %d", WTERMSIG(status));
	r->code = WEXITSTATUS(status);
	return OK;
}

static enum err collect(struct git *g, struct running *r, struct buf *out, struct why *why)
{
	uint8_t chunk[65536];
	ssize_t n = 1;

	while (n > 0) {
		struct pollfd pf = { .fd = r->out, .events = POLLIN };
		int got = poll(&pf, 1, TICK_MS);

		if (got == 0 && interrupted(g)) {
			kill(-r->pid, SIGTERM);
			break;
		}
		if (got <= 0)
			continue;
		n = read(r->out, chunk, sizeof(chunk));
		if (n < 0 && errno == EINTR)
			n = 1;
		else if (n > 0 && out)
			buf_add(out, chunk, (size_t)n);
	}
	if (out && out->failed) {
		kill(-r->pid, SIGTERM);
		(void)!finish_git(g, r, NULL);
		return fail(why, ERR_too_large, "git says more than fits");
	}
	return finish_git(g, r, why);
}

/* The first line that tells of an error, else the last, without git's own word for it. */
static void told(struct running *r, char ret[SAID_BYTES])
{
	char said[SAID_BYTES * 4], *line, *rest = said, *best = said;
	ssize_t n = pread(r->said, said, sizeof(said) - 1, 0);
	bool found = false;

	said[MAX(n, 0)] = '\0';
	while (!found && (line = strsep(&rest, "\n")) != NULL) {
		found = strncmp(line, "fatal: ", 7) == 0 || strncmp(line, "error: ", 7) == 0;
		if (line[0])
			best = line;
	}
	str_copy(ret, SAID_BYTES, found ? best + 7 : best);
}

static enum err refused(const char *verb, struct running *r, struct why *why)
{
	char said[SAID_BYTES];

	told(r, said);
	return fail(why, ERR_invalid_value, "git %s failed: %.300s", verb, said);
}

enum err git_call(struct git *g, struct git_call *k, struct why *why)
{
	own_fd in = k->in_fd ? fcntl(k->in_fd, F_DUPFD_CLOEXEC, 3) : memory_file(k->in);
	struct running r;
	enum err e;

	if (in < 0)
		return fail_errno(why, "cannot start git");
	e = start(g, k->args, k->own_config, in, k->out_fd ? k->out_fd : -1, &r, why);
	if (!e)
		e = r.out >= 0 ? collect(g, &r, k->out, why) : finish_git(g, &r, why);
	k->code = r.code;
	if (!e && r.code > 1)
		e = refused(k->args[0], &r, why);
	fd_done(&r.out);
	fd_done(&r.said);
	return e;
}

enum err git_do(
	struct git *g, const char *const *args, struct bytes in, struct buf *out, struct why *why)
{
	struct git_call k = { .args = args, .in = in, .out = out };
	enum err e = git_call(g, &k, why);

	return e || k.code == 0 ? e : fail(why, ERR_invalid_value, "git %s failed", args[0]);
}

enum err git_pipe(struct git *from, const char *const *from_args, struct bytes in, struct git *to,
	const char *const *to_args, struct buf *out, struct why *why)
{
	own_fd input = memory_file(in);
	struct running a = { .out = -1, .said = -1 }, b = { .out = -1, .said = -1 };
	enum err e = input < 0 ? fail_errno(why, "cannot start git") :
				 start(from, from_args, false, input, -1, &a, why);

	if (!e)
		e = start(to, to_args, false, a.out, -1, &b, why);
	fd_done(&a.out);
	if (!e)
		e = collect(to, &b, out, why);
	if (a.pid && e)
		kill(-a.pid, SIGTERM);
	if (a.pid) {
		enum err other = finish_git(from, &a, e ? NULL : why);

		e = e ? e : other;
	}
	if (!e && a.code)
		e = refused(from_args[0], &a, why);
	if (!e && b.code)
		e = refused(to_args[0], &b, why);
	fd_done(&a.said);
	fd_done(&b.out);
	fd_done(&b.said);
	return e;
}

const char *git_word(const char *line, unsigned n)
{
	for (; n > 0 && line; n--) {
		line = strchr(line, ' ');
		line = line ? line + 1 : NULL;
	}
	return line ? line : "";
}
