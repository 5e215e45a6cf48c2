/*
 * unit/edit.c - a filesystem without a mount: which paths pass, and what is written is read back,
 * by us and by e2fsck. Images with junk in them are refused or read; nothing worse happens.
 */
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "helper/edit.h"

enum { IMAGE_BYTES = 4 * 1024 * 1024, TABLES_BYTES = 96 * 1024 };

static char image[] = "/tmp/banger-edit-XXXXXX";

static int run(char *const argv[])
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		int null = open("/dev/null", O_RDWR);

		dup2(null, 1);
		dup2(null, 2);
		execvp(argv[0], argv);
		_exit(127);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int setup(void **state UNUSED)
{
	char *argv[] = { (char[]){ "mke2fs" }, (char[]){ "-qF" }, (char[]){ "-t" },
		(char[]){ "ext4" }, image, NULL };
	int fd = mkstemp(image);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, IMAGE_BYTES), 0);
	close(fd);
	return run(argv);
}

static int teardown(void **state UNUSED)
{
	return unlink(image);
}

static int opened(void)
{
	int fd = open(image, O_RDWR | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static void paths(void **state UNUSED)
{
	static const char *const good[] = { "/a", "/a/b", "/.a", "/..a", "/a b\n" };
	char name[EDIT_NAME_MAX + 3], deep[2 * EDIT_DEPTH_MAX + 3] = "";

	for (size_t i = 0; i < COUNT(good); i++)
		check_row(!edit_check_path(good[i]), "%s", good[i]);
	assert_non_null(edit_check_path("/"));
	assert_non_null(edit_check_path(""));
	assert_non_null(edit_check_path("/a/"));
	memset(name, 'n', sizeof(name));
	name[0] = '/';
	name[sizeof(name) - 1] = '\0';
	assert_non_null(edit_check_path(name));
	name[sizeof(name) - 2] = '\0';
	assert_null(edit_check_path(name));
	for (int i = 0; i <= EDIT_DEPTH_MAX; i++)
		memcpy(deep + 2 * i, "/d", 3);
	assert_non_null(edit_check_path(deep));
	assert_null(edit_check_path(deep + 2));
}

static void there_and_back(void **state UNUSED)
{
	char *check[] = { (char[]){ "e2fsck" }, (char[]){ "-fn" }, image, NULL };
	const struct edit_file files[] = {
		{ "/etc/deep/er/hostname", BYTES("banger\n"), 0644, 0, 0 },
		{ "/etc/hostname", BYTES("first"), 0600, 70000, 70001 },
		{ "/etc/hostname", BYTES("second"), 0600, 70000, 70001 },
	};
	own_buf out = { .max = 100 };
	struct why why;

	assert_int_equal(edit_write(opened(), files, COUNT(files), &why), OK);
	assert_int_equal(run(check), 0);
	assert_int_equal(edit_read(opened(), "/etc/hostname", 100, &out, &why), OK);
	assert_int_equal(out.n, 6);
	assert_memory_equal(out.p, "second", 6);
	assert_int_equal(edit_read(opened(), "/etc/hostname", 5, &out, &why), ERR_too_large);
	assert_string_equal(why.field, "guest_path");
	assert_int_equal(edit_read(opened(), "/etc/none", 5, &out, &why), ERR_not_found);
	assert_int_equal(edit_read(opened(), "/etc", 5, &out, &why), ERR_conflict);
	assert_int_equal(edit_write(opened(), &(struct edit_file){ .path = "/etc/deep" }, 1, &why),
		ERR_conflict);
	assert_int_equal(run(check), 0);
}

/* Each kilobyte of where the filesystem's own tables begin overwritten, one after the other. */
static void holes(void **state UNUSED)
{
	static uint8_t good[IMAGE_BYTES], junk[1024];
	const struct edit_file file = { "/etc/deep/x", BYTES("text"), 0644, 0, 0 };
	unsigned refused = 0;
	int fd = opened();

	memset(junk, 0x5a, sizeof(junk));
	assert_int_equal(pread(fd, good, sizeof(good), 0), sizeof(good));
	for (off_t at = 0; at < TABLES_BYTES; at += (off_t)sizeof(junk)) {
		own_buf out = { .max = 100 };
		struct why why;

		assert_int_equal(pwrite(fd, good, sizeof(good), 0), sizeof(good));
		assert_int_equal(pwrite(fd, junk, sizeof(junk), at), sizeof(junk));
		refused += edit_read(opened(), "/etc/hostname", 100, &out, &why) != OK;
		refused += edit_write(opened(), &file, 1, &why) != OK;
	}
	close(fd);
	assert_true(refused > 6 && refused < 2 * TABLES_BYTES / sizeof(junk));
}

int main(void)
{
	const struct CMUnitTest tests[] = { TEST(paths), TEST(there_and_back), TEST(holes) };

	return cmocka_run_group_tests(tests, setup, teardown);
}
