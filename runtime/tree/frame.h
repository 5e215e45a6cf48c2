/*
 * tree/frame.h - one letter of a tree to bytes and back; for the sender and the maker only.
 */
#ifndef TREE_FRAME_H
#define TREE_FRAME_H

#include "base/buf.h"
#include "proto/proto.h"

/* Appends the notification. */
enum err tree_frame_pack(struct buf *out, enum letter_id id, const void *body,
	struct why *why) MUST_CHECK;

/* Takes apart one whole frame. */
enum err tree_frame_read(const uint8_t *p, size_t n, enum letter_id *ret_id,
	struct bytes *ret_params, struct why *why) MUST_CHECK;

#endif
