/*
 * fuzz/space.c - what comes for a workspace, wrong in every way: nothing beside the directory
 * changes, and nothing in it when the answer is no. And names, whatever their bytes.
 */
#include "tests/fuzz/fuzz.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/secrets.h"
#include "cli/space_paths.h"
#include "sys/beneath.h"
#include "tree/frame.h"
#include "tree/pick.h"

static const char *const paths[] = { ".", "a", "b", "a/b", "a/b/c", "keep", "keep/x", "dir",
	"dir/keep", "dir/new", "..", "../out", "/", "a//b", "", "../out/keep", "link",
	"link/keep" };

struct dice {
	const uint8_t *p, *end;
};

static unsigned roll(struct dice *d, unsigned n)
{
	return d->p < d->end ? *d->p++ % n : 0;
}

static const char *path(struct dice *d)
{
	return paths[roll(d, COUNT(paths))];
}

static void letter(struct dice *d, struct buf *out)
{
	static const struct nothing end;
	struct tree_drop drop = { path(d) };
	struct tree_expect expect = { .path = drop.path, .has_mtime_ns = roll(d, 3) == 0 };
	struct tree_data data = { .offset = 0, .data = { (const uint8_t *)"xyz", roll(d, 4) } };
	struct tree_entry e = { .kind = (enum tree_kind)roll(d, tree_kind_COUNT),
		.path = path(d),
		.mode = 0644 | (roll(d, 2) ? 0111 : 0),
		.size = 3,
		.link = path(d) };
	enum err err = OK;

	switch (roll(d, 8)) {
	case 0:
		err = tree_frame_pack(out, LETTER_tree_end, &end, NULL);
		break;
	case 1:
		err = tree_frame_pack(out, LETTER_tree_data, &data, NULL);
		break;
	case 2:
		err = tree_frame_pack(out, LETTER_tree_drop, &drop, NULL);
		break;
	case 3:
		err = tree_frame_pack(out, LETTER_tree_expect, &expect, NULL);
		break;
	default:
		err = tree_frame_pack(out, LETTER_tree_entry, &e, NULL);
	}
	if (err)
		out->failed = false; /* our own table would not say that */
}

static bool holds(int dir, const char *file)
{
	own_buf text = { .p = NULL };

	return read_file(dir, file, 64, &text, NULL) == OK && text.n == 4 &&
	       memcmp(text.p, "keep", 4) == 0;
}

static void count(void *ctx, const char *name UNUSED)
{
	++*(unsigned *)ctx;
}

static unsigned entries(int dir, const char *of)
{
	unsigned n = 0;

	must(!list_dir(dir, of, count, &n, NULL));
	return n;
}

static void work(int dir, struct dice *d, bool fresh)
{
	struct tree_rules rules = { .own = TREE_OWN_CALLER };
	struct tree_entry top = { .path = ".", .kind = tree_kind_dir, .mode = 0755 };
	static const struct nothing end;
	struct tree_work *w = NULL;
	own_buf out = { .p = NULL };
	struct why why = { .code = OK };
	enum err e = OK;

	must(!tree_work_new(dir, fresh ? "new" : "in", fresh, &rules, &w, &why));
	if (roll(d, 4) == 0) {
		buf_add(&out, d->p, (size_t)(d->end - d->p));
	} else {
		must(!tree_frame_pack(&out, LETTER_tree_entry, &top, &why));
		while (d->p < d->end)
			letter(d, &out);
		must(!tree_frame_pack(&out, LETTER_tree_end, &end, &why));
	}
	for (size_t at = 0; !e && at < out.n; at += 7)
		e = tree_work_feed(w, out.p + at, MIN((size_t)7, out.n - at), &why);
	must(!e || why.text[0]);
	if (!tree_work_made(w) && !fresh)
		must(holds(dir, "in/keep") && holds(dir, "in/dir/keep") && entries(dir, "in") == 3);
	tree_work_free(w);
}

static void names(const uint8_t *p, size_t n)
{
	char text[512], link[512];
	size_t half = MIN(n / 2, sizeof(text) - 1);

	memcpy(text, p, half);
	text[half] = '\0';
	memcpy(link, p + half, half);
	link[half] = '\0';
	(void)secret_path(text);
	(void)secret_content(p, n);
	if (look_path_ok(text))
		must(!strstr(text, "/../") && strncmp(text, "../", 3) != 0 && !strstr(text, "//"));
	if (link_stays(text, link))
		must(link[0] != '/' && (strchr(text, '/') || strncmp(link, "../", 3) != 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	char place[] = "/tmp/banger-fuzz-XXXXXX";
	struct dice d = { p, p + n };
	own_fd dir = -1, tmp = -1;
	struct bytes keep = { (const uint8_t *)"keep", 4 };
	struct why why;
	bool fresh;

	if (n < 2)
		return 0;
	names(p, n);
	must(mkdtemp(place));
	dir = open(place, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	must(dir >= 0 && !make_dirs(dir, "in/dir", &why) && !make_dirs(dir, "out", &why));
	must(!write_file(dir, "in/keep", 0600, keep, &why));
	must(!write_file(dir, "in/dir/keep", 0600, keep, &why));
	must(!write_file(dir, "out/keep", 0600, keep, &why));
	must(symlinkat("../out", dir, "in/link") == 0);
	fresh = roll(&d, 4) == 0;
	work(dir, &d, fresh);
	must(holds(dir, "out/keep") && entries(dir, "out") == 1);
	must(entries(dir, ".") == 2 || (fresh && entries(dir, ".") == 3));
	tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	must(tmp >= 0 && !remove_tree(tmp, place + strlen("/tmp/"), &why));
	return 0;
}
