/*
 * tree/frame.h - letters of a tree to bytes and back; for who sends and makes trees only.
 */
#ifndef TREE_FRAME_H
#define TREE_FRAME_H

#include "base/buf.h"
#include "letter/mp.h"
#include "proto/proto.h"

/* Appends the notification. */
enum err tree_frame_pack(struct buf *out, enum letter_id id, const void *body,
	struct why *why) MUST_CHECK;

/* Takes apart one whole frame. */
enum err tree_frame_read(const uint8_t *p, size_t n, enum letter_id *ret_id,
	struct bytes *ret_params, struct why *why) MUST_CHECK;

/* Bytes in any pieces to whole frames. */
struct tree_frames {
	struct buf in;
	struct mp_scan scan;
	bool broken;
};
void tree_frames_init(struct tree_frames *f);
void tree_frames_done(struct tree_frames *f);
/* Calls fn with each frame that is whole. An error is final. */
enum err tree_frames_feed(struct tree_frames *f, const uint8_t *p, size_t n,
	enum err (*fn)(void *ctx, const uint8_t *p, size_t n, struct why *why), void *ctx,
	struct why *why) MUST_CHECK;

#endif
