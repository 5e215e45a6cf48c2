/*
 * system_files.c - the files of a system install: templates filled in, what root notes about the
 * install, and their removal.
 */
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "cli/file.h"
#include "cli/system.h"

enum { TEMPLATE_MAX = 65536 };

struct blank {
	const char *name, *value;
};

/* Every @NAME@ of the template; one that nobody knows is a fault of the template. */
static enum err fill(
	const char *from, const struct blank *blanks, unsigned n, struct buf *to, struct why *why)
{
	while (*from) {
		const char *at = strchr(from, '@'),
			   *end = at ? at + 1 +
						  strspn(at + 1, "A"
								 "BCDEFGHIJKLMNOPQRSTUVWXYZ_") :
				       NULL;
		const struct blank *b = blanks;

		if (!at) {
			buf_str(to, from);
			break;
		}
		buf_add(to, from, (size_t)(at - from));
		from = at;
		if (*end != '@' || end == at + 1) { /* a plain @ */
			buf_add(to, from++, 1);
			continue;
		}
		while (b < blanks + n && (strlen(b->name) != (size_t)(end - at) - 1 ||
						 memcmp(b->name, at + 1, strlen(b->name)) != 0))
			b++;
		if (b == blanks + n)
			return fail(why, ERR_internal, "a template has the blank %.*s",
				(int)(end - at) + 1, at);
		buf_str(to, b->value);
		from = end + 1;
	}
	return to->failed ? fail(why, ERR_no_memory, "no memory for a unit file") : OK;
}

/* Writes what is not there already; *changed is set, never cleared. */
static enum err put(
	const char *path, mode_t mode, struct buf *content, bool *changed, struct why *why)
{
	own_buf old = { 0 };
	bool there;
	enum err e = file_read(path, &old, &there, why);

	if (e || (there && old.n == content->n && memcmp(old.p, content->p, old.n) == 0))
		return e;
	*changed = true;
	return file_replace(path, mode, content, why);
}

static enum err put_template(struct cli *c, const struct setup *s, const char *leaf,
	const char *path, bool *changed, struct why *why)
{
	const struct install *in = &s->install;
	const struct blank blanks[] = { { "OWNER", s->owner },
		{ "OWNER_UID", arena_fmt(&c->mem, "%llu", (unsigned long long)in->owner_uid) },
		{ "OWNER_GID", arena_fmt(&c->mem, "%llu", (unsigned long long)in->owner_gid) },
		{ "PROGRAMS", in->programs }, { "HOME", s->home }, { "SUBNET", in->subnet } };
	const char *from = arena_fmt(&c->mem, "%s/%s.in", s->templates, leaf);
	own_buf text = { 0 }, out = { 0 };
	bool there = false;
	enum err e = from ? file_read(from, &text, &there, why) :
			    fail(why, ERR_no_memory, "no memory for a unit file");

	if (!e && !there)
		e = fail(why, ERR_not_found, "%s is not there", from);
	for (size_t i = 0; i < COUNT(blanks) && !e; i++)
		if (!blanks[i].value)
			e = fail(why, ERR_no_memory, "no memory for a unit file");
	buf_init(&out, TEMPLATE_MAX);
	if (!e)
		e = fill(buf_cstr(&text), blanks, COUNT(blanks), &out, why);
	return e ? e : put(path, 0644, &out, changed, why);
}

static enum err put_install(const struct setup *s, bool *changed, struct why *why)
{
	const struct install *in = &s->install;
	own_buf out = { 0 };

	if (mkdir("/etc/banger", 0755) < 0 && errno != EEXIST)
		return fail_errno(why, "cannot make /etc/banger");
	buf_init(&out, TEMPLATE_MAX);
	buf_fmt(&out,
		"# Written by `banger system install`.\n"
		"owner_uid: %llu\nowner_gid: %llu\nversion: \"%s\"\ncommit: \"%s\"\n"
		"programs: \"%s\"\nsubnet: \"%s\"\n",
		(unsigned long long)in->owner_uid, (unsigned long long)in->owner_gid, in->version,
		in->commit, in->programs, in->subnet);
	return put(SYSTEM_INSTALL_FILE, 0644, &out, changed, why);
}

enum err system_write(
	struct cli *c, const struct setup *s, bool changed[UNITS], bool *any, struct why *why)
{
	const char *const make[] = { "systemd-tmpfiles", "--create", TMPFILES_FILE, NULL };
	char path[256];
	enum err e = OK;

	*any = false;
	if (mkdir("/etc/tmpfiles.d", 0755) < 0 && errno != EEXIST)
		return fail_errno(why, "cannot make /etc/tmpfiles.d");
	for (unsigned i = 0; i < UNITS && !e; i++) {
		changed[i] = false;
		snprintf(path, sizeof(path), UNIT_DIR "/%s", unit_names[i]);
		e = put_template(c, s, unit_names[i], path, &changed[i], why);
		*any |= changed[i];
	}
	if (!e)
		e = put_template(c, s, "banger.conf", TMPFILES_FILE, any, why);
	if (!e)
		e = host_run(make, why);
	/* last: from here on the CLI looks for the system socket */
	return e ? e : put_install(s, any, why);
}

static enum err drop(const char *path, struct why *why)
{
	if (unlink(path) == 0 || errno == ENOENT)
		return OK;
	return fail_errno(why, "cannot remove %s", path);
}

enum err system_remove(struct cli *c, bool purge, struct why *why)
{
	const char *const trees[] = { "rm", "-rf", "--one-file-system", "--", SYSTEM_RUNTIME_DIR,
		HELPER_RUNTIME_DIR, HELPER_STATE_DIR, purge ? SYSTEM_STATE_DIR : NULL,
		"/etc/banger", NULL };
	enum err e = OK;

	for (unsigned i = 0; i < UNITS && !e; i++) {
		const char *path = arena_fmt(&c->mem, UNIT_DIR "/%s", unit_names[i]);

		e = path ? drop(path, why) : fail(why, ERR_no_memory, "no memory for a path");
	}
	if (!e)
		e = drop(TMPFILES_FILE, why);
	if (!e)
		e = drop(SYSTEM_INSTALL_FILE, why);
	if (!e)
		e = host_run(trees, why);
	/* configuration that the administrator wrote stays, but for --purge */
	if (!e && rmdir("/etc/banger") < 0 && errno != ENOENT && errno != ENOTEMPTY)
		e = fail_errno(why, "cannot remove /etc/banger");
	return e;
}
