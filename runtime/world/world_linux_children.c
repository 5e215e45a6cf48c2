/*
 * world_linux_children.c - starting, watching and adopting processes by pidfd.
 *
 * A pidfd becomes readable when its process has ended; there is no SIGCHLD handling anywhere.
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sys/beneath.h"
#include "sys/process.h"
#include "world/sockets_linux.h"

struct child {
	struct world *w;
	pid_t pid;
	uint64_t start;
	int pidfd;
	bool ours; /* to be reaped; an adopted one is not our child */
	struct watch watch;
	child_exit_fn *exited;
	void *ctx;
};

static void process_ended(void *ctx, int events UNUSED)
{
	struct child *c = ctx;

	watch_stop(&c->watch);
	c->exited(c->ctx, c->ours ? pidfd_reap(c->pidfd) : -1);
}

static enum err watch_child(struct world *w, pid_t pid, int pidfd, bool ours, child_exit_fn *exited,
	void *ctx, struct child **ret, struct why *why)
{
	struct child *c = calloc(1, sizeof(*c));

	if (!c)
		return fail(why, ERR_no_memory, "no memory for a child");
	*c = (struct child){ .w = w,
		.pid = pid,
		.pidfd = pidfd,
		.ours = ours,
		.exited = exited,
		.ctx = ctx,
		.start = process_start_time(pid) };
	watch_start(w->loop, &c->watch, pidfd, WATCH_READ, process_ended, c);
	*ret = c;
	return OK;
}

/* Row A7: companions lie beside the program, else in ../libexec/banger. */
static int open_companion(struct world *w, const char *name)
{
	char path[PATH_MAX];
	int fd = -1;

	if (snprintf(path, sizeof(path), "%s/%s", w->program_dir, name) < (int)sizeof(path))
		fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 && snprintf(path, sizeof(path), "%s/../libexec/banger/%s", w->program_dir,
			      name) < (int)sizeof(path))
		fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd;
}

enum err world_companion(
	struct world *w, const char *name, uint64_t *size, uint64_t *changed_ns, struct why *why)
{
	own_fd fd = open_companion(w, name);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return fail_errno(why, "cannot look at program %s", name);
	*size = (uint64_t)st.st_size;
	*changed_ns = (uint64_t)st.st_mtim.tv_sec * 1000000000 + (uint64_t)st.st_mtim.tv_nsec;
	return OK;
}

static enum err open_file(struct world *w, const struct child_file *f, int *ret, struct why *why)
{
	int flags = f->directory ? O_RDONLY | O_DIRECTORY : f->writable ? O_RDWR : O_RDONLY;

	*ret = f->companion ? open_companion(w, f->path) :
			      open_beneath(w->dirs[f->area], f->path, flags | O_NOFOLLOW, 0);
	return *ret < 0 ? fail_errno(why, "cannot open %s", f->path) : OK;
}

static enum err open_log(struct world *w, const char *path, int *ret, struct why *why)
{
	*ret = open_beneath(w->dirs[STATE], path, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW, 0600);
	return *ret < 0 ? fail_errno(why, "cannot open log %s", path) : OK;
}

/*
 * Opened for both ways, so that a child finds a reader as long as it lives: while the daemon is
 * away, what fits into the FIFO stays in it and the rest is lost.
 */
static enum err open_fifo(struct world *w, const char *path, int *ret, struct why *why)
{
	unlinkat(w->dirs[RUNTIME], path, 0);
	*ret = -1;
	if (mkfifoat(w->dirs[RUNTIME], path, 0600) == 0)
		*ret = open_beneath(w->dirs[RUNTIME], path, O_RDWR | O_NONBLOCK | O_NOFOLLOW, 0);
	return *ret < 0 ? fail_errno(why, "cannot make FIFO %s", path) : OK;
}

/* What is opened for a child: kept together, so that one cleanup closes it all. */
struct gifts {
	struct process_spec *spec;
	int letters;
};

static void gifts_done(struct gifts *g)
{
	for (unsigned i = 0; i < g->spec->gifts_n; i++)
		fd_done(&g->spec->gifts[i].fd);
	fd_done(&g->spec->program);
	fd_done(&g->letters);
}

static int *add_gift(struct process_spec *s, int as)
{
	must(s->gifts_n < GIFTS_MAX);
	s->gifts[s->gifts_n] = (struct fd_gift){ -1, as };
	return &s->gifts[s->gifts_n++].fd;
}

/* The gift before this one a second time. */
static enum err copy_gift(struct process_spec *s, int *ret, struct why *why)
{
	*ret = fcntl(s->gifts[s->gifts_n - 2].fd, F_DUPFD_CLOEXEC, 3);
	return *ret < 0 ? fail_errno(why, "cannot copy a descriptor") : OK;
}

static enum err open_gifts(
	struct world *w, const struct child_spec *spec, struct gifts *g, struct why *why)
{
	struct process_spec *s = g->spec;
	int pair[2];
	enum err e = OK;

	s->program = spec->program[0] == '/' ? open(spec->program, O_RDONLY | O_CLOEXEC) :
					       open_companion(w, spec->program);
	if (s->program < 0)
		return fail_errno(why, "cannot open program %s", spec->program);
	for (unsigned i = 0; i < spec->files_n && !e; i++)
		e = open_file(w, &spec->files[i], add_gift(s, spec->files[i].as), why);
	for (unsigned i = 0; i < spec->sockets_n && !e; i++)
		e = bind_socket(w, spec->sockets[i].path, add_gift(s, spec->sockets[i].as), why);
	for (int as = 1; as <= 2 && !e; as++) {
		if (spec->out)
			e = as == 1 ? open_fifo(w, spec->out, add_gift(s, as), why) :
				      copy_gift(s, add_gift(s, as), why);
		else if (spec->log)
			e = open_log(w, spec->log, add_gift(s, as), why);
	}
	if (!e && spec->letters) {
		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
			return fail_errno(why, "cannot make a socket pair");
		*add_gift(s, 0) = pair[1];
		g->letters = pair[0];
	}
	return e;
}

/* The group of /dev/kvm where that group may use it, else the plain one. */
static gid_t kvm_gid(void)
{
	struct stat st;

	if (stat("/dev/kvm", &st) < 0 || (st.st_mode & 0060) != 0060 || st.st_gid == 0)
		return PLAIN_UID;
	return st.st_gid;
}

enum err world_spawn(struct world *w, const struct child_spec *spec, child_exit_fn *exited,
	void *ctx, struct child **ret, struct chan **ret_letters, struct why *why)
{
	static const struct chan_user nobody;
	struct process_spec s = {
		.program = -1,
		.argv = spec->argv,
		.new_session = spec->outlives,
		.die_with_parent = !spec->outlives,
		.drop = spec->unprivileged && geteuid() == 0,
		.uid = PLAIN_UID,
		.gid = spec->kvm ? kvm_gid() : PLAIN_UID,
	};
	struct gifts __attribute__((cleanup(gifts_done))) g = { &s, -1 };
	struct chan *letters = NULL;
	int pidfd;
	pid_t pid;
	enum err e = open_gifts(w, spec, &g, why);

	if (!e && spec->letters) {
		e = chan_open(w->loop, g.letters, g.letters, &nobody, NULL, &letters, why);
		if (!e)
			g.letters = -1;
	}
	if (!e)
		e = process_start(&s, &pid, &pidfd, why);
	if (!e) {
		e = watch_child(w, pid, pidfd, true, exited, ctx, ret, why);
		if (e) {
			pidfd_signal(pidfd, SIGKILL);
			pidfd_reap(pidfd);
			close(pidfd);
		}
	}
	if (e)
		chan_close(letters);
	else if (spec->letters)
		*ret_letters = letters;
	return e;
}

enum err world_adopt(struct world *w, pid_t pid, uint64_t start, const char *needle,
	child_exit_fn *exited, void *ctx, struct child **ret, struct why *why)
{
	int fd;
	enum err e;

	if (pid == 0) {
		pid = w->helper_path[0] ?
			      process_search(VMM_UID_FIRST, VMM_UID_LAST, needle) :
			      process_search(world_plain_uid(w), world_plain_uid(w), needle);
		start = pid ? process_start_time(pid) : 0;
	}
	fd = pid ? process_find(pid, start, needle) : -1;
	if (fd < 0)
		return fail(why, ERR_not_found, "process %d is not there any more", (int)pid);
	e = watch_child(w, pid, fd, false, exited, ctx, ret, why);
	if (e)
		close(fd);
	return e;
}

enum err world_vmms(struct world *w, vmm_seen_fn *fn, void *ctx, struct why *why)
{
	char dir[PATH_MAX];

	if (snprintf(dir, sizeof(dir), "%s/vm", w->paths[STATE]) >= (int)sizeof(dir))
		return fail(why, ERR_too_large, "path too long: %.200s/vm", w->paths[STATE]);
	process_each(world_plain_uid(w), "banger-", dir, fn, ctx);
	return OK;
}

enum err world_parcel_child(struct world *w, uint64_t parcel, pid_t pid, child_exit_fn *exited,
	void *ctx, struct child **ret, struct why *why)
{
	own_fd fd = parcel_take(w, parcel);
	enum err e;

	if (fd < 0)
		return fail(why, ERR_unavailable, "the helper's answer brought no process");
	e = watch_child(w, pid, fd, false, exited, ctx, ret, why);
	if (!e)
		take_fd(&fd);
	return e;
}

pid_t child_pid(const struct child *c)
{
	return c->pid;
}

uint64_t child_start(const struct child *c)
{
	return c->start;
}

void child_signal(struct child *c, int signal)
{
	pidfd_signal(c->pidfd, signal);
}

bool child_usage(const struct child *c, uint64_t *rss, uint64_t *cpu_ms)
{
	return process_usage(c->pid, rss, cpu_ms);
}

void child_free(struct child *c)
{
	if (!c)
		return;
	watch_stop(&c->watch);
	close(c->pidfd);
	free(c);
}
