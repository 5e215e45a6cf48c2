/*
 * system_host.c - programs of the host that `banger system` uses: systemctl and what comes with it.
 *
 * They are started by path and argument list, never by a shell.
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/text.h"
#include "cli/file.h"
#include "cli/spawn.h"
#include "cli/system.h"

enum { OUTPUT_MAX = 65536, GROUP_ENDS_MS = 30000 };

const char *const unit_names[UNITS] = { "banger-helper.socket", "bangerd.socket",
	"banger-helper.service", "bangerd.service" };

enum err host_read(const char *const argv[], struct buf *out, int *code, struct why *why)
{
	char path[PLACE_BYTES], chunk[4096];
	own_fd from = -1;
	ssize_t n;
	int status;
	pid_t pid;
	bool found = argv[0][0] == '/' && str_copy(path, sizeof(path), argv[0]);
	enum err e = found ? OK : program_path(argv[0], path, sizeof(path), why);

	if (!e)
		e = spawn_piped_at(path, argv, &pid, &from, why);
	if (e)
		return e;
	while ((n = read(from, chunk, sizeof(chunk))) != 0) {
		if (n < 0 && errno != EINTR)
			break;
		if (n > 0)
			buf_add(out, chunk, (size_t)n);
	}
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return fail_errno(why, "cannot wait for %s", argv[0]);
	*code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	return OK;
}

enum err host_run(const char *const argv[], struct why *why)
{
	own_buf out = { 0 };
	int code = 0;
	enum err e;

	buf_init(&out, OUTPUT_MAX);
	e = host_read(argv, &out, &code, why);
	if (!e && code != 0)
		e = fail(why, ERR_unavailable, "`%s %s%s%s` failed with code %d", argv[0],
			argv[1] ? argv[1] : "", argv[1] && argv[2] ? " " : "",
			argv[1] && argv[2] ? argv[2] : "", code);
	return e;
}

enum err systemctl(const char *verb, const char *const *units, unsigned n, struct why *why)
{
	const char *argv[4 + UNITS] = { "systemctl", "--quiet", verb };

	must(n <= UNITS);
	for (unsigned i = 0; i < n; i++)
		argv[3 + i] = units[i];
	if (host_run(argv, why))
		return fail_hint(why, "journalctl -b -u bangerd -u banger-helper");
	return OK;
}

/* Takes "Key=value" lines apart. */
static void take_property(struct cli *c, struct system_unit *u, char *line)
{
	char *value = strchr(line, '=');
	uint64_t v;

	if (!value)
		return;
	*value++ = '\0';
	if (str_eq(line, "ActiveState"))
		u->active = arena_str(&c->mem, value);
	else if (str_eq(line, "UnitFileState") && value[0])
		u->enabled = arena_str(&c->mem, value);
	else if (str_eq(line, "MainPID") && parse_u64(value, &v, NULL) == OK && v > 0)
		u->has_pid = true, u->pid = v;
	else if (str_eq(line, "NRestarts") && parse_u64(value, &v, NULL) == OK)
		u->has_restarts = true, u->restarts = v;
}

enum err unit_look(struct cli *c, const char *name, struct system_unit *ret, struct why *why)
{
	const char *const argv[] = { "systemctl", "show", name, "-p",
		"ActiveState,UnitFileState,MainPID,NRestarts", NULL };
	own_buf out = { 0 };
	char *line, *rest;
	int code = 0;
	enum err e;

	*ret = (struct system_unit){ .name = name, .active = "unknown", .enabled = "unknown" };
	buf_init(&out, OUTPUT_MAX);
	e = host_read(argv, &out, &code, why);
	if (e)
		return e;
	buf_add(&out, "", 1);
	for (rest = out.failed ? NULL : (char *)out.p; rest;) {
		line = rest;
		rest = strchr(line, '\n');
		if (rest)
			*rest++ = '\0';
		take_property(c, ret, line);
	}
	if (!ret->active || !ret->enabled)
		return fail(why, ERR_no_memory, "no memory for the state of %s", name);
	return OK;
}

/* A group's list of processes and its switch are files. */
static enum err group_file(
	char *ret, size_t size, const char *name, const char *leaf, struct why *why)
{
	if ((size_t)snprintf(ret, size, "/sys/fs/cgroup/system.slice/%s/%s", name, leaf) < size)
		return OK;
	return fail(why, ERR_too_large, "the path of a control group is too long");
}

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* Kills each, and answers how many there were. */
static unsigned kill_listed(const char *text)
{
	unsigned n = 0;

	while (*text) {
		char *end;
		unsigned long pid = strtoul(text, &end, 10);

		if (end == text)
			break;
		if (pid > 1 && kill((pid_t)pid, SIGKILL) == 0)
			n++;
		text = end + strspn(end, "\n");
	}
	return n;
}

enum err unit_end_all(const char *name, struct why *why)
{
	uint64_t until = now_ms() + GROUP_ENDS_MS;
	char procs[256], events[256], chunk[256];
	own_fd changes = -1;
	enum err e = group_file(procs, sizeof(procs), name, "cgroup.procs", why);

	if (!e)
		e = group_file(events, sizeof(events), name, "cgroup.events", why);
	if (e)
		return e;
	changes = open(events, O_RDONLY | O_CLOEXEC);
	for (;;) {
		struct pollfd pf = { .fd = changes, .events = POLLPRI };
		own_buf list = { 0 };
		bool there;

		buf_init(&list, OUTPUT_MAX);
		e = file_read(procs, &list, &there, why);
		if (e || !there || list.n == 0)
			return e;
		/* it is read before the wait: what changed since then wakes us */
		if (changes >= 0)
			(void)!pread(changes, chunk, sizeof(chunk), 0);
		kill_listed(buf_cstr(&list));
		if (now_ms() >= until || changes < 0)
			return fail(why, ERR_timeout, "processes of %s do not end", name);
		(void)!poll(&pf, 1, (int)(until - now_ms()));
	}
}
