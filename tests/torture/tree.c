/*
 * torture/tree.c - a tree is sent and made while memory and system calls say no: it is all there,
 * or there is a reason; a file is whole or absent.
 */
#include "tests/torture/torture.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sys/beneath.h"
#include "tree/frame.h"
#include "tree/pick.h"

static enum err send_all(struct tree_sender *s, struct tree_maker *m, struct why *why)
{
	uint8_t bytes[512];
	size_t n = 1;
	enum err e = OK;

	while (!e && n > 0) {
		e = tree_send(s, bytes, sizeof(bytes), &n, why);
		if (!e && n > 0)
			e = tree_feed(m, bytes, n, why);
	}
	return e;
}

static enum err carry(int dir, struct why *why)
{
	struct tree_rules rules = { .own = TREE_OWN_CALLER };
	struct tree_spot spot = { .dir = -1 };
	struct tree_sender *s = NULL;
	struct tree_maker *m = NULL;
	own_fd fd = -1;
	enum err e = tree_open(dir, "from", RESOLVE_BENEATH, false, &fd, why);

	if (e)
		return e;
	e = tree_sender_new(fd, "from", &s, why);
	if (e)
		return e;
	(void)take_fd(&fd);
	e = tree_spot_find(dir, "to", RESOLVE_BENEATH, false, &rules, &spot, why);
	if (!e)
		e = tree_maker_new(&spot, &rules, &m, why);
	if (!e)
		e = send_all(s, m, why);
	torture_must(e || tree_made(m));
	tree_sender_free(s);
	tree_maker_free(m);
	tree_spot_done(&spot);
	return e;
}

static void check(int dir, bool all)
{
	struct stat st;

	if (all || fstatat(dir, "to/sub/file", &st, 0) == 0)
		torture_must(fstatat(dir, "to/sub/file", &st, 0) == 0 && st.st_size == 900);
	if (!all)
		return;
	/* a sender without memory for its name sends a link as a file of its own */
	torture_must(fstatat(dir, "to/sub/again", &st, 0) == 0 && st.st_size == 900);
	torture_must(st.st_nlink == 2 || torture_struck());
	torture_must(fstatat(dir, "to/link", &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(st.st_mode));
	torture_must(fstatat(dir, "to/fifo", &st, 0) == 0 && S_ISFIFO(st.st_mode));
}

static void out_and_back(void)
{
	char path[] = "/tmp/banger-torture-XXXXXX", text[900];
	struct why why = { .text = "" };
	int dir, top;
	enum err e;

	torture_off();
	memset(text, 'x', sizeof(text));
	must(mkdtemp(path));
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	top = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	must(dir >= 0 && top >= 0 && !make_dirs(dir, "from/sub", &why));
	must(!write_file(dir, "from/sub/file", 0600,
		(struct bytes){ (const uint8_t *)text, sizeof(text) }, &why));
	must(linkat(dir, "from/sub/file", dir, "from/sub/again", 0) == 0);
	must(symlinkat("sub", dir, "from/link") == 0 && mkfifoat(dir, "from/fifo", 0600) == 0);
	torture_on();
	e = carry(dir, &why);
	torture_must(e == OK || (torture_struck() && why.text[0]));
	torture_off();
	check(dir, e == OK);
	must(!remove_tree(top, path + strlen("/tmp/"), &why));
	close(dir);
	close(top);
	torture_on();
}

/* Two files of `from` into `to`, which has one of them; the other is new there. */
static enum err change(int dir, int from, struct why *why)
{
	const struct tree_choice v[] = { { "new/er", "new/er", from }, { "old", "old", from } };
	struct tree_rules rules = { .own = TREE_OWN_CALLER };
	struct tree_expect absent = { .path = "new/er" };
	struct tree_drop gone = { "gone" };
	struct tree_picker *p = NULL;
	struct tree_work *w = NULL;
	own_buf head = { .p = NULL };
	uint8_t bytes[512];
	size_t n = 1;
	enum err e = tree_frame_pack(&head, LETTER_tree_expect, &absent, why);

	if (!e)
		e = tree_frame_pack(&head, LETTER_tree_drop, &gone, why);
	if (!e)
		e = tree_work_new(dir, "to", false, &rules, &w, why);
	if (!e)
		e = tree_picker_new(from, v, 2, &head, &p, why);
	while (!e && n > 0) {
		e = tree_pick(p, bytes, sizeof(bytes), &n, why);
		if (!e && n > 0)
			e = tree_work_feed(w, bytes, n, why);
	}
	torture_must(e || tree_work_made(w));
	tree_picker_free(p);
	tree_work_free(w);
	return e;
}

static void put(int dir, const char *path, const char *text)
{
	struct why why;

	must(!write_file(dir, path, 0600, (struct bytes){ (const uint8_t *)text, strlen(text) },
		&why));
}

static void changed_whole(void)
{
	char path[] = "/tmp/banger-torture-XXXXXX";
	struct why why = { .text = "" };
	struct stat st;
	int dir, top, from;
	enum err e;

	torture_off();
	must(mkdtemp(path));
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	top = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	must(dir >= 0 && top >= 0 && !make_dirs(dir, "from/new", &why) &&
		!make_dirs(dir, "to", &why));
	put(dir, "from/old", "changed");
	put(dir, "from/new/er", "new");
	put(dir, "to/old", "old");
	put(dir, "to/gone", "gone");
	put(dir, "to/kept", "kept");
	from = open_beneath(dir, "from", O_RDONLY | O_DIRECTORY, 0);
	must(from >= 0);
	torture_on();
	e = change(dir, from, &why);
	torture_must(e == OK || (torture_struck() && why.text[0]));
	torture_off();
	torture_must(fstatat(dir, "to/kept", &st, 0) == 0);
	if (e == OK) { /* a file that could not be read is left out, never cut off */
		torture_must(fstatat(dir, "to/gone", &st, 0) < 0);
		torture_must(fstatat(dir, "to/old", &st, 0) == 0 &&
			     (st.st_size == 7 || (torture_struck() && st.st_size == 3)));
	}
	must(!remove_tree(top, path + strlen("/tmp/"), &why));
	close(from);
	close(dir);
	close(top);
	torture_on();
}

static const struct scenario scenarios[] = {
	{ .name = "a tree out and back", .run = out_and_back },
	{ .name = "a tree changed whole", .run = changed_whole },
};

TORTURE(scenarios)
