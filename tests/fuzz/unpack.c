/*
 * fuzz/unpack.c - archives of any kind go through the whole job: an image from a tar, a docker
 * archive or a bundle, a kernel from a tar or a package. The first byte picks. Whatever they hold,
 * an answer comes, and a good one has its files.
 *
 * A tar's header is only read when its checksum fits, so those are put right here first.
 */
#include "tests/fuzz/fuzz.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/lib/job.h"

enum { BLOCK = 512, SUM_AT = 148, MAGIC_AT = 257 };

static void put_sums_right(uint8_t *p, size_t n)
{
	for (; n >= BLOCK; p += BLOCK, n -= BLOCK) {
		unsigned sum = 0;
		char text[8];

		if (memcmp(p + MAGIC_AT, "ustar", 5) != 0)
			continue;
		memset(p + SUM_AT, ' ', 8);
		for (int i = 0; i < BLOCK; i++)
			sum += p[i];
		snprintf(text, sizeof(text), "%06o", sum % 01000000);
		memcpy(p + SUM_AT, text, 7);
	}
}

static void has(const char *name)
{
	struct stat st;

	must(fstatat(FD_DIR, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode));
	must(st.st_size > 0);
}

static void image(struct bytes in, enum pack_kind format)
{
	const struct work_image ask = { .format = format,
		.size = 2 * MiB,
		.has_size = true,
		.content_max = 8 * MiB,
		.files_max = 200,
		.work_size = 2 * MiB };
	struct image_made made;
	struct job_rig r;
	struct why why = { .code = OK };
	enum err e;

	job_rig_begin(&r, LETTER_work_image, &ask, in);
	e = run_image(&r.job, &made, &why);
	must(e == OK || (why.code == e && why.text[0]));
	if (e == OK) {
		must(made.facts.home[0] == '/' && made.facts.os[0]);
		must(format == pack_kind_bundle || made.facts.files <= 200);
		has("root.ext4");
		has("work.ext4");
	}
	job_rig_end(&r);
}

static void kernel(struct bytes in)
{
	static const struct work_kernel ask = { .content_max = 8 * MiB };
	struct kernel_facts facts;
	struct job_rig r;
	struct why why = { .code = OK };
	enum err e;

	job_rig_begin(&r, LETTER_work_kernel, &ask, in);
	e = run_kernel(&r.job, &facts, &why);
	must(e == OK || (why.code == e && why.text[0]));
	if (e == OK) {
		must(facts.release[0]);
		has("vmlinux");
		has("modules.cpio");
	}
	job_rig_end(&r);
}

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc UNUSED, char ***argv UNUSED)
{
	job_rig_hold();
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct bytes in;
	uint8_t *copy;

	if (n < 1)
		return 0;
	copy = malloc(n);
	must(copy);
	memcpy(copy, p, n);
	put_sums_right(copy + 1, n - 1);
	in = (struct bytes){ copy + 1, n - 1 };
	if (copy[0] % 4 == 2)
		kernel(in);
	else
		image(in, copy[0] % 4 == 3 ? pack_kind_bundle :
			  copy[0] % 4      ? pack_kind_archive :
					     pack_kind_auto);
	free(copy);
	return 0;
}
