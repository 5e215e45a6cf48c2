/*
 * later.c - keeps a request until the image's init has mounted its filesystems, or its session
 * ends.
 */
#include "agent/later.h"

struct later {
	struct pending pending; /* first */
	struct mount_wait mounts;
	later_fn *fn;
	struct arena arena;
	void *body;
};

static void later_free(struct later *l)
{
	arena_done(&l->arena);
	free(l);
}

static void drop(struct pending *p)
{
	struct later *l = (struct later *)p;

	mounted_forget(&l->mounts);
	later_free(l);
}

static void on_mounted(void *ctx, bool mounted)
{
	struct later *l = ctx;
	struct session *s = l->pending.session;

	pending_done(&l->pending);
	arena_reset(&s->arena);
	l->fn(s, l->pending.msgid, l->body, mounted);
	later_free(l);
}

void later_when_mounted(const struct request *r, later_fn *fn)
{
	const struct shape *shape = letter_kinds[r->id].in;
	struct later *l = calloc(1, sizeof(*l));
	struct why why;
	enum err e;

	if (!l) {
		fail(&why, ERR_no_memory, "no memory to keep a request");
		refuse(r->session, r->msgid, &why);
		return;
	}
	arena_init(&l->arena, 4 * MiB);
	l->fn = fn;
	l->body = arena_take(&l->arena, MAX(shape->size, 1u));
	e = l->body ? shape_copy(shape, r->body, l->body, &l->arena, &why) :
		      fail(&why, ERR_no_memory, "no memory to keep a request");
	if (e) {
		later_free(l);
		refuse(r->session, r->msgid, &why);
		return;
	}
	pending_add(r->session, &l->pending, r->msgid, drop);
	mounted_wait(r->session->agent, &l->mounts, on_mounted, l);
}
