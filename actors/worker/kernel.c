/*
 * kernel.c - the job work.kernel: vmlinux, modules.ext4 and modules.cpio from whatever a kernel
 * comes in.
 */
#include "worker/kernel.h"

#include <archive_entry.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/build.h"
#include "worker/bzimage.h"
#include "worker/elf.h"

enum { ELF_MAX = 512 * 1024 * 1024 };

struct map {
	struct bytes b;
};

static void map_done(struct map *m)
{
	if (m->b.p)
		munmap((void *)(uintptr_t)m->b.p, m->b.n);
	m->b.p = NULL;
}
#define own_map __attribute__((cleanup(map_done))) struct map

static enum err map_file(int fd, uint64_t n, struct map *ret, struct why *why)
{
	void *p;

	if (n == 0 || n > ELF_MAX)
		return fail(why, ERR_too_large, "a kernel of %llu bytes", (unsigned long long)n);
	p = mmap(NULL, (size_t)n, PROT_READ, MAP_PRIVATE, fd, 0);
	if (p == MAP_FAILED)
		return fail_errno(why, "cannot look at the kernel");
	ret->b = (struct bytes){ p, (size_t)n };
	return OK;
}

static enum err given_next(struct source *s, const uint8_t **p, size_t *n, struct why *why UNUSED)
{
	struct bytes *b = s->ctx;

	*p = b->p;
	*n = b->n;
	b->n = 0;
	return OK;
}

/* Unpacks the payload of a bzImage into fd. */
static enum err inflate(struct bytes payload, int fd, uint64_t *ret_n, struct why *why)
{
	own_archive a = NULL;
	struct archive_entry *e = NULL;
	struct entry_source out;
	struct source in;
	enum err err;

	source_init(&in, given_next, &payload, 0);
	err = open_raw(&in, &a, why);
	if (!err)
		err = next_entry(a, &in, &e, why);
	if (!err && !e)
		err = fail(why, ERR_invalid_value, "a bzImage without a kernel");
	if (err)
		return err;
	entry_source_init(&out, a, &in, ELF_MAX);
	return source_save(&out.s, fd, ret_n, why);
}

static enum err copy_plain(struct bytes from, int fd, uint64_t *ret_n, struct why *why)
{
	struct source s;

	source_init(&s, given_next, &from, ELF_MAX);
	return source_save(&s, fd, ret_n, why);
}

static enum err extract(struct kernel *k, int fd, uint64_t *ret_n, char release[129],
	struct why *why)
{
	own_map m = { { NULL, 0 } };
	struct bzimage bz;
	enum err e;

	release[0] = '\0';
	e = map_file(k->image, k->image_n, &m, why);
	if (e)
		return e;
	if (elf_is(m.b))
		return copy_plain(m.b, fd, ret_n, why);
	e = bzimage_read(m.b, &bz, why);
	if (e)
		return e;
	snprintf(release, 129, "%s", bz.release);
	return inflate(bz.payload, fd, ret_n, why);
}

static enum err settle_release(struct kernel *k, const char *header, const char *banner,
	struct why *why)
{
	const char *found = header[0] ? header : banner;

	if (found[0] == '\0' && k->mods.release[0] == '\0')
		return fail(why, ERR_invalid_value, "the kernel does not say its release");
	if (k->mods.release[0] == '\0')
		snprintf(k->mods.release, sizeof(k->mods.release), "%s", found);
	if (found[0] && !str_eq(found, k->mods.release))
		return fail(why, ERR_invalid_value,
			"the kernel is %.60s, its modules are for %.60s", found, k->mods.release);
	return OK;
}

static enum err make_vmlinux(struct kernel *k, struct kernel_facts *f, struct why *why)
{
	own_map m = { { NULL, 0 } };
	own_fd fd = -1;
	struct elf_kernel elf;
	char release[129];
	uint64_t n = 0;
	enum err e = job_create(k->job, "vmlinux", &fd, why);

	if (!e)
		e = extract(k, fd, &n, release, why);
	if (!e)
		e = map_file(fd, n, &m, why);
	if (!e)
		e = elf_kernel_read(m.b, &elf, why);
	if (!e)
		e = settle_release(k, release, elf.release, why);
	if (e)
		return e;
	if (fsync(fd) < 0)
		return fail_errno(why, "cannot flush the kernel");
	f->arch = elf.arch;
	f->pvh = elf.pvh;
	f->size = n;
	return OK;
}

static const char accepted[] = "a kernel is a .deb, a bzImage, an ELF vmlinux, or a tar with "
			       "vmlinuz and lib/modules/RELEASE";

static enum err collect(struct kernel *k, struct source *s, struct why *why)
{
	struct bytes head;
	enum err e = source_peek(s, BZIMAGE_HEAD, &head, why);

	if (e)
		return e;
	if (head.n == 0)
		return fail(why, ERR_invalid_value, "the input is empty");
	if (head.n >= 8 && memcmp(head.p, "!<arch>\n", 8) == 0)
		e = kernel_collect_deb(k, s, why);
	else if (elf_is(head) || bzimage_is(head))
		e = kernel_take_image(k, s, why);
	else if (kernel_collect_tar(k, s, why))
		return why->hint[0] ? why->code : fail_hint(why, "%s", accepted);
	if (!e)
		e = source_drain(s, why);
	if (e || k->image >= 0)
		return e;
	fail(why, ERR_invalid_value, "there is no kernel in it");
	return fail_hint(why, "%s", accepted);
}

/* A file of the job's directory, in place of the stream. */
static enum err open_file(const char *path, struct file_source *src, int *ret_fd, struct why *why)
{
	struct open_how how = { .flags = O_RDONLY | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS };
	own_fd fd = (int)syscall(SYS_openat2, FD_DIR, path, &how, sizeof(how));
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return fail_errno(why, "cannot open %.200s", path);
	if (!S_ISREG(st.st_mode))
		return fail_field(why, ERR_invalid_value, "file", "not a regular file");
	file_source_init(src, fd, 0, (uint64_t)st.st_size);
	*ret_fd = take_fd(&fd);
	return source_hash(&src->s, why);
}

static enum err read_input(struct kernel *k, char digest[DIGEST_CHARS + 1], struct why *why)
{
	struct file_source *src = calloc(1, sizeof(*src));
	own_fd fd = -1;
	enum err e;

	if (!src)
		return fail(why, ERR_no_memory, "no memory to read");
	if (k->ask.file)
		e = open_file(k->ask.file, src, &fd, why);
	else
		e = job_source(k->job, &src->s, k->ask.content_max, why);
	if (!e)
		e = collect(k, &src->s, why);
	if (!e)
		e = source_digest(&src->s, digest, why);
	source_done(&src->s);
	free(src);
	return e;
}

static enum err build(struct kernel *k, struct kernel_facts *f, struct why *why)
{
	char digest[DIGEST_CHARS + 1] = "";
	enum err e = read_input(k, digest, why);

	if (!e)
		e = make_vmlinux(k, f, why);
	if (!e)
		e = modset_scan(&k->mods, why);
	if (!e)
		e = modset_cpio(&k->mods, why);
	f->modules = k->mods.modules_n;
	if (!e && f->modules > 0)
		e = modset_index(&k->mods, why);
	if (!e && f->modules > 0)
		e = modset_disk(&k->mods, digest, &f->modules_size, why);
	f->release = arena_str(&k->job->arena, k->mods.release);
	f->digest = arena_str(&k->job->arena, digest);
	f->agent = build_commit;
	if (!e && (!f->release || !f->digest))
		e = fail(why, ERR_no_memory, "no memory");
	return e;
}

enum err run_kernel(struct job *j, struct kernel_facts *ret, struct why *why)
{
	static const char *const made[] = { "vmlinux", "modules.ext4", "modules.cpio" };
	struct kernel *k = calloc(1, sizeof(*k));
	enum err e;

	if (!k)
		return fail(why, ERR_no_memory, "no memory for a kernel");
	*ret = (struct kernel_facts){ .modules = 0 };
	k->job = j;
	k->image = -1;
	k->mods.spool = -1;
	e = job_read(j, &k->ask, why);
	if (!e)
		e = modset_init(&k->mods, j, why);
	if (!e)
		e = build(k, ret, why);
	modset_done(&k->mods);
	fd_done(&k->image);
	free(k);
	for (size_t i = 0; e && i < COUNT(made); i++)
		job_remove(j, made[i]);
	return e;
}
