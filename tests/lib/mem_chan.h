/*
 * lib/mem_chan.h - a channel over memory: what is fed comes in, what goes out is kept. No loop.
 */
#ifndef LIB_MEM_CHAN_H
#define LIB_MEM_CHAN_H

#include "loop/chan.h"

struct mem_chan {
	struct chan c; /* first */
	struct buf sent; /* what went out, up to its ceiling; the rest is dropped */
	bool closed; /* by its user; the memory stays the owner's */
	bool resumed; /* a pause ended: leftovers are due */
};

void mem_chan_init(struct mem_chan *m, size_t sent_max);
void mem_chan_done(struct mem_chan *m);
/* Bytes come in; leftovers of an ended pause first. */
void mem_chan_feed(struct mem_chan *m, const uint8_t *p, size_t n);
void mem_chan_flush(struct mem_chan *m); /* the end of a turn: out goes to sent */
void mem_chan_end(struct mem_chan *m); /* the peer closed */

#endif
