/*
 * link.c - connects to the daemon; starts it where the row G2 lets it; pipelines asks.
 *
 * The build check rides along as a ping in front of the first ask and costs no waiting: what has
 * not been answered when the command is done is not asked again.
 */
#include "cli/link.h"

#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/build.h"
#include "base/text.h"
#include "cli/report.h"
#include "cli/spawn.h"
#include "conf/places.h"

enum { CONNECT_TIMEOUT_S = 10, PIPELINE_MAX = 128 };

static void on_note(void *ctx, struct bytes method, struct bytes params)
{
	struct link *l = ctx;
	enum letter_id id = letter_by_method((const char *)method.p, method.n);

	if (l->note && id != LETTER_COUNT)
		l->note(l->note_ctx, id, params);
}

static void on_closed(void *ctx, const struct why *why)
{
	struct link *l = ctx;

	l->gone = true;
	if (why->code == OK)
		fail(&l->gone_why, ERR_unavailable, "the daemon closed the connection");
	else
		fail(&l->gone_why, ERR_unavailable, "the connection to the daemon broke: %.300s",
			why->text);
	fail_hint(&l->gone_why, "banger daemon status, banger daemon logs");
}

static const struct rpc_user rpc_user = { .note = on_note, .closed = on_closed };

/* Answers a descriptor, or -1 with errno. */
static int dial(const char *path)
{
	struct timeval limit = { .tv_sec = CONNECT_TIMEOUT_S };
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	own_fd fd = -1;

	if (!str_copy(to.sun_path, sizeof(to.sun_path), path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)); /* a full backlog */
	if (connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
		return -1;
	return take_fd(&fd);
}

/*
 * Only a daemon of ours, or root's, is told what the user wants. Root also asks the installed one,
 * whose owner is a user: root gave him the directory.
 */
static enum err check_peer(int fd, const char *path, bool system, pid_t *pid, struct why *why)
{
	struct ucred peer;
	socklen_t n = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) < 0)
		return fail_errno(why, "cannot tell who serves %.200s", path);
	if (peer.uid != geteuid() && peer.uid != 0 && !(system && geteuid() == 0))
		return fail(why, ERR_denied, "%.200s is served by another user (uid %u)", path,
			(unsigned)peer.uid);
	*pid = peer.pid;
	return OK;
}

static enum err adopt(struct cli *c, int fd, pid_t pid, struct why *why)
{
	struct link *l = arena_take(&c->mem, sizeof(*l));
	struct chan *chan;
	enum err e = OK;

	if (!l) {
		e = fail(why, ERR_no_memory, "no memory for the connection");
	} else if (!c->loop) {
		e = loop_new(&c->loop, why);
	}
	if (!e)
		e = chan_open(c->loop, fd, fd, &(struct chan_user){ 0 }, NULL, &chan, why);
	if (e) {
		close(fd);
		return e;
	}
	*l = (struct link){ .c = c, .pid = pid };
	l->rpc = rpc_new(chan, FRAME_BYTES_MAX, &rpc_user, l);
	if (!l->rpc) {
		chan_close(chan);
		return fail(why, ERR_no_memory, "no memory for the connection");
	}
	c->link = l;
	return OK;
}

static enum err find_socket(struct cli *c, struct place *path, bool *system, struct why *why)
{
	*system = false;
	if (!c->socket)
		return place_socket(path, system, why);
	if (str_copy(path->path, sizeof(path->path), c->socket))
		return OK;
	return fail(why, ERR_too_large, "--socket: the path is too long");
}

static enum err connect_at(
	struct cli *c, const char *path, bool system, bool *there, struct why *why)
{
	pid_t pid = 0;
	enum err e;
	int fd = dial(path);

	*there = fd >= 0;
	if (fd < 0) {
		c->unreachable = true;
		if (errno == ENOENT || errno == ECONNREFUSED || errno == ENOTDIR)
			return OK;
		return fail_errno(why, "cannot connect to the daemon at %.200s", path);
	}
	c->unreachable = false;
	e = check_peer(fd, path, system, &pid, why);
	if (!e) {
		e = adopt(c, fd, pid, why);
		if (!e)
			c->link->system = system;
		return e;
	}
	close(fd);
	c->unreachable = true;
	return e;
}

enum err link_try(struct cli *c, bool *there, struct why *why)
{
	struct place path;
	bool system;
	enum err e = find_socket(c, &path, &system, why);

	return e ? e : connect_at(c, path.path, system, there, why);
}

static void on_pong(void *ctx, const struct why *why, struct bytes result)
{
	struct link *l = ctx;
	struct pong *p;

	if (why)
		return;
	p = arena_take(&l->c->mem, sizeof(*p));
	if (!p ||
		shape_read(&shape_pong, mp_over(result.p, result.n), LENIENT, &l->c->mem, p, NULL))
		return;
	if (!str_eq(p->version.version, build_version) ||
		!str_eq(p->version.commit, build_commit) || p->version.built != build_time_ms)
		l->other = p;
}

enum err link_open(struct cli *c, struct why *why)
{
	struct place path;
	bool system, there;
	enum err e;

	if (c->link)
		return OK;
	e = find_socket(c, &path, &system, why);
	if (!e)
		e = connect_at(c, path.path, system, &there, why);
	if (!e && !there && (c->socket || system)) {
		fail(why, ERR_unavailable, "no daemon serves %.200s", path.path);
		e = fail_hint(why,
			c->socket ? "start one, or leave --socket out" : "banger system status");
	} else if (!e && !there) {
		e = start_daemon(why);
		if (!e)
			e = connect_at(c, path.path, false, &there, why);
		if (!e && !there)
			e = fail(why, ERR_unavailable, "bangerd started, but nothing serves %.200s",
				path.path);
	}
	if (!e && !c->silent_version && !c->quiet) {
		struct nothing none;

		(void)!rpc_ask(
			c->link->rpc, &letter_kinds[LETTER_ping], &none, on_pong, c->link, NULL);
	}
	return e;
}

void link_close(struct cli *c)
{
	struct link *l = c->link;

	if (!l)
		return;
	if (l->other) {
		note(c,
			"the daemon is of another build (%s, commit %s; this is %s, commit %s): "
			"`%s` replaces it, machines go on",
			l->other->version.version, l->other->version.commit, build_version,
			build_commit,
			l->system ? "sudo banger system install" : "banger daemon restart");
	}
	rpc_free(l->rpc);
	c->link = NULL;
}

bool link_until(struct link *l, const bool *flag)
{
	while (!*flag && !l->gone)
		loop_turn(l->c->loop, true);
	return *flag;
}

/* Calls. */

static void on_answer(void *ctx, const struct why *why, struct bytes result)
{
	struct call *k = ctx;
	const struct shape *out = letter_kinds[k->letter].out;
	uint8_t unused[64];
	struct why bad;

	k->done = true;
	if (why) {
		k->why = *why;
		return;
	}
	must(k->result || out->size <= sizeof(unused));
	if (shape_read(out, mp_over(result.p, result.n), LENIENT,
		    k->mem ? k->mem : &k->link->c->mem, k->result ? k->result : unused, &bad) == OK)
		return;
	fail(&k->why, ERR_version_mismatch, "the daemon's answer to %s makes no sense: %.200s",
		letter_kinds[k->letter].method, bad.text);
	fail_hint(&k->why, "banger daemon restart");
}

void call_send(struct link *l, struct call *k)
{
	k->link = l;
	k->done = false;
	k->why = (struct why){ .code = OK };
	if (rpc_ask(l->rpc, &letter_kinds[k->letter], k->body, on_answer, k, &k->why))
		k->done = true;
}

void call_all(struct link *l, struct call *calls, size_t n)
{
	size_t sent = 0;

	for (size_t i = 0; i < n; i++) {
		if (calls[i].done) /* refused before it was sent */
			continue;
		for (sent = MAX(sent, i); sent < n && sent - i < PIPELINE_MAX; sent++)
			if (!calls[sent].done)
				call_send(l, &calls[sent]);
		if (!link_until(l, &calls[i].done)) {
			calls[i].why = l->gone_why;
			calls[i].done = true;
		}
	}
}

enum err ask(struct cli *c, enum letter_id letter, const void *body, void *result, struct why *why)
{
	struct call k = { .letter = letter, .body = body, .result = result };
	enum err e = link_open(c, why);

	if (e)
		return e;
	call_all(c->link, &k, 1);
	if (k.why.code && why)
		*why = k.why;
	return k.why.code;
}
