/*
 * world/world_linux.h - the Linux world's own state; for world_linux*.c and for main, which makes
 * it.
 */
#ifndef WORLD_WORLD_LINUX_H
#define WORLD_WORLD_LINUX_H

#include <limits.h>

#include "sys/closer.h"
#include "sys/tsc.h"
#include "world/world.h"

struct store_thread;

/*
 * Row G2: where the daemon runs as root, children that handle foreign bytes run as this uid and
 * gid.
 */
enum { PLAIN_UID = 61107, PARCELS_MAX = 256 };

/* Uids that the root helper runs VMMs as (helper/jail.h), one each. */
#define VMM_UID_FIRST ((uid_t)1890582528)
#define VMM_UID_LAST (VMM_UID_FIRST + 1023)

struct parcel {
	uint64_t ticket; /* 0: free */
	uint64_t until; /* monotonic milliseconds */
	int fd;
};

struct world {
	struct loop *loop;
	int dirs[AREA_COUNT]; /* by enum area */
	char paths[AREA_COUNT][PATH_MAX];
	char program_dir[PATH_MAX]; /* where our own executable lies */
	char boot_id[37];
	struct tsc_mark tsc;
	uint64_t tsc_khz; /* 0 until asked */
	struct closer *closer; /* of files that are large */
	struct kv *kv;
	struct store_thread *store;
	/* A flush failed: nobody knows what is on disk, and nothing is written from here on. */
	void (*store_broke)(void *ctx, const struct why *why);
	void *store_broke_ctx;
	char helper_path[PATH_MAX]; /* "": none was named */
	uid_t helper_uid; /* who may answer there beside root */
	struct parcel parcels[PARCELS_MAX];
	unsigned parcels_n;
	uint64_t next_parcel;
	struct timer parcels_due;
	struct {
		void (*jumped)(void *ctx); /* NULL: nobody watches */
		void *ctx;
		int fd;
		struct watch watch;
	} clock;
	int http_door; /* 0: none yet; world_linux_http.c */
};

/* Opens both places (absolute paths, made by the caller) and the store. */
enum err world_linux_new(struct loop *l, const char *state_dir, const char *runtime_dir,
	uint32_t schema, struct world **ret, struct why *why) MUST_CHECK;
void world_linux_free(struct world *w); /* waits for commits that are under way */
/*
 * fn is called once, from the loop, instead of the answer to any commit that was under way or
 * waits: the process is to end, and the next one finds out what is on disk.
 */
void world_on_store_broken(
	struct world *w, void (*fn)(void *ctx, const struct why *why), void *ctx);

/*
 * Keeps a descriptor for PARCEL_MS; 0: too many are kept, and it stays the caller's. parcels_done
 * ends all.
 */
uint64_t world_parcel_keep(struct world *w, int fd);
void parcels_done(struct world *w);
void http_world_done(struct world *w);

/* Where the root helper listens. Beside root, uid may answer there: tests without a root helper. */
void world_linux_helper(struct world *w, const char *path, uid_t uid);

/* Hands the turn's commits to the store's thread; call at the end of each turn. */
void world_store_flush(struct world *w);

enum err store_thread_new(struct world *w, struct store_thread **ret, struct why *why) MUST_CHECK;
void store_thread_free(struct store_thread *t);

#endif
