/*
 * wire/rpc.h - MessagePack-RPC (rows A5, A6) over a channel: frames in and out, answers matched.
 *
 * Request [0, msgid, method, [params]], response [1, msgid, error, result], notification
 * [2, method, [params]]; params is one map. A peer that breaks this is malformed: the user is told
 * by closed() with ERR_malformed and the connection is over. What is merely wrong inside a map is
 * for the user to refuse.
 *
 * Bytes handed to callbacks point into the channel's buffer and end with the callback.
 */
#ifndef WIRE_RPC_H
#define WIRE_RPC_H

#include "letter/letter.h"
#include "loop/chan.h"

enum {
	FRAME_BYTES_MAX = 1048576, /* row A5; the helper's own limit is lower */
	METHOD_BYTES_MAX = 64,
	REQUESTS_MAX = 256 /* in flight on one connection, each way */
};

struct rpc;

struct rpc_user {
	/* A request; answer with rpc_answer or rpc_refuse, now or later, once. May be NULL. */
	void (*request)(void *ctx, uint32_t msgid, struct bytes method, struct bytes params);
	/* A notification. May be NULL. */
	void (*note)(void *ctx, struct bytes method, struct bytes params);
	/* The channel is below its low mark again. May be NULL. */
	void (*drained)(void *ctx);
	/*
	 * Once: the peer closed (OK), broke the rules (ERR_malformed), or the channel failed. Asks
	 * that are open have been failed before. Call rpc_free then.
	 */
	void (*closed)(void *ctx, const struct why *why);
	/* True: no more letters now; the rest is kept until rpc_resume. May be NULL. */
	bool (*full)(void *ctx);
	/* A frame has begun and is not whole (true), or no frame is open any more. May be NULL. */
	void (*partial)(void *ctx, bool open);
};

/* The answer of an ask: why is NULL on success, and result holds the packed map. */
typedef void rpc_answer_fn(void *ctx, const struct why *why, struct bytes result);

/* Takes over the channel's callbacks; rpc_free closes it. NULL when out of memory. */
struct rpc *rpc_new(struct chan *c, size_t frame_max, const struct rpc_user *user, void *ctx);
void rpc_free(struct rpc *r); /* safe inside callbacks; open asks are dropped silently */
void rpc_resume(struct rpc *r); /* after full() answered true */
/* The peer is gone: an ask that fails now was not refused by it. */
bool rpc_over(const struct rpc *r);
struct chan *rpc_chan(struct rpc *r);

/* Out. Each answers OK, or an error when the message could not be packed; the peer sees nothing. */
enum err rpc_ask(struct rpc *r, const struct letter_kind *kind, const void *body, rpc_answer_fn *fn,
	void *ctx, struct why *why) MUST_CHECK;
/* The same with a packed map as params. */
enum err rpc_ask_packed(struct rpc *r, const char *method, struct bytes params, rpc_answer_fn *fn,
	void *ctx, struct why *why) MUST_CHECK;
/* Forgets the asks whose answers would go to ctx. */
void rpc_forget(struct rpc *r, void *ctx);
enum err rpc_note(struct rpc *r, const struct letter_kind *kind, const void *body,
	struct why *why) MUST_CHECK;
void rpc_note_packed(struct rpc *r, struct bytes method, struct bytes params);
enum err rpc_answer(struct rpc *r, uint32_t msgid, const struct letter_kind *kind, const void *body,
	struct why *why) MUST_CHECK;
void rpc_answer_packed(struct rpc *r, uint32_t msgid, struct bytes result);
/* The same, and a copy of fd goes with it (SCM_RIGHTS); when it cannot, that is the answer. */
void rpc_answer_fd(struct rpc *r, uint32_t msgid, struct bytes result, int fd);
void rpc_refuse(struct rpc *r, uint32_t msgid, const struct why *why);

#endif
