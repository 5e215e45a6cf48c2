/*
 * fuzz/ext4.c - a file system that somebody damaged: each three bytes are a place and what lies
 * there. It is refused, or read to its end; nothing else (case I18).
 */
#include "tests/fuzz/fuzz.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "worker/tree.h"

enum { SIZE = 2 * 1024 * 1024, CHANGES_MAX = 400 };

static uint8_t whole[SIZE]; /* a sound one */

static uint32_t put_file(struct tree *t, struct node *dir, const char *name)
{
	struct meta m = { .mode = S_IFREG | 0644 };
	struct ext4_file *f;
	struct node *n;
	struct why why;
	uint32_t ino;

	must(ext4_file_new(t->fs, &m, 5000, false, &f, &why) == OK);
	must(ext4_file_write(f, 0, "root:x:0:0::/root:/bin/sh\n", 26, &why) == OK);
	must(ext4_file_end(f, &ino, &why) == OK);
	ext4_file_free(f);
	must(tree_put(t, dir, name, strlen(name), ino, S_IFREG, &n, &why) == OK);
	return ino;
}

static void make_whole(void)
{
	struct ext4_spec spec = { .size = SIZE, .label = "root" };
	struct meta m = { .mode = S_IFDIR | 0755 };
	struct xattr x = { "user.word", { (const uint8_t *)"value", 5 } };
	int fd = memfd_create("whole", MFD_CLOEXEC), again;
	const uint8_t uuid[16] = { 1 };
	struct node *dir, *link;
	struct ext4 *fs;
	struct tree t;
	struct why why;
	uint32_t ino;

	again = dup(fd);
	must(fd >= 0 && again >= 0 && ext4_new(fd, &spec, &fs, &why) == OK);
	must(tree_init(&t, fs, 100, &why) == OK);
	must(ext4_make(fs, &m, &ino, &why) == OK);
	must(tree_put(&t, t.root, "etc", 3, ino, S_IFDIR, &dir, &why) == OK);
	ino = put_file(&t, dir, "passwd");
	must(ext4_xattrs_set(fs, ino, &x, 1, &why) == OK);
	m.mode = S_IFLNK | 0777;
	must(ext4_symlink(fs, &m, "etc/passwd", &ino, &why) == OK);
	must(tree_put(&t, t.root, "link", 4, ino, S_IFLNK, &link, &why) == OK);
	must(tree_write(&t, &why) == OK && ext4_finish(fs, uuid, &why) == OK);
	tree_done(&t);
	must(pread(again, whole, SIZE, 0) == SIZE);
	close(again);
}

static enum err pass_over(void *ctx, const struct ext4_run *run, struct why *why UNUSED)
{
	uint64_t *n = ctx;

	must(run->n > 0);
	*n += run->n;
	return *n > GiB ? ERR_too_large : OK;
}

static void read_all(struct ext4 *fs)
{
	struct node *n = NULL;
	struct tree t;
	struct why why;
	char *text = NULL;
	size_t len;
	uint64_t bytes = 0;

	must(tree_init(&t, fs, 1000, &why) == OK);
	if (tree_load(&t, &why) == OK && tree_find(&t, "/link", &n, &why) == OK) {
		if (ext4_read(fs, n->ino, 65536, &text, &len, &why) == OK)
			must(text && len <= 65536);
		(void)!ext4_each_run(fs, n->ino, pass_over, &bytes, &why);
	}
	free(text);
	tree_done(&t);
	ext4_free(fs);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	int fd = memfd_create("damaged", MFD_CLOEXEC);
	struct ext4 *fs = NULL;
	struct why why;

	if (!whole[1024 + 56])
		make_whole();
	must(fd >= 0 && pwrite(fd, whole, SIZE, 0) == SIZE);
	/* the first 64 KiB are nearly all of it that means something */
	for (size_t i = 0; i + 3 <= n && i < (size_t)3 * CHANGES_MAX; i += 3)
		must(pwrite(fd, p + i + 2, 1, (off_t)(p[i] << 8 | p[i + 1])) == 1);
	if (ext4_open(fd, &fs, &why) == OK)
		read_all(fs);
	else
		must(why.text[0]);
	return 0;
}
