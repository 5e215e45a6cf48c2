/*
 * world_sim_children.c - processes: started, watched, adopted and ended in virtual time, with pids
 * that are used again. What a process does is its program's: vmm.c, worker.c.
 */
#include <signal.h>

#include "tests/sim/sim.h"

struct child {
	struct world *w;
	struct proc *p; /* NULL: it has ended */
	pid_t pid;
	uint64_t start;
	bool ours;
	int status;
	child_exit_fn *exited;
	void *ctx;
};

/* ---- processes ---- */

static bool pid_taken(struct sim *s, pid_t pid)
{
	struct proc *p;

	TAILQ_FOREACH(p, &s->procs, entry)
	if (p->pid == pid)
		return true;
	return false;
}

static pid_t new_pid(struct sim *s)
{
	pid_t pid;

	if (s->dead_pids_n > 0 && sim_chance(s, 300)) {
		pid = s->dead_pids[sim_roll(s, s->dead_pids_n)];
		if (!pid_taken(s, pid)) {
			sim_mark(s, MARK_pid_reused);
			return pid;
		}
	}
	do
		pid = (pid_t)sim_between(s, 300, 32000);
	while (pid_taken(s, pid));
	return pid;
}

static struct proc *proc_new(struct sim *s, enum proc_kind kind, const char *command)
{
	struct proc *p = calloc(1, sizeof(*p));

	must(p);
	p->sim = s;
	p->kind = kind;
	p->pid = new_pid(s);
	p->start = (s->now - s->boot_at) / 10 + 1;
	snprintf(p->command, sizeof(p->command), "%s", command);
	TAILQ_INSERT_TAIL(&s->procs, p, entry);
	return p;
}

static void tell_exit(void *ctx, uint64_t arg UNUSED)
{
	struct child *c = ctx;

	c->exited(c->ctx, c->ours ? c->status : -1);
}

void proc_exit(struct proc *p, int status)
{
	struct sim *s = p->sim;
	struct child *c = p->child;

	sim_trace(s, "host", "process %d ends (%d): %.60s", (int)p->pid, status, p->command);
	sim_forget(s, p);
	if (p->kind == PROC_VMM)
		vmm_end(p);
	else if (p->kind == PROC_WORKER)
		worker_end(p);
	for (unsigned i = 0; i < p->sockets_n; i++)
		chan_close(p->sockets[i].waiting);
	if (c) {
		c->p = NULL;
		c->status = status;
		sim_after(s, sim_roll(s, 4), tell_exit, c, 0);
	}
	s->dead_pids[s->dead_pids_n < COUNT(s->dead_pids) ? s->dead_pids_n++ :
							    sim_roll(s, COUNT(s->dead_pids))] =
		p->pid;
	TAILQ_REMOVE(&s->procs, p, entry);
	free(p->fc);
	free(p);
	if (!s->going_down && sim_chance(s, 100)) /* somebody else's, and perhaps with that pid */
		proc_new(s, PROC_STRANGER, "a program of somebody else");
}

static void exit_event(void *ctx, uint64_t arg)
{
	proc_exit(ctx, (int)arg);
}

void proc_exit_later(struct proc *p, uint64_t ms, int status)
{
	if (p->dying)
		return;
	p->dying = true;
	sim_after(p->sim, ms, exit_event, p, (uint64_t)status);
}

void procs_end_with_daemon(struct sim *s)
{
	struct proc *p, *next;

	for (p = TAILQ_FIRST(&s->procs); p; p = next) {
		next = TAILQ_NEXT(p, entry);
		if (p->kind != PROC_STRANGER && !p->outlives)
			proc_exit(p, 128 + SIGKILL);
	}
}

void procs_end_all(struct sim *s)
{
	struct proc *p;

	s->going_down = true;
	while ((p = TAILQ_FIRST(&s->procs)) != NULL)
		proc_exit(p, 128 + SIGKILL);
	s->going_down = false;
	s->dead_pids_n = 0;
}

struct proc_socket *socket_at(struct sim *s, const char *path, struct proc **ret)
{
	struct proc *p;

	TAILQ_FOREACH(p, &s->procs, entry)
	for (unsigned i = 0; i < p->sockets_n; i++)
		if (str_eq(p->sockets[i].path, path)) {
			*ret = p;
			return &p->sockets[i];
		}
	return NULL;
}

/* ---- the seam ---- */

static struct child *watch(
	struct world *w, struct proc *p, bool ours, child_exit_fn *exited, void *ctx)
{
	struct child *c = calloc(1, sizeof(*c));

	must(c);
	*c = (struct child){ .w = w,
		.p = p,
		.pid = p->pid,
		.start = p->start,
		.ours = ours,
		.exited = exited,
		.ctx = ctx };
	if (p->child)
		sim_fail(w->sim, "process %d is watched twice", (int)p->pid);
	p->child = c;
	w->children_n++;
	return c;
}

struct child *child_of_parcel(struct world *w, pid_t pid, child_exit_fn *exited, void *ctx)
{
	struct child *c;
	struct proc *p;

	TAILQ_FOREACH(p, &w->sim->procs, entry)
	if (p->kind == PROC_VMM && p->pid == pid && !p->child)
		return watch(w, p, false, exited, ctx);
	c = calloc(1, sizeof(*c));
	must(c);
	*c = (struct child){ .w = w, .pid = pid, .exited = exited, .ctx = ctx };
	w->children_n++;
	sim_after(w->sim, 0, tell_exit, c, 0);
	return c;
}

struct proc *proc_launch(struct sim *s, const char *id, bool kvm)
{
	static const char *const leaves[] = { "qmp.sock", "agent.sock", "console.sock" };
	char command[128];
	struct proc *p;

	if (!s->calm && sim_chance(s, s->weather.spawn)) {
		sim_mark(s, MARK_spawn_refused);
		return NULL;
	}
	snprintf(command, sizeof(command), "qemu -name banger-%s -accel %s", id,
		kvm ? "kvm" : "tcg");
	p = proc_new(s, PROC_VMM, command);
	p->outlives = true;
	for (size_t i = 0; i < COUNT(leaves); i++)
		snprintf(p->sockets[p->sockets_n++].path, sizeof(p->sockets[0].path), "jail/%s/%s",
			id, leaves[i]);
	vmm_begin(p);
	return p;
}

static void join(char *out, size_t size, char *const *argv)
{
	size_t n = 0;

	out[0] = '\0';
	for (; *argv && n < size; argv++)
		n += (size_t)snprintf(out + n, size - n, "%s ", *argv);
}

static enum err check_files(struct world *w, const struct child_spec *spec, struct why *why)
{
	for (unsigned i = 0; i < spec->files_n; i++) {
		const struct child_file *f = &spec->files[i];

		if (!f->companion && !node_find(w->sim, f->area, f->path))
			return fail(why, ERR_not_found, "cannot open %s", f->path);
	}
	for (unsigned i = 0; i < spec->sockets_n; i++)
		if (!node_put(w->sim, RUNTIME, spec->sockets[i].path, 0))
			return fail(
				why, ERR_not_found, "cannot listen at %s", spec->sockets[i].path);
	if (spec->out && !node_put(w->sim, RUNTIME, spec->out, 0))
		return fail(why, ERR_not_found, "cannot make FIFO %s", spec->out);
	if (spec->log && !node_put(w->sim, STATE, spec->log, 0))
		return fail(why, ERR_not_found, "cannot open log %s", spec->log);
	return OK;
}

static void give_files(struct proc *p, const struct child_spec *spec)
{
	for (unsigned i = 0; i < spec->files_n; i++) {
		const struct child_file *f = &spec->files[i];

		if (f->companion)
			continue;
		str_copy(f->as == 4 ? p->extra : p->dir, NODE_PATH_BYTES, f->path);
		if (f->as == 4)
			p->extra_area = f->area;
	}
	for (unsigned i = 0; i < spec->sockets_n; i++)
		str_copy(p->sockets[p->sockets_n++].path, sizeof(p->sockets[0].path),
			spec->sockets[i].path);
	if (spec->out)
		str_copy(p->sockets[p->sockets_n++].path, sizeof(p->sockets[0].path), spec->out);
}

enum err world_spawn(struct world *w, const struct child_spec *spec, child_exit_fn *exited,
	void *ctx, struct child **ret, struct chan **ret_letters, struct why *why)
{
	struct sim *s = w->sim;
	struct pipe_end *ends[2] = { NULL, NULL };
	char command[4096];
	struct proc *p;
	enum err e;

	if (!world_alive(w))
		return dead_daemon(why);
	e = files_are_out(w->sim, why) ? why->code : check_files(w, spec, why);
	if (!e && !s->calm && sim_chance(s, s->weather.spawn)) {
		sim_mark(s, MARK_spawn_refused);
		e = fail(why, ERR_no_memory, "cannot start a process");
	}
	if (e)
		return e;
	join(command, sizeof(command), spec->argv);
	p = proc_new(s, spec->outlives ? PROC_VMM : PROC_WORKER, command);
	p->outlives = spec->outlives;
	give_files(p, spec);
	sim_trace(s, "host", "process %d starts: %.90s", (int)p->pid, p->command);
	*ret = watch(w, p, true, exited, ctx);
	if (spec->letters) {
		pipe_pair(s, w, ends);
		*ret_letters = &ends[0]->c;
		worker_begin(p, &ends[1]->c);
	} else {
		vmm_begin(p);
	}
	return OK;
}

enum err world_adopt(struct world *w, pid_t pid, uint64_t start, const char *needle,
	child_exit_fn *exited, void *ctx, struct child **ret, struct why *why)
{
	struct proc *p;

	if (!world_alive(w))
		return dead_daemon(why);
	TAILQ_FOREACH(p, &w->sim->procs, entry)
	{
		if (!strstr(p->command, needle) || (pid && (p->pid != pid || p->start != start)))
			continue;
		sim_mark(w->sim, pid ? MARK_adopted : MARK_found_by_name);
		*ret = watch(w, p, false, exited, ctx);
		return OK;
	}
	return fail(why, ERR_not_found, "process %d is not there any more", (int)pid);
}

enum err world_vmms(struct world *w, vmm_seen_fn *fn, void *ctx, struct why *why)
{
	struct proc *p, *next;

	if (!world_alive(w))
		return dead_daemon(why);
	for (p = TAILQ_FIRST(&w->sim->procs); p; p = next) {
		next = TAILQ_NEXT(p, entry);
		if (p->kind == PROC_VMM)
			fn(ctx, vmm_id(p), p->pid, p->start);
	}
	return OK;
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
	if (!world_alive(c->w) || !c->p)
		return;
	if (c->p->kind == PROC_STRANGER)
		sim_fail(c->w->sim, "a signal to somebody else's process %d", (int)c->p->pid);
	proc_exit_later(c->p, sim_roll(c->w->sim, 5), 128 + signal);
}

bool child_usage(const struct child *c, uint64_t *rss, uint64_t *cpu_ms)
{
	*rss = 300 * MiB;
	*cpu_ms = 1000;
	if (c->p && c->p->spins_since) /* two CPUs of it */
		*cpu_ms += 2 * (c->w->sim->now - c->p->spins_since);
	return c->p != NULL;
}

void child_free(struct child *c)
{
	if (!c)
		return;
	sim_forget(c->w->sim, c);
	if (c->p)
		c->p->child = NULL;
	c->w->children_n--;
	free(c);
}
