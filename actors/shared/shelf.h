/*
 * actors/shared/shelf.h - what machines are made from, kept on a shelf: images, kernels.
 *
 * An item is a directory <area>/<id> beneath the state directory and one record. A new one may take
 * an older one's name; the older then stays, without a name, until the last machine that stands on
 * it is gone. Who stands on what is not stored here: the machines' records say it.
 *
 * Invariants: a name leads to one item; a record is deleted before its files are, and written after
 * they are there, so a record never names what is not whole.
 *
 * An actor's state begins with its struct shelf, and its items with their struct shelf_item: the
 * letters that both actors take alike are served here.
 */
#ifndef ACTORS_SHARED_SHELF_H
#define ACTORS_SHARED_SHELF_H

#include "actors/shared/holders.h"
#include "actors/shared/making.h"
#include "actors/shared/waiting.h"
#include "base/table.h"

struct shelf_item {
	struct link by_id, by_name; /* by_name: while named */
	const char *id, *name; /* the owner's, as long as the item is there */
	uint64_t created;
	bool named; /* false: replaced, kept for the machines that stand on it */
	uint64_t machines; /* that stand on it */
	bool missing; /* its files are not there, and nobody else has them */
	bool going; /* its record is being deleted; nobody finds it any more */
	uint64_t op; /* of that */
	struct reply_to deleting; /* who waits for it */
};

struct shelf;

/* What differs between two shelves. Calls get the actor's state. */
struct shelf_kind {
	const char *area; /* the directory, and the noun of what is told */
	unsigned mark; /* of its operations' ids */
	enum store_table table;
	const struct shape *shape; /* of its records */
	/* An item of a record that was read; it says whether its files are missing. */
	struct shelf_item *(*read)(void *state, const void *record, struct why *why);
	void (*free)(struct shelf_item *it);
	/* Its record, with its name or without. */
	enum err (*put)(struct store_put *ret, const struct shelf_item *it, bool named,
		struct arena *a, struct why *why);
	/* The id of what a machine stands on; NULL: nothing. */
	const char *(*of_machine)(const struct vm_record *r);
	/* It is being worked on and must stay. NULL: never. */
	bool (*busy)(const struct shelf_item *it);
	/* What goes with its record (at most one more put), and what is forgotten after that. */
	void (*going)(
		void *state, const struct shelf_item *it, struct store_put *puts, uint32_t *n);
	void (*gone)(void *state, const struct shelf_item *it);
	/* Reads what else it has in the store, then calls shelf_recover. NULL: there is none. */
	void (*read_more)(void *state);
	void (*ended)(void *state, struct making *m, const struct why *why); /* as makings' */
};

struct shelf {
	const struct shelf_kind *kind;
	struct actor *me;
	struct env *env;
	struct world *world;
	struct table by_id, by_name;
	struct holders holders;
	struct makings makings;
	struct waiting waiting;
	struct record_scan scan;
	bool short_of_memory; /* a record was not loaded: nothing may be removed */
};

/* The actor opens and closes. Letters wait until what is in the store was read and settled. */
enum err shelf_open(struct shelf *s, const struct shelf_kind *kind, struct actor *me,
	struct env *env, struct why *why) MUST_CHECK;
void shelf_recover(struct shelf *s, const struct why *why);
void shelf_close(struct shelf *s);
void shelf_verify(const struct shelf *s);

struct shelf_item *shelf_by_id(const struct shelf *s, const char *id);
struct shelf_item *shelf_by_name(const struct shelf *s, const char *name); /* none that is going */
/* It becomes visible; who had its name before loses it, and goes when no machine stands on it. */
void shelf_appear(struct shelf *s, struct shelf_item *it);
/* Deletes the record, then the files; to nobody or to who asked for it. */
void shelf_forget(struct shelf *s, struct shelf_item *it, struct reply_to to);
void shelf_forget_unused(struct shelf *s, struct shelf_item *it); /* without name and machines */
/* A client's delete: refused while it is used. */
void shelf_delete(struct shelf *s, struct shelf_item *it, struct reply_to to);

/* From now on the machine stands on it, and on nothing else of this shelf. */
enum err shelf_hold(
	struct shelf *s, struct shelf_item *it, const char *vm, struct why *why) MUST_CHECK;
void shelf_drop(struct shelf *s, const char *vm); /* on nothing; that it was so is fine */

/* The making of an item. Its owner embeds it first; its last step writes the record. */
struct shelf_making {
	struct making m;
	struct shelf *s;
	struct shelf_item
		*fresh; /* when the worker has told what it is; visible when m has ended */
	bool replace; /* it may take the name of one that is there */
	/* One more put to go with the record. NULL: none. */
	enum err (*also)(struct shelf_making *p, struct store_put *puts, uint32_t *n,
		struct arena *a, struct why *why);
};

struct shelf_making *shelf_making_of(const struct flow *f);
flow_fn shelf_record, shelf_undo_record;
/* A making's record is on disk, or not: `fn` of making_write. */
answer_fn shelf_written;
/* Room for one more of that name, which is free or may be replaced. */
enum err shelf_admit(struct shelf *s, const char *name, bool replace, struct why *why) MUST_CHECK;

/* Letters that are alike. */
letter_fn shelf_on_cancel, shelf_on_data, shelf_on_credit, shelf_on_nothing;

#endif
