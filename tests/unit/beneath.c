/*
 * unit/beneath.c - files beneath a directory: links and ".." lead nowhere, whatever they name.
 */
#include "tests/unit/unit.h"

#include <sys/stat.h>
#include <unistd.h>

#include "sys/beneath.h"

struct place {
	char path[64];
	int top; /* out/keep lies in it, and in/, which the functions are given */
	int dir;
};

static int setup(void **state)
{
	struct place *p = calloc(1, sizeof(*p));
	int fd;

	assert_non_null(p);
	snprintf(p->path, sizeof(p->path), "/tmp/banger-beneath-XXXXXX");
	assert_non_null(mkdtemp(p->path));
	p->top = open(p->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(p->top >= 0);
	assert_int_equal(mkdirat(p->top, "in", 0700), 0);
	assert_int_equal(mkdirat(p->top, "out", 0700), 0);
	fd = openat(p->top, "out/keep", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(write(fd, "keep", 4), 4);
	close(fd);
	assert_int_equal(symlinkat("../out", p->top, "in/dirlink"), 0);
	assert_int_equal(symlinkat("../out/keep", p->top, "in/filelink"), 0);
	p->dir = openat(p->top, "in", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(p->dir >= 0);
	*state = p;
	return 0;
}

static void keep_is_whole(struct place *p)
{
	struct stat st;

	assert_int_equal(fstatat(p->top, "out/keep", &st, AT_SYMLINK_NOFOLLOW), 0);
	assert_int_equal(st.st_size, 4);
}

static int teardown(void **state)
{
	struct place *p = *state;
	own_fd tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat st;
	struct why why;

	keep_is_whole(p);
	close(p->dir);
	close(p->top);
	assert_int_equal(remove_tree(tmp, p->path + strlen("/tmp/"), &why), OK);
	assert_int_not_equal(stat(p->path, &st), 0);
	free(p);
	return 0;
}

static const char *const ways_out[] = { "dirlink/keep", "filelink", "../out/keep", "..",
	"dirlink/../../out/keep", "/etc/passwd", "dirlink/new" };

static void opens_nothing_outside(void **state)
{
	struct place *p = *state;

	for (size_t i = 0; i < COUNT(ways_out); i++) {
		own_fd r = open_beneath(p->dir, ways_out[i], O_RDONLY, 0);
		own_fd w = open_beneath(p->dir, ways_out[i], O_WRONLY | O_CREAT | O_TRUNC, 0600);

		check_row(r < 0 && w < 0, "%s", ways_out[i]);
		keep_is_whole(p);
	}
	assert_int_equal(unlinkat(p->top, "out/new", 0), -1);
}

static void reads_and_writes_nothing_outside(void **state)
{
	struct place *p = *state;
	struct why why;

	for (size_t i = 0; i < COUNT(ways_out); i++) {
		own_buf b = { .p = NULL };

		check_row(read_file(p->dir, ways_out[i], 100, &b, &why), "%s", ways_out[i]);
		if (!str_eq(ways_out[i], "filelink"))
			check_row(write_file(p->dir, ways_out[i], 0600, BYTES("new"), &why), "%s",
				ways_out[i]);
		keep_is_whole(p);
	}
	/* a link as the last name is replaced itself */
	assert_int_equal(write_file(p->dir, "filelink", 0600, BYTES("new"), &why), OK);
	keep_is_whole(p);
}

/* What a refused write would have called its temporary file stays, too. */
static void removes_no_temporary_outside(void **state)
{
	struct place *p = *state;
	int fd = openat(p->top, "out/x.new", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	struct stat st;
	struct why why;

	close(fd);
	assert_int_not_equal(write_file(p->dir, "dirlink/x", 0600, BYTES("new"), &why), OK);
	assert_int_not_equal(write_file(p->dir, "../out/x", 0600, BYTES("new"), &why), OK);
	assert_int_equal(fstatat(p->top, "out/x.new", &st, AT_SYMLINK_NOFOLLOW), 0);
}

static void directories(void **state)
{
	static const char *const bad[] = { "dirlink/a", "../out/a", "a/../../out/a", "/a", "a//b",
		"filelink/a" };
	struct place *p = *state;
	struct stat st;
	struct why why;

	assert_int_equal(make_dirs(p->dir, "a/b/c", &why), OK);
	assert_int_equal(make_dirs(p->dir, "a/b/c", &why), OK);
	assert_int_equal(fstatat(p->dir, "a/b/c", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	for (size_t i = 0; i < COUNT(bad); i++)
		check_row(make_dirs(p->dir, bad[i], &why), "%s", bad[i]);
	assert_int_not_equal(fstatat(p->top, "out/a", &st, 0), 0);
}

static void removes_links_not_what_they_name(void **state)
{
	struct place *p = *state;
	struct stat st;
	struct why why;

	assert_int_equal(make_dirs(p->dir, "a/b", &why), OK);
	assert_int_equal(symlinkat("../../../out", p->dir, "a/b/link"), 0);
	assert_int_equal(mkfifoat(p->dir, "a/b/fifo", 0600), 0);
	assert_int_equal(remove_tree(p->dir, "a", &why), OK);
	assert_int_not_equal(fstatat(p->dir, "a", &st, 0), 0);
	assert_int_equal(remove_tree(p->dir, "a", &why), OK);
	assert_int_equal(remove_tree(p->dir, "nowhere/a", &why), OK);
	assert_int_equal(remove_tree(p->dir, "dirlink", &why), OK);
	keep_is_whole(p);
	assert_int_equal(symlinkat("../out", p->dir, "dirlink"), 0);
	assert_int_not_equal(remove_tree(p->dir, "dirlink/keep", &why), OK);
	assert_int_not_equal(remove_tree(p->dir, "..", &why), OK);
	assert_int_not_equal(remove_tree(p->dir, "../out", &why), OK);
}

/* More large files than the closer lets wait: names and descriptors of all are gone. */
static void frees_soon(void **state)
{
	enum { FILES = 2100, BLOCK = 65536 };
	static const char block[BLOCK] = "x";
	struct place *p = *state;
	struct closer *closer = closer_new();
	char name[32];
	struct stat st;
	struct why why;
	int before, after;

	assert_non_null(closer);
	assert_int_equal(make_dirs(p->dir, "many", &why), OK);
	for (int i = 0; i < FILES; i++) {
		own_fd fd = -1;

		snprintf(name, sizeof(name), "many/%d", i);
		fd = open_beneath(p->dir, name, O_WRONLY | O_CREAT, 0600);
		assert_true(fd >= 0 && write_all(fd, block, BLOCK));
	}
	before = dup(p->dir);
	close(before);
	assert_int_equal(remove_tree_soon(p->dir, "many", closer, &why), OK);
	assert_int_not_equal(fstatat(p->dir, "many", &st, 0), 0);
	closer_free(closer);
	after = dup(p->dir);
	close(after);
	assert_int_equal(before, after);
}

static void writes_at_once(void **state)
{
	struct place *p = *state;
	own_buf b = { .p = NULL };
	own_fd old = -1;
	struct stat st;
	char text[8];
	struct why why;

	assert_int_equal(write_file(p->dir, "f", 0640, BYTES("old"), &why), OK);
	old = open_beneath(p->dir, "f", O_RDONLY, 0);
	assert_int_equal(write_file(p->dir, "f", 0600, BYTES("newer"), &why), OK);
	assert_int_equal(read(old, text, sizeof(text)), 3); /* its reader keeps the whole old one */
	assert_int_equal(read_file(p->dir, "f", 5, &b, &why), OK);
	assert_string_equal(buf_cstr(&b), "newer");
	buf_done(&b);
	assert_int_equal(read_file(p->dir, "f", 4, &b, &why), ERR_too_large);
	assert_int_equal(fstatat(p->dir, "f", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_not_equal(fstatat(p->dir, "f.new", &st, 0), 0);
	assert_int_equal(mkdirat(p->dir, "d", 0700), 0);
	assert_int_not_equal(write_file(p->dir, "d", 0600, BYTES("x"), &why), OK);
	assert_int_not_equal(fstatat(p->dir, "d.new", &st, 0), 0);
	buf_done(&b);
	assert_int_equal(read_file(p->dir, "absent", 4, &b, &why), ERR_not_found);
}

static void count(void *ctx, const char *name UNUSED)
{
	++*(unsigned *)ctx;
}

static void lists(void **state)
{
	struct place *p = *state;
	struct why why;
	unsigned n = 0;

	assert_int_equal(list_dir(p->dir, ".", count, &n, &why), OK);
	assert_int_equal(n, 2);
	assert_int_equal(list_dir(p->dir, "absent", count, &n, &why), OK);
	assert_int_not_equal(list_dir(p->dir, "dirlink", count, &n, &why), OK);
	assert_int_equal(n, 2);
}

static void own_directories_only(void **state)
{
	struct place *p = *state;
	char path[80];
	struct why why;
	own_fd fd = -1;

	snprintf(path, sizeof(path), "%s/in", p->path);
	assert_int_equal(open_own_dir(path, &fd, &why), OK);
	assert_int_equal(fchmod(fd, 0722), 0);
	fd_done(&fd);
	fd = -1;
	assert_int_equal(open_own_dir(path, &fd, &why), ERR_denied);
	assert_int_equal(open_own_dir("/nowhere/at/all", &fd, &why), ERR_not_found);
}

#define IN_PLACE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_PLACE(opens_nothing_outside),
		IN_PLACE(reads_and_writes_nothing_outside),
		IN_PLACE(removes_no_temporary_outside),
		IN_PLACE(directories),
		IN_PLACE(removes_links_not_what_they_name),
		IN_PLACE(frees_soon),
		IN_PLACE(writes_at_once),
		IN_PLACE(lists),
		IN_PLACE(own_directories_only),
	};

	return RUN(tests);
}
