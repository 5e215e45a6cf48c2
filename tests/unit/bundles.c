/*
 * unit/bundles.c - bundles as they should be, and as somebody who wants harm would make them. Each
 * goes through the worker's whole job; a refused one leaves nothing.
 */
#include "tests/unit/unit.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "sys/beneath.h"
#include "tests/lib/job.h"
#include "worker/bundle.h"
#include "worker/ext4.h"
#include "worker/image.h"

enum { SIZE = 2 * MiB, TAR_MAX = 8 * MiB };

#define ZEROS "0000000000000000000000000000000000000000000000000000000000000000"

static uint8_t disk[SIZE];
static char disk_digest[DIGEST_CHARS + 1];

/* ---- parts ---- */

/* A small file system, and its digest by the words of its definition. */
static void make_disk(void)
{
	static const struct ext4_spec spec = { .size = SIZE, .label = "t" };
	static const uint8_t zero[CONTENT_BLOCK], uuid[16] = { 1 };
	EVP_MD_CTX *hash = EVP_MD_CTX_new();
	char path[] = "/tmp/banger-disk-XXXXXX";
	int fd = mkostemp(path, O_CLOEXEC);
	uint64_t size = SIZE;
	struct ext4 *fs;
	struct why why;
	uint8_t sum[32];

	must(fd >= 0 && unlink(path) == 0);
	must(!ext4_new(fcntl(fd, F_DUPFD_CLOEXEC, 0), &spec, &fs, &why));
	must(!ext4_finish(fs, uuid, &why));
	must(pread(fd, disk, SIZE, 0) == SIZE);
	close(fd);
	must(hash && EVP_DigestInit_ex(hash, EVP_sha256(), NULL));
	for (uint64_t i = 0; i < SIZE / CONTENT_BLOCK; i++) {
		if (memcmp(disk + i * CONTENT_BLOCK, zero, CONTENT_BLOCK) == 0)
			continue;
		EVP_DigestUpdate(hash, &i, 8);
		EVP_DigestUpdate(hash, disk + i * CONTENT_BLOCK, CONTENT_BLOCK);
	}
	EVP_DigestUpdate(hash, &size, 8);
	EVP_DigestFinal_ex(hash, sum, NULL);
	EVP_MD_CTX_free(hash);
	memcpy(disk_digest, "sha256:", 7);
	hex_of(disk_digest + 7, sum, sizeof(sum));
}

struct bag { /* a tar that is being written */
	uint8_t *p;
	size_t n;
	struct archive *a;
};

static void bag_open(struct bag *b)
{
	b->p = malloc(TAR_MAX);
	b->a = archive_write_new();
	must(b->p && b->a && archive_write_set_format_pax(b->a) == ARCHIVE_OK);
	must(archive_write_add_filter_zstd(b->a) == ARCHIVE_OK);
	must(archive_write_set_bytes_in_last_block(b->a, 1) == ARCHIVE_OK);
	must(archive_write_open_memory(b->a, b->p, TAR_MAX, &b->n) == ARCHIVE_OK);
}

static struct bytes bag_close(struct bag *b)
{
	must(archive_write_close(b->a) == ARCHIVE_OK);
	archive_write_free(b->a);
	return (struct bytes){ b->p, b->n };
}

enum how { PLAIN, HARD, SOFT, DIRECTORY, HOLES };

static void put(struct bag *b, const char *name, const void *p, size_t n, enum how how)
{
	static const uint8_t zeros[CONTENT_WINDOW];
	struct archive_entry *e = archive_entry_new();

	archive_entry_set_pathname(e, name);
	archive_entry_set_mode(e, how == SOFT      ? S_IFLNK | 0777 :
				  how == DIRECTORY ? S_IFDIR | 0755 :
						     S_IFREG | 0644);
	archive_entry_set_size(e, how == PLAIN || how == HOLES ? (la_int64_t)n : 0);
	if (how == SOFT)
		archive_entry_set_symlink(e, "/etc/passwd");
	if (how == HARD)
		archive_entry_set_hardlink(e, BUNDLE_MANIFEST);
	for (size_t at = 0; how == HOLES && at < n; at += CONTENT_WINDOW)
		if (memcmp((const uint8_t *)p + at, zeros, CONTENT_WINDOW) != 0)
			archive_entry_sparse_add_entry(e, (la_int64_t)at, CONTENT_WINDOW);
	must(archive_write_header(b->a, e) == ARCHIVE_OK);
	if (how == PLAIN || how == HOLES)
		must(archive_write_data(b->a, p, n) == (la_ssize_t)n);
	archive_entry_free(e);
}

/* ---- manifests ---- */

struct told { /* what differs from a good one; NULL or 0: nothing */
	const char *version, *arch, *digest, *size, *image_size, *roles[2], *more, *in_image;
};

static char *manifest(const struct told *t, struct arena *a)
{
	const char *root = t->roles[0] ? t->roles[0] : "root";
	const char *work = t->roles[1] ? t->roles[1] : "work";

	return arena_fmt(a,
		"{\"version\":%s,\"arch\":\"%s\",%s\"image\":{\"name\":\"a\",\"created\":1,%s"
		"\"kernel\":\"k\",\"seed\":1,\"facts\":{\"size\":%s,\"used\":0,\"files\":1,"
		"\"init\":\"none\",\"os\":\"T\",\"home\":\"/root\",\"uid\":0,\"gid\":0,"
		"\"digest\":\"sha256:" ZEROS "\",\"config\":{\"env\":[\"A=b\"]}}},\"files\":["
		"{\"role\":\"%s\",\"size\":%s,\"digest\":\"%s\"},"
		"{\"role\":\"%s\",\"size\":2097152,\"digest\":\"%s\"}]}",
		t->version ? t->version : "1", t->arch ? t->arch : host_arch(),
		t->more ? t->more : "", t->in_image ? t->in_image : "",
		t->image_size ? t->image_size : "2097152", root, t->size ? t->size : "2097152",
		t->digest ? t->digest : disk_digest, work, disk_digest);
}

static enum err run(struct bytes in, struct image_made *made, struct why *why, uint64_t max)
{
	const struct work_image ask = {
		.format = pack_kind_auto, .content_max = max, .files_max = 10, .work_size = SIZE
	};
	own_buf file = { .max = 2 * SIZE };
	struct job_rig r;
	struct why other;
	enum err e;

	job_rig_begin(&r, LETTER_work_image, &ask, in);
	*why = (struct why){ .code = OK };
	e = run_image(&r.job, made, why);
	if (e == OK) {
		assert_string_equal(made->kernel, "k");
		assert_string_equal(made->facts.config.env.v[0], "A=b");
		assert_true(made->facts.used > 0 && made->facts.used < 2 * SIZE);
		assert_int_equal(read_file(FD_DIR, "root.ext4", 2 * SIZE, &file, &other), OK);
		assert_memory_equal(file.p, disk, SIZE);
	}
	if (e) {
		assert_int_equal(faccessat(FD_DIR, "root.ext4", F_OK, 0), -1);
		assert_int_equal(faccessat(FD_DIR, "work.ext4", F_OK, 0), -1);
	}
	job_rig_end(&r);
	return e;
}

/* ---- tests ---- */

static void good(void **state UNUSED)
{
	struct arena a = { .max = MiB };
	struct told same = { .version = NULL };

	for (int how = PLAIN; how <= HOLES; how += HOLES) {
		char *json = manifest(&same, &a);
		struct image_made made;
		struct bag b;
		struct why why;

		bag_open(&b);
		put(&b, BUNDLE_MANIFEST, json, strlen(json), PLAIN);
		put(&b, how == PLAIN ? "work.ext4" : "./root.ext4", disk, SIZE, (enum how)how);
		put(&b, how == PLAIN ? "root.ext4" : "./work.ext4", disk, SIZE, (enum how)how);
		check_row(run(bag_close(&b), &made, &why, 64 * MiB) == OK, "%s", why.text);
		free(b.p);
	}
	arena_done(&a);
}

static void manifests(void **state UNUSED)
{
	static const struct {
		struct told told;
		enum err want;
		const char *says;
	} rows[] = {
		{ { .version = "2" }, ERR_unsupported, "version 2" },
		{ { .version = "18446744073709551616" }, ERR_invalid_value, "" },
		{ { .version = "\"1\"" }, ERR_missing_field, "version" },
		{ { .version = "1.0" }, ERR_missing_field, "version" },
		{ { .arch = "riscv64" }, ERR_unsupported, "riscv64" },
		{ { .digest = "sha256:" ZEROS }, ERR_invalid_value, "digest" },
		{ { .digest = "md5:00" }, ERR_invalid_value, "digest" },
		{ { .size = "4096" }, ERR_invalid_value, "4096" },
		{ { .size = "2093056", .image_size = "2093056" }, ERR_invalid_value, "declares" },
		{ { .size = "99999999999999999", .image_size = "99999999999999999" },
			ERR_invalid_value, "size" },
		{ { .size = "-1" }, ERR_invalid_type, "" },
		{ { .roles = { "work", "work" } }, ERR_invalid_value, "one role" },
		{ { .roles = { "../x", NULL } }, ERR_invalid_value, "role" },
		{ { .more = "\"new\":1," }, ERR_unknown_field, "new" },
		{ { .more = "\"new\":null," }, ERR_invalid_type, "" },
		{ { .more = "\"arch\":\"amd64\"," }, ERR_invalid_value, "" },
		{ { .more = "\"new\":[[[[[[[[[[1]]]]]]]]]]," }, ERR_too_large, "nested" },
		{ { .in_image = "\"ssh_key\":\"no key\"," }, ERR_invalid_value, "ssh_key" },
		{ { .in_image = "\"secret\":\"x\"," }, ERR_unknown_field, "secret" },
	};
	struct arena a = { .max = MiB };

	for (size_t i = 0; i < COUNT(rows); i++) {
		char *json = manifest(&rows[i].told, &a);
		struct image_made made;
		struct bag b;
		struct why why;
		enum err e;

		bag_open(&b);
		put(&b, BUNDLE_MANIFEST, json, strlen(json), PLAIN);
		put(&b, "root.ext4", disk, SIZE, PLAIN);
		put(&b, "work.ext4", disk, SIZE, PLAIN);
		e = run(bag_close(&b), &made, &why, 64 * MiB);
		check_row(e == rows[i].want && strstr(why.text, rows[i].says), "row %zu: %s: %s", i,
			err_name(e), why.text);
		free(b.p);
	}
	arena_done(&a);
}

struct part {
	const char *name;
	enum how how;
	size_t n;
};

static void archives(void **state UNUSED)
{
	static const struct {
		struct part parts[4];
		enum err want;
		const char *says;
		uint64_t max;
	} rows[] = {
		{ { { "root.ext4", PLAIN, SIZE } }, ERR_invalid_value, "no work.ext4", 0 },
		{ { { "work.ext4", PLAIN, SIZE } }, ERR_invalid_value, "no root.ext4", 0 },
		{ { { "root.ext4", PLAIN, SIZE }, { "root.ext4", PLAIN, SIZE } }, ERR_invalid_value,
			"twice", 0 },
		{ { { "root.ext4", PLAIN, SIZE }, { "work.ext4", PLAIN, SIZE },
			  { "more", PLAIN, 5 } },
			ERR_invalid_value, "names no such", 0 },
		{ { { "../root.ext4", PLAIN, SIZE } }, ERR_invalid_value, "names no such", 0 },
		{ { { "/root.ext4", PLAIN, SIZE } }, ERR_invalid_value, "names no such", 0 },
		{ { { "a/../root.ext4", PLAIN, SIZE } }, ERR_invalid_value, "names no such", 0 },
		{ { { "root.ext4", HARD, 0 } }, ERR_invalid_value, "no regular file", 0 },
		{ { { "root.ext4", SOFT, 0 } }, ERR_invalid_value, "no regular file", 0 },
		{ { { "root.ext4", DIRECTORY, 0 } }, ERR_invalid_value, "names no such", 0 },
		{ { { "root.ext4", PLAIN, SIZE - 1 } }, ERR_invalid_value, "declares", 0 },
		{ { { "root.ext4", PLAIN, SIZE }, { "work.ext4", PLAIN, SIZE } }, ERR_too_large,
			"files of more", SIZE },
		{ { { BUNDLE_MANIFEST, PLAIN, 5 } }, ERR_invalid_value, "names no such", 0 },
	};
	struct arena a = { .max = MiB };
	struct told same = { .version = NULL };

	for (size_t i = 0; i < COUNT(rows); i++) {
		char *json = manifest(&same, &a);
		struct image_made made;
		struct bag b;
		struct why why;
		enum err e;

		bag_open(&b);
		put(&b, BUNDLE_MANIFEST, json, strlen(json), PLAIN);
		for (int k = 0; k < 4 && rows[i].parts[k].name; k++)
			put(&b, rows[i].parts[k].name, disk, rows[i].parts[k].n,
				rows[i].parts[k].how);
		e = run(bag_close(&b), &made, &why, rows[i].max ? rows[i].max : 64 * MiB);
		check_row(e == rows[i].want && strstr(why.text, rows[i].says), "row %zu: %s: %s", i,
			err_name(e), why.text);
		free(b.p);
	}
	arena_done(&a);
}

/* Cut off anywhere, and with a byte that is not what it was. */
static void cut_and_changed(void **state UNUSED)
{
	struct arena a = { .max = MiB };
	struct told same = { .version = NULL };
	char *json = manifest(&same, &a);
	struct image_made made;
	struct bytes whole;
	struct bag b;
	struct why why;

	bag_open(&b);
	put(&b, BUNDLE_MANIFEST, json, strlen(json), PLAIN);
	put(&b, "root.ext4", disk, SIZE, HOLES);
	put(&b, "work.ext4", disk, SIZE, HOLES);
	whole = bag_close(&b);
	for (size_t n = 1; n < whole.n; n += MAX(whole.n / 40, 1u))
		check_row(run((struct bytes){ whole.p, n }, &made, &why, 64 * MiB) != OK,
			"cut at %zu of %zu", n, whole.n);
	for (size_t at = 64; at < whole.n; at += MAX(whole.n / 40, 1u)) {
		uint8_t was = b.p[at];
		enum err e;

		b.p[at] ^= 0x55;
		e = run(whole, &made, &why, 64 * MiB);
		/* what a filter does not mind is still byte for byte what was exported */
		check_row(e == OK || why.text[0], "byte %zu", at);
		b.p[at] = was;
	}
	free(b.p);
	arena_done(&a);
}

/* Data that goes back, overlaps, or lies past the end is refused; pieces may be of any size. */
static enum err keep(void *ctx, uint64_t off, const uint8_t *p, size_t n, struct why *why UNUSED)
{
	memcpy((uint8_t *)ctx + off, p, n);
	return OK;
}

static void contents(void **state UNUSED)
{
	static uint8_t copy[SIZE];
	char digest[DIGEST_CHARS + 1];
	struct content c;
	struct why why;

	for (size_t step = 1000; step < SIZE; step = step * 7 + 1) {
		memset(copy, 0, SIZE);
		assert_int_equal(content_begin(&c, SIZE, keep, copy, &why), OK);
		for (size_t at = 0; at < SIZE; at += step)
			assert_int_equal(
				content_put(&c, at, disk + at, MIN(step, SIZE - at), &why), OK);
		assert_int_equal(content_end(&c, digest, &why), OK);
		content_done(&c);
		assert_string_equal(digest, disk_digest);
		assert_memory_equal(copy, disk, SIZE);
	}
	assert_int_equal(content_begin(&c, 10000, keep, copy, &why), OK);
	assert_int_equal(content_put(&c, 5000, disk, 100, &why), OK);
	assert_int_equal(content_put(&c, 5099, disk, 1, &why), ERR_invalid_value);
	assert_int_equal(content_put(&c, 0, disk, 1, &why), ERR_invalid_value);
	assert_int_equal(content_put(&c, 9999, disk, 2, &why), ERR_invalid_value);
	assert_int_equal(content_put(&c, UINT64_MAX, disk, 2, &why), ERR_invalid_value);
	assert_int_equal(content_put(&c, 9999, disk, 1, &why), OK);
	content_done(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = { TEST(good), TEST(manifests), TEST(archives),
		TEST(cut_and_changed), TEST(contents) };

	job_rig_hold();
	make_disk();
	return RUN(tests);
}
