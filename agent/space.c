/*
 * space.c - workspaces, from the guest's side: where one goes, a tree that takes effect whole, and
 * what has become of it since. The agent knows nothing of git.
 */
#include <fcntl.h>
#include <unistd.h>

#include "agent/account.h"
#include "agent/copy.h"
#include "agent/image.h"
#include "agent/later.h"
#include "tree/pick.h"

enum { IN_ROOT = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS };

/* Where. */

static enum err find_place(
	struct session *s, const struct agent_where *x, struct space_place *ret, struct why *why)
{
	int root = s->agent->root;
	const char *dest = x->dest ? x->dest : "repo";
	struct account who;
	own_fd fd = -1;
	enum err e = account_find(root, x->user, &s->arena, &who, why);

	if (e)
		return e;
	ret->path = dest[0] == '/' ? dest :
				     arena_fmt(&s->arena, "%s/%s",
					     str_eq(who.home, "/") ? "" : who.home, dest);
	if (!ret->path)
		return fail(why, ERR_no_memory, "no memory for a path");
	ret->user = arena_fmt(&s->arena, "%u:%u", (unsigned)who.uid, (unsigned)who.gid);
	if (!ret->user)
		return fail(why, ERR_no_memory, "no memory for a user");
	e = type_ok(&type_abs_path, "dest", ret->path, why);
	if (e)
		return e;
	fd = at_open(root, ret->path, O_PATH | O_NOFOLLOW, IN_ROOT);
	ret->there = fd >= 0;
	return OK;
}

static void where_late(struct session *s, uint32_t msgid, const void *body, bool mounted UNUSED)
{
	struct space_place place;
	struct why why;

	if (find_place(s, body, &place, &why))
		refuse(s, msgid, &why);
	else
		answer(s, msgid, LETTER_agent_where, &place);
}

void on_where(const struct request *r)
{
	if (mounted_now(r->session->agent))
		where_late(r->session, r->msgid, r->body, true);
	else
		later_when_mounted(r, where_late);
}

/* Put. */

static enum err feed_work(void *of, const uint8_t *p, size_t n, struct why *why)
{
	return tree_work_feed(of, p, n, why);
}

static bool work_made(void *of)
{
	return tree_work_made(of);
}

static void work_done(void *of)
{
	tree_work_free(of);
}

/* The directory above it; what is missing of that belongs to the user as well. */
static int open_above(
	int root, const char *path, const struct tree_rules *rules, char name[AT_NAME_BYTES])
{
	int fd = at_parent(root, path, IN_ROOT, name);
	char head[AT_PATH_BYTES];
	const char *slash = strrchr(path, '/');
	size_t n = slash ? (size_t)(slash - path) : 0;

	if (fd >= 0 || errno != ENOENT || n == 0 || n >= sizeof(head))
		return fd;
	memcpy(head, path, n);
	head[n] = '\0';
	fd = at_mkdirs(root, head, IN_ROOT, rules->uid, rules->gid);
	if (fd < 0)
		return fd;
	close(fd);
	return at_parent(root, path, IN_ROOT, name);
}

static enum err work_open(
	struct session *s, const struct agent_space_put *x, struct tree_work **ret, struct why *why)
{
	int root = s->agent->root;
	struct tree_rules rules = { .own = TREE_OWN_GIVEN };
	char name[AT_NAME_BYTES];
	struct account who;
	own_fd above = -1;
	enum err e = account_find(root, x->user, &s->arena, &who, why);

	if (e)
		return e;
	rules.uid = who.uid;
	rules.gid = who.gid;
	above = open_above(root, x->path, &rules, name);
	if (above < 0)
		return fail_errno(why, "cannot open the directory of %.200s", x->path);
	return tree_work_new(above, name, x->fresh, &rules, ret, why);
}

void on_space_put(const struct request *r)
{
	struct copy_sink sink = { NULL, feed_work, work_made, work_done };
	struct tree_work *work = NULL;
	struct why why;

	if (work_open(r->session, r->body, &work, &why)) {
		refuse(r->session, r->msgid, &why);
		return;
	}
	sink.of = work;
	copy_in(r->session, r->msgid, r->id, &sink);
}

/* Survey. */

static enum err more_sent(void *of, uint8_t *to, size_t size, size_t *ret_n, struct why *why)
{
	return tree_send(of, to, size, ret_n, why);
}

static void sender_done(void *of)
{
	tree_sender_free(of);
}

void on_survey(const struct request *r)
{
	const struct agent_survey *x = r->body;
	struct copy_source source = { NULL, more_sent, sender_done };
	struct tree_sender *sender = NULL;
	own_fd fd = -1;
	struct why why;

	if (tree_open(r->session->agent->root, x->path, IN_ROOT, false, &fd, &why) ||
		tree_sender_new(fd, NULL, &sender, &why)) {
		refuse(r->session, r->msgid, &why);
		return;
	}
	take_fd(&fd);
	tree_sender_bare(sender);
	source.of = sender;
	copy_out(r->session, r->msgid, r->id, &source);
}

/* Pick. */

struct pick {
	struct tree_picker *picker;
	int dir;
	struct arena mem;
};

static enum err more_picked(void *of, uint8_t *to, size_t size, size_t *ret_n, struct why *why)
{
	struct pick *p = of;

	return tree_pick(p->picker, to, size, ret_n, why);
}

static void pick_done(void *of)
{
	struct pick *p = of;

	tree_picker_free(p->picker);
	fd_done(&p->dir);
	arena_done(&p->mem);
	free(p);
}

/* Paths must be in order, so that each directory is said once. */
static enum err pick_open(struct pick *p, int root, const struct agent_pick *x, struct why *why)
{
	struct tree_choice *v = arena_take(&p->mem, x->paths.n * sizeof(*v));

	p->dir = at_open(root, x->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, IN_ROOT);
	if (p->dir < 0)
		return fail_errno(why, "cannot open %.200s", x->path);
	for (uint32_t i = 0; v && i < x->paths.n; i++) {
		v[i].path = arena_str(&p->mem, x->paths.v[i]);
		v[i].at = v[i].path;
		v[i].dir = p->dir;
		if (!v[i].path)
			v = NULL;
		else if (i > 0 && tree_path_order(v[i - 1].path, v[i].path) >= 0)
			return fail_field(why, ERR_invalid_value, "paths",
				"'paths' must be sorted, each once");
	}
	if (!v)
		return fail(why, ERR_no_memory, "no memory for paths");
	return tree_picker_new(p->dir, v, x->paths.n, NULL, &p->picker, why);
}

void on_pick(const struct request *r)
{
	struct copy_source source = { NULL, more_picked, pick_done };
	struct pick *p = calloc(1, sizeof(*p));
	struct why why;

	if (!p) {
		fail(&why, ERR_no_memory, "no memory to read files");
		refuse(r->session, r->msgid, &why);
		return;
	}
	p->dir = -1;
	arena_init(&p->mem, 4 * MiB);
	if (pick_open(p, r->session->agent->root, r->body, &why)) {
		pick_done(p);
		refuse(r->session, r->msgid, &why);
		return;
	}
	source.of = p;
	copy_out(r->session, r->msgid, r->id, &source);
}
