/*
 * agent/copy.h - trees over streams: who makes one from channel 0, who says one on channel 1.
 */
#ifndef AGENT_COPY_H
#define AGENT_COPY_H

#include "agent/handlers.h"

/* Takes a tree; `of` belongs to it. */
struct copy_sink {
	void *of;
	enum err (*feed)(void *of, const uint8_t *p, size_t n, struct why *why);
	bool (*made)(void *of);
	void (*done)(void *of); /* frees it */
};

/* Says a tree, as many bytes at a time as are asked for; none at its end. */
struct copy_source {
	void *of;
	enum err (*more)(void *of, uint8_t *to, size_t size, size_t *ret_n, struct why *why);
	void (*done)(void *of);
};

/* Both answer the request, begin its stream, and own what they were given. */
void copy_in(struct session *s, uint32_t msgid, enum letter_id id, const struct copy_sink *sink);
void copy_out(
	struct session *s, uint32_t msgid, enum letter_id id, const struct copy_source *source);

#endif
