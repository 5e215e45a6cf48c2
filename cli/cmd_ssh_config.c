/*
 * cmd_ssh_config.c - `banger ssh-config`: the host block with which ssh, scp, rsync and editors
 * reach machines as NAME.vm (row B11), and its place in the user's own configuration.
 */
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "cli/file.h"
#include "cli/json.h"
#include "cli/link.h"
#include "cli/report.h"
#include "cli/ssh.h"

static const struct flag flags[] = {
	{ .name = "install", .doc = "include it in your ssh configuration" },
	{ .name = "uninstall", .doc = "take it out again" },
	{ .name = "file",
		.type = &type_abs_path,
		.value = "FILE",
		.offer = OFFER_FILES,
		.doc = "your ssh configuration; ~/.ssh/config when absent" },
	{ .name = NULL },
};

/*
 * The login name depends on the machine: a file of names is made current while ssh reads this
 * configuration, and read behind that. Everything else holds for all machines.
 */
static enum err block(struct cli *c, const struct ssh *s, struct buf *out, struct why *why)
{
	const char *settings[SSH_SETTINGS_MAX];
	own_buf self = { 0 };
	unsigned n;
	enum err e = ssh_settings(c, s, settings, &n, why);

	if (!e)
		e = ssh_self(c, &self, why);
	if (e)
		return e;
	buf_fmt(out,
		"# banger: machines as NAME.vm; written by `banger ssh-config`\n"
		"Match host *.vm exec \"%s __ssh-user --file '%s' '%%h'\"\n"
		"  Include \"%s\"\n"
		"Host *.vm\n"
		"  User root\n",
		buf_cstr(&self), s->users.path, s->users.path);
	for (unsigned i = 0; i < n; i++)
		buf_fmt(out, "  %s\n", settings[i]);
	/* what follows in the file that includes this one is for all hosts again */
	buf_str(out, "Match all\n");
	return out->failed ? fail(why, ERR_no_memory, "no memory for the host block") : OK;
}

static enum err users_file(struct cli *c, struct place *ret, struct why *why)
{
	const char *given = flag_text(c, "file"), *home = getenv("HOME");
	char path[PLACE_BYTES];

	if (!given && (!home || home[0] != '/')) {
		fail_field(why, ERR_invalid_value, "HOME", "HOME is not set to an absolute path");
		return fail_hint(why, "set HOME or --file");
	}
	if ((size_t)snprintf(path, sizeof(path), "%s%s", given ? given : home,
		    given ? "" : "/.ssh/config") >= sizeof(path))
		return fail(why, ERR_too_large, "the path of the ssh configuration is too long");
	return file_real(path, ret->path, sizeof(ret->path), why);
}

/* The directory of the configuration exists, or is made when it is the usual one. */
static enum err ready_dir(const struct place *file, struct place *dir, struct why *why)
{
	*dir = *file;
	*strrchr(dir->path, '/') = '\0';
	if (!dir->path[0])
		snprintf(dir->path, sizeof(dir->path), "/");
	if (mkdir(dir->path, 0700) < 0 && errno != EEXIST)
		return fail_errno(why, "cannot make the directory %.250s", dir->path);
	return OK;
}

/* Under the lock of its directory, so that two at once leave one line. */
static enum err include(
	const struct place *file, const char *path, bool wanted, bool *changed, struct why *why)
{
	own_buf have = { 0 };
	own_buf want = { 0 };
	own_fd lock = -1;
	struct place dir;
	bool there;
	enum err e = ready_dir(file, &dir, why);

	*changed = false;
	if (!e)
		e = file_lock_dir(dir.path, &lock, why);
	if (!e)
		e = file_read(file->path, &have, &there, why);
	if (e || (!there && !wanted))
		return e;
	buf_init(&want, FILE_BYTES_MAX);
	*changed = ssh_include_edit(buf_cstr(&have), path, wanted, &want);
	return *changed || want.failed ? file_replace(file->path, 0600, &want, why) : OK;
}

static int say(struct cli *c, const struct place *file, const struct ssh *s, bool in, bool changed)
{
	if (c->json)
		json_print(c, json_pack("{s:s, s:s, s:b, s:b}", "file", file->path, "includes",
				      s->config.path, "installed", in, "changed", changed));
	else if (in)
		printf("%s %s %s\n", file->path, changed ? "now includes" : "includes already",
			s->config.path);
	else
		printf("%s %s %s\n", file->path, changed ? "no longer includes" : "did not include",
			s->config.path);
	return EXIT_DONE;
}

static int install(struct cli *c, const struct ssh *s, const struct buf *text)
{
	struct place file;
	struct why why;
	bool changed;
	enum err e = users_file(c, &file, &why);

	if (!e)
		e = file_replace(s->config.path, 0600, text, &why);
	if (!e)
		e = include(&file, s->config.path, true, &changed, &why);
	return e ? report(c, &why) : say(c, &file, s, true, changed);
}

static int uninstall(struct cli *c, const struct ssh *s)
{
	struct place file;
	struct why why;
	bool changed;
	enum err e = users_file(c, &file, &why);

	if (!e)
		e = include(&file, s->config.path, false, &changed, &why);
	if (e)
		return report(c, &why);
	(void)unlink(s->config.path);
	(void)unlink(s->users.path);
	return say(c, &file, s, false, changed);
}

static int run(struct cli *c)
{
	own_buf text = { 0 };
	struct ssh s;
	struct why why;
	enum err e;

	if (flag_on(c, "install") && flag_on(c, "uninstall")) {
		fail(&why, ERR_invalid_value, "--install and --uninstall exclude each other");
		return report_usage(c, &why);
	}
	e = ssh_find(&s, &why);
	if (!e && flag_on(c, "uninstall"))
		return uninstall(c, &s);
	if (!e)
		e = ssh_key_ready(&s, &why);
	if (!e)
		e = block(c, &s, &text, &why);
	if (e)
		return report(c, &why);
	if (flag_on(c, "install"))
		return install(c, &s, &text);
	if (c->json)
		json_print(c, json_pack("{s:s}", "config", buf_cstr(&text)));
	else
		fputs(buf_cstr(&text), stdout);
	return EXIT_DONE;
}

const struct command cmd_ssh_config = {
	.words = "ssh-config",
	.args = "",
	.flags = flags,
	.doc = "lets ssh, scp, rsync and editors reach machines as NAME.vm",
	.more = "Prints a block for ssh's configuration; --install writes it to a file of "
		"banger's own and\nincludes that in the first line of ~/.ssh/config, whose other "
		"lines, mode and links stay as\nthey are. Machines are reached through their "
		"agents, and their host keys come from there.",
	.example = "banger ssh-config --install\n"
		   "ssh web.vm uname -a\n"
		   "scp notes.txt web.vm:\n"
		   "banger ssh-config --uninstall",
	.run = run,
};

/* ---- for the block: who logs in ---- */

static const struct flag user_flags[] = {
	{ .name = "file",
		.type = &type_abs_path,
		.value = "FILE",
		.offer = OFFER_FILES,
		.doc = "where login names of machines stand" },
	{ .name = NULL },
};

/* Says nothing: when it fails, ssh connects all the same, and what is wrong is said there. */
static int user(struct cli *c)
{
	const char *file = flag_text(c, "file"), *vm, *host;
	struct vm_ssh q = { NULL, NULL };
	struct vm_ssh_said said;
	struct why why;

	c->silent_version = true;
	vm = file ? ssh_machine_of(c, c->args[0], &why) : NULL;
	host = vm ? arena_fmt(&c->mem, "%s.vm", vm) : NULL;
	q.vm = vm;
	if (!host || ask(c, LETTER_vm_ssh, &q, &said, &why) ||
		ssh_users_set(file, host, said.user, &why))
		return EXIT_REFUSED;
	return EXIT_DONE;
}

const struct command cmd_ssh_user = {
	.words = "__ssh-user",
	.args = "NAME",
	.least = 1,
	.most = 1,
	.traits = HIDDEN,
	.flags = user_flags,
	.doc = "writes down who logs in to a machine, for the block of `banger ssh-config`",
	.example = "banger __ssh-user --file /tmp/users web.vm",
	.run = user,
};
