/*
 * wire/window.h - flow control of one channel of a stream (row A9).
 *
 * The writer may send what the reader has granted; the reader grants again what it has passed on.
 * Both count, so an overrun is seen at once.
 */
#ifndef WIRE_WINDOW_H
#define WIRE_WINDOW_H

#include "base/base.h"

enum { WINDOW_BYTES = 262144, CHUNK_BYTES = 32768 };

struct window {
	uint64_t left; /* writer: may still send; reader: may still come */
	uint64_t owed; /* reader: passed on, not granted again yet */
};

static inline void window_init(struct window *w)
{
	*w = (struct window){ .left = WINDOW_BYTES };
}

/* Writer or reader: n bytes go through. False is an overrun: malformed when a peer does it. */
static inline bool window_use(struct window *w, uint64_t n)
{
	if (n > w->left)
		return false;
	w->left -= n;
	return true;
}

/* Writer: the reader granted n more. False when it grants absurdly much. */
static inline bool window_grant(struct window *w, uint64_t n)
{
	if (n > UINT32_MAX || w->left > UINT32_MAX)
		return false;
	w->left += n;
	return true;
}

/*
 * Reader: n bytes were passed on. Answers the credit to send now (0: not worth a letter yet), and
 * counts it as granted.
 */
static inline uint64_t window_passed(struct window *w, uint64_t n)
{
	uint64_t grant;

	w->owed += n;
	if (w->owed < WINDOW_BYTES / 4)
		return 0;
	grant = w->owed;
	w->owed = 0;
	w->left += grant;
	return grant;
}

#endif
