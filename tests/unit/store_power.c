/*
 * unit/store_power.c - row H5: what is on disk after power was lost at any moment.
 *
 * The linker puts ours before the system calls of LMDB, and everything that reaches the store's
 * file is written down: each page, each growth, each flush, and each batch that was acknowledged.
 * The disk is then made as it would be had the power gone: after every prefix of that log, with
 * every single page lost that nothing had flushed, with all of them lost, and with only one of them
 * kept. Each such file must open, hold every acknowledged batch and none by half, and take another.
 */
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/text.h"
#include "kv/kv.h"
#include "sys/beneath.h"
#include "world/world_linux.h"

enum { PAGE = 4096, EVENTS_MAX = 4096, BATCHES = 24 };

struct event {
	enum { WROTE, GREW, FLUSHED, OPENED, ACKNOWLEDGED, SETTLED, RENAMED } kind;
	off_t at; /* GREW: the file's size from then on */
	size_t n;
	uint8_t *bytes;
	bool durable; /* written through, by O_DSYNC */
	unsigned batch;
};

static struct {
	bool on, quiet; /* quiet: a state is being tried, and written down is nothing */
	struct event v[EVENTS_MAX];
	unsigned n;
	char broken[32]; /* a name of its own: the mistake that a test makes on purpose */
} tape;

static struct event *note(int kind)
{
	struct event *e = &tape.v[tape.n];

	must(tape.n < EVENTS_MAX);
	*e = (struct event){ .kind = kind };
	tape.n++;
	return e;
}

static bool is_store(int fd)
{
	char path[64], to[256];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, to, sizeof(to) - 1);
	to[MAX(n, (ssize_t)0)] = '\0';
	return tape.on && !tape.quiet && strstr(to, "/store.mdb");
}

/* Each page for itself: a disk may keep one and lose its neighbour. */
static void wrote(int fd, const uint8_t *p, size_t n, off_t at)
{
	bool durable = fcntl(fd, F_GETFL) & O_DSYNC;

	while (n > 0) {
		struct event *e = note(WROTE);
		size_t part = MIN(n, (size_t)(PAGE - at % PAGE));

		e->at = at;
		e->n = part;
		e->durable = durable;
		e->bytes = malloc(part);
		must(e->bytes);
		memcpy(e->bytes, p, part);
		p += part;
		at += (off_t)part;
		n -= part;
	}
}

static void wrote_all(int fd, const struct iovec *v, int n, off_t at)
{
	for (int i = 0; i < n; at += (off_t)v[i++].iov_len)
		wrote(fd, v[i].iov_base, v[i].iov_len, at);
}

#define REAL(result, name, params) \
	result __real_##name params; \
	result __wrap_##name params
REAL(ssize_t, pwrite, (int fd, const void *p, size_t n, off_t at));
REAL(ssize_t, pwritev, (int fd, const struct iovec *v, int n, off_t at));
REAL(ssize_t, writev, (int fd, const struct iovec *v, int n));
REAL(int, fdatasync, (int fd));
REAL(int, fsync, (int fd));
REAL(int, fallocate, (int fd, int mode, off_t at, off_t n));
REAL(int, renameat, (int from_dir, const char *from, int to_dir, const char *to));

ssize_t __wrap_pwrite(int fd, const void *p, size_t n, off_t at)
{
	ssize_t r = __real_pwrite(fd, p, n, at);

	if (r > 0 && is_store(fd))
		wrote(fd, p, (size_t)r, at);
	return r;
}

ssize_t __wrap_pwritev(int fd, const struct iovec *v, int n, off_t at)
{
	ssize_t r = __real_pwritev(fd, v, n, at);

	if (r > 0 && is_store(fd))
		wrote_all(fd, v, n, at);
	return r;
}

ssize_t __wrap_writev(int fd, const struct iovec *v, int n)
{
	off_t at = lseek(fd, 0, SEEK_CUR);
	ssize_t r = __real_writev(fd, v, n);

	if (r > 0 && is_store(fd))
		wrote_all(fd, v, n, at);
	return r;
}

int __wrap_fdatasync(int fd)
{
	if (is_store(fd) && !str_eq(tape.broken, "no flush of pages"))
		note(FLUSHED);
	return tape.quiet ? 0 : __real_fdatasync(fd);
}

int __wrap_fsync(int fd)
{
	struct stat st;

	if (is_store(fd)) {
		if (!str_eq(tape.broken, "no flush of growth"))
			note(FLUSHED);
	} else if (tape.on && !tape.quiet && fstat(fd, &st) == 0) {
		note(SETTLED)->n = (size_t)st.st_ino;
	}
	return tape.quiet ? 0 : __real_fsync(fd);
}

int __wrap_fallocate(int fd, int mode, off_t at, off_t n)
{
	int r = __real_fallocate(fd, mode, at, n);

	if (r == 0 && is_store(fd))
		note(GREW)->at = at + n;
	return r;
}

int __wrap_renameat(int from_dir, const char *from, int to_dir, const char *to)
{
	if (tape.on && !tape.quiet)
		note(RENAMED);
	return __real_renameat(from_dir, from, to_dir, to);
}

/* ---- a place ---- */

struct place {
	char path[64];
	int dir, top;
};

/* In memory: what is tried is the order of writes, and there are thousands of states. */
static int setup(void **state)
{
	struct place *p = calloc(1, sizeof(*p));
	const char *top = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";

	assert_non_null(p);
	snprintf(p->path, sizeof(p->path), "%s/banger-power-XXXXXX", top);
	assert_non_null(mkdtemp(p->path));
	p->dir = open(p->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	p->top = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(p->dir >= 0 && p->top >= 0);
	tape.on = tape.quiet = false;
	tape.broken[0] = '\0';
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	struct place *p = *state;
	struct why why;
	enum err e;

	for (unsigned i = 0; i < tape.n; i++)
		free(tape.v[i].bytes);
	tape.n = 0;
	tape.on = tape.quiet = false;
	close(p->dir);
	e = remove_tree(p->top, strrchr(p->path, '/') + 1, &why);
	close(p->top);
	free(p);
	return (int)e;
}

/* ---- what is written ---- */

/* Two records each; some batches take an older one away, some grow the tree. */
static enum err write_batch(struct kv *kv, unsigned n, struct why *why)
{
	struct kv_batch b = { .b = { .max = 4 * MiB } };
	uint8_t value[3000];
	char key[32];
	enum err e;

	memset(value, (int)n, sizeof(value));
	for (int i = 0; i < 2; i++) {
		snprintf(key, sizeof(key), "%c/%u", "ab"[i], n);
		kv_batch_put(&b, key, (struct bytes){ value, n % 3 ? 40 : sizeof(value) });
		snprintf(key, sizeof(key), "%c/%u", "ab"[i], n - 5);
		if (n >= 5 && n % 2)
			kv_batch_put(&b, key, (struct bytes){ NULL, 0 });
	}
	e = kv_write(kv, &b, why);
	buf_done(&b.b);
	return e;
}

static void record(struct place *p)
{
	struct kv *kv = NULL;
	struct why why;

	tape.on = true;
	assert_int_equal(kv_open(p->dir, p->path, 1, NULL, 0, &kv, &why), OK);
	note(OPENED);
	for (unsigned n = 0; n < BATCHES; n++) {
		assert_int_equal(write_batch(kv, n, &why), OK);
		note(ACKNOWLEDGED)->batch = n;
	}
	kv_close(kv);
	tape.on = false;
	assert_true(tape.n > 5 * BATCHES); /* it went through our hands */
}

/* ---- what is found ---- */

struct found {
	bool has[2][BATCHES];
};

static bool see(void *ctx, const char *key, struct bytes value)
{
	struct found *f = ctx;
	uint64_t n;

	if (parse_u64(key + 2, &n, NULL) == OK && n < BATCHES && value.n > 0 &&
		value.p[0] == (uint8_t)n)
		f->has[key[0] == 'b'][n] = true;
	return true;
}

/* After batch `last`, which are there: batch n takes n - 5 away when it is odd. */
static bool expected(unsigned n, int last)
{
	return (int)n <= last && !((n + 5) % 2 && (int)(n + 5) <= last);
}

/* True when the records are those after batch `last`, exactly. */
static bool is_after(const struct found *f, int last)
{
	for (unsigned n = 0; n < BATCHES; n++)
		if (f->has[0][n] != expected(n, last) || f->has[1][n] != expected(n, last))
			return false;
	return true;
}

/* NULL when the store is as it must be; else what is wrong with it. */
static const char *judge(struct place *p, int acknowledged)
{
	struct found f = { .has = { { false } } };
	static char text[600];
	struct kv *kv = NULL;
	struct why why;
	enum err e = kv_open(p->dir, p->path, 1, NULL, 0, &kv, &why);

	if (e) {
		snprintf(text, sizeof(text), "it does not open: %.200s", why.text);
		return text;
	}
	e = kv_scan(kv, "a/", NULL, see, &f, &why);
	if (!e)
		e = kv_scan(kv, "b/", NULL, see, &f, &why);
	snprintf(text, sizeof(text), "%.200s", e ? why.text : "");
	/* the batch under way may be there whole */
	if (!e && !is_after(&f, acknowledged) && !is_after(&f, acknowledged + 1)) {
		snprintf(text, sizeof(text), "it holds neither %d batches nor %d", acknowledged + 1,
			acknowledged + 2);
		e = ERR_internal;
	}
	if (!e) {
		e = write_batch(kv, 0, &why);
		if (e)
			snprintf(text, sizeof(text), "it takes nothing: %.200s", why.text);
	}
	kv_close(kv);
	return e ? text : NULL;
}

/* ---- the disk after power was lost ---- */

enum loss { LOSE_NONE, LOSE_ONE, LOSE_ALL, KEEP_ONE };

/* Whether event i of the first n had reached the disk for sure. */
static bool is_durable(unsigned i, unsigned n)
{
	if (tape.v[i].durable)
		return true;
	for (unsigned k = i + 1; k < n; k++)
		if (tape.v[k].kind == (tape.v[i].kind == RENAMED ? SETTLED : FLUSHED))
			return true; /* a name is on disk with its directory */
	return false;
}

static bool lost(unsigned i, unsigned n, enum loss loss, unsigned which)
{
	if (loss == LOSE_NONE || is_durable(i, n))
		return false;
	return loss == LOSE_ALL || (loss == LOSE_ONE) == (i == which);
}

static void make_disk(struct place *p, unsigned n, enum loss loss, unsigned which)
{
	own_fd fd = -1;
	const char *name = "store.mdb.new";
	off_t size = 0;

	for (unsigned i = 0; i < n; i++)
		if (tape.v[i].kind == RENAMED && !lost(i, n, loss, which))
			name = "store.mdb";
	(void)!unlinkat(p->dir, "store.mdb", 0);
	(void)!unlinkat(p->dir, "store.mdb-lock", 0);
	fd = openat(p->dir, name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	for (unsigned i = 0; i < n; i++) {
		const struct event *e = &tape.v[i];

		if (e->kind == GREW && !lost(i, n, loss, which))
			size = MAX(size, e->at);
		if (e->kind == WROTE && !lost(i, n, loss, which))
			assert_int_equal(__real_pwrite(fd, e->bytes, e->n, e->at), e->n);
	}
	if (size > lseek(fd, 0, SEEK_END))
		assert_int_equal(ftruncate(fd, size), 0);
}

struct tried {
	unsigned states, bad;
	char first[800];
};

static void one_state(struct place *p, struct tried *t, unsigned n, enum loss loss, unsigned which,
	int acknowledged)
{
	static const char *const words[] = { "all kept", "one lost", "all lost", "one kept" };
	const char *wrong;

	make_disk(p, n, loss, which);
	wrong = judge(p, acknowledged);
	t->states++;
	if (wrong && t->bad++ == 0)
		snprintf(t->first, sizeof(t->first), "after %u of %u events, %s (%u): %s", n,
			tape.n, words[loss], which, wrong);
}

static struct tried replay(struct place *p)
{
	struct tried t = { .states = 0 };
	int acknowledged = -1;

	tape.quiet = true;
	for (unsigned n = 0; n <= tape.n; n++) {
		if (n > 0 && tape.v[n - 1].kind == ACKNOWLEDGED)
			acknowledged = (int)tape.v[n - 1].batch;
		one_state(p, &t, n, LOSE_NONE, 0, acknowledged);
		one_state(p, &t, n, LOSE_ALL, 0, acknowledged);
		for (unsigned i = 0; i < n; i++)
			if ((tape.v[i].kind == WROTE || tape.v[i].kind == GREW ||
				    tape.v[i].kind == RENAMED) &&
				!is_durable(i, n)) {
				one_state(p, &t, n, LOSE_ONE, i, acknowledged);
				one_state(p, &t, n, KEEP_ONE, i, acknowledged);
			}
	}
	tape.quiet = false;
	return t;
}

static void every_moment(void **state)
{
	struct tried t;

	record(*state);
	t = replay(*state);
	print_message("# %u events, %u states of the disk\n", tape.n, t.states);
	check_row(t.bad == 0, "%u of %u states: %s", t.bad, t.states, t.first);
}

/* The same with a mistake in it: a test that cannot fail proves nothing. */
static void mistakes_are_seen(void **state)
{
	struct tried t;

	str_copy(tape.broken, sizeof(tape.broken), "no flush of pages");
	record(*state);
	t = replay(*state);
	check_row(t.bad > 0, "a store that does not flush survives all of %u states", t.states);
}

/* ---- files that a record stands on ---- */

struct told {
	struct kv_waiter waiter;
	bool done;
};

static void told(void *ctx, const struct why *why)
{
	assert_null(why);
	((struct told *)ctx)->done = true;
}

static bool flush(void *ctx)
{
	world_store_flush(ctx);
	return false;
}

static size_t inode(struct place *p, const char *path)
{
	struct stat st;

	assert_int_equal(fstatat(p->dir, path, &st, 0), 0);
	return (size_t)st.st_ino;
}

/* Whether that inode was flushed between the renaming and event n. */
static bool settled(size_t ino, unsigned n)
{
	bool behind = false;

	for (unsigned i = 0; i < n; i++) {
		behind |= tape.v[i].kind == RENAMED;
		if (behind && tape.v[i].kind == SETTLED && tape.v[i].n == ino)
			return true;
	}
	return false;
}

/*
 * A directory gets its name, then its record: whatever of the record's batch reaches the disk,
 * files, directory and the names that lead to it were there before.
 */
static void files_before_their_record(void **state)
{
	static const char *const paths[] = { "image/q7/root.ext4", "image/q7/work.ext4", "image/q7",
		"image" };
	struct place *p = *state;
	struct kv_batch b = { .b = { .max = 4 * KiB } };
	struct turn_hook hook = { 0 };
	struct told t = { .done = false };
	struct loop *loop;
	struct world *w;
	char run[80];
	unsigned writes = 0;
	struct why why;

	assert_int_equal(make_dirs(p->dir, "image/.q7", &why), OK);
	assert_int_equal(write_file(p->dir, "image/.q7/root.ext4", 0600, BYTES("root"), &why), OK);
	assert_int_equal(write_file(p->dir, "image/.q7/work.ext4", 0600, BYTES("work"), &why), OK);
	snprintf(run, sizeof(run), "%s/run", p->path);
	assert_int_equal(mkdirat(p->dir, "run", 0700), 0);
	assert_int_equal(loop_new(&loop, &why), OK);
	assert_int_equal(world_linux_new(loop, p->path, run, 1, &w, &why), OK);
	turn_hook_add(loop, &hook, flush, w);
	tape.on = true;
	assert_int_equal(world_rename(w, STATE, "image/.q7", "image/q7", &why), OK);
	if (tape.n == 0) /* by another call */
		note(RENAMED);
	world_settle(w, "image/q7");
	t.waiter = (struct kv_waiter){ .done = told, .ctx = &t };
	kv_batch_put(&b, "image/q7", BYTES("x"));
	world_kv_commit(w, &b, &t.waiter);
	while (!t.done)
		loop_turn(loop, true);
	tape.on = false;
	for (unsigned n = 0; n < tape.n; n++)
		for (size_t i = 0; tape.v[n].kind == WROTE && i < COUNT(paths); i++, writes++)
			check_row(settled(inode(p, paths[i]), n), "%s is not on disk before a page "
				"of its record (event %u)", paths[i], n);
	assert_true(writes >= COUNT(paths));
	turn_hook_del(&hook);
	world_linux_free(w);
	loop_free(loop);
}

#define IN_PLACE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_PLACE(every_moment),
		IN_PLACE(mistakes_are_seen),
		IN_PLACE(files_before_their_record),
	};

	return RUN(tests);
}
