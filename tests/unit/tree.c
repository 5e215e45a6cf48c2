/*
 * unit/tree.c - a tree taken apart into letters and made again, in pieces of any size: the same
 * names, kinds, modes, times, content, holes and links.
 */
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sys/beneath.h"
#include "tree/tree.h"

struct place {
	char path[64];
	int dir;
};

static int setup(void **state)
{
	struct place *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	snprintf(p->path, sizeof(p->path), "/tmp/banger-tree-XXXXXX");
	assert_non_null(mkdtemp(p->path));
	p->dir = open(p->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(p->dir >= 0);
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	struct place *p = *state;
	own_fd tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct why why;
	enum err e;

	(void)fchmodat(p->dir, "from/closed", 0700, 0);
	(void)fchmodat(p->dir, "to/closed", 0700, 0);
	close(p->dir);
	e = remove_tree(tmp, p->path + strlen("/tmp/"), &why);
	free(p);
	return (int)e;
}

static void write_at(int dir, const char *path, mode_t mode, off_t at, const char *text, off_t size)
{
	own_fd fd = openat(dir, path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, text, strlen(text), at), strlen(text));
	assert_int_equal(ftruncate(fd, size), 0);
	assert_int_equal(fchmod(fd, mode), 0);
	assert_int_equal(futimens(fd, (struct timespec[2]){ { .tv_nsec = UTIME_OMIT },
					      { 1234567890, 987654321 } }), 0);
}

static void make_source(struct place *p)
{
	assert_int_equal(mkdirat(p->dir, "from", 0755), 0);
	assert_int_equal(mkdirat(p->dir, "from/empty", 0711), 0);
	assert_int_equal(mkdirat(p->dir, "from/deep", 0700), 0);
	assert_int_equal(mkdirat(p->dir, "from/deep/er", 0700), 0);
	assert_int_equal(mkdirat(p->dir, "from/closed", 0700), 0);
	write_at(p->dir, "from/plain", 0640, 0, "some text", 9);
	write_at(p->dir, "from/nothing", 0600, 0, "", 0);
	write_at(p->dir, "from/deep/er/file", 0755, 0, "deep", 4);
	write_at(p->dir, "from/closed/inside", 0400, 0, "closed", 6);
	write_at(p->dir, "from/holes", 0600, 8 * 1024 * 1024, "far", 16 * 1024 * 1024);
	write_at(p->dir, "from/bad\xff\xfename", 0600, 0, "any bytes", 9);
	assert_int_equal(symlinkat("plain", p->dir, "from/link"), 0);
	assert_int_equal(symlinkat("/nowhere/\xff", p->dir, "from/deep/dangling"), 0);
	assert_int_equal(linkat(p->dir, "from/plain", p->dir, "from/deep/again", 0), 0);
	assert_int_equal(mkfifoat(p->dir, "from/fifo", 0620), 0);
	assert_int_equal(fchmodat(p->dir, "from/closed", 0500, 0), 0);
}

/* Carries it over in pieces of `piece` bytes. */
static enum err carry(struct place *p, const char *from, const char *to, size_t piece,
	struct why *why)
{
	struct tree_rules rules = { .own = TREE_OWN_CALLER, .special = true };
	own_mem uint8_t *bytes = malloc(piece);
	struct tree_spot spot = { .dir = -1 };
	struct tree_sender *s = NULL;
	struct tree_maker *m = NULL;
	size_t n = 1;
	enum err e;
	int fd;

	assert_non_null(bytes);
	assert_int_equal(tree_open(p->dir, from, RESOLVE_BENEATH, false, &fd, why), OK);
	assert_int_equal(tree_sender_new(fd, "from", &s, why), OK);
	e = tree_spot_find(p->dir, to, RESOLVE_BENEATH, false, &rules, &spot, why);
	if (!e)
		e = tree_maker_new(&spot, &rules, &m, why);
	while (!e && n > 0) {
		e = tree_send(s, bytes, piece, &n, why);
		assert_true(n <= piece);
		if (!e && n > 0)
			e = tree_feed(m, bytes, n, why);
	}
	assert_true(e || tree_made(m));
	tree_sender_free(s);
	tree_maker_free(m);
	return e;
}

static void same(struct place *p, const char *name)
{
	char a[128], b[128], text_a[64] = "", text_b[64] = "";
	struct stat x, y;

	snprintf(a, sizeof(a), "from/%s", name);
	snprintf(b, sizeof(b), "to/%s", name);
	check_row(fstatat(p->dir, a, &x, AT_SYMLINK_NOFOLLOW) == 0, "%s", a);
	check_row(fstatat(p->dir, b, &y, AT_SYMLINK_NOFOLLOW) == 0, "%s", b);
	check_row(x.st_mode == y.st_mode, "%s: %o, %o", name, x.st_mode, y.st_mode);
	check_row(x.st_nlink == y.st_nlink, "%s", name);
	check_row(x.st_mtim.tv_sec == y.st_mtim.tv_sec && x.st_mtim.tv_nsec == y.st_mtim.tv_nsec,
		"%s", name);
	if (S_ISREG(x.st_mode)) {
		own_buf c = { .max = 32 * MiB }, d = { .max = 32 * MiB };
		struct why why;

		assert_int_equal(read_file(p->dir, a, 17 * MiB, &c, &why), OK);
		assert_int_equal(read_file(p->dir, b, 17 * MiB, &d, &why), OK);
		check_row(c.n == d.n && (c.n == 0 || memcmp(c.p, d.p, c.n) == 0), "%s", name);
	} else if (S_ISLNK(x.st_mode)) {
		assert_true(readlinkat(p->dir, a, text_a, sizeof(text_a) - 1) > 0);
		assert_true(readlinkat(p->dir, b, text_b, sizeof(text_b) - 1) > 0);
		assert_string_equal(text_a, text_b);
	}
}

static const char *const names[] = { "", "empty", "deep", "deep/er", "closed", "plain", "nothing",
	"deep/er/file", "closed/inside", "holes", "bad\xff\xfename", "link", "deep/dangling",
	"deep/again", "fifo" };

static void out_and_back(void **state)
{
	static const size_t pieces[] = { 1 << 20, 65536, 4096, 61 };
	struct place *p = *state;
	struct stat x, y;
	struct why why = { .text = "" };

	make_source(p);
	for (size_t i = 0; i < COUNT(pieces); i++) {
		enum err e = carry(p, "from", "to", pieces[i], &why);

		check_row(e == OK, "pieces of %zu: %s", pieces[i], why.text);
		for (size_t k = 0; k < COUNT(names); k++)
			same(p, names[k]);
		assert_int_equal(fstatat(p->dir, "to/plain", &x, 0), 0);
		assert_int_equal(fstatat(p->dir, "to/deep/again", &y, 0), 0);
		assert_int_equal(x.st_ino, y.st_ino);
		assert_int_equal(fstatat(p->dir, "to/holes", &x, 0), 0);
		assert_true(x.st_blocks * 512 < 1024 * 1024);
		assert_int_equal(fchmodat(p->dir, "to/closed", 0700, 0), 0);
		assert_int_equal(remove_tree(p->dir, "to", &why), OK);
	}
}

/* Into a directory that exists it goes under its own name, and a second time over itself. */
static void into_and_over(void **state)
{
	struct place *p = *state;
	struct stat st;
	struct why why = { .text = "" };

	make_source(p);
	assert_int_equal(mkdirat(p->dir, "to", 0700), 0);
	for (int i = 0; i < 2 && geteuid() == 0; i++) {
		enum err e = carry(p, "from", "to", 4096, &why);

		check_row(e == OK, "%s", why.text);
		assert_int_equal(fstatat(p->dir, "to/from/deep/er/file", &st, 0), 0);
	}
	assert_int_equal(mkdirat(p->dir, "other", 0700), 0);
	assert_int_equal(carry(p, "from/plain", "other/name", 4096, &why), OK);
	assert_int_equal(fstatat(p->dir, "other/name", &st, 0), 0);
	assert_int_equal(carry(p, "from/plain", "nowhere/name", 4096, &why), ERR_not_found);
	/* what exists and is no directory is not gone over by one, and is left whole */
	assert_int_not_equal(carry(p, "from/deep", "other/name", 4096, &why), OK);
	assert_int_equal(fstatat(p->dir, "other/name", &st, 0), 0);
	assert_int_equal(st.st_size, 9);
}

static void count(void *ctx, const char *name UNUSED)
{
	++*(unsigned *)ctx;
}

/* Broken off anywhere, no half of a file is left, and the maker says nothing good. */
static void broken_off(void **state)
{
	struct tree_rules rules = { .own = TREE_OWN_CALLER };
	struct place *p = *state;
	own_mem uint8_t *bytes = malloc(65536);
	struct tree_sender *s = NULL;
	struct why why;
	size_t n;
	int fd;

	assert_non_null(bytes);
	write_at(p->dir, "file", 0600, 0, "content that matters", 20);
	assert_int_equal(tree_open(p->dir, "file", RESOLVE_BENEATH, false, &fd, &why), OK);
	assert_int_equal(tree_sender_new(fd, "file", &s, &why), OK);
	assert_int_equal(tree_send(s, bytes, 65536, &n, &why), OK);
	tree_sender_free(s);
	for (size_t cut = 0; cut < n; cut++) {
		struct tree_spot spot = { .dir = -1 };
		struct tree_maker *m = NULL;
		unsigned left = 0;

		assert_int_equal(tree_spot_find(p->dir, "new", RESOLVE_BENEATH, false, &rules,
					 &spot, &why), OK);
		assert_int_equal(tree_maker_new(&spot, &rules, &m, &why), OK);
		assert_int_equal(tree_feed(m, bytes, cut, &why), OK);
		assert_false(tree_made(m));
		tree_maker_free(m);
		assert_int_equal(list_dir(p->dir, ".", count, &left, &why), OK);
		assert_int_equal(left, 1);
	}
}

#define IN_PLACE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_PLACE(out_and_back),
		IN_PLACE(into_and_over),
		IN_PLACE(broken_off),
	};

	umask(022);
	return RUN(tests);
}
