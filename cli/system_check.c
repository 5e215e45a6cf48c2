/*
 * system_check.c - what must be so before `banger system install` touches anything (row B5): every
 * reason against it at once, each with what to do.
 */
#include <limits.h>
#include <pwd.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/build.h"
#include "base/text.h"
#include "cli/json.h"
#include "cli/report.h"
#include "cli/spawn.h"
#include "cli/system.h"
#include "conf/yaml.h"
#include "proto/check.h"

static const char *const programs[] = { "bangerd", "banger-helper", "banger-worker",
	"banger-agent", "banger-stub" };
static const char *const tools[] = { "systemctl", "systemd-tmpfiles", "rm" };

void problem(struct cli *c, struct problems *p, const char *hint, const char *fmt, ...)
{
	char text[sizeof(((struct why *)0)->text)];
	va_list ap;

	if (p->n == PROBLEMS_MAX)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	p->v[p->n].text = arena_str(&c->mem, text);
	p->v[p->n].hint = hint ? arena_str(&c->mem, hint) : "";
	if (!p->v[p->n].text || !p->v[p->n].hint)
		p->v[p->n].text = p->v[p->n].hint = "no memory";
	p->n++;
}

static void of_problem(const struct problems *p, unsigned i, struct why *why)
{
	fail(why, ERR_denied, "%s", p->v[i].text);
	fail_hint(why, "%s", p->v[i].hint);
}

int problems_report(struct cli *c, const struct problems *p)
{
	int code = EXIT_REFUSED;
	struct why why;
	json_t *doc, *list;

	if (!c->json) {
		for (unsigned i = 0; i < p->n; i++) {
			of_problem(p, i, &why);
			code = report(c, &why);
		}
		return code;
	}
	of_problem(p, 0, &why);
	doc = json_of_error(&why);
	list = json_array();
	for (unsigned i = 0; i < p->n; i++) {
		of_problem(p, i, &why);
		json_add(&list, json_pack("{s:s,s:s}", "message", why.text, "hint", why.hint));
	}
	json_set(&doc, "problems", list);
	json_print(c, doc);
	return code;
}

bool must_be_root(struct cli *c, int *code)
{
	char self[PLACE_BYTES];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	struct why why;

	if (geteuid() == 0)
		return true;
	self[MAX(n, 0)] = '\0';
	fail(&why, ERR_denied, "%s needs root", c->command->words);
	fail_hint(&why, "sudo %s %s", n > 0 ? self : "banger", c->command->words);
	*code = report(c, &why);
	return false;
}

enum err install_read(struct cli *c, struct install *ret, bool *there, struct why *why)
{
	own_buf text = { 0 };
	enum err e = yaml_file(SYSTEM_INSTALL_FILE, YAML_ROOTS, &text, there, why);

	if (e || !*there)
		return e;
	return yaml_read(&shape_install, SYSTEM_INSTALL_FILE, (struct bytes){ text.p, text.n },
		&c->mem, ret, NULL, why);
}

/* ---- the owner ---- */

static const struct passwd *who(const char *text)
{
	uint64_t uid;

	if (parse_u64(text, &uid, NULL) == OK && uid < UINT32_MAX)
		return getpwuid((uid_t)uid);
	return getpwnam(text);
}

/* A uid needs no entry in the password file; a name does. */
static void check_owner(struct cli *c, struct setup *s, struct problems *p)
{
	const char *given = flag_text(c, "owner"), *text = given ? given : getenv("SUDO_UID");
	const struct passwd *pw = text ? who(text) : NULL;
	uint64_t uid = 0, gid;

	if (!text || (!given && str_eq(text, "0"))) {
		problem(c, p, "run it by sudo as that user, or add --owner USER",
			"whose daemon shall it be?");
		return;
	}
	if (!pw && (parse_u64(text, &uid, NULL) || uid >= UINT32_MAX)) {
		problem(c, p, "getent passwd lists them", "--owner: there is no user %s", text);
		return;
	}
	s->install.owner_uid = pw ? pw->pw_uid : uid;
	s->install.has_owner_gid = true;
	s->install.owner_gid =
		pw ? pw->pw_gid :
		parse_u64(getenv("SUDO_GID") && !given ? getenv("SUDO_GID") : "", &gid, NULL) ?
		     uid :
		     gid;
	s->owner = arena_str(&c->mem, pw ? pw->pw_name : text);
	s->home = arena_str(&c->mem, pw && pw->pw_dir[0] == '/' ? pw->pw_dir : SYSTEM_STATE_DIR);
	if (s->install.owner_uid == 0)
		problem(c, p, "name the user who will run machines: --owner USER",
			"--owner: only the helper runs as root; the daemon must belong to a user");
}

/* ---- the host ---- */

static void check_host(struct cli *c, struct problems *p)
{
	char path[PLACE_BYTES];
	struct why why;
	struct stat st;

	if (stat("/run/systemd/system", &st) < 0)
		problem(c, p, "without it `banger` starts a daemon of your own on demand",
			"systemd does not run on this host");
	for (size_t i = 0; i < COUNT(tools); i++)
		if (program_path(tools[i], path, sizeof(path), &why))
			problem(c, p, why.hint, "%s", why.text);
	if (stat("/sys/fs/cgroup/cgroup.controllers", &st) < 0)
		problem(c, p, "boot with systemd.unified_cgroup_hierarchy=1",
			"this host does not use control groups of version 2");
}

/* Whoever can write a program of root's, or a directory on the way to it, is root. */
static bool roots_alone(const char *path, char *bad, size_t size)
{
	char at[PLACE_BYTES];
	struct stat st;

	if (!str_copy(at, sizeof(at), path))
		return false;
	for (;;) {
		char *slash = strrchr(at, '/');

		if (lstat(at[0] ? at : "/", &st) < 0 || st.st_uid != 0 || (st.st_mode & 022)) {
			str_copy(bad, size, at[0] ? at : "/");
			return false;
		}
		if (!slash)
			return true;
		*slash = '\0';
	}
}

static void check_programs(struct cli *c, struct setup *s, struct problems *p)
{
	char path[PLACE_BYTES + 64], real[PATH_MAX], bad[PLACE_BYTES];
	const char *hint = "sudo make install, then `sudo banger system install`";
	struct why why;

	for (size_t i = 0; i < COUNT(programs); i++) {
		if (companion_path(programs[i], path, sizeof(path), &why)) {
			problem(c, p, why.hint, "%s", why.text);
			continue;
		}
		if (!realpath(path, real))
			continue;
		if (!roots_alone(real, bad, sizeof(bad)))
			problem(c, p, hint, "%s: %s is not root's alone", programs[i], bad);
		*strrchr(real, '/') = '\0';
		if (!s->install.programs)
			s->install.programs = arena_str(&c->mem, real);
		else if (!str_eq(s->install.programs, real))
			problem(c, p, "install banger whole", "%s lies in %s, others in %s",
				programs[i], real, s->install.programs);
	}
}

static void check_templates(struct cli *c, struct setup *s, struct problems *p)
{
	char self[PLACE_BYTES], *slash;
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 64);

	self[MAX(n, 0)] = '\0';
	slash = strrchr(self, '/');
	if (!slash)
		return;
	*slash = '\0';
	s->templates = arena_fmt(&c->mem, "%s/../lib/banger/units", self);
	if (!s->templates || access(s->templates, R_OK | X_OK) < 0)
		problem(c, p, "sudo make install, then run the installed banger",
			"the unit files are not at %s", s->templates ? s->templates : "?");
}

/* A directory of somebody else would become the owner's. */
static void check_place(struct cli *c, const char *path, uint64_t uid, struct problems *p)
{
	struct stat st;

	if (lstat(path, &st) < 0)
		return;
	if (!S_ISDIR(st.st_mode))
		problem(c, p, "move it away", "%s is no directory", path);
	else if (st.st_uid != uid)
		problem(c, p, "move it away, or `banger system uninstall --purge`",
			"%s belongs to uid %u", path, (unsigned)st.st_uid);
}

static void check_earlier(struct cli *c, const struct setup *s, struct problems *p)
{
	struct install old = { 0 };
	struct why why;
	bool there;

	if (install_read(c, &old, &there, &why))
		problem(c, p, "remove it, or mend it", "%s", why.text);
	else if (there && s->owner && old.owner_uid != s->install.owner_uid)
		problem(c, p, "sudo banger system uninstall, first",
			"it is installed already, for uid %llu", (unsigned long long)old.owner_uid);
}

void system_check(struct cli *c, struct setup *s, struct problems *p)
{
	*s = (struct setup){ .install = { .version = build_version,
				     .commit = build_commit,
				     .subnet = SUBNET_DEFAULT } };
	check_host(c, p);
	check_owner(c, s, p);
	check_programs(c, s, p);
	check_templates(c, s, p);
	check_earlier(c, s, p);
	if (s->owner) {
		check_place(c, SYSTEM_STATE_DIR, s->install.owner_uid, p);
		check_place(c, SYSTEM_RUNTIME_DIR, s->install.owner_uid, p);
	}
	check_place(c, HELPER_STATE_DIR, 0, p);
	check_place(c, HELPER_RUNTIME_DIR, 0, p);
}
