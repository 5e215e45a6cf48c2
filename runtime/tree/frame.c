/*
 * frame.c - the framing of tree letters: notifications [2, method, [params]], one after the other.
 */
#include "tree/frame.h"

#include "letter/pack.h"

enum err tree_frame_pack(struct buf *out, enum letter_id id, const void *body, struct why *why)
{
	const struct letter_kind *kind = &letter_kinds[id];
	msgpack_packer pk = packer_on(out);

	msgpack_pack_array(&pk, 3);
	msgpack_pack_uint32(&pk, 2);
	pack_str(&pk, kind->method, strlen(kind->method));
	msgpack_pack_array(&pk, 1);
	return shape_pack(kind->in, body, out, why);
}

enum err tree_frame_read(const uint8_t *p, size_t n, enum letter_id *ret_id,
	struct bytes *ret_params, struct why *why)
{
	struct mp c = mp_over(p, n);
	struct bytes method;
	uint32_t count;
	uint64_t type;

	if (!mp_array(&c, &count) || count != 3 || !mp_u64(&c, &type) || type != 2 ||
		!mp_str(&c, &method) || !mp_array(&c, &count) || count > 1)
		return fail(why, ERR_invalid_value, "the tree holds what is no letter");
	if (count == 0)
		*ret_params = (struct bytes){ (const uint8_t *)"\x80", 1 };
	else
		*ret_params = (struct bytes){ c.p, (size_t)(c.end - c.p) };
	*ret_id = letter_by_method((const char *)method.p, method.n);
	return OK;
}
