/*
 * unit/work.c - chosen files as letters, and a tree that takes effect whole or not at all.
 */
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sys/beneath.h"
#include "tree/frame.h"
#include "tree/pick.h"

struct place {
	char path[64];
	int dir;
};

static int setup(void **state)
{
	struct place *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	snprintf(p->path, sizeof(p->path), "/tmp/banger-work-XXXXXX");
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

	close(p->dir);
	e = remove_tree(tmp, p->path + strlen("/tmp/"), &why);
	free(p);
	return (int)e;
}

static void put(struct place *p, const char *path, const char *text)
{
	char dir[128];
	struct why why;
	const char *slash = strrchr(path, '/');

	snprintf(dir, sizeof(dir), "%.*s", (int)(slash - path), path);
	assert_int_equal(make_dirs(p->dir, dir, &why), OK);
	assert_int_equal(write_file(p->dir, path, 0640,
				 (struct bytes){ (const uint8_t *)text, strlen(text) }, &why),
		OK);
}

static bool holds(struct place *p, const char *path, const char *text)
{
	struct buf got = { .p = NULL };
	struct why why;
	bool same = read_file(p->dir, path, 4096, &got, &why) == OK && got.n == strlen(text) &&
		    memcmp(got.p, text, got.n) == 0;

	buf_done(&got);
	return same;
}

static void count(void *ctx, const char *name UNUSED)
{
	++*(unsigned *)ctx;
}

static unsigned entries(struct place *p, const char *path)
{
	unsigned n = 0;
	struct why why;

	assert_int_equal(list_dir(p->dir, path, count, &n, &why), OK);
	return n;
}

struct want {
	const char *path;
	int64_t mtime_ns; /* -1: nothing may be there */
	bool drop;
};

/* Sends the choices of `from` to `to`, in pieces of so many bytes. */
static enum err carry(struct place *p, const struct tree_choice *v, size_t n,
	const struct want *wants, size_t wants_n, bool fresh, size_t piece, bool cut,
	struct why *why)
{
	struct tree_rules rules = { .own = TREE_OWN_CALLER };
	struct tree_picker *from = NULL;
	struct tree_work *to = NULL;
	struct buf head = { .p = NULL };
	uint8_t bytes[256];
	size_t got = 1, sent = 0;
	own_fd top = openat(p->dir, "from", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	enum err e = tree_work_new(p->dir, "to", fresh, &rules, &to, why);

	for (size_t i = 0; i < wants_n; i++) {
		struct tree_expect x = { .path = wants[i].path,
			.mtime_ns = wants[i].mtime_ns,
			.has_mtime_ns = wants[i].mtime_ns >= 0 };
		struct tree_drop d = { wants[i].path };

		if (wants[i].mtime_ns != -2)
			assert_int_equal(tree_frame_pack(&head, LETTER_tree_expect, &x, why), OK);
		if (wants[i].drop)
			assert_int_equal(tree_frame_pack(&head, LETTER_tree_drop, &d, why), OK);
	}
	if (!e)
		assert_int_equal(tree_picker_new(top, v, n, &head, &from, why), OK);
	while (!e && got > 0 && !(cut && sent > 200)) {
		assert_int_equal(tree_pick(from, bytes, piece, &got, why), OK);
		sent += got;
		if (got)
			e = tree_work_feed(to, bytes, got, why);
	}
	if (!e && !cut)
		assert_true(tree_work_made(to));
	tree_picker_free(from);
	tree_work_free(to);
	buf_done(&head);
	return e;
}

static int64_t mtime_of(struct place *p, const char *path)
{
	struct stat st;

	assert_int_equal(fstatat(p->dir, path, &st, AT_SYMLINK_NOFOLLOW), 0);
	return (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
}

static void order(void **state UNUSED)
{
	static const char *const sorted[] = { "a", "a/b", "a/b/c", "a/b.c", "a-b", "a.b", "ab", "b",
		"b\xff", "\xff" };

	for (size_t i = 0; i < COUNT(sorted); i++)
		for (size_t k = 0; k < COUNT(sorted); k++)
			check_row((tree_path_order(sorted[i], sorted[k]) < 0) == (i < k), "%s, %s",
				sorted[i], sorted[k]);
}

static void all_new(void **state)
{
	struct place *p = *state;
	own_fd from = -1;
	own_fd x = -1;
	struct why why;
	struct tree_choice v[5];
	struct stat st;

	put(p, "from/a/b/one", "1");
	put(p, "from/a/two", "22");
	put(p, "from/x/three", "333");
	put(p, "from/x/not", "chosen");
	assert_int_equal(symlinkat("two", p->dir, "from/a/link"), 0);
	from = openat(p->dir, "from", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	v[0] = (struct tree_choice){ "a/b/one", "a/b/one", from };
	v[1] = (struct tree_choice){ "a/gone", "a/gone", from };
	v[2] = (struct tree_choice){ "a/link", "a/link", from };
	v[3] = (struct tree_choice){ "a/two", "a/two", from };
	x = openat(from, "x", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	v[4] = (struct tree_choice){ "y/z/three", "three", x };
	for (size_t piece = 1; piece <= 256; piece += 51) {
		assert_int_equal(carry(p, v, 4, NULL, 0, true, piece, false, &why), OK);
		assert_true(holds(p, "to/a/b/one", "1") && holds(p, "to/a/two", "22"));
		assert_int_equal(fstatat(p->dir, "to/a/two", &st, 0), 0);
		assert_int_equal(st.st_mode & 0777, 0640);
		assert_int_equal(mtime_of(p, "to/a/two"), mtime_of(p, "from/a/two"));
		assert_int_equal(fstatat(p->dir, "to/a/link", &st, AT_SYMLINK_NOFOLLOW), 0);
		assert_true(S_ISLNK(st.st_mode));
		assert_int_equal(entries(p, "to"), 1);
		assert_int_equal(entries(p, "."), 2);
		assert_int_equal(carry(p, v, 4, NULL, 0, true, piece, false, &why), ERR_exists);
		assert_int_equal(remove_tree(p->dir, "to", &why), OK);
	}
	assert_int_equal(carry(p, v, 4, NULL, 0, true, 64, true, &why), OK);
	assert_int_equal(entries(p, "."), 1); /* cut off: nothing of it is there */
	assert_int_equal(carry(p, v, 5, NULL, 0, true, 64, false, &why), OK);
	assert_true(holds(p, "to/y/z/three", "333"));
}

static void through_links(void **state)
{
	struct place *p = *state;
	own_fd from = -1;
	struct why why;

	put(p, "from/a", "a");
	put(p, "out/secret", "s");
	assert_int_equal(symlinkat("../out", p->dir, "from/way"), 0);
	from = openat(p->dir, "from", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct tree_choice v[] = { { "a", "a", from }, { "way/secret", "way/secret", from } };
	assert_int_equal(carry(p, v, 2, NULL, 0, true, 64, false, &why), OK);
	assert_int_equal(entries(p, "to"), 1);
}

static void changes(void **state)
{
	struct place *p = *state;
	own_fd from = -1;
	struct why why;
	int64_t one, two;

	put(p, "to/d/one", "old");
	put(p, "to/two", "old");
	put(p, "to/keep", "kept");
	put(p, "from/d/one", "new");
	put(p, "from/more/three", "3");
	from = openat(p->dir, "from", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	one = mtime_of(p, "to/d/one");
	two = mtime_of(p, "to/two");
	struct tree_choice v[] = { { "d/one", "d/one", from },
		{ "more/three", "more/three", from } };
	struct want good[] = { { "d/one", one, false }, { "more/three", -1, false },
		{ "two", two, true } };
	struct want bad[][3] = {
		{ { "d/one", one + 1, false }, { "more/three", -1, false }, { "two", two, true } },
		{ { "d/one", one, false }, { "keep", -1, false }, { "two", two, true } },
		{ { "d/one", one, false }, { "nosuch", 5, false }, { "two", two, true } },
		{ { "d/one", one, false }, { "keep/x", -1, false }, { "two", two, true } },
	};

	for (size_t i = 0; i < COUNT(bad); i++) {
		assert_int_equal(carry(p, v, 2, bad[i], 3, false, 100, false, &why), ERR_conflict);
		assert_true(holds(p, "to/d/one", "old") && holds(p, "to/two", "old"));
		assert_int_equal(entries(p, "to"), 3);
		assert_int_equal(entries(p, "."), 2);
	}
	assert_int_equal(carry(p, v, 2, good, 3, false, 100, true, &why), OK);
	assert_true(holds(p, "to/d/one", "old") && entries(p, ".") == 2);
	assert_int_equal(carry(p, v, 2, good, 3, false, 100, false, &why), OK);
	assert_true(holds(p, "to/d/one", "new") && holds(p, "to/more/three", "3"));
	assert_true(holds(p, "to/keep", "kept"));
	assert_int_equal(entries(p, "to"), 3);
	/* what both sides removed is no conflict; directories that are empty then go */
	struct want gone[] = { { "two", two, true }, { "more/three", -2, true } };
	assert_int_equal(carry(p, v, 0, gone, 2, false, 100, false, &why), OK);
	assert_int_equal(entries(p, "to"), 2);
}

static void kinds_change(void **state)
{
	struct place *p = *state;
	own_fd from = -1;
	struct why why;

	put(p, "to/a", "file");
	put(p, "to/b/c", "c");
	put(p, "to/z", "z");
	put(p, "from/a/x", "x");
	put(p, "from/b", "b");
	from = openat(p->dir, "from", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct tree_choice v[] = { { "a/x", "a/x", from }, { "b", "b", from } };
	/* nobody said that what is there goes: nothing is done, the removal neither */
	struct want little[] = { { "z", -2, true } };
	assert_int_equal(carry(p, v, 2, little, 1, false, 100, false, &why), ERR_conflict);
	assert_true(holds(p, "to/a", "file") && holds(p, "to/b/c", "c") && holds(p, "to/z", "z"));
	struct want enough[] = { { "a", -2, true }, { "b/c", -2, true }, { "b", -1, false } };
	assert_int_equal(carry(p, v, 2, enough, 2, false, 100, false, &why), ERR_conflict);
	struct want all[] = { { "a", -2, true }, { "b", -2, true } };
	assert_int_equal(carry(p, v, 2, all, 2, false, 100, false, &why), OK);
	assert_true(holds(p, "to/a/x", "x") && holds(p, "to/b", "b"));
}

#define PLACED(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = { TEST(order), PLACED(all_new), PLACED(through_links),
		PLACED(changes), PLACED(kinds_change) };

	return RUN(tests);
}
