/*
 * vmms.c - the table of VMMs. A pid alone means nothing: it is recycled within seconds. What is
 * signalled is a pidfd that was opened at launch, or, after the helper's own restart, one whose
 * process has the pid, the start time, the uid and the jail that the ledger says.
 */
#include "helper/vmms.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/queue.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "helper/scope.h"
#include "helper/task.h"
#include "helper/undo.h"
#include "sys/beneath.h"
#include "sys/process.h"

enum { LAST_WORDS = 1024, END_MS = 2000 };

struct live {
	LIST_ENTRY(live) entry;
	struct vmms *v;
	char vm[11], jail[JAIL_NAME_MAX];
	enum vmm driver;
	pid_t pid;
	uint64_t start;
	uid_t uid;
	int pidfd, log;
	struct watch ended;
	enum { SCOPE_WANTED, SCOPE_UNDER_WAY, SCOPE_DONE } scope;
	bool over; /* it ended while its scope was under way; until then nobody gets its pid */
};

struct vmms {
	struct helper *h;
	LIST_HEAD(, live) all;
	struct scopes scopes; /* those under way */
	bool scopes_busy, scopes_off; /* off: this host has no systemd */
};

static void drop(struct live *l)
{
	watch_stop(&l->ended);
	LIST_REMOVE(l, entry);
	close(l->pidfd);
	fd_done(&l->log);
	free(l);
}

/* What it said at the end, if it said anything. */
static void tell_last_words(const struct live *l, int status)
{
	char words[LAST_WORDS + 1] = "";
	ssize_t n = l->log < 0 ? -1 : read(l->log, words, LAST_WORDS);

	words[MAX(n, 0)] = '\0';
	log_line(LOG_INFO, "helper", "vmm ended", "vm", l->vm, "pid", log_u64((uint64_t)l->pid).s,
		"status", status < 0 ? "unknown" : log_u64((uint64_t)status).s, "said",
		n > 0 ? words : NULL, NULL);
}

static void ended(struct live *l)
{
	struct why why;

	tell_last_words(l, pidfd_reap(l->pidfd));
	if (ledger_forget(l->v->h->ledger, priv_thing_vmm, l->vm, &why))
		log_line(LOG_WARN, "helper", "vmm not forgotten", "vm", l->vm, "why", why.text,
			NULL);
	drop(l);
}

static void on_ended(void *ctx, int events UNUSED)
{
	struct live *l = ctx;

	watch_stop(&l->ended);
	l->over = l->scope == SCOPE_UNDER_WAY;
	if (!l->over)
		ended(l);
}

/* ---- scopes, some at a time and behind the launch's answer ---- */

static void make_scopes(struct vmms *v);

static enum err run_scopes(
	void *arg, struct buf *result UNUSED, int *ret_fd UNUSED, struct why *why)
{
	return scopes_make(arg, why);
}

static void scopes_made(void *ctx, const struct why *why, struct bytes result UNUSED, int fd UNUSED)
{
	struct vmms *v = ctx;
	struct live *next;

	v->scopes_busy = false;
	v->scopes_off = why && why->code == ERR_unavailable;
	if (why)
		log_line(LOG_WARN, "helper", "no scope for a machine", "why", why->text, NULL);
	for (struct live *l = LIST_FIRST(&v->all); l; l = next) {
		next = LIST_NEXT(l, entry);
		if (l->scope != SCOPE_UNDER_WAY)
			continue;
		l->scope = SCOPE_DONE;
		if (l->over)
			ended(l);
	}
	make_scopes(v);
}

static void make_scopes(struct vmms *v)
{
	struct task_spec spec = { .what = "making scopes",
		.run = run_scopes,
		.arg = &v->scopes,
		.deadline_ms = SCOPES_MS };
	struct live *l;
	struct why why;

	if (v->scopes_busy || v->scopes_off)
		return;
	v->scopes.n = 0;
	LIST_FOREACH(l, &v->all, entry)
	if (l->scope == SCOPE_WANTED && v->scopes.n < SCOPES_AT_ONCE) {
		snprintf(v->scopes.v[v->scopes.n].vm, sizeof(v->scopes.v[0].vm), "%s", l->vm);
		v->scopes.v[v->scopes.n].pid = l->pid;
		v->scopes.v[v->scopes.n++].start = l->start;
		l->scope = SCOPE_UNDER_WAY;
	}
	if (v->scopes.n == 0)
		return;
	v->scopes_busy = true;
	if (task_start(v->h, &spec, scopes_made, v, &why) == OK)
		return;
	v->scopes_busy = false;
	LIST_FOREACH(l, &v->all, entry)
	if (l->scope == SCOPE_UNDER_WAY) /* with the next launch */
		l->scope = SCOPE_WANTED;
}

static enum err add(struct vmms *v, const struct live *from, struct why *why)
{
	struct live *l = calloc(1, sizeof(*l));

	if (!l)
		return fail(why, ERR_no_memory, "no memory for a VMM");
	*l = *from;
	l->v = v;
	LIST_INSERT_HEAD(&v->all, l, entry);
	watch_start(v->h->loop, &l->ended, l->pidfd, WATCH_READ, on_ended, l);
	make_scopes(v);
	return OK;
}

enum err vmms_add(struct vmms *v, const char *vm, enum vmm driver, pid_t pid, uid_t uid, int pidfd,
	int log, struct why *why)
{
	struct live l = { .driver = driver, .pid = pid, .uid = uid, .pidfd = pidfd, .log = log };

	snprintf(l.vm, sizeof(l.vm), "%s", vm);
	jail_name(l.jail, driver, vm);
	l.start = process_start_time(pid);
	return add(v, &l, why);
}

/* ---- is it still what it was? ---- */

static uid_t uid_of(pid_t pid)
{
	own_fd proc = openat(AT_FDCWD, "/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	own_buf text = { .max = 16 * KiB };
	unsigned uid = UINT32_MAX;
	const char *line;
	char path[32];

	snprintf(path, sizeof(path), "%d/status", (int)pid);
	if (proc < 0 || read_file(proc, path, 8 * KiB, &text, NULL))
		return (uid_t)-1;
	line = strstr(buf_cstr(&text), "\nUid:\t");
	return line && sscanf(line, "\nUid:\t%u", &uid) == 1 ? uid : (uid_t)-1;
}

/* Its root directory is that of the jail. */
static bool lives_in(const struct helper *h, pid_t pid, const char *jail)
{
	char path[JAIL_NAME_MAX + 32];
	struct stat root, theirs;
	own_fd dir = -1, at = -1;

	snprintf(path, sizeof(path), "%s/root", jail);
	dir = open_beneath(h->jails, path, O_PATH | O_DIRECTORY | O_NOFOLLOW, 0);
	snprintf(path, sizeof(path), "/proc/%d/root", (int)pid);
	at = openat(AT_FDCWD, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return dir >= 0 && at >= 0 && fstat(dir, &root) == 0 && fstat(at, &theirs) == 0 &&
	       root.st_dev == theirs.st_dev && root.st_ino == theirs.st_ino;
}

/* Row F2: its command line names the VMM, and the machine. */
static bool names_itself(pid_t pid, enum vmm driver, const char *vm)
{
	return process_names(pid, word_of(vmm, driver)) && process_names(pid, vm);
}

static bool is_it(const struct helper *h, const struct live *l)
{
	return process_start_time(l->pid) == l->start && uid_of(l->pid) == l->uid &&
	       names_itself(l->pid, l->driver, l->vm) && lives_in(h, l->pid, l->jail);
}

int vmms_pidfd(const struct vmms *v, pid_t pid)
{
	const struct live *l;

	LIST_FOREACH(l, &v->all, entry)
	if (l->pid == pid && names_itself(pid, l->driver, l->vm))
		return l->pidfd;
	return -1;
}

/* Its end may be there to be seen before we were told of it. */
static bool lives(const struct live *l)
{
	struct pollfd p = { l->pidfd, POLLIN, 0 };

	return poll(&p, 1, 0) == 0;
}

bool vmms_in_jail(const struct vmms *v, const char *jail)
{
	const struct live *l;

	LIST_FOREACH(l, &v->all, entry)
	if (str_eq(l->jail, jail) && lives(l))
		return true;
	return false;
}

int vmms_of(const struct vmms *v, const char *vm, enum vmm *ret_driver)
{
	const struct live *l;

	LIST_FOREACH(l, &v->all, entry)
	if (str_eq(l->vm, vm) && lives(l)) {
		*ret_driver = l->driver;
		return l->pidfd;
	}
	return -1;
}

/* ---- after a start ---- */

/* False: the entry says too little. */
static bool from_entry(const struct priv_entry *r, struct live *l)
{
	l->pidfd = -1;
	if (!r->has_pid || !r->vm || !r->detail || !r->has_uid)
		return false;
	snprintf(l->vm, sizeof(l->vm), "%s", r->vm);
	snprintf(l->jail, sizeof(l->jail), "%s", r->detail);
	l->driver = strncmp(l->jail, "qemu/", 5) == 0 ? vmm_qemu : vmm_firecracker;
	l->pid = (pid_t)r->pid;
	l->start = r->start;
	l->uid = (uid_t)r->uid;
	l->pidfd = pidfd_of(l->pid); /* first, so that what is checked is what is held */
	return true;
}

static void take_back(void *ctx, const struct priv_entry *r)
{
	struct vmms *v = ctx;
	struct live l = { .log = -1 };
	struct why why;

	if (from_entry(r, &l) && l.pidfd >= 0 && is_it(v->h, &l) && add(v, &l, &why) == OK) {
		log_line(LOG_INFO, "helper", "vmm taken back", "vm", l.vm, "pid", log_u64(r->pid).s,
			NULL);
		return;
	}
	fd_done(&l.pidfd);
	log_line(LOG_INFO, "helper", "vmm is gone", "vm", r->name, "pid", log_u64(r->pid).s, NULL);
	(void)ledger_forget(v->h->ledger, priv_thing_vmm, r->name, &why);
}

/*
 * A launch that was cut off between the fork and the ledger left a process that only its root
 * directory tells.
 */
static void end_inside(const struct helper *h, const char *jail)
{
	own_dir d = NULL;
	int proc = openat(AT_FDCWD, "/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const struct dirent *e;

	d = proc < 0 ? NULL : fdopendir(proc);
	while (d && (e = readdir(d)) != NULL) {
		pid_t pid = (pid_t)strtol(e->d_name, NULL, 10);
		own_fd fd = pid > 1 ? pidfd_of(pid) : -1;
		struct pollfd p = { fd, POLLIN, 0 };

		if (fd < 0 || !lives_in(h, pid, jail))
			continue;
		log_line(LOG_WARN, "helper", "ended a process that the ledger does not know", "pid",
			log_u64((uint64_t)pid).s, "jail", jail, NULL);
		pidfd_signal(fd, SIGKILL);
		poll(&p, 1, END_MS);
	}
}

struct sweep {
	struct vmms *v;
	const char *driver;
};

static void sweep_jail(void *ctx, const char *id)
{
	const struct sweep *s = ctx;
	char name[JAIL_NAME_MAX];
	struct why why;

	if (snprintf(name, sizeof(name), "%s/%s", s->driver, id) >= (int)sizeof(name) ||
		vmms_in_jail(s->v, name))
		return;
	end_inside(s->v->h, name);
	log_line(LOG_INFO, "helper", "removing a jail in which nobody lives", "jail", name, NULL);
	if (jail_remove(s->v->h, name, &why) ||
		ledger_forget(s->v->h->ledger, priv_thing_jail, name, &why))
		log_line(LOG_WARN, "helper", "jail left", "jail", name, "why", why.text, NULL);
}

static void forget_absent(void *ctx, const struct priv_entry *r)
{
	struct vmms *v = ctx;
	struct why why;

	if (!vmms_in_jail(v, r->name))
		(void)ledger_forget(v->h->ledger, priv_thing_jail, r->name, &why);
}

/* Jails without a VMM: of launches that were cut off, and of an earlier boot of the host. */
static void sweep_jails(struct vmms *v)
{
	for (int i = 0; i < vmm_COUNT; i++) {
		struct sweep s = { v, word_of(vmm, i) };
		struct why why;

		if (list_dir(v->h->jails, s.driver, sweep_jail, &s, &why))
			log_line(LOG_WARN, "helper", "jails not looked at", "why", why.text, NULL);
	}
	ledger_each(v->h->ledger, priv_thing_jail, forget_absent, v);
}

/* ---- at uninstall: nothing goes on ---- */

static void end_machine(void *ctx, const struct priv_entry *r)
{
	struct helper *h = ctx;
	struct live l = { .log = -1 };
	struct pollfd p = { .events = POLLIN };
	struct why why;

	if (from_entry(r, &l) && l.pidfd >= 0 && is_it(h, &l)) {
		log_line(LOG_INFO, "helper", "ending a machine", "vm", l.vm, NULL);
		pidfd_signal(l.pidfd, SIGKILL);
		p.fd = l.pidfd;
		poll(&p, 1, END_MS);
	}
	fd_done(&l.pidfd);
	(void)ledger_forget(h->ledger, priv_thing_vmm, r->name, &why);
}

enum err vmms_undo(struct helper *h, struct why *why)
{
	struct vmms none = { .h = h };

	LIST_INIT(&none.all);
	ledger_each(h->ledger, priv_thing_vmm, end_machine, h);
	sweep_jails(&none);
	if (ledger_count(h->ledger, priv_thing_jail) > 0)
		return fail(why, ERR_conflict, "a jail stays in %s", h->jail_path);
	return remove_tree(h->jails, JAIL_PROGRAMS, why);
}

enum err vmms_open(struct helper *h, struct vmms **ret, struct why *why)
{
	struct vmms *v = calloc(1, sizeof(*v));

	if (!v)
		return fail(why, ERR_no_memory, "no memory for VMMs");
	v->h = h;
	LIST_INIT(&v->all);
	ledger_each(h->ledger, priv_thing_vmm, take_back, v);
	sweep_jails(v);
	*ret = v;
	return OK;
}

void vmms_close(struct vmms *v)
{
	struct live *l;

	if (!v)
		return;
	while ((l = LIST_FIRST(&v->all)) != NULL)
		drop(l);
	free(v);
}
