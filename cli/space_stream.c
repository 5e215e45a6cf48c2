/*
 * space_stream.c - trees between this host and a guest's workspace, as streams.
 *
 * What comes from the guest is hostile: a list is only a list, and a file is made beneath the one
 * directory that it is for, without a link being followed.
 */
#include <signal.h>

#include "cli/report.h"
#include "cli/space.h"
#include "cli/stream.h"

enum { WANTS_MAX = 4096, WANTS_BYTES_MAX = 512 * 1024, FETCH_BYTES_MAX_GIB = 16 };

struct flow {
	struct space *s;
	struct stream_begun begun;
	struct stream stream;
	struct why why; /* of who takes what comes */
	struct tree_reader *reader;
	struct tree_maker *maker;
	uint64_t taken;
};

static void on_note(void *ctx, enum letter_id letter, struct bytes params)
{
	struct flow *f = ctx;

	stream_note(&f->stream, letter, params);
}

static void on_bytes(void *ctx, const uint8_t *p, size_t n)
{
	struct flow *f = ctx;

	f->taken += n;
	if (n == 0 || f->why.code)
		return;
	if (f->taken > FETCH_BYTES_MAX_GIB * GiB)
		fail(&f->why, ERR_too_large, "the guest sends more than %d GiB",
			FETCH_BYTES_MAX_GIB);
	else if (f->reader)
		(void)!tree_reader_feed(f->reader, p, n, &f->why);
	else if (f->maker && !tree_made(f->maker))
		(void)!tree_feed(f->maker, p, n, &f->why);
}

static enum err begin(struct flow *f, enum letter_id letter, const void *body, struct why *why)
{
	struct link *link = f->s->c->link;

	f->begun.stream = 0;
	stream_init(&f->stream, link, &f->begun.stream);
	f->stream.out[0].sink = on_bytes;
	f->stream.out[0].sink_ctx = f;
	link->note = on_note;
	link->note_ctx = f;
	return ask(f->s->c, letter, body, &f->begun, why);
}

static bool is_over(const struct flow *f)
{
	return f->stream.ended || f->s->c->link->gone || f->s->interrupts->first || f->why.code;
}

static enum err outcome(struct flow *f, struct why *why)
{
	if (f->s->interrupts->first)
		return fail(why, ERR_cancelled, "interrupted");
	if (f->why.code)
		*why = f->why;
	else
		*why = f->stream.ended ? f->stream.why : f->s->c->link->gone_why;
	return why->code;
}

/* An agent that was interrupted undoes what it made; it is waited for, but not for ever. */
static void hang_up(struct flow *f)
{
	struct link *link = f->s->c->link;

	if (f->begun.stream && !f->stream.ended && !link->gone) {
		stream_signal(&f->stream, SIGHUP);
		while (!f->stream.ended && !link->gone && !f->s->interrupts->gave_up)
			loop_turn(f->s->c->loop, true);
	}
	stream_close(&f->stream);
	link->note = NULL;
	f->s->op.bytes = NULL;
}

typedef enum err more_fn(void *of, uint8_t *to, size_t size, size_t *ret_n, struct why *why);

static enum err more_picked(void *of, uint8_t *to, size_t size, size_t *ret_n, struct why *why)
{
	return tree_pick(of, to, size, ret_n, why);
}

static enum err more_sent(void *of, uint8_t *to, size_t size, size_t *ret_n, struct why *why)
{
	return tree_send(of, to, size, ret_n, why);
}

static enum err pour(struct flow *f, more_fn *more, void *of, struct why *why)
{
	uint8_t chunk[CHUNK_BYTES];
	bool all = false;
	size_t n;
	enum err e;

	while (!is_over(f)) {
		size_t room = stream_room(&f->stream);

		if (!all && room > 0) {
			e = more(of, chunk, room, &n, why);
			if (e)
				return e;
			all = n == 0;
			if (!all)
				stream_send(&f->stream, chunk, n);
		}
		loop_turn(f->s->c->loop, all || stream_room(&f->stream) == 0);
	}
	return outcome(f, why);
}

struct telling {
	struct plan *sent;
	struct why why;
};

static void on_sent(void *ctx, const struct tree_entry *e)
{
	struct telling *t = ctx;

	if (!t->why.code)
		(void)!plan_add(t->sent, e, &t->why);
}

enum err space_send(struct space *s, const char *path, bool fresh, struct plan *sent,
	const struct tree_choice *v, size_t n, int top, struct buf *head, struct why *why)
{
	struct space_put body = { .vm = s->vm, .path = path, .fresh = fresh };
	struct flow f = { .s = s };
	struct telling t = { .sent = sent };
	struct tree_picker *picker = NULL;
	enum err e = tree_picker_new(top, v, n, head, &picker, why);

	if (e)
		return e;
	tree_picker_tell(picker, on_sent, &t);
	e = begin(&f, LETTER_space_put, &body, why);
	if (!e) {
		s->op.bytes = &f.stream.in.sent;
		e = pour(&f, more_picked, picker, why);
	}
	hang_up(&f);
	tree_picker_free(picker);
	if (!e && t.why.code)
		*why = t.why;
	return e ? e : t.why.code;
}

enum err space_put_file(struct cli *c, struct interrupts *i, const char *vm,
	const struct space_place *place, int *fd, struct why *why)
{
	struct vm_put body = { .vm = vm,
		.path = place->path,
		.user = place->user,
		.has_parents = true,
		.parents = true };
	struct space s = { .c = c, .interrupts = i };
	struct flow f = { .s = &s };
	struct tree_sender *sender = NULL;
	enum err e = tree_sender_new(*fd, NULL, &sender, why);

	if (e)
		return e;
	*fd = -1;
	e = begin(&f, LETTER_vm_put, &body, why);
	if (!e)
		e = pour(&f, more_sent, sender, why);
	hang_up(&f);
	tree_sender_free(sender);
	return e;
}

static enum err drain(struct flow *f, enum letter_id letter, const void *body, struct why *why)
{
	enum err e = begin(f, letter, body, why);

	while (!e && !is_over(f))
		loop_turn(f->s->c->loop, true);
	if (!e)
		e = outcome(f, why);
	hang_up(f);
	return e;
}

static enum err on_listed(void *ctx, const struct tree_entry *e, struct why *why)
{
	return e->kind == tree_kind_fifo ? OK : plan_add(ctx, e, why);
}

enum err space_survey(struct space *s, const char *path, struct plan *ret, struct why *why)
{
	struct space_survey body = { s->vm, path };
	struct flow f = { .s = s };
	enum err e = tree_reader_new(on_listed, ret, &f.reader, why);

	if (!e)
		e = drain(&f, LETTER_space_survey, &body, why);
	if (!e && !tree_reader_ended(f.reader))
		e = fail(why, ERR_guest_failed, "the list of %.200s arrived incomplete", path);
	tree_reader_free(f.reader);
	plan_sort(ret);
	return e;
}

static enum err fetch_some(struct space *s, const char *path, const char *const *paths, size_t n,
	int to, struct why *why)
{
	struct space_pick body = { .vm = s->vm, .path = path };
	struct tree_rules rules = { .own = TREE_OWN_CALLER };
	struct tree_spot spot = { .dir = -1 };
	struct flow f = { .s = s };
	enum err e = tree_spot_find(to, ".", RESOLVE_BENEATH, false, &rules, &spot, why);

	body.paths.v = (const char **)(uintptr_t)paths;
	body.paths.n = (uint32_t)n;
	if (!e)
		e = tree_maker_new(&spot, &rules, &f.maker, why);
	tree_spot_done(&spot);
	if (!e)
		e = drain(&f, LETTER_space_pick, &body, why);
	if (!e && !tree_made(f.maker))
		e = fail(why, ERR_guest_failed, "files of %.200s arrived incomplete", path);
	tree_maker_free(f.maker);
	return e;
}

enum err space_fetch(struct space *s, const char *path, const char *const *paths, size_t n, int to,
	struct why *why)
{
	size_t from = 0, i, bytes;
	enum err e = OK;

	while (!e && from < n) {
		bytes = 0;
		for (i = from; i < n && i - from < WANTS_MAX; i++) {
			bytes += strlen(paths[i]) + 8;
			if (bytes > WANTS_BYTES_MAX)
				break;
		}
		e = fetch_some(s, path, paths + from, i - from, to, why);
		from = i;
	}
	return e;
}
