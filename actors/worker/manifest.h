/*
 * worker/manifest.h - the JSON of docker and OCI archives, read with ceilings. Pure; what is
 * answered lives in the arena.
 */
#ifndef WORKER_MANIFEST_H
#define WORKER_MANIFEST_H

#include "base/arena.h"
#include "proto/proto.h"

enum {
	JSON_BYTES_MAX = 4 * 1024 * 1024,
	LAYERS_MAX = 512,
	DESCRIPTORS_MAX = 256,
	BLOB_PATH_BYTES = 13 + 64 /* blobs/sha256/HEX */
};

/* What an image is made of: names of files in the archive. */
struct manifest {
	const char *config;
	uint64_t config_size; /* sizes: as an OCI manifest declares them, else 0 */
	const char *layers[LAYERS_MAX]; /* from the bottom up */
	uint64_t sizes[LAYERS_MAX];
	uint32_t layers_n;
};

/* manifest.json of `docker save`. More than one image is refused by their names. */
enum err manifest_docker(struct bytes json, struct arena *a, struct manifest *ret,
	struct why *why) MUST_CHECK;

/*
 * An OCI index: the one image in it, as a file name, and its declared size. arch ("amd64") decides
 * between platforms; of several for it the first is taken (as registries mean it) or all are
 * refused by name (as archives need it).
 */
enum err manifest_index(struct bytes json, const char *arch, bool first, struct arena *a,
	const char **ret, uint64_t *ret_size, struct why *why) MUST_CHECK;
/* Whether a blob is itself an index. */
enum err manifest_is_index(struct bytes json, bool *ret, struct why *why) MUST_CHECK;
enum err manifest_oci(struct bytes json, struct arena *a, struct manifest *ret,
	struct why *why) MUST_CHECK;

/* The value of the label banger.services; refused as a whole when one of them is none. */
enum err manifest_services(const char *s, struct arena *a, struct image_config *c,
	struct why *why) MUST_CHECK;

/* The image's config. diff_ids are digests of the unpacked layers; there may be none. */
struct manifest_config {
	struct image_config run;
	const char *diff_ids[LAYERS_MAX];
	uint32_t diff_ids_n;
};
enum err manifest_config(struct bytes json, const char *arch, struct arena *a,
	struct manifest_config *ret, struct why *why) MUST_CHECK;

#endif
