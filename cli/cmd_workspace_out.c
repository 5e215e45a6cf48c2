/*
 * cmd_workspace_out.c - `banger workspace diff` and `export` (row E2): what the guest made of it.
 *
 * What a guest wrote is never shown raw on a terminal.
 */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/text.h"
#include "cli/report.h"
#include "cli/space_apply.h"

enum { CHANGES_MAX = 65536 }; /* as the shape has it */

struct out {
	struct cli *c;
	struct interrupts interrupts;
	struct space s;
	struct look k;
	uint64_t commits;
};

static enum err nothing_there(struct out *o, struct why *why)
{
	fail_field(why, ERR_not_found, "vm", "no repository was put into %s", o->s.name);
	return fail_hint(why, "`banger workspace prepare %s PATH` does it", o->s.name);
}

/* What the guest changed, as objects. */
static enum err look(struct out *o, const char *vm, bool commits, struct why *why)
{
	enum err e = space_open(&o->s, o->c, &o->interrupts, vm, why);

	look_init(&o->k, &o->s);
	if (!e && !o->s.prepared)
		e = nothing_there(o, why);
	if (e)
		return e;
	space_step(&o->s, "read", stage_state_begun);
	/* objects that it borrows were agreed to when it was prepared */
	e = space_repo(&o->s, o->s.record.source, true, why);
	if (!e)
		e = look_files(&o->k, why);
	if (!e && commits)
		e = look_commits(&o->k, why);
	if (!e && commits)
		e = look_count(&o->k, &o->commits, why);
	space_step(&o->s, "read", e ? stage_state_failed : stage_state_done);
	op_close(&o->s.op);
	return e;
}

static int done(struct out *o, enum err e, const struct why *why)
{
	int first = o->interrupts.first;

	look_done(&o->k);
	space_close(&o->s);
	interrupts_stop(&o->interrupts);
	if (!e)
		return EXIT_DONE;
	return first ? EXIT_SIGNAL + first : report(o->c, why);
}

static int begin(struct out *o, struct cli *c, struct why *why)
{
	*o = (struct out){ .c = c };
	if (type_ok(&type_vm_ref, "vm", c->args[0], why))
		return report_usage(c, why);
	if (link_open(c, why))
		return report(c, why);
	interrupts_start(&o->interrupts, c->loop);
	return EXIT_DONE;
}

/* ---- diff ---- */

static const struct flag diff_flags[] = {
	{ .name = "stat", .doc = "how many lines of which files" },
	{ .name = "name-only", .doc = "only which files" },
	{ .name = NULL },
};

static const char *change_word(char letter)
{
	return letter == 'A' ? "added" : letter == 'D' ? "removed" : "changed";
}

static enum err print_json(struct out *o, struct why *why)
{
	own_buf said = { .max = GIT_OUT_MAX };
	struct space_diff m = { .vm = o->s.name,
		.source = o->s.record.source,
		.dest = o->s.record.dest,
		.prepared = o->s.record.prepared,
		.head = o->k.head[0] ? o->k.head : NULL,
		.commits = o->commits };
	const char *letter, *path;
	size_t at = 0, n = 0;
	enum err e = git_do(&o->s.git,
		GIT_ARGS("diff-tree", "-r", "-z", "--name-status", "--no-renames", "--no-ext-diff",
			o->s.record.tree, o->k.tree),
		NO_BYTES, &said, why);

	if (e)
		return e;
	while (next_item(&said, &at))
		n++;
	m.changes.v = calloc(n / 2 + 1, sizeof(*m.changes.v));
	if (!m.changes.v)
		return fail(why, ERR_no_memory, "no memory for a list of changes");
	at = 0;
	while (m.changes.n < CHANGES_MAX && (letter = next_item(&said, &at)) != NULL &&
		(path = next_item(&said, &at)) != NULL)
		m.changes.v[m.changes.n++] = (struct space_change){ path, change_word(letter[0]) };
	print_document(o->c, &shape_space_diff, &m);
	free(m.changes.v);
	return OK;
}

/* Line by line, with what could fool a terminal escaped. */
static void print_clean(const struct buf *text)
{
	const char *at = (const char *)text->p, *end = at + text->n;

	while (at < end) {
		const char *eol = memchr(at, '\n', (size_t)(end - at));
		size_t n = (size_t)((eol ? eol : end) - at);

		for (size_t from = 0; from < n || n == 0;) {
			size_t tab = 0;
			char shown[4096];

			while (from + tab < n && at[from + tab] != '\t' && tab < 256)
				tab++;
			log_escape(shown, sizeof(shown), at + from, tab);
			fputs(shown, stdout);
			from += tab;
			if (from < n && at[from] == '\t') {
				putchar('\t');
				from++;
			}
			if (n == 0)
				break;
		}
		putchar('\n');
		at += n + 1;
	}
}

static enum err print_diff(struct out *o, struct why *why)
{
	own_buf said = { .max = GIT_OUT_MAX };
	const char *how = flag_on(o->c, "stat")      ? "--stat=100" :
			  flag_on(o->c, "name-only") ? "--name-only" :
						       "--patch";
	enum err e = git_do(&o->s.git,
		GIT_ARGS("diff-tree", "-r", how, "--no-renames", "--no-ext-diff", "--no-textconv",
			o->s.record.tree, o->k.tree),
		NO_BYTES, &said, why);

	if (e)
		return e;
	if (isatty(1))
		print_clean(&said);
	else
		fwrite(said.p, 1, said.n, stdout);
	if (o->commits)
		note(o->c,
			"%llu commits of the guest's own; `banger workspace export --branch %s` "
			"brings them",
			(unsigned long long)o->commits, o->s.name);
	return OK;
}

/* Files can be told of also when the history is broken. */
static void take_commits(struct out *o)
{
	struct why why;

	if (look_commits(&o->k, &why) || look_count(&o->k, &o->commits, &why))
		note(o->c, "the guest's commits cannot be told: %s", why.text);
}

static int diff(struct cli *c)
{
	struct out o;
	struct why why;
	int code = begin(&o, c, &why);
	enum err e;

	if (code)
		return code;
	e = look(&o, c->args[0], false, &why);
	if (!e)
		take_commits(&o);
	if (!e)
		e = c->json ? print_json(&o, &why) : print_diff(&o, &why);
	return done(&o, e, &why);
}

const struct command cmd_workspace_diff = {
	.words = "workspace diff",
	.args = "VM",
	.least = 1,
	.most = 1,
	.offer = OFFER_VMS,
	.flags = diff_flags,
	.doc = "show what a machine changed in its repository since it was prepared",
	.more = "Committed or not; files that the repository ignores are left out. The guest "
		"needs no "
		"git.",
	.example = "banger workspace diff web\nbanger workspace diff --stat web",
	.run = diff,
};

/* ---- export ---- */

static const struct flag export_flags[] = {
	{ .name = "patch",
		.letter = 'o',
		.type = &type_path,
		.value = "FILE",
		.doc = "as a patch; - is standard output, which is the default" },
	{ .name = "branch", .doc = "as the branch banger/VM, with the guest's commits" },
	{ .name = "apply", .doc = "into the working tree, three ways" },
	{ .name = "force", .doc = "replace the file or branch that is there" },
	{ .name = NULL },
};

static enum err export_patch(struct out *o, const char *file, struct why *why)
{
	char temp[GIT_PATH_BYTES];
	own_fd fd = -1;
	struct stat st;
	enum err e;

	if (!file || str_eq(file, "-")) {
		own_buf said = { .max = GIT_OUT_MAX };

		if (!isatty(1))
			return space_patch(&o->k, 1, why);
		e = git_do(&o->s.git,
			GIT_ARGS("diff-tree", "-p", "-r", "--binary", "--full-index",
				"--no-renames", "--no-ext-diff", "--no-textconv", o->s.record.tree,
				o->k.tree),
			NO_BYTES, &said, why);
		if (!e)
			print_clean(&said);
		return e;
	}
	if (lstat(file, &st) == 0 && !flag_on(o->c, "force")) {
		fail(why, ERR_exists, "%.250s is there already", file);
		return fail_hint(why, "--force replaces it");
	}
	if ((size_t)snprintf(temp, sizeof(temp), "%s.banger-XXXXXX", file) >= sizeof(temp))
		return fail(why, ERR_too_large, "the path %.60s... is too long", file);
	fd = mkostemp(temp, O_CLOEXEC);
	if (fd < 0)
		return fail_errno(why, "cannot write beside %.200s", file);
	e = space_patch(&o->k, fd, why);
	if (!e && (fchmod(fd, 0644) < 0 || fsync(fd) < 0 || rename(temp, file) < 0))
		e = fail_errno(why, "cannot write %.200s", file);
	if (e)
		(void)unlink(temp);
	return e;
}

static void say_exported(struct out *o, const struct space_exported *m)
{
	if (o->c->json)
		print_document(o->c, &shape_space_exported, m);
	else if (m->branch && m->commit)
		printf("%s is now %.12s\n", m->branch, m->commit);
	else if (m->branch)
		note(o->c, "%s has changed nothing", o->s.name);
	else if (m->has_applied)
		printf("%llu files changed in %s\n", (unsigned long long)m->applied,
			clean(o->c, o->s.repo.top));
}

static enum err export_it(struct out *o, struct why *why)
{
	struct cli *c = o->c;
	const char *file = flag_text(c, "patch");
	struct space_exported m = { .vm = o->s.name };
	char branch[128], commit[72];
	enum err e;

	if (flag_on(c, "branch")) {
		e = space_branch(&o->k, flag_on(c, "force"), branch, commit, why);
		m.branch = branch;
		m.commit = commit[0] ? commit : NULL;
	} else if (flag_on(c, "apply")) {
		e = space_apply(&o->k, &m.applied, why);
		m.has_applied = true;
	} else {
		e = export_patch(o, file, why);
		m.patch = file;
		if (!file || str_eq(file, "-"))
			return e; /* standard output is the patch's */
	}
	if (!e)
		say_exported(o, &m);
	return e;
}

static int export(struct cli *c)
{
	struct out o;
	struct why why;
	int code;
	enum err e;

	if (flag_on(c, "branch") + flag_on(c, "apply") + (flag_text(c, "patch") != NULL) > 1) {
		fail(&why, ERR_invalid_value, "--patch, --branch and --apply exclude each other");
		return report_usage(c, &why);
	}
	code = begin(&o, c, &why);
	if (code)
		return code;
	e = look(&o, c->args[0], flag_on(c, "branch"), &why);
	if (!e)
		e = export_it(&o, &why);
	return done(&o, e, &why);
}

const struct command cmd_workspace_export = {
	.words = "workspace export",
	.args = "VM",
	.least = 1,
	.most = 1,
	.offer = OFFER_VMS,
	.flags = export_flags,
	.doc = "bring back what a machine changed in its repository",
	.more = "As a patch against what was prepared; as the branch banger/VM, which has the "
		"guest's "
		"commits and\none more for what it did not commit; or applied to the working tree: "
		"files changed on both sides\nare merged, and nothing at all is written where that "
		"would touch work that is in no commit.\nWhat comes back is checked; nothing of "
		"it is "
		"run.",
	.example = "banger workspace export web > work.patch\n"
		   "banger workspace export --branch web\n"
		   "banger workspace export --apply web",
	.run = export,
};
