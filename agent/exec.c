/*
 * exec.c - agent.exec: from a request to a program that can be started: user, environment,
 * directory; and the wait for the image's init before that.
 */
#include <fcntl.h>
#include <unistd.h>

#include "agent/exec.h"
#include "agent/handlers.h"
#include "agent/image.h"
#include "agent/job.h"
#include "agent/later.h"

/* Row A5's ceiling, and room for what the agent adds. */
enum { ARGS_BYTES_MAX = 524288, OWN_ENV = 8 };

struct env {
	const char **v;
	uint32_t n;
};

/* The last value of a name counts. */
static void put_env(struct env *env, const char *pair)
{
	size_t name = strcspn(pair, "=") + 1;

	for (uint32_t i = 0; i < env->n; i++)
		if (strncmp(env->v[i], pair, name) == 0) {
			env->v[i] = pair;
			return;
		}
	env->v[env->n++] = pair;
}

static bool make_env(const struct agent_exec *x, const struct account *who, struct arena *a,
	struct env *ret)
{
	const char *own[OWN_ENV] = { DEFAULT_PATH, arena_fmt(a, "HOME=%s", who->home),
		arena_fmt(a, "USER=%s", who->name), arena_fmt(a, "LOGNAME=%s", who->name),
		arena_fmt(a, "SHELL=%s", who->shell) };
	unsigned own_n = 5;

	ret->n = 0;
	ret->v = arena_take(a, (OWN_ENV + x->env.n + 1) * sizeof(char *));
	if (x->pty)
		own[own_n++] = arena_fmt(a, "TERM=%s", x->pty->term);
	for (unsigned i = 0; ret->v && i < own_n; i++) {
		if (!own[i])
			return false;
		put_env(ret, own[i]);
	}
	for (uint32_t i = 0; ret->v && i < x->env.n; i++)
		put_env(ret, x->env.v[i]);
	return ret->v != NULL;
}

/* No words: the login shell, by the name that tells it so. */
static bool make_argv(const struct agent_exec *x, const struct account *who, struct arena *a,
	struct launch *l)
{
	const char **v = arena_take(a, (x->argv.n + 2) * sizeof(char *));
	const char *slash = strrchr(who->shell, '/');

	if (!v)
		return false;
	for (uint32_t i = 0; i < x->argv.n; i++)
		v[i] = x->argv.v[i];
	if (x->argv.n == 0)
		v[0] = arena_fmt(a, "-%s", slash ? slash + 1 : who->shell);
	l->file = x->argv.n == 0 ? who->shell : v[0];
	l->argv = (char *const *)(uintptr_t)v;
	return v[0] != NULL;
}

static enum err check_size(const struct agent_exec *x, struct why *why)
{
	size_t n = 0;

	for (uint32_t i = 0; i < x->argv.n; i++)
		n += strlen(x->argv.v[i]) + 1;
	if (n > ARGS_BYTES_MAX)
		return fail_field(why, ERR_too_large, "argv", "argv is over 512 KiB");
	for (uint32_t i = 0; i < x->env.n; i++)
		n += strlen(x->env.v[i]) + 1;
	if (n > ARGS_BYTES_MAX)
		return fail_field(why, ERR_too_large, "env",
			"argv and env together are over 512 KiB");
	return OK;
}

static enum err check_cwd(int root, const char *cwd, struct why *why)
{
	own_fd fd = cwd ? image_open(root, cwd, O_PATH | O_DIRECTORY) : -1;

	if (!cwd || fd >= 0)
		return OK;
	if (errno == ENOENT)
		return fail_field(why, ERR_not_found, "cwd", "the guest has no directory %s", cwd);
	return fail_field(why, err_from_errno(errno), "cwd", "cannot enter %s: %s", cwd,
		strerror(errno));
}

enum err exec_prepare(int root, const struct agent_exec *x, struct arena *a, struct account *who,
	struct launch *ret, struct why *why)
{
	struct env env;
	enum err e = check_size(x, why);

	*ret = (struct launch){ .root = root, .cwd = x->cwd, .account = who };
	if (!e)
		e = account_find(root, x->user, a, who, why);
	if (!e)
		e = check_cwd(root, x->cwd, why);
	if (e)
		return e;
	if (!make_argv(x, who, a, ret) || !make_env(x, who, a, &env))
		return fail(why, ERR_no_memory, "no memory for a program's arguments");
	ret->env = (char *const *)(uintptr_t)env.v;
	return OK;
}

static enum err start(struct session *s, uint32_t msgid, const struct agent_exec *x,
	struct why *why)
{
	struct account who;
	struct launch l;
	enum err e = exec_prepare(s->agent->root, x, &s->arena, &who, &l, why);

	return e ? e : job_start(s, msgid, &l, x->stdin, x->pty, why);
}

static void exec_late(struct session *s, uint32_t msgid, const void *body, bool mounted)
{
	struct why why;
	enum err e;

	if (mounted) {
		e = start(s, msgid, body, &why);
	} else {
		e = fail(&why, ERR_timeout,
			"the image's init has not mounted its filesystems in %d s",
			MOUNTED_WAIT_MS / 1000);
		fail_hint(&why, "see the machine's console; --early does not wait");
	}
	if (e)
		refuse(s, msgid, &why);
}

void on_exec(const struct request *r)
{
	const struct agent_exec *x = r->body;
	struct why why;

	if (!x->early && !mounted_now(r->session->agent))
		later_when_mounted(r, exec_late);
	else if (start(r->session, r->msgid, x, &why))
		refuse(r->session, r->msgid, &why);
}
