/*
 * fuzz/tree.c - letters of a tree, wrong in every way, into a directory: whatever they say, nothing
 * beside it changes. The first byte: odd, the rest is fed as it is; even, the rest picks letters.
 */
#include "tests/fuzz/fuzz.h"

#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/proto.h"
#include "sys/beneath.h"
#include "tree/frame.h"
#include "tree/tree.h"

static const char *const paths[] = { ".", "a", "b", "a/b", "a/b/c", "b/a", "a/..", "..", "../out",
	"../out/keep", "/", "//", "a/./b", "a//b", "", "b/keep", "a/keep", "keep", "../../x" };

struct dice {
	const uint8_t *p, *end;
};

static unsigned roll(struct dice *d, unsigned n)
{
	return d->p < d->end ? *d->p++ % n : 0;
}

static void letters(struct dice *d, struct buf *out)
{
	while (d->p < d->end) {
		unsigned what = roll(d, 8);
		struct why why;

		if (what == 0) {
			static const struct nothing end;

			(void)!tree_frame_pack(out, LETTER_tree_end, &end, &why);
		} else if (what < 3) {
			struct tree_data data = { .offset = roll(d, 9) };
			size_t n = roll(d, 9);

			data.data = (struct bytes){ d->p, MIN(n, (size_t)(d->end - d->p)) };
			(void)!tree_frame_pack(out, LETTER_tree_data, &data, &why);
		} else {
			struct tree_entry e = { .kind = (enum tree_kind)roll(d, tree_kind_COUNT),
				.path = paths[roll(d, COUNT(paths))],
				.mode = roll(d, 255) * 16u,
				.size = roll(d, 16),
				.link = paths[roll(d, COUNT(paths))],
				.has_linked = true,
				.linked = what & 1 };

			if (what == 7)
				e.name = paths[roll(d, COUNT(paths))];
			if (tree_frame_pack(out, LETTER_tree_entry, &e, &why))
				out->failed = false; /* our own table would not say that */
		}
	}
}

static void make(int dir, struct dice *d, bool raw)
{
	struct tree_rules rules = { .own = TREE_OWN_CALLER, .special = true };
	struct tree_spot spot = { .dir = -1 };
	struct tree_maker *m = NULL;
	own_buf out = { .p = NULL };
	struct why why = { .code = OK };

	if (raw)
		buf_add(&out, d->p, (size_t)(d->end - d->p));
	else
		letters(d, &out);
	must(!tree_spot_find(dir, "in", RESOLVE_BENEATH, false, &rules, &spot, &why));
	must(!tree_maker_new(&spot, &rules, &m, &why));
	if (tree_feed(m, out.p, out.n, &why)) {
		must(why.text[0]);
		must(tree_feed(m, NULL, 0, &why) != OK);
	}
	tree_maker_free(m);
}

/* Only "in" may have changed. */
static void outside_is_whole(int dir)
{
	own_fd keep = open_beneath(dir, "out/keep", O_RDONLY, 0);
	own_fd out = open_beneath(dir, "out", O_RDONLY | O_DIRECTORY, 0);
	struct stat st, top, in;
	char text[8];

	must(keep >= 0 && out >= 0 && fstat(keep, &st) == 0);
	must(st.st_nlink == 1 && (st.st_mode & 07777) == 0600 && st.st_size == 4);
	must(read(keep, text, sizeof(text)) == 4 && memcmp(text, "keep", 4) == 0);
	must(fstat(out, &st) == 0 && (st.st_mode & 07777) == 0700);
	must(fstat(dir, &top) == 0 && fstatat(dir, "in", &in, AT_SYMLINK_NOFOLLOW) == 0);
	must((top.st_mode & 07777) == 0700 && S_ISDIR(in.st_mode));
}

static void count(void *ctx, const char *name UNUSED)
{
	++*(unsigned *)ctx;
}

/* Directories whose modes shut their owner out are opened first. */
static int open_up(const char *path, const struct stat *st UNUSED, int type,
	struct FTW *at UNUSED)
{
	return type == FTW_D || type == FTW_DNR ? chmod(path, 0700) : 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	char path[] = "/tmp/banger-fuzz-XXXXXX";
	struct dice d = { p + 1, p + n };
	own_fd dir = -1, top = -1, keep = -1;
	struct why why;
	unsigned names = 0;

	if (n < 1)
		return 0;
	must(mkdtemp(path));
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	must(dir >= 0 && !make_dirs(dir, "in", &why) && !make_dirs(dir, "out", &why));
	keep = openat(dir, "out/keep", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	must(keep >= 0 && write_all(keep, "keep", 4));
	make(dir, &d, p[0] & 1);
	outside_is_whole(dir);
	must(!list_dir(dir, ".", count, &names, &why) && names == 2);
	names = 0;
	must(!list_dir(dir, "out", count, &names, &why) && names == 1);
	top = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	must(top >= 0);
	for (int i = 0; i < 8 && remove_tree(top, path + strlen("/tmp/"), NULL); i++)
		(void)nftw(path, open_up, 16, FTW_PHYS);
	must(!remove_tree(top, path + strlen("/tmp/"), &why));
	return 0;
}
