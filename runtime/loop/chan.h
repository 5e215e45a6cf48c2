/*
 * loop/chan.h - a two-way run of bytes with a buffer each way, whatever carries it: a socket, a
 * pair of pipes, a device, or (in the simulation) memory.
 *
 * The user is told of bytes, of room, and once of the end; it may close the channel from inside any
 * of these calls. What is written goes out at the end of the turn. Both buffers have ceilings: a
 * user that leaves more than `in_max` unread, or a peer that lets more than `out_max` pile up, ends
 * the channel.
 */
#ifndef LOOP_CHAN_H
#define LOOP_CHAN_H

#include <sys/queue.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/err.h"
#include "loop/loop.h"

struct chan;

struct chan_user {
	/* Bytes came. Answers how many were used up; the rest is given again, more behind it. */
	size_t (*data)(void *ctx, const uint8_t *p, size_t n);
	/* What was written is below `crowd` again; may be NULL. */
	void (*drained)(void *ctx);
	/* Called once when the peer closed (why->code OK) or the channel broke. Close it then. */
	void (*closed)(void *ctx, const struct why *why);
};

struct chan_ops {
	void (*write)(struct chan *c); /* something is in c->out: send it at the end of the turn */
	void (*pause)(struct chan *c, bool paused); /* stop or go on reading */
	void (*close)(struct chan *c); /* frees c, now or when its running callback returns */
};

struct chan {
	const struct chan_ops *ops;
	const struct chan_user *user;
	void *ctx;
	struct buf in; /* bytes that the user has not used up yet */
	struct buf out; /* bytes that have not gone out yet */
	size_t in_max, out_max;
	size_t crowd; /* with more than this unsent the channel is crowded; a quarter of out_max */
	void (*half)(void *ctx); /* chan_let_half's */
	bool paused, ended, finishing, wants_drained, halved;
	bool busy, doomed; /* inside a callback; closed while inside */
	bool is_dirty;
	TAILQ_ENTRY(chan) dirty;
};

enum { CHAN_IN_MAX = 1048576 + 65536, CHAN_OUT_MAX = 4194304, CHAN_TURN_BYTES = 65536 };

/*
 * Over descriptors, which it owns and makes non-blocking; in and out may be the same, or one may be
 * -1. Reading starts at once.
 */
enum err chan_open(struct loop *l, int in, int out, const struct chan_user *user, void *ctx,
	struct chan **ret, struct why *why) MUST_CHECK;

void chan_user_set(struct chan *c, const struct chan_user *user, void *ctx);
void chan_write(struct chan *c, const void *p, size_t n); /* no-op after the end */
/* Direct access to the out buffer for packers; call chan_wrote afterwards. */
struct buf *chan_out(struct chan *c);
void chan_wrote(struct chan *c);
size_t chan_pending(const struct chan *c); /* bytes that have not gone out */
bool chan_crowded(const struct chan *c); /* pending is over `crowd` */
void chan_pause(struct chan *c, bool paused);
/* Ends our direction (shutdown or close of `out`) once all is sent; reading goes on. */
void chan_finish(struct chan *c);
/*
 * The peer may end its direction alone: then `half` is called, once, and what is written still goes
 * out; closed follows only when the channel breaks.
 */
void chan_let_half(struct chan *c, void (*half)(void *ctx));
void chan_close(struct chan *c); /* NULL is fine; what is unsent is lost */

/*
 * Descriptors beside bytes (SCM_RIGHTS), over sockets. Those that a peer sends are closed by the
 * kernel, unless they are wanted: then they wait, in the order in which they came, to be taken.
 * More than CHAN_FDS_MAX waiting end the channel. chan_fd_send takes a copy, which goes with the
 * byte at `at` of what is pending.
 */
enum { CHAN_FDS_MAX = 16 };
void chan_fds_want(struct chan *c);
int chan_fd_take(struct chan *c); /* the oldest; -1 when none waits */
enum err chan_fd_send(struct chan *c, size_t at, int fd, struct why *why) MUST_CHECK;

/* For carriers only. */
void chan_init(struct chan *c, const struct chan_ops *ops, const struct chan_user *user, void *ctx);
void chan_done(struct chan *c); /* frees buffers */
void chan_feed(struct chan *c, const uint8_t *p, size_t n); /* bytes came in */
void chan_end(struct chan *c, const struct why *why); /* tells the user, once */
void chan_drop(struct chan *c, size_t n); /* n bytes of out have gone */
/*
 * Takes what has come by now, without waiting for the loop: for a peer that is known to have ended.
 */
void chan_read_now(struct chan *c);
int chan_fd(const struct chan *c); /* of chan_open's in; for peer credentials */

#endif
