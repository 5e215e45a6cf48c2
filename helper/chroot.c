/*
 * chroot.c - priv.cleanup_jailer_chroot (row F8): a jail goes whole, however it is named, unless
 * its VMM lives. Any <name>/<id> below the jail base is the helper's own, in the ledger or not.
 */
#include "helper/task.h"
#include "helper/verbs.h"
#include "helper/vmms.h"

enum { REMOVE_MS = 60000 };

static bool plain_name(const char *s, size_t n)
{
	if (n == 0 || n > 48 || s[0] == '.')
		return false;
	for (size_t i = 0; i < n; i++)
		if (!((s[i] >= 'a' && s[i] <= 'z') || (s[i] >= 'A' && s[i] <= 'Z') ||
			    (s[i] >= '0' && s[i] <= '9') || strchr("._-", s[i])))
			return false;
	return true;
}

/* <name>/<id> of a path that has one of the two forms. */
static bool split(const struct helper *h, const char *path, char out[JAIL_NAME_MAX])
{
	const char *rest = beneath(h->jail_path, path), *slash = rest ? strchr(rest, '/') : NULL;
	const char *end = slash ? strchrnul(slash + 1, '/') : NULL;

	if (!end || (*end && !str_eq(end, "/root")) || (size_t)(end - rest) >= JAIL_NAME_MAX ||
		!plain_name(rest, (size_t)(slash - rest)) ||
		!plain_name(slash + 1, (size_t)(end - slash - 1)))
		return false;
	snprintf(out, JAIL_NAME_MAX, "%.*s", (int)(end - rest), rest);
	return true;
}

enum err chroot_check(const struct helper *h, const void *body, struct why *why)
{
	const struct priv_chroot *q = body;
	char name[JAIL_NAME_MAX];

	if (split(h, q->chroot_path, name))
		return OK;
	return fail_field(why, ERR_invalid_value, "chroot_path",
		"must be %s/<name>/<id> or %s/<name>/<id>/root", h->jail_path, h->jail_path);
}

/* The same thing as the launch of that machine. */
void chroot_about(const void *body, char out[ABOUT_MAX])
{
	char path[1200], *id;

	snprintf(path, sizeof(path), "%s", ((const struct priv_chroot *)body)->chroot_path);
	id = strrchr(path, '/');
	if (id && str_eq(id, "/root")) {
		*id = '\0';
		id = strrchr(path, '/');
	}
	snprintf(out, ABOUT_MAX, "vm/%.48s", id ? id + 1 : path);
}

struct removal {
	struct helper *h;
	char name[JAIL_NAME_MAX];
};

static enum err run_removal(void *arg, struct buf *result UNUSED, int *fd UNUSED, struct why *why)
{
	struct removal *r = arg;

	return jail_remove(r->h, r->name, why);
}

static void removed(void *ctx, const struct why *why, struct bytes result UNUSED, int fd UNUSED)
{
	struct call *c = ctx;
	const struct removal *r = c->state;
	struct why own;

	if (!why && ledger_forget(c->h->ledger, priv_thing_jail, r->name, &own))
		why = &own;
	if (why)
		call_fail(c, why);
	else
		call_done(c, NULL);
}

void chroot_act(struct call *c, const void *body)
{
	const struct priv_chroot *q = body;
	struct removal *r = call_memory(c, sizeof(*r));
	struct task_spec spec = {
		.what = "removing a jail", .run = run_removal, .arg = r, .deadline_ms = REMOVE_MS
	};
	struct why why;
	enum err e;

	if (!r)
		return;
	r->h = c->h;
	must(split(c->h, q->chroot_path, r->name));
	c->state = r;
	if (vmms_in_jail(c->h->vmms, r->name))
		e = fail_field(&why, ERR_conflict, "chroot_path",
			"the VMM in that jail runs; end it first");
	else
		e = task_start(c->h, &spec, removed, c, &why);
	if (e)
		call_fail(c, &why);
}
