/*
 * helper/ledger.h - what the helper made for its owner and has not removed yet: the only things it
 * tears down.
 *
 * An append-only file of checksummed records, `<jail-base>/.ledger`, compacted by rename. A thing
 * is noted before it is made and forgotten after it is gone, so a crash in between leaves an entry
 * that undoing answers with "not there". What the kernel held ended with the host's boot; jails are
 * files and did not.
 */
#ifndef HELPER_LEDGER_H
#define HELPER_LEDGER_H

#include "base/table.h"
#include "proto/proto.h"

enum { LEDGER_ENTRIES_MAX = 16384, LEDGER_NAME_MAX = 255 };

struct ledger_entry {
	struct link by_key;
	char key[LEDGER_NAME_MAX + 24]; /* kind/name */
	struct arena mem;
	struct priv_entry r;
};

struct ledger;

/* Reads, and compacts when worth it. `dir` stays the caller's. boot_id: of the host. */
enum err ledger_open(int dir, const char *boot_id, struct ledger **ret, struct why *why) MUST_CHECK;
void ledger_close(struct ledger *l);

/* For an entry's `made`. */
uint64_t ledger_now(void);

/* Adds, or replaces the one of the same kind and name; in the file when it answers OK. */
enum err ledger_note(struct ledger *l, const struct priv_entry *r, struct why *why) MUST_CHECK;
/* Not there is fine. */
enum err ledger_forget(struct ledger *l, enum priv_thing kind, const char *name, struct why *why);
const struct priv_entry *ledger_find(
	const struct ledger *l, enum priv_thing kind, const char *name);
unsigned ledger_count(const struct ledger *l, enum priv_thing kind);
/* Each entry of a kind in no order; fn may forget the one that it is given. */
void ledger_each(struct ledger *l, enum priv_thing kind,
	void (*fn)(void *ctx, const struct priv_entry *r), void *ctx);

#endif
