/*
 * cmd_vm_run.c - `banger vm run`: a machine, a program in it, its exit code (row B1).
 *
 * That --rm deletes is the daemon's duty and holds when this process is killed; a normal end asks
 * for it and waits, so that nothing is left when the exit code is there.
 */
#include "base/text.h"
#include "cli/copy.h"
#include "cli/create.h"
#include "cli/remind.h"
#include "cli/report.h"
#include "cli/session.h"
#include "cli/space.h"
#include "cli/sync.h"

static const struct flag flags[] = {
	CREATE_FLAGS,
	{ .name = "dest",
		.type = &type_path,
		.value = "DIR",
		.doc = "where PATH goes in the guest, beneath the user's home; repo when absent" },
	{ .name = "clean", .doc = "of PATH, HEAD alone: without what is not committed" },
	{ .name = "rm", .doc = "delete the machine at the end, however it comes" },
	{ .name = "detach",
		.letter = 'd',
		.doc = "return when the machine is ready; print its name" },
	{ .name = "user",
		.letter = 'u',
		.type = &type_user,
		.value = "USER",
		.doc = "run as this user; the image's, else root" },
	{ .name = "workdir",
		.letter = 'w',
		.type = &type_abs_path,
		.value = "DIR",
		.field = "cwd",
		.doc = "run in this directory; the image's, else the user's home" },
	{ .name = "env",
		.letter = 'e',
		.type = &type_env,
		.value = "NAME=VALUE",
		.many = true,
		.doc = "add to the environment" },
	{ .name = "tty", .letter = 't', .doc = "run on a terminal" },
	{ .name = "no-tty", .letter = 'T', .doc = "never run on a terminal" },
	{ .name = "no-stdin", .letter = 'n', .doc = "give it /dev/null as standard input" },
	{ .name = "interactive", .letter = 'i', .doc = "implied; for habit's sake" },
	{ .name = "early", .doc = "do not wait for the image's init to mount its filesystems" },
	{ .name = "fetch",
		.type = &type_path,
		.value = "GUEST[:HOST]",
		.many = true,
		.doc = "copy GUEST here at the end, however that is; to HOST where named" },
	{ .name = "timeout",
		.type = &type_ms,
		.value = "DURATION",
		.doc = "end it all after this long, like 90s or 10m" },
	{ .name = NULL },
};

enum { FETCH_LEAST_MS = 30000 };

struct run {
	struct cli *c;
	struct interrupts interrupts;
	struct create create;
	struct session session;
	struct prepare space;
	struct sync sync;
	uint64_t began;
	bool rm, detach;
};

static enum err fetch_of(
	struct run *r, unsigned i, struct side *guest, struct side *host, struct why *why);

static enum err prepare(struct run *r, struct why *why)
{
	struct cli *c = r->c;
	enum err e;

	r->rm = flag_on(c, "rm");
	r->detach = flag_on(c, "detach");
	if (r->detach && r->rm) {
		fail(why, ERR_invalid_value, "--rm and -d exclude each other");
		return fail_hint(why, "a machine of --rm ends with this command");
	}
	if (r->detach && c->has_tail) {
		fail(why, ERR_invalid_value, "-d takes no command");
		return fail_hint(why, "banger vm exec NAME -- CMD... runs one later");
	}
	if (r->detach && flag_on(c, "fetch")) {
		fail(why, ERR_invalid_value, "-d fetches nothing");
		return fail_hint(why, "banger vm cp NAME:PATH . copies it later");
	}
	e = flags_fill(c, &shape_vm_create, &r->create.body, why);
	for (uint32_t i = 0; !e && i < flag_given(c, "fetch")->all_n; i++) {
		struct side guest, host;

		e = fetch_of(r, i, &guest, &host, why);
	}
	if (!e)
		e = flags_fill(c, &shape_vm_exec, &r->session.exec, why);
	if (!e)
		e = session_command(&r->session, c->tail, c->tail_n, why);
	if (!e)
		e = session_terminal(&r->session, flag_on(c, "tty"), flag_on(c, "no-tty"), why);
	if (!e && c->args_n == 0 && (flag_on(c, "clean") || flag_on(c, "dest")))
		e = fail(why, ERR_invalid_value, "--clean and --dest need a PATH");
	return e;
}

/* What can be wrong with PATH is found before a machine is made for it. */
static enum err look_at_path(struct run *r, struct why *why)
{
	struct cli *c = r->c;
	struct repo repo;
	struct git git;
	enum err e;

	if (c->args_n == 0)
		return OK;
	e = git_init(&git, c, NULL, why);
	if (e)
		return e;
	e = repo_find(&repo, c->args[0], false, why);
	repo_done(&repo);
	r->space = (struct prepare){ .c = c,
		.interrupts = &r->interrupts,
		.path = c->args[0],
		.dest = flag_text(c, "dest"),
		.clean = flag_on(c, "clean"),
		/* beside a program's own output nothing of ours is said */
		.told = c->has_tail && !c->err_live && !c->progress };
	return e;
}

/* The machine is ready: files and repository go into it, and the program runs there. */
static int put_files(struct run *r)
{
	struct why why;
	enum err e = sync_send(&r->sync, r->c, &r->interrupts, r->create.begun.vm, &why);

	r->space.vm = r->create.begun.vm;
	if (!e && r->c->args_n > 0)
		e = space_prepare(&r->space, &why);
	if (e && r->interrupts.first)
		return EXIT_SIGNAL + r->interrupts.first;
	if (e)
		return report(r->c, &why);
	if (r->c->args_n == 0)
		return EXIT_DONE;
	if (!r->session.exec.cwd)
		r->session.exec.cwd = r->space.where;
	return EXIT_DONE;
}

static int print_ready(struct run *r)
{
	struct vm_only which = { r->create.begun.vm };
	struct vm_shown shown;
	struct why why;

	if (!r->c->json) {
		printf("%s\n", r->create.begun.name);
		return EXIT_DONE;
	}
	if (ask(r->c, LETTER_vm_show, &which, &shown, &why))
		return report(r->c, &why);
	print_document(r->c, &shape_vm_info, &shown.vm);
	return EXIT_DONE;
}

/* Until it is gone, or somebody has no patience. */
static int delete (struct run *r)
{
	struct vm_delete which = { .vm = r->create.begun.vm };
	struct call k = { .letter = LETTER_vm_delete, .body = &which };
	struct cli *c = r->c;

	if (c->link->gone || r->interrupts.gave_up)
		return EXIT_DONE;
	call_send(c->link, &k);
	while (!k.done && !c->link->gone && !r->interrupts.gave_up)
		loop_turn(c->loop, true);
	rpc_forget(c->link->rpc, &k);
	if (!k.done || k.why.code == OK || k.why.code == ERR_not_found)
		return EXIT_DONE;
	return report(c, &k.why);
}

/* What --fetch names, checked before anything is made: guest's and host's path. */
static enum err fetch_of(
	struct run *r, unsigned i, struct side *guest, struct side *host, struct why *why)
{
	const char *word = flag_given(r->c, "fetch")->all[i], *colon = strchr(word, ':');
	const char *name = r->create.begun.name ? r->create.begun.name : "NAME";
	size_t n = colon ? (size_t)(colon - word) : strlen(word);
	char *from = arena_strn(&r->c->mem, word, n);

	if (!from)
		return fail(why, ERR_no_memory, "no memory for a path");
	if (copy_side(&r->c->mem, name, from, guest, why) ||
		copy_side(&r->c->mem, NULL, colon ? colon + 1 : ".", host, why)) {
		fail_hint(why, "--fetch GUEST[:HOST], like /root/report.xml:out/");
		str_copy(why->field, sizeof(why->field), "fetch");
	}
	return why->code;
}

static void fetch_late(void *ctx)
{
	struct copy *k = ctx;

	fail(&k->why, ERR_timeout, "what --fetch names took too long to come");
}

/* Before --rm deletes. What fails is said; the others are fetched all the same. */
static int fetch(struct run *r)
{
	const struct given *all = flag_given(r->c, "fetch"), *limit = flag_given(r->c, "timeout");
	uint64_t spent = loop_now_ms(r->c->loop) - r->began;
	uint64_t left = limit->number > spent ? limit->number - spent : 0;
	struct interrupts interrupts;
	struct timer late = { .fn = NULL };
	int code = EXIT_DONE;

	interrupts_start(&interrupts, r->c->loop);
	for (uint32_t i = 0; i < all->all_n && !r->c->link->gone && !interrupts.first; i++) {
		struct copy k = { .c = r->c, .interrupts = &interrupts };
		struct side guest;
		struct why why = { .code = OK };

		if (limit->set)
			timer_start(r->c->loop, &late, MAX(left, (uint64_t)FETCH_LEAST_MS),
				fetch_late, &k);
		if (fetch_of(r, i, &guest, &k.to, &why) || copy_one(&k, &guest, &why))
			code = report(r->c, &why);
		timer_stop(&late);
	}
	interrupts_stop(&interrupts);
	return code;
}

static int enter(struct run *r)
{
	struct session *s = &r->session;
	uint64_t spent = loop_now_ms(r->c->loop) - r->began;
	int code, fetched = EXIT_DONE, deleted = EXIT_DONE;

	s->c = r->c;
	s->interrupts = &r->interrupts;
	s->no_stdin = flag_on(r->c, "no-stdin");
	s->exec.vm = r->create.begun.vm;
	s->timeout_text = flag_text(r->c, "timeout");
	if (s->timeout_text) {
		uint64_t all = flag_given(r->c, "timeout")->number;

		s->timeout_ms = all > spent ? all - spent : 1;
	}
	code = session_run(s);
	if (!r->interrupts.gave_up)
		fetched = fetch(r);
	code = code ? code : fetched;
	if (r->rm)
		deleted = delete (r);
	else if (!r->session.left_by)
		remind(r->c, r->create.begun.vm, r->create.begun.name);
	return deleted ? deleted : code;
}

static int run(struct cli *c)
{
	struct run r = { .c = c };
	struct why why;
	int code;

	if (prepare(&r, &why))
		return report_usage(c, &why);
	if (look_at_path(&r, &why) || sync_open(&r.sync, c, &why))
		return report(c, &why);
	c->silent_version = c->has_tail && !c->err_live && !c->progress;
	if (link_open(c, &why))
		return report(c, &why);
	r.began = loop_now_ms(c->loop);
	interrupts_start(&r.interrupts, c->loop);
	r.create.c = c;
	r.create.interrupts = &r.interrupts;
	code = create_begin(&r.create);
	if (!code)
		code = create_wait(&r.create);
	if (code && r.rm && r.create.op.done && r.create.op.state == op_state_done)
		delete (&r); /* it was ready before it could be cancelled */
	if (!code) {
		code = put_files(&r);
		if (code && (r.rm || r.interrupts.first))
			delete (&r);
		else if (code)
			note(c, "%s was made, and stays", r.create.begun.name);
	}
	if (!code)
		code = r.detach ? print_ready(&r) : enter(&r);
	sync_close(&r.sync);
	interrupts_stop(&r.interrupts);
	return code;
}

const struct command cmd_vm_run = {
	.words = "vm run",
	.args = "[PATH] [-- CMD...]",
	.most = 1,
	.traits = SESSION | TAIL,
	.offer = OFFER_FILES,
	.flags = flags,
	.doc = "make a machine and run a program or a shell in it",
	.more = "Boots a fresh machine and runs CMD in it; without CMD, a login shell. Input, "
		"output, signals and\nwindow size pass through unchanged, and the exit code is the "
		"program's (128+n for a signal;\n125 when banger itself failed). The machine stays "
		"unless --rm is given. Ctrl-C before the\nprogram starts undoes everything. PATH "
		"is a git repository: it goes into the machine as `banger\nworkspace prepare` puts "
		"it there, and "
		"the program starts in it.",
	.example = "banger vm run --rm -- uname -a\n"
		   "banger vm run --rm ./repo -- make test\n"
		   "banger vm run --rm --timeout 20m --fetch /root/report.xml -- ./test.sh\n"
		   "banger vm run --name try --memory 2G\n"
		   "tar c src | banger vm run --rm -- sh -c 'tar x && make -C src'",
	.run = run,
};
