/*
 * helper/call.h - a request that is being served, and the verbs that serve them.
 *
 * A verb is `check` (pure: the request and the configuration, no system call), then `act`. What
 * undoes it is a verb of its own, or the ledger's teardown. Calls about the same thing are served
 * one after the other, in the order in which they came; what would block runs in a child (task.h).
 */
#ifndef HELPER_CALL_H
#define HELPER_CALL_H

#include <sys/queue.h>

#include "helper/helper.h"

enum { CALLS_MAX = 512, ABOUT_MAX = 72 };

struct conn;
struct call;
struct calls;

struct verb {
	enum letter_id id;
	/* NULL: its row says it all. */
	enum err (*check)(const struct helper *h, const void *body, struct why *why);
	/* Names the thing, for the order of calls; NULL: no order. */
	void (*about)(const void *body, char out[ABOUT_MAX]);
	/* Ends with exactly one of call_done, call_done_fd, call_fail; now or later. */
	void (*act)(struct call *c, const void *body);
	const char *gate; /* what check and act enforce beyond the row, for docs/privileges.md */
};

struct call {
	struct helper *h;
	struct calls *calls;
	TAILQ_ENTRY(call) entry;
	struct conn *conn; /* NULL: the peer has gone; the call goes on */
	uint32_t msgid;
	uid_t uid; /* the peer's, by the socket */
	const struct verb *verb;
	struct arena mem; /* body and whatever the verb takes; ends with the call */
	const void *body;
	char about[ABOUT_MAX];
	bool running;
	void *state; /* the verb's own */
};

/* verbs.c: every verb, ended by a NULL act. */
extern const struct verb verbs[];

/* Zeroed, and ends with the call. NULL: there is none, and the call was failed for that. */
void *call_memory(struct call *c, size_t size);
void call_done(struct call *c, const void *result); /* NULL: nothing */
void call_done_fd(struct call *c, const void *result, int fd); /* fd stays the caller's */
void call_fail(struct call *c, const struct why *why);

/* door.c: the socket, its connections, and the queue of calls. */
struct door;
enum err door_open(struct helper *h, int listener, struct door **ret, struct why *why) MUST_CHECK;
void door_close(struct door *d);
void conn_answer(struct call *c, struct bytes result, int fd);
void conn_refuse(struct call *c, const struct why *why);

/* call.c */
enum err calls_new(struct helper *h, struct calls **ret, struct why *why) MUST_CHECK;
void calls_free(struct calls *cs);
/* A request of a connection: checks it, and serves it when its turn has come. */
void calls_request(struct calls *cs, struct conn *conn, uid_t uid, uint32_t msgid,
	struct bytes method, struct bytes params);
void calls_conn_gone(struct calls *cs, struct conn *conn);

#endif
