/*
 * kv_lmdb.c - the store on LMDB: one environment, one file, keys "table/key".
 *
 * LMDB's flush does not cover the file's growth, so the file is grown ahead of its use and synced
 * before any page there is written. A full disk then fails a batch that would not fit in what is
 * there, before anything happened; what does fit (deletions above all) still goes through.
 *
 * LMDB lays a new file out without a flush, and one that lost its first page opens never again: so
 * a new store gets its name when it is whole.
 */
#include "kv/kv.h"

#include <fcntl.h>
#include <lmdb.h>
#include <sys/stat.h>
#include <unistd.h>

enum { GROW_BYTES = 4194304, FILE_NAME_BYTES = 4200 };

#define STORE_FILE "store.mdb"
#define NEW_FILE "store.mdb.new"
#define SCHEMA_KEY "meta/schema"

struct kv {
	MDB_env *env;
	MDB_dbi dbi;
	MDB_txn *migrating; /* the transaction that a migration's writes belong to */
	int dir;
	bool broken; /* a write or flush failed: nobody knows what is on disk */
};

/* What a batch may at most add to the file: each put copies its path down the tree. */
enum { BATCH_PAGES_MIN = 64, PUT_PAGES = 8 };

static enum err lmdb_failed(struct why *why, const char *doing, int rc)
{
	switch (rc) {
	case MDB_MAP_FULL:
	case ENOSPC:
	case EDQUOT:
		return fail(why, ERR_no_space, "store: %s: no space", doing);
	case ENOMEM:
	case EMFILE:
	case ENFILE:
		return fail(why, ERR_no_memory, "store: %s: %s", doing, mdb_strerror(rc));
	default:
		return fail(why, ERR_internal, "store: %s: %s", doing, mdb_strerror(rc));
	}
}

/* No failure of these leaves a doubt: the transaction is gone, and the file is as it was. */
static bool is_clean(int rc)
{
	return rc == MDB_MAP_FULL || rc == MDB_TXN_FULL || rc == MDB_BAD_VALSIZE || rc == ENOSPC ||
	       rc == EDQUOT || rc == ENOMEM;
}

/* After this, no write is tried: one that "succeeds" could stand on bytes that are not there. */
static enum err write_failed(struct kv *kv, struct why *why, const char *doing, int rc)
{
	kv->broken |= !is_clean(rc);
	return lmdb_failed(why, doing, rc);
}

/*
 * Keeps the file GROW_BYTES ahead of the pages in use, `need` at least: where the disk has no room
 * for more, a batch that fits in what the file has is let through.
 */
static enum err grow(struct kv *kv, size_t need, struct why *why)
{
	MDB_envinfo info;
	struct stat st;
	size_t used;
	int fd;

	mdb_env_info(kv->env, &info);
	used = (info.me_last_pgno + 1) * (size_t)sysconf(_SC_PAGESIZE);
	if (mdb_env_get_fd(kv->env, &fd) || fstat(fd, &st) < 0)
		return fail_errno(why, "store: cannot look at the file");
	if ((size_t)st.st_size >= used + MAX(need, (size_t)GROW_BYTES / 2))
		return OK;
	if (fallocate(fd, 0, 0, (off_t)(used + need + GROW_BYTES)) < 0 && errno != EOPNOTSUPP) {
		if ((errno == ENOSPC || errno == EDQUOT) && (size_t)st.st_size >= used + need)
			return OK;
		return fail_errno(why, "store: cannot grow the file");
	}
	return fsync(fd) < 0 ? write_failed(kv, why, "flushing what the file grew by", errno) : OK;
}

static enum err open_env(struct kv *kv, const char *dir_path, const char *name, struct why *why)
{
	char path[FILE_NAME_BYTES];
	MDB_txn *txn;
	int rc, dead;

	snprintf(path, sizeof(path), "%s/%s", dir_path, name);
	rc = mdb_env_create(&kv->env);
	if (rc)
		return lmdb_failed(why, "open", rc);
	mdb_env_set_mapsize(kv->env, KV_MAP_BYTES);
	rc = mdb_env_open(kv->env, path, MDB_NOSUBDIR | MDB_NOTLS | MDB_NORDAHEAD, 0600);
	if (rc)
		return lmdb_failed(why, "open", rc);
	mdb_reader_check(kv->env, &dead);
	rc = mdb_txn_begin(kv->env, NULL, 0, &txn);
	if (rc)
		return lmdb_failed(why, "begin", rc);
	rc = mdb_dbi_open(txn, NULL, 0, &kv->dbi);
	if (rc) {
		mdb_txn_abort(txn);
		return lmdb_failed(why, "open", rc);
	}
	rc = mdb_txn_commit(txn);
	return rc ? lmdb_failed(why, "open", rc) : grow(kv, 0, why);
}

static void drop_new(const struct kv *kv)
{
	(void)!unlinkat(kv->dir, NEW_FILE, 0);
	(void)!unlinkat(kv->dir, NEW_FILE "-lock", 0);
}

/* An empty store, on disk before it has its name. */
static enum err make_file(struct kv *kv, const char *dir_path, struct why *why)
{
	struct stat st;
	enum err e;

	if (fstatat(kv->dir, STORE_FILE, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return OK;
	drop_new(kv);
	e = open_env(kv, dir_path, NEW_FILE, why);
	if (kv->env)
		mdb_env_close(kv->env);
	kv->env = NULL;
	if (!e && (renameat(kv->dir, NEW_FILE, kv->dir, STORE_FILE) < 0 || fsync(kv->dir) < 0))
		e = fail_errno(why, "store: cannot make %s/" STORE_FILE, dir_path);
	drop_new(kv);
	return e;
}

static bool take_version(void *ctx, const char *key, struct bytes value)
{
	char text[16] = "";

	if (str_eq(key, SCHEMA_KEY) && value.n < sizeof(text)) {
		memcpy(text, value.p, value.n);
		*(uint32_t *)ctx = (uint32_t)strtoul(text, NULL, 10);
	}
	return false;
}

static enum err keep_copy(struct kv *kv, const char *dir_path, uint32_t version, struct why *why)
{
	char path[FILE_NAME_BYTES], name[32];
	own_fd fd = -1;
	int rc;

	snprintf(name, sizeof(name), "store.mdb.v%u", version);
	snprintf(path, sizeof(path), "%s/%s", dir_path, name);
	unlinkat(kv->dir, name, 0);
	fd = openat(kv->dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return fail_errno(why, "store: cannot keep a copy as %s", path);
	rc = mdb_env_copyfd(kv->env, fd);
	if (rc)
		return lmdb_failed(why, "keeping a copy", rc);
	return fsync(fd) < 0 ? fail_errno(why, "store: cannot flush the copy %s", path) : OK;
}

static enum err write_txn(struct kv *kv, MDB_txn *txn, const struct kv_batch *b, struct why *why);

static enum err set_version(struct kv *kv, MDB_txn *txn, uint32_t version, struct why *why)
{
	struct kv_batch b = { .b = { .max = 4 * KiB } };
	char text[16];
	enum err e;

	snprintf(text, sizeof(text), "%u", version);
	kv_batch_put(&b, SCHEMA_KEY, (struct bytes){ (uint8_t *)text, strlen(text) });
	e = write_txn(kv, txn, &b, why);
	buf_done(&b.b);
	return e;
}

/*
 * Runs every step from `old` to `version` in one transaction, so that a crash leaves the old one.
 */
static enum err migrate(struct kv *kv, uint32_t old, uint32_t version,
	const struct kv_migration *steps, unsigned n, struct why *why)
{
	enum err e = OK;
	int rc = mdb_txn_begin(kv->env, NULL, 0, &kv->migrating);

	if (rc)
		return lmdb_failed(why, "begin", rc);
	for (uint32_t v = old; v < version && !e; v++) {
		unsigned i = 0;

		while (i < n && steps[i].from != v)
			i++;
		if (v == 0) /* a new file has nothing to migrate */
			continue;
		e = i < n ? steps[i].run(kv, why) :
			    fail(why, ERR_version_mismatch, "store: no way from schema %u on", v);
	}
	if (!e)
		e = set_version(kv, kv->migrating, version, why);
	if (e) {
		mdb_txn_abort(kv->migrating);
	} else {
		rc = mdb_txn_commit(kv->migrating);
		e = rc ? lmdb_failed(why, "migrating", rc) : OK;
	}
	kv->migrating = NULL;
	return e;
}

enum err kv_open(int dir, const char *dir_path, uint32_t version,
	const struct kv_migration *migrations, unsigned migrations_n, struct kv **ret,
	struct why *why)
{
	struct kv *kv = calloc(1, sizeof(*kv));
	uint32_t old = 0;
	enum err e;

	if (!kv)
		return fail(why, ERR_no_memory, "no memory for the store");
	kv->dir = dir;
	e = make_file(kv, dir_path, why);
	if (!e)
		e = open_env(kv, dir_path, STORE_FILE, why);
	if (!e)
		e = kv_scan(kv, SCHEMA_KEY, NULL, take_version, &old, why);
	if (!e && old > version) {
		e = fail(why, ERR_version_mismatch,
			"the store in %s has schema %u, this build knows %u", dir_path, old,
			version);
		fail_hint(why, "use the newer build, or go back to the kept copy %s/store.mdb.v%u",
			dir_path, version);
	}
	if (!e && old > 0 && old < version)
		e = keep_copy(kv, dir_path, old, why);
	if (!e && old < version)
		e = migrate(kv, old, version, migrations, migrations_n, why);
	if (e) {
		kv_close(kv);
		return e;
	}
	*ret = kv;
	return OK;
}

void kv_close(struct kv *kv)
{
	if (!kv)
		return;
	if (kv->env)
		mdb_env_close(kv->env);
	free(kv);
}

static enum err scan_cursor(MDB_cursor *cur, const char *prefix, const char *after,
	bool (*fn)(void *, const char *, struct bytes), void *ctx, struct why *why)
{
	size_t prefix_n = strlen(prefix);
	const char *from = after ? after : prefix;
	MDB_val k = { strlen(from), (void *)(uintptr_t)from }, v;
	char key[KV_KEY_MAX + 1];
	int rc = mdb_cursor_get(cur, &k, &v, MDB_SET_RANGE);

	for (; rc == 0; rc = mdb_cursor_get(cur, &k, &v, MDB_NEXT)) {
		if (k.mv_size > KV_KEY_MAX || k.mv_size < prefix_n ||
			memcmp(k.mv_data, prefix, prefix_n) != 0)
			return OK;
		memcpy(key, k.mv_data, k.mv_size);
		key[k.mv_size] = '\0';
		if (after && strcmp(key, after) <= 0)
			continue;
		if (!fn(ctx, key, (struct bytes){ v.mv_data, v.mv_size }))
			return OK;
	}
	return rc == MDB_NOTFOUND ? OK : lmdb_failed(why, "scan", rc);
}

enum err kv_scan(struct kv *kv, const char *prefix, const char *after,
	bool (*fn)(void *ctx, const char *key, struct bytes value), void *ctx, struct why *why)
{
	MDB_txn *txn = kv->migrating;
	MDB_cursor *cur;
	enum err e;
	int rc = 0;

	if (!txn)
		rc = mdb_txn_begin(kv->env, NULL, MDB_RDONLY, &txn);
	if (rc)
		return lmdb_failed(why, "begin", rc);
	rc = mdb_cursor_open(txn, kv->dbi, &cur);
	if (rc) {
		e = lmdb_failed(why, "scan", rc);
	} else {
		e = scan_cursor(cur, prefix, after, fn, ctx, why);
		mdb_cursor_close(cur);
	}
	if (!kv->migrating)
		mdb_txn_abort(txn);
	return e;
}

/* One put in a batch: lengths, then bytes. */
struct put_head {
	uint32_t key_n, value_n;
	bool is_delete;
};

void kv_batch_put(struct kv_batch *b, const char *key, struct bytes value)
{
	struct put_head h = { (uint32_t)strlen(key), (uint32_t)value.n, value.p == NULL };

	must(h.key_n > 0 && h.key_n <= KV_KEY_MAX);
	buf_add(&b->b, &h, sizeof(h));
	buf_add(&b->b, key, h.key_n);
	buf_add(&b->b, value.p, value.n);
}

static enum err write_txn(struct kv *kv, MDB_txn *txn, const struct kv_batch *b, struct why *why)
{
	const uint8_t *p = b->b.p, *end = p + b->b.n;

	if (b->b.failed)
		return fail(why, ERR_too_large, "store: a batch over its ceiling");
	while (p < end) {
		struct put_head h;
		MDB_val k, v;
		int rc;

		memcpy(&h, p, sizeof(h));
		p += sizeof(h);
		k = (MDB_val){ h.key_n, (void *)(uintptr_t)p };
		p += h.key_n;
		v = (MDB_val){ h.value_n, (void *)(uintptr_t)p };
		p += h.value_n;
		must(p <= end);
		rc = h.is_delete ? mdb_del(txn, kv->dbi, &k, NULL) :
				   mdb_put(txn, kv->dbi, &k, &v, 0);
		if (rc && !(h.is_delete && rc == MDB_NOTFOUND))
			return write_failed(kv, why, "write", rc);
	}
	return OK;
}

/* Bytes of the file that the batch may at most come to use. */
static size_t need_of(const struct kv_batch *b)
{
	const uint8_t *p = b->b.p, *end = p ? p + b->b.n : p;
	size_t page = (size_t)sysconf(_SC_PAGESIZE), need = BATCH_PAGES_MIN * page;

	while (p < end) {
		struct put_head h;

		memcpy(&h, p, sizeof(h));
		p += sizeof(h) + h.key_n + h.value_n;
		need += PUT_PAGES * page + h.value_n;
	}
	return need;
}

bool kv_broken(const struct kv *kv)
{
	return kv->broken;
}

enum err kv_write(struct kv *kv, const struct kv_batch *b, struct why *why)
{
	MDB_txn *txn;
	enum err e;
	int rc;

	if (kv->migrating)
		return write_txn(kv, kv->migrating, b, why);
	if (kv->broken)
		return fail(
			why, ERR_unavailable, "store: an earlier flush failed; restart the daemon");
	e = grow(kv, need_of(b), why);
	if (e)
		return e;
	rc = mdb_txn_begin(kv->env, NULL, 0, &txn);
	if (rc)
		return write_failed(kv, why, "begin", rc);
	e = write_txn(kv, txn, b, why);
	if (e) {
		mdb_txn_abort(txn);
		return e;
	}
	rc = mdb_txn_commit(txn);
	if (rc == 0)
		return OK;
	/* whatever the reason: when its last page failed, LMDB lets no transaction begin again */
	if (mdb_txn_begin(kv->env, NULL, 0, &txn) == 0)
		mdb_txn_abort(txn);
	else
		kv->broken = true;
	return write_failed(kv, why, "flush", rc);
}
