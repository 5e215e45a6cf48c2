/*
 * cmd_vm_cp.c - `banger vm cp`: files and directories between this host and a guest (row E3).
 *
 * This process reads and writes the user's files and speaks trees (tree/tree.h) with the agent; the
 * daemon only forwards. The rules of cp hold: a directory that exists takes what is copied inside;
 * else the destination is the new name. Several sources, or a slash at the end, mean a directory.
 */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "cli/interrupts.h"
#include "cli/report.h"
#include "cli/stream.h"
#include "tree/tree.h"

static const struct flag flags[] = {
	{ .name = "user", .letter = 'u', .type = &type_user, .value = "USER",
		.doc = "owner of what is made in the guest; root when absent" },
	{ .name = "parents", .doc = "make missing directories above the destination" },
	{ .name = "follow", .letter = 'L', .doc = "copy what a source that is a link points to" },
	{ .name = NULL },
};

/* One side of a copy. */
struct side {
	const char *vm; /* NULL: this host */
	const char *path; /* without slashes at its end */
	bool slash; /* had some: a directory is meant */
};

struct copy {
	struct cli *c;
	struct interrupts interrupts;
	struct side to;
	bool many, parents, follow;
	struct stream_begun begun;
	struct stream stream;
	struct tree_maker *maker;
	struct why why; /* of a maker that failed */
};

/* NAME:PATH is a guest's; anything with a slash before its colon is a file here. */
static enum err parse_side(struct copy *k, const char *word, struct side *ret, struct why *why)
{
	const char *colon = strchr(word, ':');
	size_t n = colon ? (size_t)(colon - word) : 0;
	char *path, *vm;
	enum err e = OK;

	*ret = (struct side){ NULL, word, false };
	if (n > 0 && is_label(word, n)) {
		vm = arena_strn(&k->c->mem, word, n);
		ret->vm = vm;
		word = colon + 1;
	}
	path = arena_str(&k->c->mem, word);
	if (!path || (n > 0 && !ret->vm && is_label(ret->path, n)))
		return fail(why, ERR_no_memory, "no memory for a path");
	for (n = strlen(path); n > 1 && path[n - 1] == '/'; n--) {
		path[n - 1] = '\0';
		ret->slash = true;
	}
	ret->path = path;
	if (!path[0])
		e = fail_field(why, ERR_invalid_value, "path", "a path is missing behind '%.60s:'",
			ret->vm ? ret->vm : "");
	else if (ret->vm)
		e = type_ok(&type_abs_path, "path", path, why);
	if (e && ret->vm)
		fail_hint(why, "paths in a guest begin with /, like %.63s:/root/file", ret->vm);
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

	stream_note(&k->stream, letter, params);
}

static bool is_over(const struct copy *k)
{
	return k->stream.ended || k->c->link->gone || k->interrupts.first || k->why.code;
}

static enum err outcome(struct copy *k, struct why *why)
{
	if (k->interrupts.first)
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

	body.user = flag_text(k->c, "user");
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
	struct vm_get body = { .vm = from->vm, .path = from->path, .has_follow = true,
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

static enum err parse(struct copy *k, struct side *from, struct why *why)
{
	struct cli *c = k->c;
	unsigned n = c->args_n - 1;
	enum err e = parse_side(k, c->args[n], &k->to, why);

	for (unsigned i = 0; !e && i < n; i++) {
		e = parse_side(k, c->args[i], &from[i], why);
		if (e || (from[i].vm != NULL) != (k->to.vm != NULL))
			continue;
		e = fail(why, ERR_unsupported, "one side must be %s",
			from[i].vm ? "this host's" : "a guest's: NAME:PATH");
	}
	k->many = n > 1;
	k->parents = flag_on(c, "parents");
	k->follow = flag_on(c, "follow");
	return e;
}

static int cp(struct cli *c)
{
	struct copy k = { .c = c };
	struct side *from = arena_take(&c->mem, c->args_n * sizeof(*from));
	struct why why;
	int code = EXIT_DONE;
	enum err e = from ? parse(&k, from, &why) : fail(&why, ERR_no_memory, "no memory");

	if (e)
		return report_usage(c, &why);
	if (link_open(c, &why))
		return report(c, &why);
	interrupts_start(&k.interrupts, c->loop);
	for (unsigned i = 0; i + 1 < c->args_n && code == EXIT_DONE; i++) {
		e = k.to.vm ? put(&k, &from[i], &why) : get(&k, &from[i], &why);
		stream_close(&k.stream);
		if (k.interrupts.first)
			code = EXIT_SIGNAL + k.interrupts.first;
		else if (e)
			code = report(c, &why);
	}
	c->link->note = NULL;
	interrupts_stop(&k.interrupts);
	if (!code && c->json)
		print_document(c, &shape_nothing, &(struct nothing){});
	return code;
}

const struct command cmd_vm_cp = {
	.words = "vm cp",
	.args = "SOURCE... DESTINATION",
	.least = 2,
	.most = UINT32_MAX,
	.offer = OFFER_FILES,
	.flags = flags,
	.doc = "copy files and directories into or out of a machine",
	.more = "One side is NAME:PATH, a path in the guest. Modes, times, links and holes are "
		"kept; what is made\nbelongs to root (or --user) in the guest, to you here.",
	.example = "banger vm cp ./src web:/root/\n"
		   "banger vm cp web:/var/log/syslog .\n"
		   "banger vm cp --user me notes.txt todo.txt web:/home/me",
	.run = cp,
};
