/*
 * cmd_vm_ssh.c - `banger vm ssh`: the host's ssh into a machine, with banger's key and the host
 * keys that the machine's agent told (rows B11, B12).
 *
 * ssh's own failures and a program that ends with 255 look alike, so ssh is asked to remove a file
 * once it is logged in: while that is there, nothing of the guest has run.
 */
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/text.h"
#include "cli/file.h"
#include "cli/interrupts.h"
#include "cli/link.h"
#include "cli/preflight.h"
#include "cli/remind.h"
#include "cli/report.h"
#include "cli/spawn.h"
#include "cli/ssh.h"

enum { SSH_PORT = 22, SSH_FAILED = 255 };
enum { WORDS_MAX = 96, OPTIONS_MAX = 24, LINE_BYTES_MAX = 131072 };

static const struct flag flags[] = {
	{ .name = "user",
		.letter = 'u',
		.type = &type_user,
		.value = "USER",
		.doc = "log in as this user; the image's, else root" },
	{ .name = "tty", .letter = 't', .doc = "run CMD on a terminal" },
	{ .name = "no-tty", .letter = 'T', .doc = "never on a terminal" },
	{ .name = "option",
		.letter = 'o',
		.type = &type_text,
		.value = "NAME=VALUE",
		.many = true,
		.doc = "an option for ssh, like ForwardAgent=yes" },
	{ .name = NULL },
};

struct ssh_run {
	struct cli *c;
	const char *vm;
	struct ssh ssh;
	struct vm_ssh_said said;
	char program[PLACE_BYTES];
	char waits[PLACE_BYTES + 32]; /* is there until somebody is logged in */
	const char *words[WORDS_MAX];
	unsigned words_n;
	struct interrupts interrupts;
	pid_t pid;
	struct watch ended;
	bool over;
};

/* ---- preflight: everything that is wrong, at once (row B5) ---- */

/* Somebody may just have started it by hand: a server goes to the background before it listens. */
static bool comes_up(struct ssh_run *r)
{
	struct vm_dial dial = { r->vm, SSH_PORT, SSH_START_MS, true };
	struct stream_begun begun;
	struct stream_signal end = { 0, "HUP" };

	if (ask(r->c, LETTER_vm_dial, &dial, &begun, NULL))
		return false;
	end.stream = begun.stream;
	(void)!rpc_note(r->c->link->rpc, &letter_kinds[LETTER_stream_signal], &end, NULL);
	return true;
}

/* A server that an init may start yet is waited for, by the proxy; one that nobody will is not. */
static enum err check_server(struct ssh_run *r, struct why *why)
{
	const struct vm_ssh_said *s = &r->said;

	if (s->listens || (s->server && (s->init || comes_up(r))))
		return OK;
	if (s->server)
		fail(why, ERR_unavailable,
			"%s has an ssh server that does not run, and no init that would start it",
			s->name);
	else
		fail(why, ERR_unavailable, "%s has no ssh server", s->name);
	return fail_hint(why, "`banger vm exec %s` needs none", s->name);
}

/* EXIT_DONE, or the exit code after all that is wrong was said. */
static int check_all(struct ssh_run *r)
{
	struct preflight p = { .c = r->c };
	struct vm_ssh q = { r->vm, NULL };
	struct why one;

	if (program_path("ssh", r->program, sizeof(r->program), &one)) {
		fail_hint(&one, "install OpenSSH's client (Debian: apt install openssh-client)");
		preflight_add(&p, &one);
	}
	if (ssh_find(&r->ssh, &one) || ssh_key_ready(&r->ssh, &one))
		preflight_add(&p, &one);
	else
		q.ssh_key = r->ssh.public;
	if (ask(r->c, LETTER_vm_ssh, &q, &r->said, &one) || check_server(r, &one))
		preflight_add(&p, &one);
	return preflight_report(&p);
}

/* ---- the words of ssh ---- */

static bool add(struct ssh_run *r, const char *word)
{
	if (!word || r->words_n >= WORDS_MAX - 1)
		return false;
	r->words[r->words_n++] = word;
	return true;
}

/*
 * One word is a line for the guest's shell, as ssh has it. Several arrive as they are, through a sh
 * that stays, so that a program which a signal ended has 128 and its number for a code.
 */
static const char *remote_line(struct cli *c, struct why *why)
{
	own_buf line = { 0 };
	const char *text;

	if (c->tail_n == 1)
		return c->tail[0];
	buf_init(&line, LINE_BYTES_MAX);
	buf_str(&line, "/bin/sh -c '\"$@\"; exit $?' sh");
	for (unsigned i = 0; i < c->tail_n; i++) {
		buf_str(&line, " '");
		for (const char *p = c->tail[i]; *p; p++) {
			if (*p == '\'')
				buf_str(&line, "'\\''");
			else
				buf_add(&line, p, 1);
		}
		buf_str(&line, "'");
	}
	text = line.failed ? NULL : arena_str(&c->mem, buf_cstr(&line));
	if (!text)
		fail_field(why, ERR_too_large, "argv", "the command is over %d KiB",
			LINE_BYTES_MAX / 1024);
	return text;
}

static bool add_options(struct ssh_run *r, const char *const *settings, unsigned n)
{
	struct cli *c = r->c;
	const struct given *given = flag_given(c, "option");
	bool fits = add(r, "ssh") && add(r, "-F") && add(r, "none");

	/* what the user asks for comes first, and the first value counts */
	for (unsigned i = 0; fits && i < given->all_n; i++)
		fits = add(r, "-o") && add(r, given->all[i]);
	for (unsigned i = 0; fits && i < n; i++)
		fits = add(r, "-o") && add(r, settings[i]);
	fits = fits && add(r, "-o") && add(r, "LogLevel ERROR") && add(r, "-o") &&
	       add(r, "ControlPath none") && add(r, "-o") && add(r, "PermitLocalCommand yes") &&
	       add(r, "-o") && add(r, arena_fmt(&c->mem, "LocalCommand rm -f '%s'", r->waits));
	if (fits && flag_on(c, "tty"))
		fits = add(r, "-t");
	if (fits && flag_on(c, "no-tty"))
		fits = add(r, "-T");
	return fits;
}

static enum err make_words(struct ssh_run *r, struct why *why)
{
	const char *settings[SSH_SETTINGS_MAX], *user = flag_text(r->c, "user");
	struct cli *c = r->c;
	unsigned n;
	enum err e = ssh_settings(c, &r->ssh, settings, &n, why);

	if (e)
		return e;
	if (!add_options(r, settings, n) || !add(r, "-l") || !add(r, user ? user : r->said.user) ||
		!add(r, "--") || !add(r, arena_fmt(&c->mem, "%s.vm", r->said.name)))
		return fail(why, ERR_too_large, "too many options for ssh");
	if (c->has_tail && !add(r, remote_line(c, why)))
		return why->code ? why->code : fail(why, ERR_too_large, "too many words for ssh");
	return OK;
}

/* ---- the run ---- */

static void on_signal(void *ctx, int signal)
{
	struct ssh_run *r = ctx;

	(void)kill(r->pid, signal);
}

static void on_ended(void *ctx, int events UNUSED)
{
	struct ssh_run *r = ctx;

	r->over = true;
}

static enum err mark(struct ssh_run *r, struct why *why)
{
	int fd;

	snprintf(r->waits, sizeof(r->waits), "%s/.waits-XXXXXX", r->ssh.dir.path);
	fd = mkstemp(r->waits);
	if (fd < 0)
		return fail_errno(why, "cannot write into %.250s", r->ssh.dir.path);
	close(fd);
	return OK;
}

static int exit_code(struct ssh_run *r)
{
	bool entered = access(r->waits, F_OK) < 0;
	int status;

	while (waitpid(r->pid, &status, 0) < 0)
		if (errno != EINTR)
			return EXIT_OWN;
	if (WIFSIGNALED(status))
		return EXIT_SIGNAL + WTERMSIG(status);
	return WEXITSTATUS(status) == SSH_FAILED && !entered ? EXIT_OWN : WEXITSTATUS(status);
}

static int run_ssh(struct ssh_run *r)
{
	struct cli *c = r->c;
	own_fd fd = -1;
	struct why why;
	int code;

	interrupts_start(&r->interrupts, c->loop);
	if (spawn_attached(r->program, r->words, &r->pid, &why))
		return report(c, &why);
	interrupts_to(&r->interrupts, on_signal, r);
	fd = (int)syscall(SYS_pidfd_open, r->pid, 0);
	if (fd >= 0) {
		watch_start(c->loop, &r->ended, fd, WATCH_READ, on_ended, r);
		while (!r->over)
			loop_turn(c->loop, true);
		watch_stop(&r->ended);
	}
	code = exit_code(r);
	if (!c->has_tail)
		remind(c, r->said.id, r->said.name);
	return code;
}

static int run(struct cli *c)
{
	struct ssh_run r = { .c = c };
	struct why why;
	enum err e = OK;
	int code;

	r.vm = ssh_machine_of(c, c->args[0], &why);
	if (!r.vm)
		return report_usage(c, &why);
	if (flag_on(c, "tty") && flag_on(c, "no-tty"))
		e = fail_field(&why, ERR_invalid_value, "t", "-t and -T exclude each other");
	else if (flag_given(c, "option")->all_n > OPTIONS_MAX)
		e = fail_field(&why, ERR_too_large, "option", "at most %d options", OPTIONS_MAX);
	if (e)
		return report_usage(c, &why);
	c->silent_version = c->has_tail && !c->err_live && !c->progress;
	if (link_open(c, &why))
		return report(c, &why);
	code = check_all(&r);
	if (code)
		return code;
	if (mark(&r, &why))
		return report(c, &why);
	if (make_words(&r, &why)) {
		code = report(c, &why);
	} else {
		c->spoke = true;
		code = run_ssh(&r);
	}
	interrupts_stop(&r.interrupts);
	(void)unlink(r.waits);
	return code;
}

const struct command cmd_vm_ssh = {
	.words = "vm ssh",
	.args = "NAME [-- CMD...]",
	.least = 1,
	.most = 1,
	.traits = SESSION | TAIL,
	.offer = OFFER_VMS,
	.flags = flags,
	.doc = "ssh into a running machine",
	.more = "Runs the host's ssh with banger's own key, through the machine's agent, so no "
		"network between host\nand guest is needed. The machine's host keys are known from "
		"its agent; none is ever accepted\nblindly. Of CMD, one word is a line for the "
		"guest's shell; several arrive as they are. The exit\ncode is the program's; 125 "
		"when nobody could log in. Your ~/.ssh/config is not read: for that,\nscp, rsync "
		"and editors see `banger ssh-config`. `banger vm exec` needs no ssh server.",
	.example = "banger vm ssh web\n"
		   "banger vm ssh web -- 'journalctl -u nginx | tail'\n"
		   "banger vm ssh -o ForwardAgent=yes -o 'LocalForward=8080 localhost:80' web",
	.run = run,
};
