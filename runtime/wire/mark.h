/*
 * wire/mark.h - how a link without connections begins: a mark and a nonce.
 *
 * A virtio-serial port delivers bytes of the previous opening to the next one. So the host begins
 * each opening with MARK and a fresh nonce; the agent, wherever it is in its input, drops all that
 * belonged to the old nonce and answers with the same 32 bytes before anything else; the host
 * discards up to that answer. On sockets the same opening is spoken, for the sake of having one.
 */
#ifndef WIRE_MARK_H
#define WIRE_MARK_H

#include "base/base.h"

enum { MARK_BYTES = 16, NONCE_BYTES = 16, OPENING_BYTES = MARK_BYTES + NONCE_BYTES };

/* Writes mark and nonce. The mark is computed, so that no binary that is copied holds it. */
void mark_opening(uint8_t out[OPENING_BYTES], const uint8_t nonce[NONCE_BYTES]);

/*
 * Looks for an opening in a stream that comes in pieces. Feed every byte in order.
 */
struct mark_finder {
	uint8_t kept[OPENING_BYTES]; /* the beginning of an opening, so far */
	size_t n;
};

/*
 * Answers how many bytes of p were looked at: all, or up to and with the end of an opening, when
 * *found is set and nonce filled.
 */
size_t mark_find(struct mark_finder *m, const uint8_t *p, size_t n, bool *found,
	uint8_t nonce[NONCE_BYTES]);

#endif
