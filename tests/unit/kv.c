/*
 * unit/kv.c - the store file: batches, scans, schema versions, death in the middle, a full disk.
 */
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kv/kv.h"
#include "sys/beneath.h"

struct place {
	char path[64];
	int dir, top;
};

static int setup(void **state)
{
	struct place *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	snprintf(p->path, sizeof(p->path), "/tmp/banger-kv-XXXXXX");
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

	close(p->dir);
	e = remove_tree(p->top, p->path + strlen("/tmp/"), &why);
	close(p->top);
	free(p);
	return (int)e;
}

static struct kv *open_at(struct place *p, uint32_t version)
{
	struct kv *kv = NULL;
	struct why why = { .text = "" };
	enum err e = kv_open(p->dir, p->path, version, NULL, 0, &kv, &why);

	check_row(e == OK, "%s", why.text);
	return kv;
}

static enum err put(struct kv *kv, const char *key, const char *value, struct why *why)
{
	struct kv_batch b = { .b = { .max = 4 * MiB } };
	enum err e;

	kv_batch_put(&b, key,
		value ? (struct bytes){ (const uint8_t *)value, strlen(value) } :
			(struct bytes){ NULL, 0 });
	e = kv_write(kv, &b, why);
	buf_done(&b.b);
	return e;
}

struct list {
	char text[512];
	unsigned n, most;
};

static bool add(void *ctx, const char *key, struct bytes value)
{
	struct list *l = ctx;
	size_t n = strlen(l->text);

	snprintf(l->text + n, sizeof(l->text) - n, "%s=%.*s ", key, (int)value.n,
		(const char *)value.p);
	return ++l->n < l->most;
}

static const char *scan(struct kv *kv, const char *prefix, const char *after, unsigned most,
	struct list *l)
{
	struct why why;

	*l = (struct list){ .most = most };
	assert_int_equal(kv_scan(kv, prefix, after, add, l, &why), OK);
	return l->text;
}

static void put_scan_delete(void **state)
{
	struct kv *kv = open_at(*state, 1);
	struct why why;
	struct list l;

	assert_string_equal(scan(kv, "vm/", NULL, 9, &l), "");
	assert_int_equal(put(kv, "vm/b", "2", &why), OK);
	assert_int_equal(put(kv, "vm/a", "1", &why), OK);
	assert_int_equal(put(kv, "vm/c", "", &why), OK);
	assert_int_equal(put(kv, "vl/z", "no", &why), OK);
	assert_int_equal(put(kv, "vn/a", "no", &why), OK);
	assert_string_equal(scan(kv, "vm/", NULL, 9, &l), "vm/a=1 vm/b=2 vm/c= ");
	assert_string_equal(scan(kv, "vm/", NULL, 2, &l), "vm/a=1 vm/b=2 ");
	assert_string_equal(scan(kv, "vm/", "vm/b", 2, &l), "vm/c= ");
	assert_string_equal(scan(kv, "vm/", "vm/aa", 1, &l), "vm/b=2 ");
	assert_string_equal(scan(kv, "vm/", "vm/c", 2, &l), "");
	assert_int_equal(put(kv, "vm/b", "two", &why), OK);
	assert_int_equal(put(kv, "vm/a", NULL, &why), OK);
	assert_int_equal(put(kv, "vm/never", NULL, &why), OK);
	kv_close(kv);
	kv = open_at(*state, 1);
	assert_string_equal(scan(kv, "vm/", NULL, 9, &l), "vm/b=two vm/c= ");
	kv_close(kv);
}

static void batch_holds_together(void **state)
{
	struct kv *kv = open_at(*state, 1);
	struct kv_batch b = { .b = { .max = 64 } };
	struct why why;
	struct list l;

	kv_batch_put(&b, "vm/a", BYTES("1"));
	kv_batch_put(&b, "vm/b", BYTES("a value that is longer than all of the batch may be, so"));
	assert_int_equal(kv_write(kv, &b, &why), ERR_too_large);
	buf_done(&b.b);
	assert_string_equal(scan(kv, "vm/", NULL, 9, &l), "");
	kv_close(kv);
}

static enum err rename_all(struct kv *kv, struct why *why)
{
	enum err e = put(kv, "old/a", NULL, why);

	return e ? e : put(kv, "new/a", "1", why);
}

static enum err break_off(struct kv *kv, struct why *why)
{
	enum err e = put(kv, "new/half", "x", why);

	return e ? e : fail(why, ERR_internal, "half way");
}

static void migrates_and_keeps_a_copy(void **state)
{
	static const struct kv_migration bad[] = { { 1, rename_all }, { 2, break_off } };
	static const struct kv_migration good[] = { { 1, rename_all } };
	struct place *p = *state;
	struct kv *kv = open_at(p, 1);
	struct why why;
	struct list l;
	struct stat st;

	assert_int_equal(put(kv, "old/a", "1", &why), OK);
	kv_close(kv);
	assert_int_equal(kv_open(p->dir, p->path, 3, bad, 2, &kv, &why), ERR_internal);
	assert_int_equal(kv_open(p->dir, p->path, 3, good, 1, &kv, &why), ERR_version_mismatch);
	kv = open_at(p, 1); /* what broke off left nothing */
	assert_string_equal(scan(kv, "meta/", NULL, 9, &l), "meta/schema=1 ");
	assert_string_equal(scan(kv, "old/", NULL, 9, &l), "old/a=1 ");
	assert_string_equal(scan(kv, "new/", NULL, 9, &l), "");
	kv_close(kv);

	assert_int_equal(kv_open(p->dir, p->path, 2, good, 1, &kv, &why), OK);
	assert_string_equal(scan(kv, "meta/", NULL, 9, &l), "meta/schema=2 ");
	assert_string_equal(scan(kv, "old/", NULL, 9, &l), "");
	assert_string_equal(scan(kv, "new/", NULL, 9, &l), "new/a=1 ");
	kv_close(kv);
	assert_int_equal(fstatat(p->dir, "store.mdb.v1", &st, AT_SYMLINK_NOFOLLOW), 0);
	assert_int_equal(st.st_mode & 07777, 0600);

	assert_int_equal(kv_open(p->dir, p->path, 1, NULL, 0, &kv, &why), ERR_version_mismatch);
	assert_non_null(strstr(why.hint, "store.mdb.v1"));
	assert_int_equal(renameat(p->dir, "store.mdb.v1", p->dir, "store.mdb"), 0);
	kv = open_at(p, 1);
	assert_string_equal(scan(kv, "meta/", NULL, 9, &l), "meta/schema=1 ");
	assert_string_equal(scan(kv, "old/", NULL, 9, &l), "old/a=1 ");
	assert_string_equal(scan(kv, "new/", NULL, 9, &l), "");
	kv_close(kv);
}

/* Writes pairs a/N and b/N, and tells each one that is on disk. */
static void writer(struct place *p, int told, unsigned from)
{
	struct kv *kv;
	struct why why;

	if (kv_open(p->dir, p->path, 1, NULL, 0, &kv, &why))
		_exit(1);
	for (unsigned n = from;; n++) {
		struct kv_batch b = { .b = { .max = 4 * MiB } };
		char key[32];

		for (int i = 0; i < 2; i++) {
			snprintf(key, sizeof(key), "%c/%08u", "ab"[i], n);
			kv_batch_put(&b, key, BYTES("some bytes"));
		}
		if (kv_write(kv, &b, &why) || write(told, &n, sizeof(n)) != sizeof(n))
			_exit(1);
		buf_done(&b.b);
	}
}

static bool count(void *ctx, const char *key UNUSED, struct bytes value UNUSED)
{
	++*(unsigned *)ctx;
	return true;
}

static void killed_while_writing(void **state)
{
	struct place *p = *state;
	unsigned acknowledged = 0;

	for (int round = 0; round < 50; round++) {
		unsigned a = 0, b = 0, n;
		struct why why;
		struct kv *kv;
		int told[2];
		pid_t pid;

		assert_int_equal(pipe2(told, O_CLOEXEC), 0);
		pid = fork();
		assert_true(pid >= 0);
		if (pid == 0)
			writer(p, told[1], acknowledged);
		close(told[1]);
		for (int i = 0; i <= round % 7; i++)
			if (read(told[0], &n, sizeof(n)) == sizeof(n))
				acknowledged = n + 1;
		kill(pid, SIGKILL);
		while (read(told[0], &n, sizeof(n)) == sizeof(n))
			acknowledged = n + 1;
		assert_int_equal(waitpid(pid, NULL, 0), pid);
		close(told[0]);
		kv = open_at(p, 1);
		assert_int_equal(kv_scan(kv, "a/", NULL, count, &a, &why), OK);
		assert_int_equal(kv_scan(kv, "b/", NULL, count, &b, &why), OK);
		kv_close(kv);
		assert_int_equal(a, b);
		assert_true(a == acknowledged || a == acknowledged + 1);
		acknowledged = a;
	}
}

static bool put_text(const char *path, const char *text)
{
	own_fd fd = open(path, O_WRONLY | O_CLOEXEC);

	return fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
}

/* Mounts of its own; as a user who is not root, in a user namespace where it is. */
static bool own_mounts(void)
{
	char uids[32], gids[32];

	if (unshare(CLONE_NEWNS) == 0)
		return true;
	snprintf(uids, sizeof(uids), "0 %u 1", (unsigned)geteuid());
	snprintf(gids, sizeof(gids), "0 %u 1", (unsigned)getegid());
	return unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0 && put_text("/proc/self/uid_map", uids) &&
	       put_text("/proc/self/setgroups", "deny") && put_text("/proc/self/gid_map", gids);
}

/* In a child with a small tmpfs of its own; answers what went wrong, 77 when there is none. */
static int fill_up(struct place *p)
{
	own_mem char *value = calloc(1, 65537);
	unsigned written = 0, a = 0;
	struct kv *kv = NULL;
	struct why why;
	enum err e = OK;
	char key[32];
	int dir;

	if (!own_mounts() || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
		mount("tmpfs", p->path, "tmpfs", 0, "size=12m"))
		return 77;
	dir = open(p->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	memset(value, 'v', 65536);
	if (kv_open(dir, p->path, 1, NULL, 0, &kv, &why))
		return 1;
	for (; written < 1000 && !e; written += !e) {
		snprintf(key, sizeof(key), "a/%u", written);
		e = put(kv, key, value, &why);
	}
	if (e != ERR_no_space || written < 10)
		return 2;
	/* with no byte left on the disk, what was written can be taken away again */
	for (; a < 20; a++) {
		snprintf(key, sizeof(key), "a/%u", a);
		if (written < 30 || put(kv, key, NULL, &why))
			return 3;
	}
	written -= a;
	a = 0;
	kv_close(kv);
	if (kv_open(dir, p->path, 1, NULL, 0, &kv, &why) == OK) {
		if (kv_scan(kv, "a/", NULL, count, &a, &why) || a + 1 < written)
			return 4;
		kv_close(kv);
	} else if (why.code != ERR_no_space) {
		return 5;
	}
	return 0;
}

static void disk_is_full(void **state)
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0)
		_exit(fill_up(*state));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77) {
		print_message("no mount namespaces here\n");
		skip();
	}
	assert_int_equal(WEXITSTATUS(status), 0);
}

#define IN_PLACE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_PLACE(put_scan_delete),
		IN_PLACE(batch_holds_together),
		IN_PLACE(migrates_and_keeps_a_copy),
		IN_PLACE(killed_while_writing),
		IN_PLACE(disk_is_full),
	};

	return RUN(tests);
}
