/*
 * worker/modset.h - the modules of a kernel: files, what they need of each other, and the indexes
 * that modprobe wants, which a package leaves to its installation.
 */
#ifndef WORKER_MODSET_H
#define WORKER_MODSET_H

#include "base/arena.h"
#include "base/table.h"
#include "worker/job.h"

enum {
	MODFILES_MAX = 65536,
	MODFILE_PATH_MAX = 1024,
	MODULE_BYTES_MAX = 64 * 1024 * 1024 /* one, unpacked */
};

struct text_list {
	const char **v;
	uint32_t n, cap;
};

struct modfile { /* a file of the modules directory */
	struct link by_path, by_name;
	const char *path; /* beneath lib/modules/RELEASE */
	uint64_t at, size; /* in the spool */
	struct timespec mtime;
	uint32_t mode;
	const char *name; /* of a module, '-' as '_'; NULL for other files */
	uint32_t index; /* among modules */
	struct text_list needs, aliases, softdeps; /* of a module */
	uint8_t mark; /* of the youngest walk: 0 not met, 1 on the way, 2 done */
};

struct modset {
	struct job *job;
	struct arena arena;
	int spool; /* contents of all files, one behind the other */
	uint64_t spooled;
	char release[129];
	struct modfile **files;
	uint32_t files_n, files_cap, modules_n;
	struct table paths, names;
};

enum err modset_init(struct modset *s, struct job *j, struct why *why) MUST_CHECK;
void modset_done(struct modset *s);
/* A file whose content comes from src. path is beneath the release's directory. */
enum err modset_add(struct modset *s, const char *path, uint32_t mode, struct timespec mtime,
	struct source *src, struct why *why) MUST_CHECK;
struct modfile *modset_file(struct modset *s, const char *path);
struct modfile *modset_module(struct modset *s, const char *name);
/* Reads what every module says about itself. */
enum err modset_scan(struct modset *s, struct why *why) MUST_CHECK;
/* A module's bytes, unpacked, on the heap. */
enum err modset_load(struct modset *s, const struct modfile *f, uint8_t **ret, size_t *ret_n,
	struct why *why) MUST_CHECK;
/* Adds modules.dep, .alias, .softdep, .devname and the .bin indexes. */
enum err modset_index(struct modset *s, struct why *why) MUST_CHECK;

/*
 * The module and all that it needs, each behind what it needs itself; out has room for modules_n.
 * Before the first call of a walk, modset_unmark.
 */
void modset_unmark(struct modset *s);
enum err modset_closure(struct modset *s, struct modfile *f, struct modfile **out, uint32_t *n,
	struct why *why) MUST_CHECK;

/* Module name of a path: "a/b-c.ko.xz" -> "b_c"; false when it is no module. Pure. */
bool module_name(const char *path, char *out, size_t size);

/* Files of the job's directory made from it. */
enum err modset_disk(struct modset *s, const char *digest, uint64_t *ret_size,
	struct why *why) MUST_CHECK;
enum err modset_cpio(struct modset *s, struct why *why) MUST_CHECK;

#endif
