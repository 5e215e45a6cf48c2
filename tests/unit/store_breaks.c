/*
 * unit/store_breaks.c - what the store makes of a disk that fails: LMDB's own calls are made to
 * fail, each in turn (the linker puts ours before them).
 *
 * Lack of space is an answer, and life goes on. Any other failure ends the writing: nothing is
 * acknowledged from then on, and who opens the file anew finds every batch that was, whole.
 */
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/text.h"
#include "kv/kv.h"
#include "sys/beneath.h"
#include "world/world_linux.h"

/* ---- the disk ---- */

static struct {
	unsigned count, fail_at; /* calls so far; the one that fails, 0 for none */
	int error;
	bool lasting; /* and every later one */
	bool only_fsync; /* of other files than the store's */
} disk;

static bool strikes(void)
{
	unsigned n = __atomic_add_fetch(&disk.count, 1, __ATOMIC_SEQ_CST);

	if (disk.fail_at == 0 || (disk.lasting ? n < disk.fail_at : n != disk.fail_at))
		return false;
	errno = disk.error;
	return true;
}

#define WRAP(result, name, params, args) \
	result __real_##name params; \
	result __wrap_##name params; \
	result __wrap_##name params \
	{ \
		return !disk.only_fsync && strikes() ? -1 : __real_##name args; \
	}
WRAP(ssize_t, pwrite, (int fd, const void *p, size_t n, off_t at), (fd, p, n, at))
WRAP(ssize_t, pwritev, (int fd, const struct iovec *v, int n, off_t at), (fd, v, n, at))
WRAP(ssize_t, writev, (int fd, const struct iovec *v, int n), (fd, v, n))
WRAP(int, fdatasync, (int fd), (fd))
WRAP(int, fallocate, (int fd, int mode, off_t at, off_t n), (fd, mode, at, n))

int __real_syncfs(int fd);
int __wrap_syncfs(int fd);
int __wrap_syncfs(int fd)
{
	return strikes() ? -1 : __real_syncfs(fd);
}

int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __wrap_fsync(int fd)
{
	return strikes() ? -1 : __real_fsync(fd);
}

static void disk_fails(unsigned at, int error, bool lasting)
{
	disk.count = 0;
	disk.fail_at = at;
	disk.error = error;
	disk.lasting = lasting;
	disk.only_fsync = false;
}

static void disk_is_well(void)
{
	disk_fails(0, 0, false);
}

/* ---- the place ---- */

struct place {
	char path[64];
	int dir, top;
};

static int setup(void **state)
{
	struct place *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	disk_is_well();
	snprintf(p->path, sizeof(p->path), "/tmp/banger-breaks-XXXXXX");
	assert_non_null(mkdtemp(p->path));
	p->dir = open(p->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	p->top = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(p->dir >= 0 && p->top >= 0);
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	struct place *p = *state;
	struct why why;
	enum err e;

	disk_is_well();
	close(p->dir);
	e = remove_tree(p->top, p->path + strlen("/tmp/"), &why);
	close(p->top);
	free(p);
	return (int)e;
}

/* ---- the file alone ---- */

enum { BATCHES = 6 };

static enum err write_pair(struct kv *kv, unsigned n, struct why *why)
{
	struct kv_batch b = { .b = { .max = 4 * MiB } };
	char key[32];
	enum err e;

	for (int i = 0; i < 2; i++) {
		snprintf(key, sizeof(key), "%c/%u", "ab"[i], n);
		kv_batch_put(&b, key, BYTES("a value"));
	}
	e = kv_write(kv, &b, why);
	buf_done(&b.b);
	return e;
}

static bool note(void *ctx, const char *key, struct bytes value UNUSED)
{
	bool(*seen)[BATCHES] = ctx;
	uint64_t n;

	assert_int_equal(parse_u64(key + 2, &n, NULL), OK);
	assert_true(n < BATCHES);
	seen[key[0] == 'b'][n] = true;
	return true;
}

/* Opens it anew: what was acknowledged is there, no batch is there by half. */
static void check_file(struct place *p, const bool acknowledged[BATCHES])
{
	bool seen[2][BATCHES] = { { false } };
	struct kv *kv = NULL;
	struct why why;

	disk_is_well();
	assert_int_equal(kv_open(p->dir, p->path, 1, NULL, 0, &kv, &why), OK);
	assert_int_equal(kv_scan(kv, "a/", NULL, note, seen, &why), OK);
	assert_int_equal(kv_scan(kv, "b/", NULL, note, seen, &why), OK);
	for (unsigned n = 0; n < BATCHES; n++) {
		check_row(seen[0][n] == seen[1][n], "batch %u is there by half", n);
		check_row(seen[0][n] || !acknowledged[n], "batch %u is lost", n);
	}
	kv_close(kv);
	assert_int_equal(unlinkat(p->dir, "store.mdb", 0), 0);
}

/* False when the failure was behind the last call. */
static bool one_failure(struct place *p, unsigned at, int error, bool lasting, unsigned *ret_clean)
{
	bool acknowledged[BATCHES] = { false }, struck = false, broken = false;
	bool struck_last = false; /* in this batch */
	struct kv *kv = NULL;
	struct why why;

	assert_int_equal(kv_open(p->dir, p->path, 1, NULL, 0, &kv, &why), OK);
	disk_fails(at, error, lasting);
	for (unsigned n = 0; n < BATCHES; n++) {
		unsigned before = disk.count;
		enum err e = write_pair(kv, n, &why);

		acknowledged[n] = e == OK;
		check_row(e == OK || disk.count >= at, "failed before its time: %s", why.text);
		if (broken) {
			check_row(e == ERR_unavailable, "written on, after %u", at);
			assert_int_equal(disk.count, before); /* not even tried */
		}
		if (e && !struck && error != ENOSPC)
			check_row(kv_broken(kv), "call %u: %s", at, why.text);
		if (e && error == ENOSPC && !broken)
			check_row(e == ERR_no_space, "call %u: %s", at, why.text);
		struck_last = !struck && disk.count >= at;
		struck |= struck_last;
		broken = kv_broken(kv);
	}
	/* lack of space that is over is forgotten */
	if (error == ENOSPC && struck && !lasting) {
		check_row(broken || struck_last || acknowledged[BATCHES - 1],
			"call %u is held against it", at);
		*ret_clean += !broken;
	}
	kv_close(kv);
	check_file(p, acknowledged);
	return struck;
}

static void every_call_fails(void **state, int error)
{
	unsigned clean = 0;

	for (int lasting = 0; lasting < 2; lasting++) {
		unsigned n = 1;

		while (one_failure(*state, n, error, lasting, &clean))
			n++;
		check_row(n > BATCHES, "only %u calls were made", n); /* it is not for nothing */
	}
	/* all but the last page of each batch */
	check_row(error != ENOSPC || clean >= BATCHES, "only %u were clean", clean);
}

static void input_output_errors(void **state)
{
	every_call_fails(state, EIO);
}

static void no_space(void **state)
{
	every_call_fails(state, ENOSPC);
}

/* ---- behind the seam ---- */

struct told {
	struct kv_waiter waiter;
	unsigned times;
	enum err code;
};

struct rig {
	struct loop *loop;
	struct world *w;
	struct turn_hook hook;
	unsigned broke;
	char cause[400];
};

static void told(void *ctx, const struct why *why)
{
	struct told *t = ctx;

	t->times++;
	t->code = why ? why->code : OK;
}

static void on_broke(void *ctx, const struct why *why)
{
	struct rig *r = ctx;

	r->broke++;
	snprintf(r->cause, sizeof(r->cause), "%s", why->text);
}

static bool flush(void *ctx)
{
	world_store_flush(((struct rig *)ctx)->w);
	return false;
}

static void rig_up(struct rig *r, struct place *p)
{
	char run[80];
	struct why why = { .text = "" };

	*r = (struct rig){ .broke = 0 };
	snprintf(run, sizeof(run), "%s/run", p->path);
	assert_int_equal(mkdirat(p->dir, "run", 0700) < 0 && errno != EEXIST, 0);
	assert_int_equal(loop_new(&r->loop, &why), OK);
	check_row(world_linux_new(r->loop, p->path, run, 1, &r->w, &why) == OK, "%s", why.text);
	world_on_store_broken(r->w, on_broke, r);
	turn_hook_add(r->loop, &r->hook, flush, r);
}

static void rig_down(struct rig *r)
{
	turn_hook_del(&r->hook);
	world_linux_free(r->w);
	loop_free(r->loop);
}

static void commit(struct rig *r, struct told *t, const char *key)
{
	struct kv_batch b = { .b = { .max = 4 * KiB } };

	t->waiter = (struct kv_waiter){ .done = told, .ctx = t };
	kv_batch_put(&b, key, BYTES("x"));
	world_kv_commit(r->w, &b, &t->waiter);
}

static void run_until(struct rig *r, const unsigned *word)
{
	while (*word == 0)
		loop_turn(r->loop, true);
}

static void nobody_is_told_after_a_failed_flush(void **state)
{
	struct told good = { .times = 0 }, bad = { .times = 0 }, late = { .times = 0 };
	struct rig r;

	rig_up(&r, *state);
	commit(&r, &good, "vm/a");
	run_until(&r, &good.times);
	assert_int_equal(good.code, OK);
	disk_fails(1, EIO, true);
	commit(&r, &bad, "vm/b");
	run_until(&r, &r.broke);
	disk_is_well();
	assert_non_null(strstr(r.cause, "Input/output error"));
	commit(&r, &late, "vm/c");
	for (int i = 0; i < 10; i++)
		loop_turn(r.loop, false);
	rig_down(&r); /* what still waits is not written now either */
	assert_int_equal(bad.times + late.times, 0);
	assert_int_equal(r.broke, 1);

	rig_up(&r, *state);
	commit(&r, &late, "vm/d");
	run_until(&r, &late.times);
	assert_int_equal(late.code, OK);
	rig_down(&r);
}

static void no_space_is_an_answer(void **state)
{
	struct told bad = { .times = 0 }, good = { .times = 0 };
	struct rig r;

	rig_up(&r, *state);
	disk_fails(1, ENOSPC, true);
	commit(&r, &bad, "vm/b");
	run_until(&r, &bad.times);
	assert_int_equal(bad.code, ERR_no_space);
	disk_is_well();
	commit(&r, &good, "vm/c");
	run_until(&r, &good.times);
	assert_int_equal(good.code, OK);
	assert_int_equal(r.broke, 0);
	rig_down(&r);
}

/* What a commit stands on is flushed before it, and a commit that stands on nothing is not made. */
static void settles_before_it_commits(void **state)
{
	struct told t = { .times = 0 };
	struct place *p = *state;
	struct why why;
	unsigned plain;
	struct rig r;

	assert_int_equal(make_dirs(p->dir, "vm/q7", &why), OK);
	assert_int_equal(write_file(p->dir, "vm/q7/disk", 0600, BYTES("bytes"), &why), OK);
	rig_up(&r, p);
	disk_is_well();
	commit(&r, &t, "vm/a");
	run_until(&r, &t.times);
	plain = disk.count;
	disk_is_well();
	world_settle(r.w, "vm/q7");
	t.times = 0;
	commit(&r, &t, "vm/b");
	run_until(&r, &t.times);
	assert_int_equal(t.code, OK);
	/* the directory, its file, vm, and the top */
	assert_int_equal(disk.count, plain + 4);
	for (unsigned n = 1; n <= 4; n++) {
		disk_fails(n, EIO, false);
		disk.only_fsync = true;
		world_settle(r.w, "vm/q7");
		t.times = 0;
		commit(&r, &t, "vm/c");
		run_until(&r, &t.times);
		assert_int_not_equal(t.code, OK);
	}
	disk_is_well();
	world_settle(r.w, "vm/gone");
	t.times = 0;
	commit(&r, &t, "vm/d");
	run_until(&r, &t.times);
	assert_int_equal(t.code, ERR_not_found);
	t.times = 0;
	commit(&r, &t, "vm/e");
	run_until(&r, &t.times);
	assert_int_equal(t.code, OK);
	assert_int_equal(r.broke, 0);
	rig_down(&r);
}

static enum err settled(struct rig *r, unsigned machines)
{
	struct told t = { .times = 0 };
	char dir[32];

	for (unsigned i = 0; i < machines; i++) {
		snprintf(dir, sizeof(dir), "vm/m%u", i);
		world_settle(r->w, dir);
	}
	commit(r, &t, "vm/a");
	run_until(r, &t.times);
	return t.code;
}

/* More than can be kept open is flushed with its filesystem, and a failure of that is one, too. */
static void settles_any_number(void **state)
{
	enum { MANY = 200 };
	struct rlimit was, few;
	struct place *p = *state;
	char path[40];
	struct why why;
	struct rig r;

	for (unsigned i = 0; i < MANY; i++) {
		snprintf(path, sizeof(path), "vm/m%u", i);
		assert_int_equal(make_dirs(p->dir, path, &why), OK);
		snprintf(path, sizeof(path), "vm/m%u/disk", i);
		assert_int_equal(write_file(p->dir, path, 0600, BYTES("bytes"), &why), OK);
	}
	rig_up(&r, p);
	disk_is_well();
	assert_int_equal(settled(&r, MANY), OK);
	disk_fails(1, EIO, false);
	disk.only_fsync = true;
	assert_int_not_equal(settled(&r, MANY), OK);
	disk_is_well();
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
	few = (struct rlimit){ (rlim_t)dup(0) + 4, was.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	assert_int_equal(settled(&r, 3), OK);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
	assert_int_equal(settled(&r, 1), OK);
	assert_int_equal(r.broke, 0);
	rig_down(&r);
}

#define IN_PLACE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_PLACE(input_output_errors),
		IN_PLACE(no_space),
		IN_PLACE(nobody_is_told_after_a_failed_flush),
		IN_PLACE(no_space_is_an_answer),
		IN_PLACE(settles_before_it_commits),
		IN_PLACE(settles_any_number),
	};

	return RUN(tests);
}
