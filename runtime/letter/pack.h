/*
 * letter/pack.h - msgpack-c's packer writing into a struct buf.
 *
 * The buf's sticky failure stands for every refused append; check it once, at the end.
 */
#ifndef LETTER_PACK_H
#define LETTER_PACK_H

#include <msgpack/pack.h>

#include "base/buf.h"

static inline int pack_into_buf(void *b, const char *p, size_t n)
{
	buf_add(b, p, n);
	return 0;
}

static inline msgpack_packer packer_on(struct buf *b)
{
	msgpack_packer pk;

	msgpack_packer_init(&pk, b, pack_into_buf);
	return pk;
}

static inline void pack_str(msgpack_packer *pk, const char *s, size_t n)
{
	msgpack_pack_str(pk, n);
	msgpack_pack_str_body(pk, s, n);
}

/*
 * A field's name: head and text in one step where the head is a byte, as it is for all but long
 * ones.
 */
static inline void pack_key(struct buf *b, const char *name, size_t n)
{
	uint8_t *to = n < 32 ? buf_room(b, n + 1) : NULL;

	if (to) {
		to[0] = (uint8_t)(0xa0 | n);
		memcpy(to + 1, name, n);
		b->n += n + 1;
	} else {
		msgpack_packer pk = packer_on(b);

		pack_str(&pk, name, n);
	}
}

static inline void pack_bin(msgpack_packer *pk, const void *p, size_t n)
{
	msgpack_pack_bin(pk, n);
	msgpack_pack_bin_body(pk, p, n);
}

#endif
