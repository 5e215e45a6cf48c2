/*
 * cli/stream.h - one stream (row A9) between descriptors of ours and a guest or the daemon.
 *
 * Windows are obeyed both ways: what is read waits for credit, credit is given for what has been
 * written. At most a window a channel is ever held.
 */
#ifndef CLI_STREAM_H
#define CLI_STREAM_H

#include "cli/link.h"
#include "wire/window.h"

struct stream;

/* From a descriptor into channel 0. */
struct inlet {
	struct stream *s;
	int fd; /* -1: none */
	struct window window;
	struct watch watch;
	bool ended; /* nothing more to read; the channel's end was sent */
	uint64_t sent;
	int error; /* errno of a read that failed */
	/* Whether the end of what is read may be passed on as the channel's end; NULL: yes. */
	bool (*may_end)(void *ctx);
	void *may_end_ctx;
};

/* From channel 1 or 2 to a descriptor. */
struct outlet {
	struct stream *s;
	uint64_t ch;
	int fd; /* -1: what comes is held, goes to sink, or is passed over */
	bool held; /* what comes is kept, without credit, until there is a descriptor */
	bool ended; /* the channel's end came */
	void (*sink)(void *ctx, const uint8_t *p, size_t n);
	void *sink_ctx;
	enum { TO_FILE, TO_SOCKET, TO_PRIVATE } kind;
	struct window window;
	struct buf pending;
	size_t at; /* bytes of pending that are written */
	struct watch watch;
	int error; /* errno of a write that failed; nothing is written after it */
};

struct stream {
	struct link *link;
	const uint64_t *id; /* filled by the answer that begins it; 0 before */
	struct inlet in;
	struct outlet out[2]; /* channels 1 and 2 */
	bool ended;
	bool has_code;
	uint64_t code;
	int signal;
	struct why why; /* code not OK: it ended by this error */
};

/* Set up before the ask that begins it, so that bytes which follow its answer are not missed. */
void stream_init(struct stream *s, struct link *l, const uint64_t *id);
void stream_output(struct stream *s, unsigned ch, int fd);
/* Takes what was held, at most so much, and grants as much again; answers how much. */
size_t stream_take(struct stream *s, unsigned ch, void *to, size_t max);
/* What comes waits for the stream_output or stream_take that follows some time. */
void stream_hold(struct stream *s, unsigned ch);
/* Once it has begun. */
void stream_input(struct stream *s, int fd);
/* Gives a notification; false when it is none of this stream's. */
bool stream_note(struct stream *s, enum letter_id letter, struct bytes params);
/* Into channel 0 without a descriptor: at most stream_room() bytes; none ends the channel. */
size_t stream_room(const struct stream *s);
void stream_send(struct stream *s, const void *p, size_t n);
void stream_signal(struct stream *s, int signal);
void stream_resize(struct stream *s, uint64_t rows, uint64_t cols);
/* Passes the end of what came on to whoever reads the descriptor. */
void stream_shut(struct stream *s, unsigned ch);
bool stream_flushed(const struct stream *s); /* all that came has been written, or cannot be */
void stream_close(struct stream *s);

#endif
