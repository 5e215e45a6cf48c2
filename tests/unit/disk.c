/*
 * unit/disk.c - overlays as QEMU's own tool sees them: sound, and with the backing file's content.
 */
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sys/beneath.h"
#include "sys/disk.h"

struct place {
	char path[64], backing[96], overlay[96];
};

static int setup(void **state)
{
	struct place *p = calloc(1, sizeof(*p));
	int fd;

	assert_non_null(p);
	snprintf(p->path, sizeof(p->path), "/tmp/banger-disk-XXXXXX");
	assert_non_null(mkdtemp(p->path));
	snprintf(p->backing, sizeof(p->backing), "%s/base.raw", p->path);
	snprintf(p->overlay, sizeof(p->overlay), "%s/over.qcow2", p->path);
	fd = open(p->backing, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(pwrite(fd, "first bytes", 11, 0), 11);
	assert_int_equal(pwrite(fd, "a far one", 9, 3 * 1024 * 1024), 9);
	assert_int_equal(ftruncate(fd, 4 * 1024 * 1024), 0);
	close(fd);
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	struct place *p = *state;
	own_fd tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct why why;
	enum err e = remove_tree(tmp, p->path + strlen("/tmp/"), &why);

	free(p);
	return (int)e;
}

/* Runs qemu-img and keeps the beginning of what it said; -1 when it is not installed. */
static int qemu_img(char *const argv[], char *out, size_t size)
{
	int pipes[2], status;
	size_t have = 0;
	ssize_t n;
	pid_t pid;

	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		dup2(pipes[1], 1);
		dup2(pipes[1], 2);
		execvp("qemu-img", argv);
		_exit(127);
	}
	close(pipes[1]);
	while (have + 1 < size && (n = read(pipes[0], out + have, size - 1 - have)) > 0)
		have += (size_t)n;
	out[have] = '\0';
	close(pipes[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) && WEXITSTATUS(status) != 127 ? WEXITSTATUS(status) : -1;
}

static enum err lay_over(struct place *p, uint64_t size, struct why *why)
{
	own_fd fd = open(p->overlay, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	return qcow2_overlay(fd, p->backing, size, why);
}

#define QEMU_IMG(...) ((char *[]){ name, __VA_ARGS__, NULL })

static void sound_for_qemu(void **state)
{
	static const uint64_t sizes[] = { 512, 65536, 4 * MiB, 4 * MiB + 512, 512 * MiB,
		512 * MiB + 512, 8 * GiB, 1024 * GiB, 8192 * GiB };
	struct place *p = *state;
	char name[] = "qemu-img", check[] = "check", info[] = "info", json[] = "--output=json";
	char out[8192], want[64];
	struct why why;

	for (size_t i = 0; i < COUNT(sizes); i++) {
		int got;

		assert_int_equal(lay_over(p, sizes[i], &why), OK);
		got = qemu_img(QEMU_IMG(check, p->overlay), out, sizeof(out));
		if (got < 0) {
			print_message("qemu-img is not installed\n");
			skip();
		}
		check_row(got == 0, "%llu: %s", (unsigned long long)sizes[i], out);
		assert_int_equal(qemu_img(QEMU_IMG(info, json, p->overlay), out, sizeof(out)), 0);
		snprintf(want, sizeof(want), "\"virtual-size\": %llu,",
			(unsigned long long)sizes[i]);
		check_row(strstr(out, want), "%s", out);
		check_row(strstr(out, "\"backing-filename-format\": \"raw\""), "%s", out);
		check_row(strstr(out, p->backing), "%s", out);
	}
}

/* Compared byte by byte: what lies behind the backing file's end is zero in both. */
static void reads_what_lies_below(void **state)
{
	static const uint64_t sizes[] = { 4 * MiB, 16 * MiB };
	struct place *p = *state;
	char name[] = "qemu-img", compare[] = "compare", format[] = "-f", raw[] = "raw",
	     other[] = "-F", qcow2[] = "qcow2", out[4096];
	struct why why;

	for (size_t i = 0; i < COUNT(sizes); i++) {
		int got;

		assert_int_equal(lay_over(p, sizes[i], &why), OK);
		got = qemu_img(QEMU_IMG(compare, format, raw, other, qcow2, p->backing,
				       p->overlay), out, sizeof(out));
		if (got < 0) {
			print_message("qemu-img is not installed\n");
			skip();
		}
		check_row(got == 0, "%s", out);
	}
}

/* Grown, an overlay is sound and reads as before; what is new is zero. */
static void grows(void **state)
{
	static const uint64_t sizes[][2] = { { 4 * MiB, 16 * MiB }, { 512, 512 * MiB + 512 },
		{ 8 * GiB, 4095 * GiB }, { 4 * MiB, 4 * MiB }, { 5000 * GiB, 8000 * GiB } };
	struct place *p = *state;
	char name[] = "qemu-img", check[] = "check", info[] = "info", json[] = "--output=json";
	char out[8192], want[64];
	struct why why;

	for (size_t i = 0; i < COUNT(sizes); i++) {
		own_fd fd = -1;
		int got;

		assert_int_equal(lay_over(p, sizes[i][0], &why), OK);
		fd = open(p->overlay, O_RDWR | O_CLOEXEC);
		assert_int_equal(qcow2_grow(fd, sizes[i][1], &why), OK);
		assert_int_equal(qcow2_grow(fd, 512, &why), OK); /* never shorter */
		got = qemu_img(QEMU_IMG(check, p->overlay), out, sizeof(out));
		if (got < 0) {
			print_message("qemu-img is not installed\n");
			skip();
		}
		check_row(got == 0, "%zu: %s", i, out);
		assert_int_equal(qemu_img(QEMU_IMG(info, json, p->overlay), out, sizeof(out)), 0);
		snprintf(want, sizeof(want), "\"virtual-size\": %llu,",
			(unsigned long long)sizes[i][1]);
		check_row(strstr(out, want), "%s", out);
	}
}

static void grows_not(void **state)
{
	struct place *p = *state;
	uint8_t byte = 0xff;
	struct why why;
	own_fd fd = -1;

	assert_int_equal(lay_over(p, GiB, &why), OK);
	fd = open(p->overlay, O_RDWR | O_CLOEXEC);
	assert_int_equal(qcow2_grow(fd, 5000 * GiB, &why), ERR_too_large);
	assert_non_null(strstr(why.text, "4 TiB"));
	assert_int_equal(qcow2_grow(fd, GiB + 1, &why), ERR_invalid_value);
	assert_int_equal(pwrite(fd, &byte, 1, 79), 1); /* a feature that is not ours */
	assert_int_equal(qcow2_grow(fd, 2 * GiB, &why), ERR_conflict);
	assert_int_equal(pwrite(fd, &byte, 1, 0), 1);
	assert_int_equal(qcow2_grow(fd, 2 * GiB, &why), ERR_invalid_value);
	assert_int_not_equal(qcow2_grow(-1, 2 * GiB, &why), OK);
}

static void refuses(void **state)
{
	struct place *p = *state;
	char longest[1100];
	own_fd fd = open(p->overlay, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	struct why why;

	memset(longest, 'x', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	assert_int_equal(qcow2_overlay(fd, longest, MiB, &why), ERR_too_large);
	assert_int_equal(qcow2_overlay(fd, p->backing, 0, &why), ERR_invalid_value);
	assert_int_equal(qcow2_overlay(fd, p->backing, 513, &why), ERR_invalid_value);
	assert_int_equal(qcow2_overlay(fd, p->backing, UINT64_MAX - 511, &why), ERR_invalid_value);
	assert_int_equal(disk_used(fd), 0);
	assert_int_equal(disk_used(-1), 0);
}

static void reflink_or_unsupported(void **state)
{
	struct place *p = *state;
	own_fd from = open(p->backing, O_RDONLY | O_CLOEXEC);
	own_fd to = open(p->overlay, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	struct why why;
	enum err e = disk_reflink(to, from, &why);
	struct stat st;

	assert_true(e == OK || e == ERR_unsupported);
	assert_int_equal(fstat(to, &st), 0);
	assert_int_equal(st.st_size, e == OK ? 4 * 1024 * 1024 : 0);
}

#define IN_PLACE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_PLACE(sound_for_qemu),
		IN_PLACE(reads_what_lies_below),
		IN_PLACE(grows),
		IN_PLACE(grows_not),
		IN_PLACE(refuses),
		IN_PLACE(reflink_or_unsupported),
	};

	return RUN(tests);
}
