/*
 * agent/session.h - one opening of a link: its letters, its streams, its unanswered requests.
 */
#ifndef AGENT_SESSION_H
#define AGENT_SESSION_H

#include "agent/agent.h"
#include "wire/rpc.h"
#include "wire/window.h"

struct stream;

/* A request that is answered later; dropped with the session. */
struct pending {
	struct session *session;
	uint32_t msgid;
	void (*drop)(struct pending *p); /* frees it, without an answer */
	LIST_ENTRY(pending) entry;
};

struct session {
	struct agent *agent;
	struct rpc *rpc;
	struct arena arena; /* of the letter that is being handled */
	TAILQ_HEAD(, stream) streams;
	LIST_HEAD(, pending) pendings;
	LIST_ENTRY(session) entry;
};

/* Takes over the channel (closes it when it fails) and says hello. */
enum err session_new(struct agent *a, struct chan *c, struct why *why) MUST_CHECK;
/* Ends it with all that belongs to it. Safe inside its own callbacks. */
void session_free(struct session *s);

void pending_add(struct session *s, struct pending *p, uint32_t msgid,
	void (*drop)(struct pending *p));
void pending_done(struct pending *p); /* takes it off the list; the owner frees it */

/* Answers with the letter's own result shape, or refuses. */
void answer(struct session *s, uint32_t msgid, enum letter_id id, const void *body);
void refuse(struct session *s, uint32_t msgid, const struct why *why);

/*
 * Streams. A kind of stream embeds struct stream and fills its calls.
 */
struct stream_calls {
	void (*data)(struct stream *st, const uint8_t *p, size_t n); /* channel 0; n = 0 ends it */
	void (*room)(struct stream *st); /* more may be sent */
	void (*resize)(struct stream *st, uint16_t rows, uint16_t cols); /* may be NULL */
	void (*signal)(struct stream *st, int number); /* may be NULL */
	void (*gone)(struct stream *st); /* the session ended; the stream is off its list */
};

struct stream {
	const struct stream_calls *calls;
	struct session *session; /* NULL once it is gone */
	uint32_t id;
	struct window in; /* of channel 0 */
	struct window out[3]; /* of channels 1 and 2 */
	TAILQ_ENTRY(stream) entry;
};

/* Names the stream and answers the request. ERR_busy when there are too many. */
enum err stream_open(struct session *s, uint32_t msgid, enum letter_id id, struct stream *st,
	const struct stream_calls *calls, struct why *why) MUST_CHECK;
/* How much may be sent on a channel now, at most CHUNK_BYTES. */
size_t stream_room(const struct stream *st, unsigned ch);
void stream_send(struct stream *st, unsigned ch, const uint8_t *p, size_t n); /* n = 0 ends it */
/* n bytes of channel 0 were passed on. */
void stream_passed(struct stream *st, size_t n);
/* The last word; the stream is off its session then. */
void stream_end_code(struct stream *st, unsigned code);
void stream_end_signal(struct stream *st, int number);
void stream_end_error(struct stream *st, const struct why *why);

/* For session.c only. */
void stream_note(struct session *s, enum letter_id id, const void *body);
void streams_drained(struct session *s);
void streams_gone(struct session *s);

#endif
