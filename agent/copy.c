/*
 * copy.c - agent.put and agent.get: trees over streams.
 *
 * Both work a bounded amount a turn, so that a large tree does not hold up the other streams.
 */
#include <unistd.h>

#include "agent/account.h"
#include "agent/handlers.h"
#include "agent/image.h"
#include "agent/later.h"
#include "base/log.h"
#include "tree/tree.h"

enum { IN_ROOT = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS };

/* Put. */

struct put {
	struct stream stream; /* first */
	struct tree_maker *maker;
};

static void put_free(struct put *p)
{
	tree_maker_free(p->maker);
	free(p);
}

static void put_data(struct stream *st, const uint8_t *bytes, size_t n)
{
	struct put *p = (struct put *)st;
	struct why why;
	enum err e;

	if (n == 0)
		e = fail(&why, ERR_invalid_value, "the tree ended before its last letter");
	else
		e = tree_feed(p->maker, bytes, n, &why);
	if (e) {
		stream_end_error(st, &why);
	} else if (tree_made(p->maker)) {
		stream_end_code(st, 0);
	} else {
		stream_passed(st, n);
		return;
	}
	put_free(p);
}

static void put_room(struct stream *st UNUSED)
{
}

static void put_gone(struct stream *st)
{
	put_free((struct put *)st);
}

static const struct stream_calls put_calls = {
	.data = put_data,
	.room = put_room,
	.gone = put_gone,
};

static enum err put_open(struct session *s, const struct agent_put *x, struct tree_maker **ret,
	struct why *why)
{
	int root = s->agent->root;
	struct tree_rules rules = { .own = TREE_OWN_GIVEN, .special = true };
	struct tree_spot spot = { .dir = -1 };
	struct account who;
	enum err e = account_find(root, x->user, &s->arena, &who, why);

	if (e)
		return e;
	rules.uid = who.uid;
	rules.gid = who.gid;
	e = tree_spot_find(root, x->path, IN_ROOT, x->parents, &rules, &spot, why);
	if (!e)
		e = tree_maker_new(&spot, &rules, ret, why);
	tree_spot_done(&spot);
	return e;
}

static void put_start(struct session *s, uint32_t msgid, const struct agent_put *x)
{
	struct put *p = calloc(1, sizeof(*p));
	struct why why;
	enum err e;

	if (!p)
		e = fail(&why, ERR_no_memory, "no memory for a copy");
	else
		e = put_open(s, x, &p->maker, &why);
	if (!e)
		e = stream_open(s, msgid, LETTER_agent_put, &p->stream, &put_calls, &why);
	if (!e)
		return;
	if (p)
		put_free(p);
	refuse(s, msgid, &why);
}

/* What is written before the init has mounted and cleaned would be hidden or lost. An init that
 * never gets there is no reason not to copy. */
static void put_late(struct session *s, uint32_t msgid, const void *body, bool mounted UNUSED)
{
	put_start(s, msgid, body);
}

void on_put(const struct request *r)
{
	if (mounted_now(r->session->agent))
		put_start(r->session, r->msgid, r->body);
	else
		later_when_mounted(r, put_late);
}

/* Get. */

struct get {
	struct stream stream; /* first */
	struct loop *loop;
	struct tree_sender *sender;
	struct timer next;
};

static void get_free(struct get *g)
{
	timer_stop(&g->next);
	tree_sender_free(g->sender);
	free(g);
}

static void get_more(void *ctx)
{
	struct get *g = ctx;
	uint8_t chunk[CHUNK_BYTES];
	size_t room = stream_room(&g->stream, 1), n;
	struct why why;

	if (room == 0)
		return; /* get_room comes back to it */
	if (tree_send(g->sender, chunk, room, &n, &why)) {
		stream_end_error(&g->stream, &why);
		get_free(g);
		return;
	}
	stream_send(&g->stream, 1, chunk, n);
	if (n > 0) {
		timer_start(g->loop, &g->next, 0, get_more, g);
		return;
	}
	if (tree_sender_skipped(g->sender) > 0)
		log_line(LOG_INFO, "copy", "sockets and devices passed over", "count",
			log_u64(tree_sender_skipped(g->sender)).s, NULL);
	stream_end_code(&g->stream, 0);
	get_free(g);
}

static void get_data(struct stream *st, const uint8_t *p UNUSED, size_t n)
{
	stream_passed(st, n); /* nobody asked for it */
}

static void get_room(struct stream *st)
{
	struct get *g = (struct get *)st;

	timer_start(g->loop, &g->next, 0, get_more, g);
}

static void get_gone(struct stream *st)
{
	get_free((struct get *)st);
}

static const struct stream_calls get_calls = {
	.data = get_data,
	.room = get_room,
	.gone = get_gone,
};

static enum err get_open(int root, const struct agent_get *x, struct tree_sender **ret,
	struct why *why)
{
	const char *last = strrchr(x->path, '/');
	const char *name = last && last[1] ? last + 1 : NULL;
	own_fd fd = -1;
	enum err e = tree_open(root, x->path, IN_ROOT, x->follow, &fd, why);
	struct stat st;

	if (!e && x->has_bare && x->bare && fstat(fd, &st) == 0 && S_ISDIR(st.st_mode))
		name = NULL;
	if (!e)
		e = tree_sender_new(fd, name, ret, why);
	if (!e)
		take_fd(&fd);
	return e;
}

void on_get(const struct request *r)
{
	struct get *g = calloc(1, sizeof(*g));
	struct why why;
	enum err e;

	if (!g)
		e = fail(&why, ERR_no_memory, "no memory for a copy");
	else
		e = get_open(r->session->agent->root, r->body, &g->sender, &why);
	if (!e)
		e = stream_open(r->session, r->msgid, r->id, &g->stream, &get_calls, &why);
	if (e) {
		if (g)
			get_free(g);
		refuse(r->session, r->msgid, &why);
		return;
	}
	g->loop = r->session->agent->loop;
	get_room(&g->stream);
}
