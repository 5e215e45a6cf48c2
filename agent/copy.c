/*
 * copy.c - agent.put and agent.get: trees over streams.
 *
 * Both work a bounded amount a turn, so that a large tree does not hold up the other streams.
 */
#include "agent/copy.h"

#include <unistd.h>

#include "agent/account.h"
#include "agent/image.h"
#include "agent/later.h"
#include "base/log.h"
#include "tree/tree.h"

enum { IN_ROOT = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS };

/* In. */

struct in {
	struct stream stream; /* first */
	struct copy_sink sink;
};

static void in_free(struct in *p)
{
	p->sink.done(p->sink.of);
	free(p);
}

static void in_data(struct stream *st, const uint8_t *bytes, size_t n)
{
	struct in *p = (struct in *)st;
	struct why why;
	enum err e;

	if (n == 0)
		e = fail(&why, ERR_invalid_value, "the tree ended before its last letter");
	else
		e = p->sink.feed(p->sink.of, bytes, n, &why);
	if (e) {
		stream_end_error(st, &why);
	} else if (p->sink.made(p->sink.of)) {
		stream_end_code(st, 0);
	} else {
		stream_passed(st, n);
		return;
	}
	in_free(p);
}

static void in_room(struct stream *st UNUSED)
{
}

static void in_gone(struct stream *st)
{
	in_free((struct in *)st);
}

static void in_signal(struct stream *st, int number UNUSED)
{
	struct why why;

	/* whoever sent it went away, or changed their mind */
	fail(&why, ERR_cancelled, "the copy was interrupted");
	stream_end_error(st, &why);
	in_free((struct in *)st);
}

static const struct stream_calls in_calls = {
	.data = in_data,
	.room = in_room,
	.signal = in_signal,
	.gone = in_gone,
};

void copy_in(struct session *s, uint32_t msgid, enum letter_id id, const struct copy_sink *sink)
{
	struct in *p = calloc(1, sizeof(*p));
	struct why why;
	enum err e;

	if (!p) {
		sink->done(sink->of);
		fail(&why, ERR_no_memory, "no memory for a copy");
		refuse(s, msgid, &why);
		return;
	}
	p->sink = *sink;
	e = stream_open(s, msgid, id, &p->stream, &in_calls, &why);
	if (!e)
		return;
	in_free(p);
	refuse(s, msgid, &why);
}

/* Put. */

static enum err feed_maker(void *of, const uint8_t *p, size_t n, struct why *why)
{
	return tree_feed(of, p, n, why);
}

static bool maker_made(void *of)
{
	return tree_made(of);
}

static void maker_done(void *of)
{
	tree_maker_free(of);
}

static enum err put_open(
	struct session *s, const struct agent_put *x, struct tree_maker **ret, struct why *why)
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
	struct copy_sink sink = { NULL, feed_maker, maker_made, maker_done };
	struct tree_maker *maker = NULL;
	struct why why;

	if (put_open(s, x, &maker, &why)) {
		refuse(s, msgid, &why);
		return;
	}
	sink.of = maker;
	copy_in(s, msgid, LETTER_agent_put, &sink);
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

/* Out. */

struct out {
	struct stream stream; /* first */
	struct loop *loop;
	struct copy_source source;
	struct timer next;
};

static void out_free(struct out *g)
{
	timer_stop(&g->next);
	g->source.done(g->source.of);
	free(g);
}

static void out_more(void *ctx)
{
	struct out *g = ctx;
	uint8_t chunk[CHUNK_BYTES];
	size_t room = stream_room(&g->stream, 1), n;
	struct why why;

	if (room == 0)
		return; /* out_room comes back to it */
	if (g->source.more(g->source.of, chunk, room, &n, &why)) {
		stream_end_error(&g->stream, &why);
		out_free(g);
		return;
	}
	stream_send(&g->stream, 1, chunk, n);
	if (n > 0) {
		timer_start(g->loop, &g->next, 0, out_more, g);
		return;
	}
	stream_end_code(&g->stream, 0);
	out_free(g);
}

static void out_data(struct stream *st, const uint8_t *p UNUSED, size_t n)
{
	stream_passed(st, n); /* nobody asked for it */
}

static void out_room(struct stream *st)
{
	struct out *g = (struct out *)st;

	timer_start(g->loop, &g->next, 0, out_more, g);
}

static void out_gone(struct stream *st)
{
	out_free((struct out *)st);
}

static const struct stream_calls out_calls = {
	.data = out_data,
	.room = out_room,
	.gone = out_gone,
};

void copy_out(
	struct session *s, uint32_t msgid, enum letter_id id, const struct copy_source *source)
{
	struct out *g = calloc(1, sizeof(*g));
	struct why why;

	if (!g) {
		source->done(source->of);
		fail(&why, ERR_no_memory, "no memory for a copy");
		refuse(s, msgid, &why);
		return;
	}
	g->source = *source;
	if (stream_open(s, msgid, id, &g->stream, &out_calls, &why)) {
		out_free(g);
		refuse(s, msgid, &why);
		return;
	}
	g->loop = s->agent->loop;
	out_room(&g->stream);
}

/* Get. */

static enum err more_sent(void *of, uint8_t *to, size_t size, size_t *ret_n, struct why *why)
{
	return tree_send(of, to, size, ret_n, why);
}

static void sender_done(void *of)
{
	if (tree_sender_skipped(of) > 0)
		log_line(LOG_INFO, "copy", "sockets and devices passed over", "count",
			log_u64(tree_sender_skipped(of)).s, NULL);
	tree_sender_free(of);
}

static enum err get_open(
	int root, const struct agent_get *x, struct tree_sender **ret, struct why *why)
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
	struct copy_source source = { NULL, more_sent, sender_done };
	struct tree_sender *sender = NULL;
	struct why why;

	if (get_open(r->session->agent->root, r->body, &sender, &why)) {
		refuse(r->session, r->msgid, &why);
		return;
	}
	source.of = sender;
	copy_out(r->session, r->msgid, r->id, &source);
}
