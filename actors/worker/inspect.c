/*
 * inspect.c - the job work.inspect: what is in a root filesystem that is there already, and a
 * work-seed from it. The file on descriptor 4 is only read.
 */
#include <fcntl.h>
#include <openssl/evp.h>
#include <sys/stat.h>
#include <unistd.h>

#include "worker/image.h"
#include "worker/stretch.h"

enum { STEP = 1024 * 1024 };

/* ---- its digest: of its data, and of where that lies ---- */

static enum err hash_stretch(
	struct job *j, EVP_MD_CTX *hash, int fd, off_t at, off_t end, uint8_t *buf, struct why *why)
{
	uint64_t place[2] = { (uint64_t)at, (uint64_t)end };

	if (!EVP_DigestUpdate(hash, place, sizeof(place)))
		return fail(why, ERR_internal, "cannot hash");
	while (at < end) {
		ssize_t got = pread(fd, buf, (size_t)MIN(end - at, STEP), at);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return fail_errno(why, "cannot read the root filesystem");
		if (!EVP_DigestUpdate(hash, buf, (size_t)got))
			return fail(why, ERR_internal, "cannot hash");
		at += got;
		job_tick(j, (uint64_t)at, "reading");
	}
	return OK;
}

static enum err hash_all(struct job *j, EVP_MD_CTX *hash, int fd, off_t size, struct why *why)
{
	own_mem uint8_t *buf = malloc(STEP);
	struct stretch s = { 0, 0 };
	enum err e = buf ? stretch_next(fd, size, &s, why) :
			   fail(why, ERR_no_memory, "no memory to read");

	while (!e && s.at < s.end) {
		e = hash_stretch(j, hash, fd, s.at, s.end, buf, why);
		if (!e)
			e = stretch_next(fd, size, &s, why);
	}
	return e;
}

static enum err digest_of(struct image *im, int fd, off_t size, struct why *why)
{
	EVP_MD_CTX *hash = EVP_MD_CTX_new();
	uint8_t sum[SHA256_BYTES];
	enum err e = OK;

	if (!hash || !EVP_DigestInit_ex(hash, EVP_sha256(), NULL))
		e = fail(why, ERR_no_memory, "no memory to hash");
	if (!e)
		e = hash_all(im->job, hash, fd, size, why);
	if (!e && !EVP_DigestFinal_ex(hash, sum, NULL))
		e = fail(why, ERR_internal, "cannot hash");
	EVP_MD_CTX_free(hash);
	if (e)
		return e;
	snprintf(im->digest, sizeof(im->digest), "sha256:");
	for (size_t i = 0; i < sizeof(sum); i++)
		snprintf(im->digest + 7 + 2 * i, 3, "%02x", sum[i]);
	return OK;
}

/* ---- the job ---- */

static enum err look(struct image *im, struct image_facts *ret, struct why *why)
{
	struct stat st;
	uint64_t used;
	enum err e = OK;

	if (fstat(FD_EXTRA, &st) < 0)
		return fail_errno(why, "cannot measure the root filesystem");
	if (!S_ISREG(st.st_mode))
		return fail_field(why, ERR_invalid_value, "root", "it is not a regular file");
	if ((uint64_t)st.st_size < ext4_bytes(im->tree.fs))
		return fail_field(why, ERR_invalid_value, "root",
			"the file is cut off: its file "
			"system has %llu bytes",
			(unsigned long long)ext4_bytes(im->tree.fs));
	e = tree_load(&im->tree, why);
	if (!e)
		e = digest_of(im, FD_EXTRA, st.st_size, why);
	if (!e)
		e = image_find_user(im, why);
	if (!e)
		e = image_state_facts(im, (uint64_t)st.st_size, ret, why);
	if (!e)
		e = seed_build(im, &used, why);
	if (!e)
		ret->used = (uint64_t)st.st_blocks * 512 + used;
	return e;
}

enum err run_inspect(struct job *j, struct image_facts *ret, struct why *why)
{
	struct image *im = calloc(1, sizeof(*im));
	struct work_inspect ask;
	struct ext4 *fs = NULL;
	int fd;
	enum err e;

	if (!im)
		return fail(why, ERR_no_memory, "no memory for an image");
	im->job = j;
	e = job_read(j, &ask, why);
	if (!e) {
		im->ask = (struct work_image){ .files_max = ask.files_max,
			.user = ask.user,
			.services = { ask.services.v, ask.services.n },
			.work_size = ask.work_size };
		fd = fcntl(FD_EXTRA, F_DUPFD_CLOEXEC, 0);
		e = fd < 0 ? fail_errno(why, "cannot hold the file") : ext4_open(fd, &fs, why);
	}
	if (!e)
		e = tree_init(&im->tree, fs, im->ask.files_max, why);
	if (!e)
		e = look(im, ret, why);
	if (e == ERR_internal) { /* what is wrong in there is not our fault */
		why->code = e = ERR_invalid_value;
		fail_hint(why, "`e2fsck -f FILE` repairs what it can");
	}
	ext4_free(fs);
	tree_done(&im->tree);
	free(im);
	if (e)
		job_remove(j, "work.ext4");
	return e;
}
