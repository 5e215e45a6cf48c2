/*
 * cmd_system.c - the system install (row G1): install, restart, uninstall.
 *
 * Install is the same thing the first time, the second time and for an upgrade: files are made what
 * they must be, and what is not of this build is started anew. Machines run on over all of it.
 */
#include <unistd.h>

#include "base/build.h"
#include "base/text.h"
#include "cli/link.h"
#include "cli/report.h"
#include "cli/system.h"

static const struct flag install_flags[] = {
	{ .name = "owner",
		.type = &type_word,
		.value = "USER",
		.doc = "whose daemon it is, by name or uid; who called sudo, when absent" },
	{ .name = NULL },
};

/* Nothing runs, or some of it is left over; a unit that is not there is none. */
static enum err stop_units(bool helper_too, struct why *why)
{
	const char *const all[] = { unit_names[DAEMON_SOCKET_UNIT], unit_names[DAEMON_UNIT],
		unit_names[HELPER_SOCKET_UNIT], unit_names[HELPER_UNIT] };

	return systemctl("stop", all, helper_too ? 4 : 2, why);
}

static enum err start_units(const bool changed[UNITS], bool any, bool fresh, struct why *why)
{
	const char *const services[] = { unit_names[HELPER_UNIT], unit_names[DAEMON_UNIT] };
	enum err e = host_run((const char *const[]){ "systemctl", "daemon-reload", NULL }, why);

	/* a socket cannot be made anew while its service has it */
	if (!e && !fresh && (changed[HELPER_SOCKET_UNIT] || changed[DAEMON_SOCKET_UNIT]))
		e = stop_units(true, why);
	if (!e)
		e = systemctl("enable", unit_names, UNITS, why);
	if (!e)
		e = systemctl("start", unit_names, 2, why);
	/* the helper first: the daemon asks it for what it had */
	for (unsigned i = 0; i < COUNT(services) && !e; i++)
		e = systemctl(any ? "restart" : "start", &services[i], 1, why);
	return e;
}

/* Undoes a first install that did not come up. */
static void take_back(struct cli *c)
{
	struct why ignored;

	if (stop_units(true, &ignored) || systemctl("disable", unit_names, UNITS, &ignored) ||
		system_remove(c, false, &ignored) ||
		host_run((const char *const[]){ "systemctl", "daemon-reload", NULL }, &ignored))
		note(c, "not all of it could be taken back: %s", ignored.text);
}

static int install(struct cli *c)
{
	struct problems problems = { .n = 0 };
	struct install old = { 0 };
	bool changed[UNITS], any, there;
	struct setup s;
	struct why why;
	int code;

	if (!must_be_root(c, &code))
		return code;
	system_check(c, &s, &problems);
	if (problems.n > 0)
		return problems_report(c, &problems);
	if (install_read(c, &old, &there, &why) || system_write(c, &s, changed, &any, &why) ||
		start_units(changed, any, !there, &why)) {
		code = report(c, &why);
		if (!there)
			take_back(c);
		return code;
	}
	if (c->json)
		print_document(c, &shape_install, &s.install);
	else if (!c->quiet)
		printf("%s banger %s (commit %s) for %s; `banger` needs no sudo from here on\n",
			!there ? "installed" :
			any    ? "upgraded to" :
				 "already installed:",
			build_version, build_commit, s.owner);
	return EXIT_DONE;
}

const struct command cmd_system_install = {
	.words = "system install",
	.args = "",
	.flags = install_flags,
	.doc = "set up the daemon and the root helper as services; also upgrades them",
	.more = "Writes two services and their sockets, starts them, and gives /var/lib/banger "
		"and /run/banger to the owner. Run again by a newer banger it upgrades: both "
		"services are started anew, machines run on.",
	.example = "sudo banger system install\nsudo banger system install --owner USER",
	.run = install,
};

/* The install that a command is about; refuses when there is none. */
static enum err need_install(struct cli *c, struct install *ret, struct why *why)
{
	bool there = false;
	enum err e = install_read(c, ret, &there, why);

	if (!e && !there) {
		fail(why, ERR_not_found, "there is no system install");
		e = fail_hint(why, "sudo banger system install");
	}
	return e;
}

static int restart(struct cli *c)
{
	const char *const services[] = { unit_names[HELPER_UNIT], unit_names[DAEMON_UNIT] };
	struct install in = { 0 };
	struct why why;
	int code;

	if (!must_be_root(c, &code))
		return code;
	if (need_install(c, &in, &why) || systemctl("restart", services, 2, &why))
		return report(c, &why);
	if (c->json)
		print_document(c, &shape_install, &in);
	else if (!c->quiet)
		printf("restarted; machines run on\n");
	return EXIT_DONE;
}

const struct command cmd_system_restart = {
	.words = "system restart",
	.args = "",
	.doc = "restart both services; machines run on",
	.example = "sudo banger system restart",
	.run = restart,
};

static const struct flag uninstall_flags[] = {
	{ .name = "purge", .doc = "also remove machines, images and kernels, and /etc/banger" },
	{ .name = "force", .doc = "end machines that run, without asking their guests" },
	{ .name = NULL },
};

/* Machines that run would be ended; the daemon knows. */
static enum err none_runs(struct cli *c, struct why *why)
{
	struct daemon_status s = { .running = 0 };
	struct nothing none;
	bool there = false;
	enum err e;

	if (flag_on(c, "force"))
		return OK;
	c->silent_version = true;
	e = link_try(c, &there, why);
	if (!e && there)
		e = ask(c, LETTER_daemon_status, &none, &s, why);
	link_close(c);
	if (e)
		return fail_hint(why, "--force takes it away without asking the daemon");
	if (s.running == 0)
		return OK;
	fail(why, ERR_busy, s.running == 1 ? "%llu machine runs" : "%llu machines run",
		(unsigned long long)s.running);
	return fail_hint(why, "banger vm stop $(banger vm list -q), or --force");
}

static enum err teardown(struct cli *c, const struct install *in, struct why *why)
{
	const char *program = arena_fmt(&c->mem, "%s/banger-helper", in->programs);
	const char *uid = arena_fmt(&c->mem, "%llu", (unsigned long long)in->owner_uid);
	const char *const argv[] = { program, "--teardown", "--owner-uid", uid, "--subnet",
		in->subnet, NULL };

	if (!program || !uid)
		return fail(why, ERR_no_memory, "no memory for the helper's arguments");
	return host_run(argv, why);
}

static enum err take_away(struct cli *c, const struct install *in, struct why *why)
{
	static const char *const slice[] = { "banger.slice" }; /* of the machines' scopes */
	enum err e = stop_units(false, why);

	if (!e)
		e = unit_end_all(unit_names[DAEMON_UNIT], why);
	if (!e)
		e = stop_units(true, why);
	/* programs that are gone cannot be asked; what they made is then found by hand */
	if (!e && in->programs && in->subnet)
		e = teardown(c, in, why);
	if (!e)
		e = unit_end_all(unit_names[HELPER_UNIT], why);
	if (!e)
		e = systemctl("stop", slice, 1, why);
	if (!e)
		e = systemctl("disable", unit_names, UNITS, why);
	if (!e)
		e = system_remove(c, flag_on(c, "purge"), why);
	if (!e)
		e = host_run((const char *const[]){ "systemctl", "daemon-reload", NULL }, why);
	return e;
}

static int uninstall(struct cli *c)
{
	struct install in = { 0 };
	struct why why;
	int code;

	if (!must_be_root(c, &code))
		return code;
	if (need_install(c, &in, &why) || none_runs(c, &why) || take_away(c, &in, &why))
		return report(c, &why);
	if (c->json)
		print_document(c, &shape_install, &in);
	else if (!c->quiet)
		printf("%s\n", flag_on(c, "purge") ?
				       "uninstalled; nothing is left" :
				       "uninstalled; machines and images stay in /var/lib/banger");
	return EXIT_DONE;
}

const struct command cmd_system_uninstall = {
	.words = "system uninstall",
	.args = "",
	.flags = uninstall_flags,
	.doc = "take the services away, and all that they made on the host",
	.more = "Machines, images and kernels in /var/lib/banger stay, and are there again after "
		"the next install, unless --purge. Programs stay: `make uninstall` removes them.",
	.example = "sudo banger system uninstall\nsudo banger system uninstall --purge",
	.run = uninstall,
};
