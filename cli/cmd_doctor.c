/*
 * cmd_doctor.c - `banger doctor`: what of this host is as machines need it, and what to do where it
 * is not. Runs the parts as children, gathers what they found, prints.
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/text.h"
#include "cli/doctor.h"
#include "cli/link.h"
#include "cli/report.h"

/* Longer where a daemon may have to be started. */
enum { PART_MS = 6000, DAEMON_MS = 15000, PART_BYTES = 256 * KiB, CHECKS_MAX = 256 };

static const struct {
	const char *name;
	void (*look)(struct part *p);
	unsigned ms;
} parts[] = {
	{ "host", doctor_host, PART_MS },
	{ "kvm", doctor_kvm, PART_MS },
	{ "vmm", doctor_vmms, PART_MS },
	{ "files", doctor_files, PART_MS },
	{ "network", doctor_network, PART_MS },
	{ "names", doctor_names, DAEMON_MS },
	{ "daemon", doctor_daemon, DAEMON_MS },
};

struct running {
	pid_t pid;
	int from; /* -1: over */
	uint64_t until;
	bool late;
	struct buf said;
};

struct visit {
	struct cli *c;
	bool fix;
	struct running run[COUNT(parts)];
	struct doctor_report r;
	struct doctor_check checks[CHECKS_MAX];
	struct vmm_found vmms[PART_VMMS_MAX];
};

struct doctor_check *finding(
	struct part *p, const char *name, enum health health, const char *fix, const char *fmt, ...)
{
	struct doctor_check *k = &p->checks[MIN(p->checks_n, (unsigned)PART_CHECKS_MAX - 1)];
	char text[2048];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	*k = (struct doctor_check){ .name = name,
		.health = health,
		.found = arena_str(&p->c->mem, text),
		.fix = fix && fix[0] ? arena_str(&p->c->mem, fix) : NULL };
	if (!k->found)
		k->found = "no memory to tell";
	p->checks_n += p->checks_n < PART_CHECKS_MAX;
	return k;
}

/* ---- one part, in its child ---- */

static void write_all(int to, struct bytes b)
{
	while (b.n > 0) {
		ssize_t n = write(to, b.p, b.n);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return;
		b.p += n;
		b.n -= (size_t)n;
	}
}

static void part_run(struct visit *v, unsigned i, int to) __attribute__((noreturn));

static void part_run(struct visit *v, unsigned i, int to)
{
	static struct part p;
	struct doctor_part out;
	struct buf b;
	struct why why;

	setpgid(0, 0); /* so that what it starts goes with it */
	v->c->quiet = true;
	v->c->silent_version = true;
	p.c = v->c;
	p.fix = v->fix;
	p.configured = conf_load(&p.conf, &why) == OK;
	parts[i].look(&p);
	out = (struct doctor_part){ .checks = { p.checks, p.checks_n },
		.vmms = { p.vmms, p.vmms_n } };
	buf_init(&b, PART_BYTES);
	if (shape_pack(&shape_doctor_part, &out, &b, &why) == OK)
		write_all(to, (struct bytes){ b.p, b.n });
	_exit(0);
}

/* ---- all of them, from outside ---- */

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void add(struct visit *v, const struct doctor_check *k)
{
	if (v->r.checks.n == CHECKS_MAX)
		return;
	v->checks[v->r.checks.n++] = *k;
	v->r.worst = MAX(v->r.worst, k->health);
}

static void part_failed(struct visit *v, unsigned i, const char *how)
{
	struct doctor_check k = { .name = parts[i].name, .health = health_fail };

	k.found = arena_fmt(&v->c->mem, "not looked at: %s", how);
	if (k.found)
		add(v, &k);
}

static void begin(struct visit *v, unsigned i)
{
	struct running *r = &v->run[i];
	int pair[2];

	r->from = -1;
	if (pipe2(pair, O_CLOEXEC) < 0) {
		part_failed(v, i, "no descriptor for it");
		return;
	}
	fflush(NULL);
	r->pid = fork();
	if (r->pid == 0)
		part_run(v, i, pair[1]);
	close(pair[1]);
	r->from = pair[0];
	r->until = now_ms() + parts[i].ms;
	buf_init(&r->said, PART_BYTES);
	if (r->pid < 0) {
		fd_done(&r->from);
		part_failed(v, i, "no process for it");
	}
}

static void take(struct visit *v, unsigned i)
{
	struct running *r = &v->run[i];
	struct doctor_part part;
	struct why why;

	if (r->late) {
		part_failed(v, i, "it did not end in time; something on this host hangs");
		return;
	}
	if (r->said.n == 0 || shape_read(&shape_doctor_part, mp_over(r->said.p, r->said.n), STRICT,
				      &v->c->mem, &part, &why)) {
		part_failed(v, i, "it ended too early");
		return;
	}
	for (uint32_t k = 0; k < part.checks.n; k++)
		add(v, &part.checks.v[k]);
	for (uint32_t k = 0; k < part.vmms.n && v->r.vmms.n < PART_VMMS_MAX; k++)
		v->vmms[v->r.vmms.n++] = part.vmms.v[k];
}

/* A child that the kernel does not let go is not waited for. */
static void end(struct running *r)
{
	fd_done(&r->from);
	if (r->late)
		kill(-r->pid, SIGKILL);
	(void)!waitpid(r->pid, NULL, r->late ? WNOHANG : 0);
}

static void read_some(struct running *r)
{
	char chunk[16384];
	ssize_t n = read(r->from, chunk, sizeof(chunk));

	if (n > 0)
		buf_add(&r->said, chunk, (size_t)n);
	else if (n == 0 || errno != EINTR)
		end(r);
}

static void gather(struct visit *v)
{
	struct pollfd fds[COUNT(parts)];

	for (;;) {
		uint64_t now = now_ms(), next = UINT64_MAX;
		unsigned at[COUNT(parts)], n = 0;

		for (unsigned i = 0; i < COUNT(parts); i++) {
			struct running *r = &v->run[i];

			if (r->from >= 0 && r->until <= now) {
				r->late = true;
				end(r);
			}
			if (r->from < 0)
				continue;
			next = MIN(next, r->until);
			at[n] = i;
			fds[n++] = (struct pollfd){ .fd = r->from, .events = POLLIN };
		}
		if (n == 0)
			return;
		if (poll(fds, n, (int)(next - now)) < 0 && errno != EINTR)
			return;
		for (unsigned i = 0; i < n; i++)
			if (fds[i].revents)
				read_some(&v->run[at[i]]);
	}
}

/* ---- telling ---- */

static enum color color_of(enum health h)
{
	switch (h) {
	case health_ok:
		return GREEN;
	case health_warn:
		return YELLOW;
	case health_fail:
		return RED;
	case health_note:
	case health_COUNT:
		break;
	}
	return PLAIN;
}

static void print(struct cli *c, const struct doctor_report *r)
{
	static const char *const heads[] = { "CHECK", "", "FOUND" };
	struct grid g;

	grid_init(&g, c, heads, COUNT(heads));
	for (uint32_t i = 0; i < r->checks.n; i++) {
		const struct doctor_check *k = &r->checks.v[i];

		grid_cell(&g, PLAIN, "%s", k->name);
		grid_cell(&g, color_of(k->health), "%s", word_of(health, k->health));
		grid_cell(&g, PLAIN, "%s", k->found);
		if (k->fix && k->health > health_ok) {
			grid_cell(&g, PLAIN, " ");
			grid_cell(&g, DIM, "fix");
			grid_cell(&g, PLAIN, "%s", k->fix);
		}
		if (k->did) {
			grid_cell(&g, PLAIN, " ");
			grid_cell(&g, GREEN, "did");
			grid_cell(&g, PLAIN, "%s", k->did);
		}
	}
	grid_print(&g);
	for (uint32_t i = 0; i < r->vmms.n; i++) {
		const struct vmm_found *m = &r->vmms.v[i];

		printf("\n");
		line_text(c, m->name, "%s%s%s", m->version ? m->version : "not found",
			m->path ? "  " : "", m->path ? m->path : "");
		for (uint32_t k = 0; k < m->abilities.n; k++)
			line_text(c, "", "%-3s  %s: %s", m->abilities.v[k].can ? "yes" : "no",
				m->abilities.v[k].name, m->abilities.v[k].why);
	}
}

static int doctor(struct cli *c)
{
	static struct visit v;

	if (flag_text(c, "explain"))
		return doctor_explain(c, flag_text(c, "explain"));
	v.c = c;
	v.fix = flag_on(c, "fix");
	v.r.checks.v = v.checks;
	v.r.vmms.v = v.vmms;
	for (unsigned i = 0; i < COUNT(parts); i++)
		begin(&v, i);
	gather(&v);
	for (unsigned i = 0; i < COUNT(parts); i++) {
		if (v.run[i].pid > 0)
			take(&v, i);
		buf_done(&v.run[i].said);
	}
	if (c->json)
		print_document(c, &shape_doctor_report, &v.r);
	else if (!c->quiet)
		print(c, &v.r);
	return v.r.worst == health_fail ? EXIT_REFUSED : EXIT_DONE;
}

static const struct flag flags[] = {
	{ .name = "fix", .doc = "do what is safe about what was found, and say what was done" },
	{ .name = "explain",
		.type = &type_vm_ref,
		.value = "VM",
		.offer = OFFER_VMS,
		.doc = "instead: every resource of this host that belongs to a machine" },
	{ .name = NULL },
};

const struct command cmd_doctor = {
	.words = "doctor",
	.args = "",
	.flags = flags,
	.doc = "whether this host has what machines need, and what to do where it has not",
	.more = "Looks at kernel, KVM, VMMs and what their versions can do, disk layers, room, "
		"network, names by both ways, images, permissions, and what is left over. Each "
		"finding is ok, note, warn or fail; the exit code is 1 when one is fail. "
		"Nothing is changed without --fix, which takes back rights on banger's own "
		"files that others should not have, and removes what belongs to no machine. No "
		"guest is run: how guests fare under KVM the daemon knows from those that it "
		"began.",
	.example = "banger doctor\nbanger doctor --fix\n"
		   "banger doctor --json | jq '.checks[] | select(.health != \"ok\")'\n"
		   "banger doctor --explain calm-otter",
	.run = doctor,
};
