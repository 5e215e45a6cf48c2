/*
 * unit/room.c - memory_room on hosts that are directories: with and without limits, of both
 * versions of control groups.
 */
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sys/beneath.h"
#include "sys/memory.h"

#define MEMINFO "MemTotal: 9999 kB\nMemFree: 1 kB\nMemAvailable:    1000 kB\nBuffers: 5 kB\n"

struct file {
	const char *path, *text;
};

static const struct {
	struct file files[10];
	uint64_t room;
} hosts[] = {
	{ { { NULL, NULL } }, UINT64_MAX },
	{ { { "proc/meminfo", MEMINFO } }, 1000 * KiB },
	{ { { "proc/meminfo", MEMINFO }, { "proc/self/cgroup", "0::/a/b\n" } }, 1000 * KiB },
	/* the nearest limit is not the least; what a cache takes is free */
	{ { { "proc/meminfo", MEMINFO }, { "proc/self/cgroup", "0::/a/b\n" },
		  { "sys/fs/cgroup/a/memory.max", "500000\n" },
		  { "sys/fs/cgroup/a/memory.current", "450000\n" },
		  { "sys/fs/cgroup/a/memory.stat", "anon 5\nfile 70000\ninactive_file 60000\n" },
		  { "sys/fs/cgroup/a/b/memory.max", "max\n" },
		  { "sys/fs/cgroup/a/b/memory.current", "450000\n" } },
		110000 },
	{ { { "proc/meminfo", MEMINFO }, { "proc/self/cgroup", "0::/a\n" },
		  { "sys/fs/cgroup/a/memory.max", "400000\n" },
		  { "sys/fs/cgroup/a/memory.current", "450000\n" } },
		0 },
	{ { { "proc/meminfo", MEMINFO },
		  { "proc/self/cgroup", "4:cpu,cpuacct:/c\n3:memory:/m\n0::/\n" },
		  { "sys/fs/cgroup/memory/m/memory.limit_in_bytes", "300000\n" },
		  { "sys/fs/cgroup/memory/m/memory.usage_in_bytes", "100000\n" } },
		200000 },
	{ { { "proc/meminfo", MEMINFO }, { "proc/self/cgroup", "nothing that makes sense\n::\n" } },
		1000 * KiB },
};

static void put(int root, const struct file *f)
{
	char part[256];
	struct why why;

	for (const char *at = strchr(f->path, '/'); at; at = strchr(at + 1, '/')) {
		snprintf(part, sizeof(part), "%.*s", (int)(at - f->path), f->path);
		assert_true(mkdirat(root, part, 0700) == 0 || errno == EEXIST);
	}
	assert_int_equal(write_file(root, f->path, 0600,
				 (struct bytes){ (const uint8_t *)f->text, strlen(f->text) }, &why),
		OK);
}

static void least_of_all(void **state UNUSED)
{
	own_fd tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	for (size_t i = 0; i < COUNT(hosts); i++) {
		char path[] = "/tmp/banger-room-XXXXXX";
		own_fd root = -1;
		struct why why;

		assert_non_null(mkdtemp(path));
		root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		for (unsigned k = 0; hosts[i].files[k].path; k++)
			put(root, &hosts[i].files[k]);
		check_row(memory_room(root) == hosts[i].room, "host %zu: %llu", i,
			(unsigned long long)memory_room(root));
		assert_int_equal(remove_tree(tmp, path + strlen("/tmp/"), &why), OK);
	}
}

static void of_this_host(void **state UNUSED)
{
	own_fd root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	uint64_t room = memory_room(root);

	assert_true(room > 0 && room < UINT64_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(least_of_all),
		cmocka_unit_test(of_this_host),
	};

	return RUN(tests);
}
