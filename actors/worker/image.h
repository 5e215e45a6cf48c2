/*
 * worker/image.h - the parts of building an image that several files share.
 */
#ifndef WORKER_IMAGE_H
#define WORKER_IMAGE_H

#include "worker/etc.h"
#include "worker/unpack.h"

struct image {
	struct job *job;
	struct work_image ask;
	struct tree tree;
	struct unpack unpack;
	struct image_config config; /* empty for a plain tree */
	struct etc_user user;
	char home[1100];
	char digest[DIGEST_CHARS + 1]; /* of what it is made from */
	const char *reference; /* where it was pulled from; NULL when it was not */
};

/* Fills the tree from wherever the image comes, and says how its programs run, and its digest. */
typedef enum err image_fill_fn(struct image *im, void *ctx, struct why *why);
enum err image_make(struct job *j, const struct work_image *ask, image_fill_fn *fill, void *ctx,
	struct image_facts *ret, struct why *why) MUST_CHECK;

/* Applies the layers of a docker or OCI archive; s is at its beginning. */
enum err archive_apply(struct image *im, struct source *s, struct why *why) MUST_CHECK;
/* Who its programs run as, and what services it requires; then what else is to be told of it. */
enum err image_find_user(struct image *im, struct why *why) MUST_CHECK;
enum err image_state_facts(struct image *im, uint64_t size, struct image_facts *f,
	struct why *why) MUST_CHECK;
/* Builds work.ext4 from the user's home; answers the host bytes that it takes. */
enum err seed_build(struct image *im, uint64_t *ret_used, struct why *why) MUST_CHECK;
/* Whole content of a file of the image, links followed; empty when it is not there. */
enum err image_text(struct image *im, const char *path, size_t max, char **ret, size_t *ret_n,
	struct why *why) MUST_CHECK;
/* A file system's name, from a digest: 16 bytes of it, in the form of a UUID, different by kind. */
void name_of(const char *digest, uint8_t kind, uint8_t uuid[16]);
/* This host's architecture, as images call it. */
const char *host_arch(void);
/* Bytes that a file takes on the host. */
enum err used_bytes(int fd, uint64_t *ret, struct why *why) MUST_CHECK;
/* Whether the first bytes of a tar are those of a docker or OCI archive: its first name decides. */
bool is_archive_name(const char *path);

#endif
