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

static inline void pack_bin(msgpack_packer *pk, const void *p, size_t n)
{
	msgpack_pack_bin(pk, n);
	msgpack_pack_bin_body(pk, p, n);
}

#endif
