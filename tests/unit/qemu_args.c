/*
 * unit/qemu_args.c - QEMU's command line: what each part of a machine adds, and what it leaves out.
 */
#include "tests/unit/unit.h"

#include "vmm/qemu_args.h"

static const struct qemu_machine plain = { .program = "/usr/bin/qemu",
	.id = "abc",
	.vcpus = 2,
	.memory = 256 * MiB,
	.kernel = "/k",
	.initrd = "/i",
	.cmdline = "console=ttyS0 a,b",
	.disks = { { .id = "root", .path = "/a,b/root.raw", .format = "raw" } },
	.disks_n = 1,
	.nics = { { .kind = QEMU_NIC_USER } },
	.nics_n = 1,
	.control = { .fd = 10 },
	.agent = { .fd = 11 },
	.console = { .fd = 12 },
	.sandbox = true };

static char **built(const struct qemu_machine *m, struct arena *a)
{
	char **argv;
	struct why why;

	assert_int_equal(qemu_args(m, a, &argv, &why), OK);
	return argv;
}

/* The value behind an option, the nth time that it stands there; NULL when it does not. */
static const char *value(char **argv, const char *option, unsigned nth)
{
	for (; *argv; argv++)
		if (str_eq(*argv, option) && nth-- == 0)
			return argv[1];
	return NULL;
}

static bool has(char **argv, const char *word)
{
	for (; *argv; argv++)
		if (str_eq(*argv, word))
			return true;
	return false;
}

static void a_plain_machine(void **state UNUSED)
{
	struct arena a = { .max = 64 * KiB };
	char **argv = built(&plain, &a);

	assert_string_equal(argv[0], "/usr/bin/qemu");
	assert_string_equal(value(argv, "-name", 0), "banger-abc");
	assert_string_equal(value(argv, "-accel", 0), "tcg,thread=multi");
	assert_string_equal(value(argv, "-m", 0), "268435456B");
	assert_string_equal(value(argv, "-smp", 0), "2");
	assert_string_equal(value(argv, "-append", 0), "console=ttyS0 a,b");
	assert_string_equal(value(argv, "-drive", 0),
		"id=root,file=/a,,b/root.raw,format=raw,if=none,discard=unmap,cache=writeback");
	assert_string_equal(value(argv, "-netdev", 0), "user,id=net0");
	assert_true(has(argv, "virtserialport,chardev=agent,name=banger"));
	assert_true(has(argv, "socket,id=agent,fd=11,server=on,wait=off"));
	assert_null(value(argv, "-runas", 0));
	assert_non_null(strstr(value(argv, "-sandbox", 0), "elevateprivileges=deny"));
	arena_done(&a);
}

static void a_jailed_machine(void **state UNUSED)
{
	struct arena a = { .max = 64 * KiB };
	struct qemu_machine m = plain;
	char **argv;

	m.kvm = m.runs_as = true;
	m.uid = 70001;
	m.initrd = NULL;
	m.cid = 77;
	m.console = (struct qemu_socket){ .path = "/run/console.sock" };
	m.disks[0] = (struct qemu_disk){
		.id = "root", .fd = 20, .format = "raw", .read_only = true, .cache = QEMU_UNSAFE
	};
	m.disks[1] = (struct qemu_disk){ .id = "work", .fd = 21, .format = "raw" };
	m.disks_n = 2;
	m.nics[0] = (struct qemu_nic){
		.kind = QEMU_NIC_TAP, .ifname = "bngr-abc", .mac = "52:54:00:00:00:01"
	};
	m.nics[1] = (struct qemu_nic){ .kind = QEMU_NIC_TAP_FD, .fd = 22 };
	m.nics_n = 2;
	argv = built(&m, &a);
	assert_string_equal(value(argv, "-accel", 0), "kvm");
	assert_string_equal(value(argv, "-runas", 0), "70001:70001");
	assert_non_null(strstr(value(argv, "-sandbox", 0), "elevateprivileges=allow"));
	assert_null(value(argv, "-initrd", 0));
	assert_true(has(argv, "vhost-vsock-device,guest-cid=77"));
	assert_false(has(argv, "virtserialport,chardev=agent,name=banger"));
	assert_true(has(argv, "socket,id=console,path=/run/console.sock,server=on,wait=off"));
	assert_string_equal(value(argv, "-add-fd", 0), "fd=20,set=1");
	assert_string_equal(value(argv, "-add-fd", 1), "fd=21,set=2");
	assert_string_equal(value(argv, "-drive", 0),
		"id=root,file=/dev/fdset/1,format=raw,if=none,discard=unmap,cache=unsafe,"
		"readonly=on");
	assert_string_equal(
		value(argv, "-netdev", 0), "tap,id=net0,ifname=bngr-abc,script=no,downscript=no");
	assert_string_equal(value(argv, "-netdev", 1), "tap,id=net1,fd=22");
	assert_true(has(argv, "virtio-net-device,netdev=net0,mac=52:54:00:00:00:01"));
	arena_done(&a);
}

static void every_ceiling_is_an_error(void **state UNUSED)
{
	struct qemu_machine m = plain;
	struct why why;

	for (unsigned i = 0; i < QEMU_DISKS_MAX; i++)
		m.disks[i] = plain.disks[0];
	m.disks_n = QEMU_DISKS_MAX;
	m.nics_n = QEMU_NICS_MAX;
	for (size_t room = 0;; room += 64) {
		struct arena a = { .max = room + 1 };
		char **argv = NULL;
		enum err e = qemu_args(&m, &a, &argv, &why);

		arena_done(&a);
		if (e == OK) {
			assert_true(room > 1024);
			return;
		}
		assert_int_equal(e, ERR_too_large);
		assert_null(argv);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_plain_machine),
		TEST(a_jailed_machine),
		TEST(every_ceiling_is_an_error),
	};

	return RUN(tests);
}
