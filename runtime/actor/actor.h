/*
 * actor/actor.h - actors, their mailboxes, and the one place where a letter becomes a call.
 *
 * Actors share no memory. They tell (nothing comes back) and ask (exactly one answer comes back: a
 * result, a refusal, or a time-out). Who receives a letter and who may send it is the roster's
 * (struct route), never the sender's choice. A handler runs to its end; what the letter needs in
 * memory comes from its arena and ends with the handler.
 *
 * Letters in a mailbox are packed bytes, decoded and checked when they are taken out, whoever
 * sent them.
 */
#ifndef ACTOR_ACTOR_H
#define ACTOR_ACTOR_H

#include "base/arena.h"
#include "letter/letter.h"

enum { ACTORS_MAX = 16, ASKS_MAX = 8192, MAIL_BYTES_MAX = 8388608, TURN_LETTERS = 64 };

struct house; /* all actors of a process */
struct actor; /* one of them, as it sees itself */

/* Where an answer goes. Keep a copy to answer later; answer once. */
struct reply_to {
	uint64_t serial; /* 0: nobody waits */
	uint8_t actor;
	uint16_t kind;
};

struct letter {
	unsigned kind; /* index into the house's letters */
	unsigned from; /* roster index of the sender */
	uint64_t client; /* connection on whose behalf it is sent; 0 = none */
	struct reply_to reply;
	struct bytes packed; /* the body as it came */
	struct arena *arena; /* ends with the handler */
};

/* body is the struct of the letter's `in` shape; it and all it points to end with the handler. */
typedef void letter_fn(void *state, const struct letter *l, const void *body);

struct handler {
	unsigned kind;
	letter_fn *fn;
};

struct actor_class {
	const char *name;
	size_t state; /* bytes, zeroed before open */
	uint32_t mail; /* letters that may wait; one more is refused as busy */
	const struct handler *on; /* ends with a NULL fn */
	/* env is what the roster hands to every actor. A failure ends the process's start. */
	enum err (*open)(void *state, struct actor *me, void *env, struct why *why);
	void (*close)(void *state); /* also after an open that failed half-way */
	/* Called once a turn, after letters; for sources that were held back. May be NULL. */
	void (*turn)(void *state);
	/*
	 * Walks its own state and must()s; run after every letter in checking builds. May be
	 * NULL.
	 */
	void (*verify)(const void *state);
};

/* One row of the roster per letter that travels between actors. Masks: bit = roster index. */
struct route {
	unsigned kind;
	uint32_t to; /* several: the sender picks with `only`, or tells them all */
	uint32_t from;
};

/* What the house needs of the outside; times are milliseconds, monotonic. */
struct house_world {
	uint64_t (*now)(void *ctx);
	/* Call house_deadlines then; UINT64_MAX: never. The latest call holds. */
	void (*wake_at)(void *ctx, uint64_t ms);
	void *ctx;
};

struct house_setup {
	const struct actor_class *const *classes; /* roster order = start order */
	unsigned actors;
	const struct route *routes;
	unsigned routes_n;
	const struct letter_kind *kinds;
	unsigned kinds_n;
	struct house_world world;
	void *env; /* given to every open */
};

enum err house_new(const struct house_setup *setup, struct house **ret, struct why *why) MUST_CHECK;
enum err house_open(struct house *h, struct why *why) MUST_CHECK; /* opens all, in order */
void house_free(struct house *h); /* closes in reverse order */
/* Handles waiting letters, fairly; true when some are left. Call once a turn. */
bool house_turn(struct house *h);
void house_deadlines(struct house *h);
/*
 * The last thing before the process ends early: every open ask of ask_packed, which is to say every
 * request from outside, is answered with that reason. No letter is handled any more.
 */
void house_give_up(struct house *h, const struct why *why);

/* Between actors. */

/* Result and refusal of an ask. why is NULL on success; result is the struct of the `out` shape. */
typedef void answer_fn(
	void *state, uint64_t ctx, const struct why *why, const void *result, struct arena *arena);
/* The same, packed: for who only passes it on. */
typedef void packed_answer_fn(
	void *state, uint64_t ctx, const struct why *why, struct bytes result);

/* Refused quietly (with a count) when the receiver's mailbox is full; OK otherwise. */
enum err tell(struct actor *me, unsigned kind, const void *body);
/*
 * Asks. fn is called exactly once, later, never from inside ask(): with the answer, or with the
 * reason why there is none (busy, denied, timeout).
 */
void ask(struct actor *me, unsigned kind, const void *body, uint64_t deadline_ms, answer_fn *fn,
	uint64_t ctx);

/* The same on behalf of a client, to those receivers of the letter that are in `only`. */
enum err tell_for(
	struct actor *me, uint32_t only, unsigned kind, uint64_t client, const void *body);

/*
 * The last word about something whose number is bounded elsewhere, to one receiver: it passes the
 * mailbox's count as answers do, since whoever waits for it would wait for ever.
 */
void tell_last(struct actor *me, uint32_t only, unsigned kind, uint64_t client, const void *body);

/* For the gate: letters of clients, already packed. deadline_ms 0 = as long as it takes. */
enum err tell_packed(
	struct actor *me, uint32_t only, unsigned kind, uint64_t client, struct bytes body);
enum err ask_packed(struct actor *me, uint32_t only, unsigned kind, uint64_t client,
	struct bytes body, uint64_t deadline_ms, packed_answer_fn *fn, uint64_t ctx,
	struct why *why);

void answer(struct actor *me, struct reply_to to, const void *result);
void refuse(struct actor *me, struct reply_to to, const struct why *why);

/* True when one of these actors (a mask) has little room left: hold your source back. */
bool mail_full(struct actor *me, uint32_t actors);

/* How an actor fares, for daemon.status. */
struct actor_counts {
	const char *name;
	uint64_t handled, refused;
	uint32_t queued, queue_max;
};
unsigned house_counts(struct actor *me, struct actor_counts *ret, unsigned max);

#endif
