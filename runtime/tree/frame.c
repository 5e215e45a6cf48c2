/*
 * frame.c - the framing of tree letters: notifications [2, method, [params]], one after the other.
 */
#include "tree/frame.h"

#include "letter/pack.h"

enum { FRAME_MAX = 1048576 };

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

void tree_frames_init(struct tree_frames *f)
{
	*f = (struct tree_frames){ .broken = false };
	buf_init(&f->in, FRAME_MAX + 64 * KiB);
}

void tree_frames_done(struct tree_frames *f)
{
	buf_done(&f->in);
}

enum err tree_frames_feed(struct tree_frames *f, const uint8_t *p, size_t n,
	enum err (*fn)(void *ctx, const uint8_t *p, size_t n, struct why *why), void *ctx,
	struct why *why)
{
	enum mp_scan_result got;
	size_t used = 0;
	enum err e = OK;

	if (f->broken)
		return fail(why, ERR_conflict, "the tree is broken already");
	buf_add(&f->in, p, n);
	if (f->in.failed)
		e = fail(why, ERR_no_memory, "no memory for a letter of the tree");
	while (!e && used < f->in.n) {
		got = mp_scan(&f->scan, f->in.p + used, f->in.n - used, FRAME_MAX);
		if (got == MP_MORE)
			break;
		if (got != MP_WHOLE) {
			e = fail(why, ERR_invalid_value,
				"the tree is not msgpack, or over its ceiling");
			break;
		}
		e = fn(ctx, f->in.p + used, f->scan.at, why);
		used += f->scan.at;
		f->scan = (struct mp_scan){ .depth = 0 };
	}
	buf_drop(&f->in, used);
	f->broken = e != OK;
	return e;
}
