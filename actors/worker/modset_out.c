/*
 * modset_out.c - what machines get of a kernel's modules: a read-only disk of them all, and a cpio
 * of those without which a guest reaches neither its disks nor its host.
 */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "worker/cpio.h"
#include "worker/image.h"
#include "worker/modset.h"
#include "worker/tree.h"

/* Loaded by the agent in this order, each behind what it needs; those built in are not files. */
static const char *const boot_set[] = { "virtio", "virtio_ring", "virtio_mmio", "virtio_pci",
	"virtio_blk", "virtio_net", "virtio_console", "virtio_rng", "vsock",
	"vmw_vsock_virtio_transport" };
/* A modular ext4 asks for its checksum by name, which no dependency tells. */
static const char *const ext4_set[] = { "crc32c_generic", "libcrc32c", "ext4" };

static enum err put_file(struct modset *s, struct tree *t, const struct modfile *f,
	struct file_source *src, struct why *why)
{
	struct meta m = { .mode = S_IFREG | 0644, .mtime = f->mtime, .atime = f->mtime,
		.ctime = f->mtime };
	struct ext4_file *out = NULL;
	struct node *dir, *node;
	const char *name;
	uint64_t off = 0;
	uint32_t ino;
	size_t n;
	enum err e = tree_place(t, f->path, f->mtime, &dir, &name, &n, why);

	if (!e && (n == 0 || tree_child(t, dir, name, n)))
		e = fail(why, ERR_invalid_value, "a file and a directory of one name");
	if (!e)
		e = ext4_file_new(t->fs, &m, f->size, false, &out, why);
	file_source_init(src, s->spool, f->at, f->size);
	while (!e) {
		const uint8_t *p = NULL;
		size_t got;

		e = source_next(&src->s, &p, &got, why);
		if (e || got == 0)
			break;
		e = ext4_file_write(out, off, p, got, why);
		off += got;
	}
	if (!e)
		e = ext4_file_end(out, &ino, why);
	ext4_file_free(out);
	return e ? e : tree_put(t, dir, name, n, ino, m.mode, &node, why);
}

static enum err fill_disk(struct modset *s, struct tree *t, struct why *why)
{
	struct file_source *src = calloc(1, sizeof(*src));
	enum err e = OK;

	if (!src)
		return fail(why, ERR_no_memory, "no memory for modules");
	for (uint32_t i = 0; i < s->files_n && !e; i++) {
		if (put_file(s, t, s->files[i], src, why))
			e = fail_entry(why, s->files[i]->path);
		job_tick(s->job, s->spooled, "modules disk");
	}
	free(src);
	return e ? e : tree_write(t, why);
}

/* As large as what goes in: blocks, inodes, and a little for tables and directories. */
static void measure(const struct modset *s, struct ext4_spec *spec)
{
	uint64_t blocks = 0, dirs = 64;

	for (uint32_t i = 0; i < s->files_n; i++) {
		blocks += s->files[i]->size / EXT4_BLOCK + 1;
		for (const char *c = s->files[i]->path; *c; c++)
			dirs += *c == '/';
	}
	spec->inodes = s->files_n + dirs;
	spec->size = (blocks + dirs + 512) * EXT4_BLOCK + spec->inodes * 256;
	spec->size += spec->size / 32 + MiB;
	spec->size = (spec->size + MiB - 1) / MiB * MiB;
}

static enum err build_disk(struct modset *s, int fd, const struct ext4_spec *spec,
	const char *digest, struct why *why)
{
	struct tree t = { .fs = NULL };
	struct ext4 *fs;
	uint8_t uuid[16];
	enum err e = ext4_new(fd, spec, &fs, why);

	if (e)
		return e;
	e = tree_init(&t, fs, spec->inodes, why);
	if (!e)
		e = fill_disk(s, &t, why);
	tree_done(&t);
	if (e) {
		ext4_free(fs);
		return e;
	}
	name_of(digest, 2, uuid);
	return ext4_finish(fs, uuid, why);
}

enum err modset_disk(struct modset *s, const char *digest, uint64_t *ret_size, struct why *why)
{
	struct ext4_spec spec = { .label = "modules", .read_only = true };
	own_fd fd = -1;
	enum err e = job_create(s->job, "modules.ext4", &fd, why);

	measure(s, &spec);
	if (!e)
		e = build_disk(s, take_fd(&fd), &spec, digest, why);
	if (!e)
		*ret_size = spec.size;
	return e;
}

static enum err put_module(struct modset *s, struct cpio *c, const struct modfile *f,
	struct buf *list, struct why *why)
{
	own_mem uint8_t *p = NULL;
	char path[300];
	size_t n = 0;
	enum err e = modset_load(s, f, &p, &n, why);

	if (e)
		return e;
	snprintf(path, sizeof(path), "modules/%s.ko", f->name);
	buf_fmt(list, "%s.ko\n", f->name);
	return cpio_file(c, path, 0644, (struct bytes){ p, n }, why);
}

static enum err choose(struct modset *s, const char *const *names, size_t names_n,
	struct modfile **all, uint32_t *n, struct why *why)
{
	enum err e = OK;

	for (size_t i = 0; i < names_n && !e; i++) {
		struct modfile *f = modset_module(s, names[i]);

		if (f)
			e = modset_closure(s, f, all, n, why);
	}
	return e;
}

static enum err put_boot_set(struct modset *s, struct cpio *c, struct buf *list, struct why *why)
{
	own_mem struct modfile **all = calloc(s->modules_n + 1, sizeof(struct modfile *));
	uint32_t n = 0;
	enum err e;

	if (!all)
		return fail(why, ERR_no_memory, "no memory for modules");
	modset_unmark(s);
	e = choose(s, boot_set, COUNT(boot_set), all, &n, why);
	if (!e && modset_module(s, "ext4"))
		e = choose(s, ext4_set, COUNT(ext4_set), all, &n, why);
	for (uint32_t i = 0; i < n && !e; i++)
		e = put_module(s, c, all[i], list, why);
	return e;
}

enum err modset_cpio(struct modset *s, struct why *why)
{
	own_buf list = { .max = MiB }, release = { .max = KiB };
	own_fd fd = -1;
	struct cpio c = { .a = NULL };
	enum err e = job_create(s->job, "modules.cpio", &fd, why);

	if (!e)
		e = cpio_open(&c, fd, why);
	if (!e)
		e = cpio_dir(&c, "modules", why);
	if (!e)
		e = put_boot_set(s, &c, &list, why);
	buf_fmt(&release, "%s\n", s->release);
	if (!e && (list.failed || release.failed))
		e = fail(why, ERR_no_memory, "no memory for the list of modules");
	if (!e)
		e = cpio_file(&c, "modules.list", 0644, (struct bytes){ list.p, list.n }, why);
	if (!e)
		e = cpio_file(&c, "modules.release", 0644,
			(struct bytes){ release.p, release.n }, why);
	if (!e)
		e = cpio_close(&c, why);
	cpio_done(&c);
	return e;
}
