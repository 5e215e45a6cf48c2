/*
 * read.c - a tree's letters one by one, for who only wants to know what there is.
 *
 * The sender may be hostile: a path is one beneath the top, and no entry is taken for more than
 * what it says of itself.
 */
#include "proto/check.h"
#include "tree/frame.h"
#include "tree/pick.h"

struct tree_reader {
	struct tree_frames frames;
	struct arena arena;
	enum err (*fn)(void *ctx, const struct tree_entry *e, struct why *why);
	void *ctx;
	bool begun, ended;
};

enum err tree_reader_new(enum err (*fn)(void *ctx, const struct tree_entry *e, struct why *why),
	void *ctx, struct tree_reader **ret, struct why *why)
{
	struct tree_reader *r = calloc(1, sizeof(*r));

	if (!r)
		return fail(why, ERR_no_memory, "no memory to read a tree");
	tree_frames_init(&r->frames);
	arena_init(&r->arena, 64 * KiB);
	r->fn = fn;
	r->ctx = ctx;
	*ret = r;
	return OK;
}

void tree_reader_free(struct tree_reader *r)
{
	if (!r)
		return;
	tree_frames_done(&r->frames);
	arena_done(&r->arena);
	free(r);
}

bool tree_reader_ended(const struct tree_reader *r)
{
	return r->ended;
}

static enum err on_entry(struct tree_reader *r, const struct tree_entry *e, struct why *why)
{
	const char *bad;

	if (!r->begun) {
		r->begun = true;
		return str_eq(e->path, ".") ? OK :
					      fail_field(why, ERR_invalid_value, "path",
						      "the first entry must be '.'");
	}
	bad = check_rel_path(e->path, strlen(e->path));
	if (bad)
		return fail_field(why, ERR_invalid_value, "path", "'path' %s", bad);
	return r->fn(r->ctx, e, why);
}

static enum err frame(void *ctx, const uint8_t *p, size_t n, struct why *why)
{
	struct tree_reader *r = ctx;
	struct tree_entry body;
	struct bytes params;
	enum letter_id id;
	enum err e = tree_frame_read(p, n, &id, &params, why);

	if (e)
		return e;
	if (r->ended)
		return fail(why, ERR_invalid_value, "there is more behind the tree's end");
	if (id == LETTER_tree_end) {
		r->ended = true;
		return OK;
	}
	if (id != LETTER_tree_entry)
		return fail(why, ERR_unknown_method, "the list holds a letter of another kind");
	arena_reset(&r->arena);
	e = shape_read(
		&shape_tree_entry, mp_over(params.p, params.n), LENIENT, &r->arena, &body, why);
	return e ? e : on_entry(r, &body, why);
}

enum err tree_reader_feed(struct tree_reader *r, const uint8_t *p, size_t n, struct why *why)
{
	return tree_frames_feed(&r->frames, p, n, frame, r, why);
}
