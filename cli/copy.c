/*
 * copy.c - trees between this host and a guest (row E3), or between two guests.
 *
 * This process reads and writes the user's files and speaks trees (tree/tree.h) with the agent; the
 * daemon only forwards. The rules of cp hold: a directory that exists takes what is copied inside;
 * else the destination is the new name. Several sources, or a slash at the end, mean a directory.
 * Between guests the letters of one agent go to the other, and nothing of them is read here.
 */
#include "cli/copy.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "cli/report.h"

enum err copy_side(
	struct arena *mem, const char *vm, const char *word, struct side *ret, struct why *why)
{
	char *path = arena_str(mem, word);
	enum err e = OK;

	*ret = (struct side){ vm, path, false };
	if (!path)
		return fail(why, ERR_no_memory, "no memory for a path");
	for (size_t n = strlen(path); n > 1 && path[n - 1] == '/'; n--) {
		path[n - 1] = '\0';
		ret->slash = true;
	}
	if (!path[0])
		e = fail_field(why, ERR_invalid_value, "path", "a path is missing behind '%.60s:'",
			vm ? vm : "");
	else if (vm)
		e = type_ok(&type_abs_path, "path", path, why);
	if (e && vm)
		fail_hint(why, "paths in a guest begin with /, like %.63s:/root/file", vm);
	return e;
}

static const char *last_name(const char *path)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash ? slash + 1 : path;

	return str_eq(name, "") || str_eq(name, ".") || str_eq(name, "..") ? NULL : name;
}

static void on_note(void *ctx, enum letter_id letter, struct bytes params)
{
	struct copy *k = ctx;

	if (!k->begun.stream || !stream_note(&k->stream, letter, params))
		stream_note(&k->from, letter, params);
}

static bool is_over(const struct copy *k)
{
	return k->stream.ended || k->c->link->gone || k->interrupts->first || k->why.code;
}

static enum err outcome(struct copy *k, struct why *why)
{
	if (k->interrupts->first)
		return fail(why, ERR_cancelled, "interrupted");
	if (k->why.code)
		*why = k->why;
	else if (k->stream.ended)
		*why = k->stream.why;
	else
		*why = k->c->link->gone_why;
	return why->code;
}

static void on_tree(void *ctx, const uint8_t *p, size_t n)
{
	struct copy *k = ctx;

	if (k->maker && n > 0 && !k->why.code && !tree_made(k->maker))
		(void)!tree_feed(k->maker, p, n, &k->why);
}

static enum err begin(struct copy *k, enum letter_id letter, const void *body, struct why *why)
{
	k->begun.stream = 0;
	stream_init(&k->stream, k->c->link, &k->begun.stream);
	k->stream.out[0].sink = on_tree;
	k->stream.out[0].sink_ctx = k;
	k->c->link->note = on_note;
	k->c->link->note_ctx = k;
	return ask(k->c, letter, body, &k->begun, why);
}

/* Into a guest. */

static enum err pour(struct copy *k, struct tree_sender *s, struct why *why)
{
	uint8_t chunk[CHUNK_BYTES];
	bool all = false;
	size_t n;
	enum err e;

	while (!is_over(k)) {
		size_t room = stream_room(&k->stream);

		if (!all && room > 0) {
			e = tree_send(s, chunk, room, &n, why);
			if (e)
				return e;
			all = n == 0;
			if (!all)
				stream_send(&k->stream, chunk, n);
		}
		loop_turn(k->c->loop, all || stream_room(&k->stream) == 0);
	}
	return outcome(k, why);
}

/* Where one source goes; the agent has the rest of cp's rules. */
static enum err put_path(struct copy *k, const char *name, const char **ret, struct why *why)
{
	*ret = k->to.path;
	if (!name || (!k->many && !k->to.slash))
		return OK;
	*ret = arena_fmt(&k->c->mem, "%s/%s", str_eq(k->to.path, "/") ? "" : k->to.path, name);
	return *ret ? type_ok(&type_abs_path, "path", *ret, why) :
		      fail(why, ERR_no_memory, "no memory for a path");
}

static enum err put(struct copy *k, const struct side *from, struct why *why)
{
	const char *name = last_name(from->path);
	bool into = k->many || k->to.slash;
	struct vm_put body = { .vm = k->to.vm, .has_parents = true, .parents = k->parents };
	struct tree_sender *sender = NULL;
	own_fd fd = -1;
	struct stat st;
	enum err e = put_path(k, name, &body.path, why);

	body.user = k->user;
	if (!e)
		e = tree_open(AT_FDCWD, from->path, 0, k->follow || from->slash, &fd, why);
	if (e)
		return e;
	/* dir/name that is there already is merged into, as cp does, not put inside once more */
	if (into && fstat(fd, &st) == 0 && S_ISDIR(st.st_mode))
		name = NULL;
	e = tree_sender_new(fd, name, &sender, why);
	if (e)
		return e;
	take_fd(&fd);
	e = begin(k, LETTER_vm_put, &body, why);
	if (!e)
		e = pour(k, sender, why);
	if (!e && tree_sender_skipped(sender) > 0)
		note(k->c, "%llu sockets and devices of %s were passed over",
			(unsigned long long)tree_sender_skipped(sender), from->path);
	tree_sender_free(sender);
	return e;
}

/* Out of a guest. */

static enum err open_spot(struct copy *k, struct tree_spot *spot, struct why *why)
{
	struct tree_rules rules = { .own = TREE_OWN_CALLER };
	struct stat st;
	enum err e;

	if ((k->many || k->to.slash) && (stat(k->to.path, &st) < 0 || !S_ISDIR(st.st_mode)))
		return fail(why, ERR_invalid_value, "%.200s is no directory", k->to.path);
	e = tree_spot_find(AT_FDCWD, k->to.path, 0, k->parents, &rules, spot, why);
	return e ? e : tree_maker_new(spot, &rules, &k->maker, why);
}

static enum err get(struct copy *k, const struct side *from, struct why *why)
{
	struct vm_get body = { .vm = from->vm,
		.path = from->path,
		.has_follow = true,
		.follow = k->follow || from->slash };
	struct tree_spot spot = { .dir = -1 };
	enum err e = open_spot(k, &spot, why);

	tree_spot_done(&spot);
	if (e)
		return e;
	e = begin(k, LETTER_vm_get, &body, why);
	while (!e && !is_over(k))
		loop_turn(k->c->loop, true);
	if (!e)
		e = outcome(k, why);
	if (!e && !tree_made(k->maker))
		e = fail(why, ERR_guest_failed, "%.200s arrived incomplete", from->path);
	tree_maker_free(k->maker);
	k->maker = NULL;
	return e;
}

/* From guest to guest: the bytes of the tree pass through as they are. */

static bool pass_some(struct copy *k)
{
	uint8_t chunk[CHUNK_BYTES];
	size_t n = stream_take(&k->from, 1, chunk, stream_room(&k->stream));

	if (n > 0)
		stream_send(&k->stream, chunk, n);
	return n > 0;
}

static enum err pass_all(struct copy *k, struct why *why)
{
	while (!is_over(k) && !k->from.why.code) {
		bool more = pass_some(k);

		if (k->from.ended && !more && stream_flushed(&k->from) && !k->from.has_code)
			return fail(why, ERR_guest_failed, "the source's copy was broken off");
		loop_turn(k->c->loop, !more);
	}
	if (!k->from.why.code)
		return outcome(k, why);
	*why = k->from.why;
	return why->code;
}

static enum err across(struct copy *k, const struct side *from, struct why *why)
{
	const char *name = last_name(from->path);
	struct vm_get get = { .vm = from->vm,
		.path = from->path,
		.has_follow = true,
		.follow = k->follow || from->slash,
		.has_bare = true,
		.bare = !name || k->many || k->to.slash };
	struct vm_put body = {
		.vm = k->to.vm, .user = k->user, .has_parents = true, .parents = k->parents
	};
	enum err e = put_path(k, name, &body.path, why);

	if (e)
		return e;
	k->source.stream = 0;
	stream_init(&k->from, k->c->link, &k->source.stream);
	stream_hold(&k->from, 1);
	e = begin(k, LETTER_vm_put, &body, why);
	if (!e)
		e = ask(k->c, LETTER_vm_get, &get, &k->source, why);
	if (!e)
		e = pass_all(k, why);
	stream_close(&k->from);
	return e;
}

enum err copy_one(struct copy *k, const struct side *from, struct why *why)
{
	enum err e = from->vm && k->to.vm ? across(k, from, why) :
		     k->to.vm             ? put(k, from, why) :
					    get(k, from, why);

	stream_close(&k->stream);
	k->c->link->note = NULL;
	return e;
}
