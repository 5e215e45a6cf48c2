/*
 * cmd_system_status.c - `banger system status`: what is installed, for whom, and how it fares.
 * Needs no root.
 */
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/build.h"
#include "base/log.h"
#include "base/text.h"
#include "cli/report.h"
#include "cli/system.h"

struct gathered {
	struct system_status s;
	struct install install;
	struct system_unit units[UNITS];
	struct listener sockets[2];
	const char *problems[PROBLEMS_MAX];
};

static void add(struct cli *c, struct gathered *g, const char *what, const char *how)
{
	const char *text = arena_fmt(&c->mem, "%s %s", what, how);

	if (text && g->s.problems.n < PROBLEMS_MAX)
		g->problems[g->s.problems.n++] = text;
}

static void look_at_sockets(struct cli *c, struct gathered *g)
{
	static const char *const names[] = { "rpc", "helper" };
	static const char *const paths[] = { SYSTEM_SOCKET, HELPER_SOCKET };

	for (unsigned i = 0; i < COUNT(paths); i++) {
		struct stat st;
		bool up = stat(paths[i], &st) == 0 ? S_ISSOCK(st.st_mode) : errno == EACCES;

		g->sockets[i] = (struct listener){ names[i], paths[i], up };
		if (!up)
			add(c, g, paths[i], "is not there");
		else if (errno != EACCES && (st.st_uid != g->install.owner_uid || st.st_mode & 077))
			add(c, g, paths[i], "is not the owner's alone");
		errno = 0;
	}
	g->s.sockets.v = g->sockets;
	g->s.sockets.n = COUNT(paths);
}

static enum err gather(struct cli *c, struct gathered *g, struct why *why)
{
	const struct passwd *pw;
	enum err e = install_read(c, &g->install, &g->s.installed, why);

	if (e || !g->s.installed)
		return e;
	g->s.install = &g->install;
	pw = getpwuid((uid_t)g->install.owner_uid);
	g->s.owner = arena_fmt(&c->mem, pw ? "%s" : "%s%llu", pw ? pw->pw_name : "",
		(unsigned long long)g->install.owner_uid);
	for (unsigned i = 0; i < UNITS && !e; i++) {
		e = unit_look(c, unit_names[i], &g->units[i], why);
		if (!e && !str_eq(g->units[i].active, "active"))
			add(c, g, unit_names[i],
				"is not active: journalctl -b -u bangerd -u "
				"banger-helper");
	}
	g->s.units.v = g->units;
	g->s.units.n = UNITS;
	if (!e)
		look_at_sockets(c, g);
	if (!e && g->install.commit && !str_eq(g->install.commit, build_commit))
		add(c, g, "this banger", "is of another build: sudo banger system install");
	g->s.problems.v = g->problems;
	return e;
}

static void print(struct cli *c, const struct gathered *g)
{
	line_text(c, "owner", "%s (uid %llu)", g->s.owner ? g->s.owner : "?",
		(unsigned long long)g->install.owner_uid);
	line_text(c, "version", "%s (commit %s)", g->install.version ? g->install.version : "?",
		g->install.commit ? g->install.commit : "?");
	line_text(c, "programs", "%s", g->install.programs ? g->install.programs : "?");
	for (unsigned i = 0; i < UNITS; i++) {
		const struct system_unit *u = &g->units[i];

		line_text(c, i ? "" : "units", "%s %s, %s%s%s", u->name, u->active, u->enabled,
			u->has_pid ? ", pid " : "", u->has_pid ? log_u64(u->pid).s : "");
	}
	for (unsigned i = 0; i < g->s.sockets.n; i++)
		line_text(c, i ? "" : "sockets", "%s%s", g->sockets[i].address,
			g->sockets[i].up ? "" : " (not there)");
	for (unsigned i = 0; i < g->s.problems.n; i++)
		line_text(c, "problem", "%s", g->problems[i]);
}

static int status(struct cli *c)
{
	struct gathered g = { .s = { .installed = false } };
	struct why why;

	if (gather(c, &g, &why))
		return report(c, &why);
	if (c->json) {
		print_document(c, &shape_system_status, &g.s);
	} else if (g.s.installed) {
		print(c, &g);
	} else {
		fail(&why, ERR_not_found, "there is no system install");
		fail_hint(&why, "sudo banger system install");
		return report(c, &why);
	}
	return g.s.installed && g.s.problems.n == 0 ? EXIT_DONE : EXIT_REFUSED;
}

const struct command cmd_system_status = {
	.words = "system status",
	.args = "",
	.doc = "what is installed, for whom, and how it fares; exit code 1 when not well",
	.example = "banger system status\nbanger system status --json | jq .units",
	.run = status,
};
