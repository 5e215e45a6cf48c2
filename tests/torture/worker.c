/*
 * torture/worker.c - the worker's jobs while memory and system calls say no: what is answered as
 * made is byte for byte what an undisturbed job makes; anything else has its reason.
 */
#include "tests/torture/torture.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sys/beneath.h"
#include "tests/lib/job.h"
#include "worker/bundle.h"
#include "worker/ext4.h"
#include "worker/image.h"
#include "worker/layer.h"

#include <elf.h> /* behind ev.h, whose EV_NONE is an enum */

enum { INPUT_MAX = 65536, FILES_MAX = 3, MADE_MAX = 64 };

/* ---- inputs ---- */

struct input {
	uint8_t bytes[INPUT_MAX];
	size_t n;
};

static struct input tree_tar, kernel_tar, bundle_tar;

static void put(struct archive *a, const char *path, mode_t mode, const void *p, size_t n)
{
	struct archive_entry *e = archive_entry_new();

	must(e);
	archive_entry_set_pathname(e, path);
	archive_entry_set_mode(e, mode);
	archive_entry_set_size(e, (la_int64_t)n);
	archive_entry_set_mtime(e, 1700000000, 0);
	if (S_ISLNK(mode))
		archive_entry_set_symlink(e, p);
	if (S_ISLNK(mode))
		archive_entry_set_size(e, 0);
	if (S_ISREG(mode) && strcmp(path, "etc/again") == 0)
		archive_entry_set_hardlink(e, "etc/passwd");
	if (S_ISREG(mode))
		archive_entry_xattr_add_entry(e, "user.note", "kept", 4);
	must(archive_write_header(a, e) == ARCHIVE_OK);
	if (S_ISREG(mode) && n > 0)
		must(archive_write_data(a, p, n) == (la_ssize_t)n);
	archive_entry_free(e);
}

static struct archive *begin_tar(struct input *in)
{
	struct archive *a = archive_write_new();

	must(a && archive_write_set_format_pax_restricted(a) == ARCHIVE_OK);
	must(archive_write_open_memory(a, in->bytes, sizeof(in->bytes), &in->n) == ARCHIVE_OK);
	return a;
}

static void end_tar(struct archive *a)
{
	must(archive_write_close(a) == ARCHIVE_OK);
	archive_write_free(a);
}

static void make_tree_tar(void)
{
	static const char passwd[] = "root:x:0:0::/root:/bin/sh\nme:x:7:7::/home/me:/bin/sh\n";
	struct archive *a = begin_tar(&tree_tar);
	static uint8_t long_file[20000];

	memset(long_file, 'l', sizeof(long_file));
	put(a, "etc", S_IFDIR | 0755, NULL, 0);
	put(a, "etc/passwd", S_IFREG | 0644, passwd, sizeof(passwd) - 1);
	put(a, "etc/again", S_IFREG | 0644, "", 0);
	put(a, "etc/os-release", S_IFREG | 0644, "PRETTY_NAME=\"Small\"\n", 20);
	put(a, "sbin", S_IFDIR | 0755, NULL, 0);
	put(a, "sbin/init", S_IFLNK | 0777, "../bin/sh", 0);
	put(a, "bin/sh", S_IFREG | 0755, long_file, sizeof(long_file));
	put(a, "home/me", S_IFDIR | 0700, NULL, 0);
	put(a, "home/me/.profile", S_IFREG | 0600, "true\n", 5);
	put(a, "dev/null", S_IFCHR | 0666, NULL, 0);
	end_tar(a);
}

static enum err pass(void *ctx UNUSED, uint64_t off UNUSED, const uint8_t *p UNUSED,
	size_t n UNUSED, struct why *why UNUSED)
{
	return OK;
}

enum { DISK_BYTES = 1024 * 1024 };

/* A small file system, and its digest. */
static void make_disk(uint8_t *disk, char digest[DIGEST_CHARS + 1])
{
	static const struct ext4_spec spec = { .size = DISK_BYTES, .label = "t",
		.read_only = true };
	static const uint8_t uuid[16] = { 1 };
	char path[] = "/tmp/banger-disk-XXXXXX";
	int fd = mkostemp(path, O_CLOEXEC);
	struct content c;
	struct ext4 *fs;
	struct why why;

	must(fd >= 0 && unlink(path) == 0);
	must(!ext4_new(fcntl(fd, F_DUPFD_CLOEXEC, 0), &spec, &fs, &why));
	must(!ext4_finish(fs, uuid, &why));
	must(pread(fd, disk, DISK_BYTES, 0) == DISK_BYTES);
	close(fd);
	must(!content_begin(&c, DISK_BYTES, pass, NULL, &why));
	must(!content_put(&c, 0, disk, DISK_BYTES, &why));
	must(!content_end(&c, digest, &why));
	content_done(&c);
}

static void make_bundle(void)
{
	static uint8_t disk[DISK_BYTES];
	char digest[DIGEST_CHARS + 1];
	own_buf text = { .max = 65536 };
	struct bundle_file files[2] = { { bundle_role_root, DISK_BYTES, digest },
		{ bundle_role_work, DISK_BYTES, digest } };
	struct bundle b = { .version = BUNDLE_VERSION, .arch = host_arch(),
		.image = { .name = "a", .facts = { .size = DISK_BYTES, .os = "Small",
			.home = "/", .digest = digest } }, .files = { files, 2 } };
	struct archive *a = archive_write_new();
	struct why why;

	make_disk(disk, digest);
	must(a && archive_write_set_format_pax_restricted(a) == ARCHIVE_OK);
	must(archive_write_add_filter_zstd(a) == ARCHIVE_OK);
	must(archive_write_open_memory(a, bundle_tar.bytes, sizeof(bundle_tar.bytes),
		&bundle_tar.n) == ARCHIVE_OK);
	must(!bundle_write(&b, &text, &why));
	put(a, BUNDLE_MANIFEST, S_IFREG | 0644, text.p, text.n);
	put(a, "root.ext4", S_IFREG | 0644, disk, sizeof(disk));
	put(a, "work.ext4", S_IFREG | 0644, disk, sizeof(disk));
	end_tar(a);
}

/* A program with a kernel's banner, and a module with a .modinfo section. */
static size_t make_elf(uint8_t *out, size_t size, uint16_t type, const char *text, size_t n)
{
	static const char names[] = "\0.modinfo\0.shstrtab";
	Elf64_Ehdr h = { .e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB,
				 EV_CURRENT },
		.e_type = type,
		.e_machine = EM_X86_64,
		.e_version = EV_CURRENT,
		.e_ehsize = sizeof(h),
		.e_shentsize = sizeof(Elf64_Shdr),
		.e_shnum = 3,
		.e_shstrndx = 2 };
	Elf64_Shdr s[3] = { { .sh_type = SHT_NULL },
		{ .sh_name = 1, .sh_type = SHT_PROGBITS, .sh_offset = sizeof(h), .sh_size = n },
		{ .sh_name = 10, .sh_type = SHT_STRTAB, .sh_size = sizeof(names) } };
	size_t at = sizeof(h);

	s[2].sh_offset = at + n;
	h.e_shoff = (at + n + sizeof(names) + 7) / 8 * 8;
	must(h.e_shoff + sizeof(s) <= size);
	memset(out, 0, size);
	memcpy(out, &h, sizeof(h));
	memcpy(out + at, text, n);
	memcpy(out + at + n, names, sizeof(names));
	memcpy(out + h.e_shoff, s, sizeof(s));
	return h.e_shoff + sizeof(s);
}

static void make_kernel_tar(void)
{
	static const char banner[] = "Linux version 6.1.0-t (a@b) #1";
	static const char needs[] = "name=virtio_net\0depends=failover\0alias=virtio:d1v*";
	static const char plain[] = "name=failover\0depends=";
	struct archive *a = begin_tar(&kernel_tar);
	uint8_t elf[1024];
	size_t n = make_elf(elf, sizeof(elf), ET_EXEC, banner, sizeof(banner));

	put(a, "vmlinuz", S_IFREG | 0644, elf, n);
	n = make_elf(elf, sizeof(elf), ET_REL, needs, sizeof(needs));
	put(a, "lib/modules/6.1.0-t/kernel/virtio_net.ko", S_IFREG | 0644, elf, n);
	n = make_elf(elf, sizeof(elf), ET_REL, plain, sizeof(plain));
	put(a, "lib/modules/6.1.0-t/kernel/failover.ko", S_IFREG | 0644, elf, n);
	put(a, "lib/modules/6.1.0-t/modules.order", S_IFREG | 0644, "kernel/failover.ko\n", 19);
	end_tar(a);
}

/* ---- a job, and what it makes ---- */

struct made { /* of an undisturbed job */
	const char *names[FILES_MAX];
	struct buf files[FILES_MAX];
	bool known;
};

static void work_begin(
	struct job_rig *w, enum letter_id kind, const void *body, const struct input *in)
{
	torture_off();
	job_rig_begin(w, kind, body, (struct bytes){ in ? in->bytes : NULL, in ? in->n : 0 });
	torture_on();
}

static void compare(struct made *m)
{
	struct why why;

	for (int i = 0; i < FILES_MAX && m->names[i]; i++) {
		own_buf now = { .max = MADE_MAX * MiB };

		torture_must(!read_file(FD_DIR, m->names[i], MADE_MAX * MiB, &now, &why));
		torture_must(now.n > 0);
		if (m->known) {
			torture_must(
				now.n == m->files[i].n && memcmp(now.p, m->files[i].p, now.n) == 0);
		} else {
			m->files[i] = now;
			now = (struct buf){ .p = NULL };
		}
	}
	m->known = true;
}

static void work_end(struct job_rig *w, enum err e, const struct why *why, struct made *m)
{
	torture_must(e == OK || (torture_struck() && why->text[0] && why->code == e));
	torture_off();
	if (e == OK)
		compare(m);
	job_rig_end(w);
	torture_on();
}

/* ---- the jobs ---- */

static void image(void)
{
	static struct made made = { .names = { "root.ext4", "work.ext4" } };
	static const struct work_image ask = { .format = pack_kind_tar,
		.size = 4 * MiB,
		.has_size = true,
		.content_max = 64 * MiB,
		.files_max = 100,
		.user = "me",
		.work_size = 4 * MiB };
	struct image_made is;
	struct why why = { .code = OK };
	struct job_rig w;
	enum err e;

	work_begin(&w, LETTER_work_image, &ask, &tree_tar);
	e = run_image(&w.job, &is, &why);
	if (e == OK) {
		torture_must(strcmp(is.facts.os, "Small") == 0 && is.facts.uid == 7);
		torture_must(strcmp(is.facts.home, "/home/me") == 0);
		torture_must(is.facts.init == init_kind_other);
	}
	work_end(&w, e, &why, &made);
}

static void bundle(void)
{
	static struct made made = { .names = { "root.ext4", "work.ext4" } };
	static const struct work_image ask = { .content_max = 64 * MiB, .files_max = 100,
		.work_size = 4 * MiB };
	struct image_made is;
	struct why why = { .code = OK };
	struct job_rig w;
	enum err e;

	work_begin(&w, LETTER_work_image, &ask, &bundle_tar);
	e = run_image(&w.job, &is, &why);
	if (e == OK)
		torture_must(strcmp(is.facts.os, "Small") == 0 && is.facts.used > 0);
	work_end(&w, e, &why, &made);
}

static void kernel(void)
{
	static struct made made = { .names = { "vmlinux", "modules.ext4", "modules.cpio" } };
	static const struct work_kernel ask = { .content_max = 64 * MiB };
	struct kernel_facts facts;
	struct why why = { .code = OK };
	struct job_rig w;
	enum err e;

	work_begin(&w, LETTER_work_kernel, &ask, &kernel_tar);
	e = run_kernel(&w.job, &facts, &why);
	if (e == OK)
		torture_must(strcmp(facts.release, "6.1.0-t") == 0 && facts.modules == 2);
	work_end(&w, e, &why, &made);
}

static void copy(void)
{
	static struct made made = { .names = { "to" } };
	static const struct work_copy ask = { "from", "to" };
	struct work_copied copied;
	struct why why = { .code = OK };
	struct job_rig w;
	enum err e;
	int fd;

	work_begin(&w, LETTER_work_copy, &ask, NULL);
	torture_off();
	fd = openat(FD_DIR, "from", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	must(fd >= 0 && pwrite(fd, "a", 1, 0) == 1 && pwrite(fd, "b", 1, 300000) == 1);
	must(ftruncate(fd, 500000) == 0);
	close(fd);
	torture_on();
	e = run_copy(&w.job, &copied, &why);
	work_end(&w, e, &why, &made);
}

/* ---- packed layers ---- */

static struct input gzip_layer, zstd_layer;

static void pack_layer(struct input *to, int (*filter)(struct archive *a))
{
	struct archive *a = archive_write_new();
	struct archive_entry *e = archive_entry_new();

	must(a && e && archive_write_set_format_raw(a) == ARCHIVE_OK && filter(a) == ARCHIVE_OK);
	must(archive_write_open_memory(a, to->bytes, sizeof(to->bytes), &to->n) == ARCHIVE_OK);
	archive_entry_set_filetype(e, AE_IFREG);
	must(archive_write_header(a, e) == ARCHIVE_OK);
	must(archive_write_data(a, tree_tar.bytes, tree_tar.n) == (la_ssize_t)tree_tar.n);
	archive_entry_free(e);
	end_tar(a);
}

static enum err next_piece(struct source *s, const uint8_t **p, size_t *n, struct why *why UNUSED)
{
	struct bytes *left = s->ctx;

	*p = left->p;
	*n = MIN(left->n, 1000u);
	left->p += *n;
	left->n -= *n;
	return OK;
}

static void unpack_layer(const struct input *in)
{
	struct bytes left = { in->bytes, in->n };
	struct why why = { .code = OK };
	struct unpacker *u = NULL;
	struct source packed;
	enum err e;

	source_init(&packed, next_piece, &left, 0);
	e = unpacker_new(&packed, MiB, &u, &why);
	if (!e)
		e = source_drain(unpacker_source(u), &why);
	torture_must(e == OK || (torture_struck() && why.code == e && why.text[0]));
	torture_must(e || unpacker_source(u)->total == tree_tar.n);
	unpacker_free(u);
}

static void layers(void)
{
	unpack_layer(&gzip_layer);
	unpack_layer(&zstd_layer);
}

static const struct scenario scenarios[] = {
	{ .name = "an image is built", .run = image },
	{ .name = "a bundle is taken", .run = bundle },
	{ .name = "a kernel is unpacked", .run = kernel },
	{ .name = "a disk is copied", .run = copy },
	{ .name = "layers are unpacked", .run = layers },
};

int main(void)
{
	job_rig_hold();
	make_tree_tar();
	make_kernel_tar();
	make_bundle();
	pack_layer(&gzip_layer, archive_write_add_filter_gzip);
	pack_layer(&zstd_layer, archive_write_add_filter_zstd);
	return torture_main(scenarios, COUNT(scenarios));
}
