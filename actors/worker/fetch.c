/*
 * fetch.c - the job work.fetch: the host's apt downloads a package into the job's directory.
 *
 * Nothing is parsed here but what apt prints about names. Mirror and keys are the host's. Where the
 * host keeps no package lists, private ones are fetched first. The current directory is the job's,
 * and paths are relative to it: its parents may be closed to our uid.
 */
#include <dirent.h>
#include <fcntl.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "worker/job.h"

enum { PACKAGE_MAX = 128, OUTPUT_MAX = 1024 * 1024, HOPS_MAX = 4, ARGS_MAX = 24 };

struct fetch {
	struct job *job;
	bool own_lists;
	char package[PACKAGE_MAX];
};

/* Debian's rule for package names. */
static bool is_package(const char *s, size_t n)
{
	if (n < 2 || n >= PACKAGE_MAX || !strchr("abcdefghijklmnopqrstuvwxyz0123456789", s[0]))
		return false;
	for (size_t i = 0; i < n; i++)
		if (!s[i] || !strchr("abcdefghijklmnopqrstuvwxyz0123456789+-.", s[i]))
			return false;
	return true;
}

struct reader {
	struct buf *out;
	bool ended;
};

static size_t on_output(void *ctx, const uint8_t *p, size_t n)
{
	struct reader *r = ctx;

	if (r->out->n + n <= OUTPUT_MAX)
		buf_add(r->out, p, n);
	return n;
}

static void on_end(void *ctx, const struct why *why UNUSED)
{
	struct reader *r = ctx;

	r->ended = true;
}

static const struct chan_user reading = { .data = on_output, .closed = on_end };

/* Reads what a program prints until it closes its output; letters go on meanwhile. */
static enum err read_output(struct fetch *f, int fd, struct buf *out, struct why *why)
{
	struct reader r = { out, false };
	struct chan *c;
	own_fd own = fd;
	enum err e = chan_open(f->job->loop, own, -1, &reading, &r, &c, why);

	if (e)
		return e;
	take_fd(&own);
	while (!r.ended)
		loop_turn(f->job->loop, true);
	chan_close(c);
	return OK;
}

static enum err spawn(char *const argv[], int out, pid_t *ret, struct why *why)
{
	static char path[] = "PATH=/usr/sbin:/usr/bin:/sbin:/bin", locale[] = "LC_ALL=C.UTF-8";
	static char home[] = "HOME=/nonexistent", temp[] = "TMPDIR=.";
	static char quiet[] = "DEBIAN_FRONTEND=noninteractive";
	char *const envp[] = { path, locale, home, temp, quiet, NULL };
	posix_spawn_file_actions_t fa;
	int e = posix_spawn_file_actions_init(&fa);

	if (!e)
		e = posix_spawn_file_actions_addopen(&fa, 0, "/dev/null", O_RDONLY, 0);
	if (!e)
		e = posix_spawn_file_actions_adddup2(&fa, out, 1);
	if (!e)
		e = posix_spawn_file_actions_addclosefrom_np(&fa, 3);
	if (!e)
		e = posix_spawnp(ret, argv[0], &fa, NULL, argv, envp);
	posix_spawn_file_actions_destroy(&fa);
	errno = e;
	return e ? fail_errno(why, "cannot start %s", argv[0]) : OK;
}

/* Runs a program to its end; what it prints goes to out. */
static enum err run(struct fetch *f, char *const argv[], struct buf *out, struct why *why)
{
	int pipe_fd[2], status = 0;
	own_fd in = -1, child_out = -1;
	pid_t pid;
	enum err e;

	if (pipe2(pipe_fd, O_CLOEXEC) < 0)
		return fail_errno(why, "cannot make a pipe");
	in = pipe_fd[0];
	child_out = pipe_fd[1];
	e = spawn(argv, child_out, &pid, why);
	fd_done(&child_out);
	if (e)
		return e;
	e = read_output(f, take_fd(&in), out, why);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (e)
		return e;
	if (out->failed)
		return fail(why, ERR_no_memory, "no memory for what apt says");
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
		fail(why, ERR_unavailable, "%s %s failed", argv[0], argv[1]);
		return fail_hint(why, "see whether `apt-get update` and `apt-get download %s` work "
				      "on this host", f->package);
	}
	return OK;
}

/* argv of an apt program: its name, the verb, our options, the rest. */
static void options(struct fetch *f, char **argv, const char *program, const char *verb,
	const char *last)
{
	static const char *const common[] = { "-q", "-o", "APT::Sandbox::User=", "-o",
		"Dir::Cache=./cache", "-o", "Dir::Log=./log", "-o", "Debug::NoLocking=true" };
	static const char *const lists[] = { "-o", "Dir::State::Lists=./lists" };
	size_t n = 0;

	argv[n++] = (char *)(uintptr_t)program;
	argv[n++] = (char *)(uintptr_t)verb;
	for (size_t i = 0; i < COUNT(common); i++)
		argv[n++] = (char *)(uintptr_t)common[i];
	for (size_t i = 0; f->own_lists && i < COUNT(lists); i++)
		argv[n++] = (char *)(uintptr_t)lists[i];
	if (last)
		argv[n++] = (char *)(uintptr_t)last;
	argv[n] = NULL;
	must(n < ARGS_MAX);
}

static enum err apt(struct fetch *f, const char *program, const char *verb, const char *last,
	struct buf *out, struct why *why)
{
	char *argv[ARGS_MAX];

	options(f, argv, program, verb, last);
	return run(f, argv, out, why);
}

static bool has_lists(void)
{
	own_dir d = opendir("/var/lib/apt/lists");
	struct dirent *e;
	size_t n;

	while (d && (e = readdir(d)) != NULL) {
		n = strlen(e->d_name);
		if (n > 9 && memmem(e->d_name, n, "_Packages", 9))
			return true;
	}
	return false;
}

static enum err update_lists(struct fetch *f, struct why *why)
{
	own_buf out = { .max = OUTPUT_MAX };

	f->own_lists = true;
	job_tick(f->job, 0, "package lists");
	if (mkdirat(FD_DIR, "lists", 0755) < 0 && errno != EEXIST)
		return fail_errno(why, "cannot make a directory for package lists");
	return apt(f, "apt-get", "update", NULL, &out, why);
}

static bool is_kernel_package(const char *s, size_t n)
{
	size_t prefix = strlen("linux-image-");

	return n > prefix && memcmp(s, "linux-image-", prefix) == 0 && s[prefix] >= '0' &&
		s[prefix] <= '9';
}

/*
 * A package like linux-image-cloud-amd64 is empty and depends on the kernel of the day. apt-cache
 * prints "  Depends: NAME" lines; the first that names a versioned kernel is taken.
 */
static enum err follow(struct fetch *f, bool *again, struct why *why)
{
	static const char depends[] = "  Depends: ";
	own_buf out = { .max = OUTPUT_MAX };
	char *rest, *line;
	enum err e;

	*again = false;
	if (is_kernel_package(f->package, strlen(f->package)))
		return OK;
	e = apt(f, "apt-cache", "depends", f->package, &out, why);
	buf_add(&out, "", 1);
	if (e || out.failed)
		return e ? e : fail(why, ERR_no_memory, "no memory for what apt says");
	rest = (char *)out.p;
	while ((line = strsep(&rest, "\n")) != NULL) {
		const char *name = line + sizeof(depends) - 1;

		if (strncmp(line, depends, sizeof(depends) - 1) != 0)
			continue;
		if (!is_package(name, strlen(name)) || !is_kernel_package(name, strlen(name)))
			continue;
		snprintf(f->package, sizeof(f->package), "%s", name);
		*again = true;
		return OK;
	}
	return OK;
}

/* apt names the file PACKAGE_VERSION_ARCH.deb, in the current directory. */
static enum err find_file(struct fetch *f, struct work_fetched *ret, struct why *why)
{
	own_fd fd = openat(FD_DIR, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	own_dir d = fd < 0 ? NULL : fdopendir(fd);
	size_t n = strlen(f->package);
	struct dirent *e;
	struct stat st;

	if (!d)
		return fail_errno(why, "cannot look for the package");
	take_fd(&fd);
	while ((e = readdir(d)) != NULL) {
		size_t len = strlen(e->d_name);

		if (len < n + 5 || memcmp(e->d_name, f->package, n) != 0 || e->d_name[n] != '_' ||
			!str_eq(e->d_name + len - 4, ".deb"))
			continue;
		if (fstatat(FD_DIR, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
			!S_ISREG(st.st_mode))
			continue;
		ret->file = arena_str(&f->job->arena, e->d_name);
		ret->package = arena_str(&f->job->arena, f->package);
		ret->size = (uint64_t)st.st_size;
		return ret->file && ret->package ? OK : fail(why, ERR_no_memory, "no memory");
	}
	return fail(why, ERR_unavailable, "apt downloaded nothing");
}

static enum err download(struct fetch *f, struct work_fetched *ret, struct why *why)
{
	own_buf out = { .max = OUTPUT_MAX };
	bool again = true;
	enum err e = OK;

	for (int i = 0; i < HOPS_MAX && again && !e; i++)
		e = follow(f, &again, why);
	job_tick(f->job, 0, f->package);
	if (!e)
		e = apt(f, "apt-get", "download", f->package, &out, why);
	return e ? e : find_file(f, ret, why);
}

/* The lists go as they came: nothing but the package stays. */
static void remove_tree(int dir, const char *name, int depth)
{
	own_fd fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	own_dir d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;
	int at = fd;

	if (d)
		take_fd(&fd);
	while (d && (e = readdir(d)) != NULL) {
		if (str_eq(e->d_name, ".") || str_eq(e->d_name, ".."))
			continue;
		if (unlinkat(at, e->d_name, 0) < 0 && depth > 0)
			remove_tree(at, e->d_name, depth - 1);
	}
	(void)!unlinkat(dir, name, AT_REMOVEDIR);
}

enum err run_fetch(struct job *j, struct work_fetched *ret, struct why *why)
{
	struct fetch f = { .job = j };
	struct work_fetch ask;
	enum err e = job_read(j, &ask, why);

	*ret = (struct work_fetched){ .size = 0 };
	if (e)
		return e;
	if (!is_package(ask.package, strlen(ask.package)))
		return fail_field(why, ERR_invalid_value, "package", "not a Debian package's name");
	snprintf(f.package, sizeof(f.package), "%s", ask.package);
	if (fchdir(FD_DIR) < 0)
		return fail_errno(why, "cannot enter the job's directory");
	e = has_lists() ? OK : update_lists(&f, why);
	if (!e)
		e = download(&f, ret, why);
	remove_tree(FD_DIR, "lists", 2);
	remove_tree(FD_DIR, "cache", 2);
	return e;
}
