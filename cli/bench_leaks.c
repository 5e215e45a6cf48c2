/*
 * bench_leaks.c - what is left of a run's machines, looked for where the host keeps such things
 * and not where banger says: processes, files, sockets, taps, snapshots, loop devices; and records
 * and descriptors of the daemon. A deletion was answered, so all of it must be gone; what goes by
 * itself a moment later is no leak.
 */
#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include "cli/bench.h"

enum { PATIENCE_MS = 5000, AGAIN_MS = 100, FDS_FEW = 8, TEXT_BYTES = 4096 };

struct search {
	struct bench *b;
	struct bench_run *r;
};

/* ---- ids ---- */

static int by_id(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* Whether the n bytes at p are the id of one of the run's machines. */
static bool is_ours(const struct bench_run *r, const char *p, size_t n)
{
	char id[11];

	if (n < 2 || n >= sizeof(id) || r->ids_n == 0)
		return false;
	snprintf(id, sizeof(id), "%.*s", (int)n, p);
	return bsearch(id, r->ids, r->ids_n, sizeof(*r->ids), by_id) != NULL;
}

/* The letters and digits behind each place of `mark` in the text. */
static bool names_ours(const struct bench_run *r, const char *text, const char *mark)
{
	const char *at = text;

	while ((at = strstr(at, mark)) != NULL) {
		at += strlen(mark);
		if (is_ours(r, at, strspn(at, "abcdefghijklmnopqrstuvwxyz0123456789")))
			return true;
	}
	return false;
}

static void found(struct search *s, const char *kind, const char *fmt, ...) PRINTF_LIKE(3, 4);
static void found(struct search *s, const char *kind, const char *fmt, ...)
{
	struct bench_run *r = s->r;
	struct bench_leak *l;
	va_list ap;

	if (r->leaks_all++ >= BENCH_LEAKS_MAX)
		return;
	l = &r->leaks[r->leaks_n++];
	snprintf(l->kind, sizeof(l->kind), "%s", kind);
	va_start(ap, fmt);
	vsnprintf(l->what, sizeof(l->what), fmt, ap);
	va_end(ap);
}

/* ---- small files of /proc and /sys ---- */

/* NULs become blanks. False: it is not there, or not for us to read. */
static bool read_text(int dir, const char *path, char out[TEXT_BYTES])
{
	own_fd fd = openat(dir, path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, out, TEXT_BYTES - 1);

	if (n <= 0)
		return false;
	out[n] = '\0';
	for (ssize_t i = 0; i < n; i++)
		if (out[i] == '\0')
			out[i] = ' ';
	return true;
}

/* Calls fn with every name in a directory; one that is not there has none. */
static void each_name(
	struct search *s, const char *path, void (*fn)(struct search *s, int dir, const char *name))
{
	own_dir list = opendir(path);
	struct dirent *e;

	while (list && (e = readdir(list)) != NULL)
		if (e->d_name[0] != '.')
			fn(s, dirfd(list), e->d_name);
}

static void look_at_process(struct search *s, int dir, const char *name)
{
	char path[280], text[TEXT_BYTES];

	if (strspn(name, "0123456789") != strlen(name))
		return;
	snprintf(path, sizeof(path), "%.20s/cmdline", name);
	if (read_text(dir, path, text) &&
		(names_ours(s->r, text, "banger-") || names_ours(s->r, text, "/vm/") ||
			names_ours(s->r, text, "--id ")))
		found(s, "process", "%.20s: %.160s", name, text);
}

static void look_at_link(struct search *s, int dir UNUSED, const char *name)
{
	if (names_ours(s->r, name, "bngr-"))
		found(s, "tap", "%.180s", name);
}

static void look_at_block(struct search *s, int dir, const char *name)
{
	char path[300], text[TEXT_BYTES];

	snprintf(path, sizeof(path), "%.255s/dm/name", name);
	if (read_text(dir, path, text) && names_ours(s->r, text, "fc-rootfs-"))
		found(s, "snapshot", "%.20s: %.100s", name, text);
	snprintf(path, sizeof(path), "%.255s/loop/backing_file", name);
	if (read_text(dir, path, text) && names_ours(s->r, text, "/vm/"))
		found(s, "loop", "%.20s: %.160s", name, text);
}

static void look_at_file(struct search *s, int dir, const char *name)
{
	char path[64], at[1024];
	ssize_t n;

	if (!is_ours(s->r, name, strlen(name)))
		return;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", dir);
	n = readlink(path, at, sizeof(at) - 1);
	at[MAX(n, 0)] = '\0';
	found(s, "files", "%.160s/%.20s", at, name);
}

static void look_at_sockets(struct search *s)
{
	own_file f = fopen("/proc/net/unix", "re");
	char line[512];

	while (f && fgets(line, sizeof(line), f)) {
		const char *path = strchr(line, '/');

		if (path && names_ours(s->r, path, "/vm/"))
			found(s, "socket", "%.*s", (int)strcspn(path, "\n"), path);
	}
}

/* ---- the daemon's own ---- */

static uint64_t count_fds(uint64_t pid)
{
	char path[64];
	own_dir list = NULL;
	uint64_t n = 0;

	snprintf(path, sizeof(path), "/proc/%llu/fd", (unsigned long long)pid);
	list = opendir(path);
	while (list && readdir(list))
		n++;
	return n;
}

enum err bench_daemon(struct bench *b, uint64_t *memory, uint64_t *fds, struct why *why)
{
	struct daemon_status st;
	struct nothing none;
	enum err e = ask(b->c, LETTER_daemon_status, &none, &st, why);

	if (e)
		return e;
	*memory = st.rss_own;
	*fds = count_fds(st.pid);
	b->daemon_pid = st.pid;
	snprintf(b->state_dir, sizeof(b->state_dir), "%s", st.state_dir);
	snprintf(b->runtime_dir, sizeof(b->runtime_dir), "%s", st.runtime_dir);
	return OK;
}

/* Some are its own and come and go; one for each machine does not. */
static void look_at_descriptors(struct search *s)
{
	struct bench_run *r = s->r;
	uint64_t most = r->fds_before + MAX(r->ids_n / 2, (uint64_t)FDS_FEW);

	r->fds_after = count_fds(s->b->daemon_pid);
	if (r->fds_before > 0 && r->fds_after > most)
		found(s, "descriptors", "the daemon has %llu, it had %llu",
			(unsigned long long)r->fds_after, (unsigned long long)r->fds_before);
}

static void look_at_records(struct search *s)
{
	struct bench *b = s->b;
	struct vm_list which = { 0 };
	struct arena a = { .max = 8 * MiB };
	struct vm_listed page;
	char after[11];
	struct why why;
	bool more = true;

	while (more) {
		struct call k = {
			.letter = LETTER_vm_list, .body = &which, .result = &page, .mem = &a
		};

		call_all(b->c->link, &k, 1);
		if (k.why.code) {
			why = k.why;
			found(s, "unknown", "machines cannot be listed: %.150s", why.text);
			break;
		}
		for (uint32_t i = 0; i < page.vms.n; i++)
			if (strncmp(page.vms.v[i].name, b->prefix, strlen(b->prefix)) == 0)
				found(s, "record", "%s (%s)", page.vms.v[i].name, page.vms.v[i].id);
		more = page.more && page.vms.n > 0;
		if (more) {
			snprintf(after, sizeof(after), "%s", page.vms.v[page.vms.n - 1].id);
			which.after = after;
		}
		arena_reset(&a);
	}
	arena_done(&a);
}

/* ---- all of it ---- */

static void look(struct search *s)
{
	char path[1100];

	s->r->leaks_n = 0;
	s->r->leaks_all = 0;
	look_at_records(s);
	each_name(s, "/proc", look_at_process);
	snprintf(path, sizeof(path), "%s/vm", s->b->state_dir);
	each_name(s, path, look_at_file);
	snprintf(path, sizeof(path), "%s/vm", s->b->runtime_dir);
	each_name(s, path, look_at_file);
	look_at_sockets(s);
	each_name(s, "/sys/class/net", look_at_link);
	each_name(s, "/sys/block", look_at_block);
	look_at_descriptors(s);
}

static void time_over(void *flag)
{
	*(bool *)flag = true;
}

void bench_leaks(struct bench *b, struct bench_run *r)
{
	struct search s = { b, r };
	double end = bench_now_ms() + PATIENCE_MS;
	struct timer pause = { .loop = NULL };

	if (r->ids_n > 0)
		qsort(r->ids, r->ids_n, sizeof(*r->ids), by_id);
	look(&s);
	while (r->leaks_all > 0 && bench_now_ms() < end && !b->c->link->gone) {
		bool over = false;

		timer_start(b->c->loop, &pause, AGAIN_MS, time_over, &over);
		(void)link_until(b->c->link, &over);
		timer_stop(&pause);
		look(&s);
	}
}
