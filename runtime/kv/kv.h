/*
 * kv/kv.h - the store file: LMDB behind sticky transactions and a schema version.
 *
 * A write is a batch that holds together; after it returned OK it is on disk (rows A4, H5). After a
 * failed flush nothing is written any more: what the disk holds is then unknown, and a retry that
 * "succeeds" would be a lie. Only kv_lmdb.c includes lmdb.h.
 */
#ifndef KV_KV_H
#define KV_KV_H

#include "base/buf.h"
#include "base/err.h"

struct kv;

enum { KV_KEY_MAX = 400, KV_MAP_BYTES = 268435456 };

/* A step from schema version n to n+1, inside the migration's transaction. */
struct kv_migration {
	uint32_t from;
	enum err (*run)(struct kv *kv, struct why *why);
};

/*
 * Opens (or makes) `dir`/store.mdb. An older schema is migrated after a copy of the file was kept
 * as store.mdb.v<old>; a newer one is refused with ERR_version_mismatch, naming the kept copy.
 */
enum err kv_open(int dir, const char *dir_path, uint32_t version,
	const struct kv_migration *migrations, unsigned migrations_n, struct kv **ret,
	struct why *why) MUST_CHECK;
void kv_close(struct kv *kv);

/* Calls fn with every key that begins with prefix, in order, until it answers false. */
enum err kv_scan(struct kv *kv, const char *prefix, const char *after,
	bool (*fn)(void *ctx, const char *key, struct bytes value), void *ctx,
	struct why *why) MUST_CHECK;

/*
 * A batch: puts and deletes, in order, as one run of bytes that can cross to another thread.
 */
struct kv_batch {
	struct buf b;
};
void kv_batch_put(struct kv_batch *b, const char *key, struct bytes value); /* p NULL deletes */

/*
 * All or nothing, flushed. May run on another thread than the scans. Of a failure for lack of space
 * or memory nothing stays, and the next batch is welcome; after any other one the store is broken:
 * what is on disk is told only by who opens it anew.
 */
enum err kv_write(struct kv *kv, const struct kv_batch *b, struct why *why) MUST_CHECK;
/* On the thread that writes. */
bool kv_broken(const struct kv *kv);

#endif
