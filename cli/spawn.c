/*
 * spawn.c - child processes: the daemon, detached; companions and programs of the host.
 *
 * Children get the descriptors that they are meant to have and no other: a pipe of the calling
 * shell that leaked into the daemon would never see its end.
 */
#include "cli/spawn.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/text.h"
#include "conf/places.h"

enum { READY_FD = 3 };

enum err companion_path(const char *name, char *ret, size_t size, struct why *why)
{
	static const char *const beside[] = { "", "../libexec/banger/" };
	char self[PLACE_BYTES], *slash;
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (n < 0)
		return fail_errno(why, "cannot tell where this program lies");
	self[n] = '\0';
	slash = strrchr(self, '/');
	if (!slash)
		return fail(why, ERR_internal, "this program lies nowhere");
	slash[1] = '\0';
	for (size_t i = 0; i < COUNT(beside); i++) {
		if ((size_t)snprintf(ret, size, "%s%s%s", self, beside[i], name) >= size)
			return fail(why, ERR_too_large, "the path of %s is too long", name);
		if (access(ret, X_OK) == 0)
			return OK;
	}
	fail(why, ERR_not_found, "%s is neither in %.200s nor in ../libexec/banger", name, self);
	return fail_hint(why, "install banger whole, or build it with make");
}

/* Signals as a fresh login has them. */
static bool clean_signals(posix_spawnattr_t *attr, short extra)
{
	sigset_t none, all;

	sigemptyset(&none);
	sigfillset(&all);
	sigdelset(&all, SIGKILL);
	sigdelset(&all, SIGSTOP);
	return posix_spawnattr_setsigmask(attr, &none) == 0 &&
	       posix_spawnattr_setsigdefault(attr, &all) == 0 &&
	       posix_spawnattr_setflags(
		       attr, (short)(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | extra)) == 0;
}

/* A program that shares our terminal keeps our signals, but for the one that we alone ignore. */
static bool own_pipe(posix_spawnattr_t *attr, short extra)
{
	sigset_t pipe;

	sigemptyset(&pipe);
	sigaddset(&pipe, SIGPIPE);
	return posix_spawnattr_setsigdefault(attr, &pipe) == 0 &&
	       posix_spawnattr_setflags(attr, (short)(POSIX_SPAWN_SETSIGDEF | extra)) == 0;
}

typedef bool signals_fn(posix_spawnattr_t *attr, short extra);

static enum err spawn(const char *path, const char *const argv[],
	posix_spawn_file_actions_t *actions, signals_fn *signals, short extra, pid_t *pid,
	struct why *why)
{
	posix_spawnattr_t attr;
	int e = posix_spawnattr_init(&attr);

	if (e == 0) {
		e = signals(&attr, extra) ? 0 : EINVAL;
		if (e == 0)
			e = posix_spawn(
				pid, path, actions, &attr, (char *const *)(uintptr_t)argv, environ);
		posix_spawnattr_destroy(&attr);
	}
	if (e == 0)
		return OK;
	errno = e;
	return fail_errno(why, "cannot start %.200s", path);
}

enum err daemon_log(char *ret, size_t size, struct why *why)
{
	struct place state, dir, file;
	enum err e = place_state(&state, why);

	if (!e)
		e = place_beneath(&dir, &state, "log", why);
	if (!e)
		e = place_beneath(&file, &dir, "bangerd.log", why);
	if (!e && !str_copy(ret, size, file.path))
		e = fail(why, ERR_too_large, "the path of the log is too long");
	return e;
}

static enum err open_log(int *ret, struct why *why)
{
	char path[PLACE_BYTES];
	struct place dir;
	enum err e = daemon_log(path, sizeof(path), why);

	if (e)
		return e;
	str_copy(dir.path, sizeof(dir.path), path);
	*strrchr(dir.path, '/') = '\0';
	e = place_make(&dir, why);
	if (e)
		return e;
	*ret = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	return *ret < 0 ? fail_errno(why, "cannot open the log %.200s", path) : OK;
}

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* Next bytes of fd within the deadline: -1 when it passed. */
static ssize_t read_before(int fd, char *p, size_t n, uint64_t deadline)
{
	for (;;) {
		struct pollfd pf = { .fd = fd, .events = POLLIN };
		uint64_t now = now_ms();
		int r = now < deadline ? poll(&pf, 1, (int)(deadline - now)) : 0;

		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			return -1;
		return read(fd, p, n);
	}
}

/* One byte: it listens. More: what is wrong. None: it died. */
static enum err await_ready(int fd, const char *log, struct why *why)
{
	uint64_t deadline = now_ms() + START_TIMEOUT_MS;
	char text[400];
	size_t n = 0;
	ssize_t got = read_before(fd, text, sizeof(text) - 1, deadline);

	if (got == 1)
		return OK;
	while (got > 0) {
		n += (size_t)got;
		got = n < sizeof(text) - 1 ?
			      read_before(fd, text + n, sizeof(text) - 1 - n, deadline) :
			      0;
	}
	text[n] = '\0';
	text[strcspn(text, "\n")] = '\0';
	if (n > 0)
		fail(why, ERR_unavailable, "bangerd did not start: %s", text);
	else if (got < 0)
		fail(why, ERR_timeout, "bangerd did not start within %d s",
			START_TIMEOUT_MS / 1000);
	else
		fail(why, ERR_unavailable, "bangerd ended while it started");
	return fail_hint(why, "see %.200s", log);
}

static enum err spawn_daemon(int ready, int log, struct why *why)
{
	static const char *const argv[] = { "bangerd", "--ready-fd", "3", NULL };
	posix_spawn_file_actions_t act;
	char path[PLACE_BYTES + 64];
	enum err e = companion_path("bangerd", path, sizeof(path), why);
	pid_t pid;

	if (e)
		return e;
	if (posix_spawn_file_actions_init(&act))
		return fail(why, ERR_no_memory, "no memory to start bangerd");
	if (posix_spawn_file_actions_addopen(&act, 0, "/dev/null", O_RDONLY, 0) ||
		posix_spawn_file_actions_adddup2(&act, log, 1) ||
		posix_spawn_file_actions_adddup2(&act, log, 2) ||
		posix_spawn_file_actions_adddup2(&act, ready, READY_FD) ||
		posix_spawn_file_actions_addclosefrom_np(&act, READY_FD + 1) ||
		posix_spawn_file_actions_addchdir_np(&act, "/"))
		e = fail(why, ERR_no_memory, "no memory to start bangerd");
	else
		e = spawn(path, argv, &act, clean_signals, POSIX_SPAWN_SETSID, &pid, why);
	posix_spawn_file_actions_destroy(&act);
	return e;
}

enum err start_daemon(struct why *why)
{
	own_fd from = -1;
	own_fd to = -1;
	own_fd log = -1;
	char path[PLACE_BYTES];
	int ends[2];
	enum err e = daemon_log(path, sizeof(path), why);

	if (!e)
		e = open_log(&log, why);
	if (e)
		return e;
	if (pipe2(ends, O_CLOEXEC) < 0)
		return fail_errno(why, "cannot make a pipe");
	from = ends[0];
	to = fcntl(ends[1], F_DUPFD_CLOEXEC, READY_FD + 1); /* dup2 onto itself keeps CLOEXEC */
	close(ends[1]);
	if (to < 0)
		return fail_errno(why, "cannot make a pipe");
	e = spawn_daemon(to, log, why);
	if (e)
		return e;
	close(take_fd(&to));
	return await_ready(from, path, why);
}

enum err program_path(const char *name, char *ret, size_t size, struct why *why)
{
	const char *at = getenv("PATH");
	struct stat st;

	for (at = at ? at : ""; *at; at += *at == ':') {
		size_t n = strcspn(at, ":");

		if (at[0] == '/' &&
			(size_t)snprintf(ret, size, "%.*s/%s", (int)n, at, name) < size &&
			access(ret, X_OK) == 0 && stat(ret, &st) == 0 && S_ISREG(st.st_mode))
			return OK;
		at += n;
	}
	return fail(why, ERR_not_found, "%s is not installed (it is not in PATH)", name);
}

enum err spawn_attached(const char *path, const char *const argv[], pid_t *pid, struct why *why)
{
	return spawn(path, argv, NULL, own_pipe, 0, pid, why);
}

enum err spawn_piped(const char *const argv[], pid_t *pid, int *out, struct why *why)
{
	char path[PLACE_BYTES + 64];
	enum err e = companion_path(argv[0], path, sizeof(path), why);

	return e ? e : spawn_piped_at(path, argv, pid, out, why);
}

enum err spawn_piped_at(
	const char *path, const char *const argv[], pid_t *pid, int *out, struct why *why)
{
	return spawn_fed_at(path, argv, -1, pid, out, why);
}

static bool set_input(posix_spawn_file_actions_t *act, int in)
{
	return in < 0 ? !posix_spawn_file_actions_addopen(act, 0, "/dev/null", O_RDONLY, 0) :
			!posix_spawn_file_actions_adddup2(act, in, 0);
}

enum err spawn_fed_at(
	const char *path, const char *const argv[], int in, pid_t *pid, int *out, struct why *why)
{
	posix_spawn_file_actions_t act;
	int ends[2];
	enum err e = OK;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return fail_errno(why, "cannot make a pipe");
	if (posix_spawn_file_actions_init(&act)) {
		e = fail(why, ERR_no_memory, "no memory to start %s", argv[0]);
	} else {
		if (!set_input(&act, in) || posix_spawn_file_actions_adddup2(&act, ends[1], 1) ||
			posix_spawn_file_actions_addclosefrom_np(&act, 3))
			e = fail(why, ERR_no_memory, "no memory to start %s", argv[0]);
		else
			e = spawn(path, argv, &act, clean_signals, 0, pid, why);
		posix_spawn_file_actions_destroy(&act);
	}
	close(ends[1]);
	if (e)
		close(ends[0]);
	else
		*out = ends[0];
	return e;
}

enum err spawn_wait(pid_t pid, const char *what, struct why *why)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return fail_errno(why, "cannot wait for %s", what);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return OK;
	if (WIFSIGNALED(status))
		return fail(why, ERR_internal, "%s was ended by signal %d", what, WTERMSIG(status));
	return fail(why, ERR_internal, "%s failed with code %d", what, WEXITSTATUS(status));
}
