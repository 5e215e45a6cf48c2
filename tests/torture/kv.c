/*
 * torture/kv.c - the store is opened, written and read while system calls fail: what was told to be
 * on disk is there when it is opened again, and no batch is there by half.
 */
#include "tests/torture/torture.h"

#include <fcntl.h>
#include <unistd.h>

#include "kv/kv.h"
#include "sys/beneath.h"

static bool count(void *ctx, const char *key UNUSED, struct bytes value)
{
	*(unsigned *)ctx += value.n == 5;
	return true;
}

static bool write_two(struct kv *kv)
{
	struct kv_batch b = { .b = { .max = 64 * KiB } };
	struct why why;
	enum err e;

	kv_batch_put(&b, "vm/a", (struct bytes){ (const uint8_t *)"value", 5 });
	kv_batch_put(&b, "vm/b", (struct bytes){ (const uint8_t *)"value", 5 });
	e = kv_write(kv, &b, &why);
	buf_done(&b.b);
	return e == OK;
}

static void open_write_scan(int dir, const char *path)
{
	struct kv *kv = NULL;
	bool written = false;
	unsigned n = 0;
	struct why why;

	if (kv_open(dir, path, 1, NULL, 0, &kv, &why) == OK) {
		written = write_two(kv);
		torture_must(kv_scan(kv, "vm/", NULL, count, &n, &why) == OK || torture_struck());
		kv_close(kv);
	} else {
		torture_must(torture_struck());
	}
	torture_off();
	n = 0;
	must(!kv_open(dir, path, 1, NULL, 0, &kv, &why));
	must(!kv_scan(kv, "vm/", NULL, count, &n, &why));
	torture_must(written ? n == 2 : (n == 0 || n == 2));
	kv_close(kv);
	torture_on();
}

static void store(void)
{
	char path[] = "/tmp/banger-torture-XXXXXX";
	struct why why;
	int dir, top;

	torture_off();
	must(mkdtemp(path));
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	top = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	must(dir >= 0 && top >= 0);
	torture_on();
	open_write_scan(dir, path);
	torture_off();
	must(!remove_tree(top, path + strlen("/tmp/"), &why));
	close(dir);
	close(top);
	torture_on();
}

static const struct scenario scenarios[] = {
	{ .name = "the store from opening to closing", .run = store },
};

TORTURE(scenarios)
