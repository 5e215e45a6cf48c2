/*
 * places.c - the search for banger's directories, and the checks that make one safe to use.
 *
 * An override (BANGER_*_DIR) must be absolute; a relative XDG variable is ignored, as the XDG
 * specification says. Nothing here looks into the password file: the owner's uid needs no entry.
 */
#include "conf/places.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "conf/yaml.h"
#include "proto/proto.h"

static const char *env_of(const char *name)
{
	const char *v = getenv(name);

	return v && v[0] ? v : NULL;
}

static enum err set(struct place *p, const char *dir, const char *rest, struct why *why)
{
	size_t n = strlen(dir);

	while (n > 1 && dir[n - 1] == '/')
		n--;
	if (n + strlen(rest) >= sizeof(p->path))
		return fail(why, ERR_too_large, "the path %.60s... is longer than %zu bytes", dir,
			sizeof(p->path) - 1);
	memcpy(p->path, dir, n);
	memcpy(p->path + n, rest, strlen(rest) + 1);
	return OK;
}

/* The override, when there is one: *found. */
static enum err from_override(struct place *p, const char *name, bool *found, struct why *why)
{
	const char *v = env_of(name);

	*found = v != NULL;
	if (!v)
		return OK;
	if (v[0] != '/') {
		fail_field(why, ERR_invalid_value, name, "%s must be an absolute path", name);
		return fail_hint(why, "write it out, like /tmp/banger");
	}
	return set(p, v, "", why);
}

static enum err from_home(struct place *p, const char *override, const char *rest, struct why *why)
{
	const char *home = env_of("HOME");
	struct stat st;

	if (!home || home[0] != '/') {
		fail_field(why, ERR_invalid_value, "HOME",
			"HOME is not set to an absolute path: banger cannot tell its places");
		return fail_hint(why, "set HOME or %s", override);
	}
	if (stat(home, &st) < 0 || !S_ISDIR(st.st_mode)) {
		fail_field(
			why, ERR_not_found, "HOME", "HOME is %.200s, which is no directory", home);
		return fail_hint(why, "set HOME or %s", override);
	}
	return set(p, home, rest, why);
}

static enum err find(
	struct place *p, const char *override, const char *xdg, const char *rest, struct why *why)
{
	const char *base = env_of(xdg);
	bool found;
	enum err e = from_override(p, override, &found, why);

	if (e || found)
		return e;
	if (base && base[0] == '/')
		return set(p, base, "/banger", why);
	return from_home(p, override, rest, why);
}

enum err place_config(struct place *ret, struct why *why)
{
	return find(ret, "BANGER_CONFIG_DIR", "XDG_CONFIG_HOME", "/.config/banger", why);
}

enum err place_state(struct place *ret, struct why *why)
{
	return find(ret, "BANGER_STATE_DIR", "XDG_STATE_HOME", "/.local/state/banger", why);
}

enum err place_data(struct place *ret, struct why *why)
{
	return find(ret, "BANGER_DATA_DIR", "XDG_DATA_HOME", "/.local/share/banger", why);
}

enum err place_runtime(struct place *ret, struct why *why)
{
	const char *xdg = env_of("XDG_RUNTIME_DIR");
	struct place state;
	struct stat st;
	char run[32];
	bool found;
	enum err e = from_override(ret, "BANGER_RUNTIME_DIR", &found, why);

	if (e || found)
		return e;
	if (xdg && xdg[0] == '/')
		return set(ret, xdg, "/banger", why);
	snprintf(run, sizeof(run), "/run/user/%u", (unsigned)geteuid());
	if (stat(run, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == geteuid())
		return set(ret, run, "/banger", why);
	e = place_state(&state, why);
	return e ? e : set(ret, state.path, "/run", why);
}

static enum err fixed(struct place *p, const char *override, const char *path, struct why *why)
{
	bool found;
	enum err e = from_override(p, override, &found, why);

	return e || found ? e : set(p, path, "", why);
}

enum err place_system(struct place *state, struct place *runtime, struct why *why)
{
	enum err e = fixed(state, "BANGER_STATE_DIR", SYSTEM_STATE_DIR, why);

	return e ? e : fixed(runtime, "BANGER_RUNTIME_DIR", SYSTEM_RUNTIME_DIR, why);
}

enum err place_beneath(
	struct place *ret, const struct place *dir, const char *name, struct why *why)
{
	struct place from = *dir;
	char rest[256];

	must(strlen(name) < sizeof(rest) - 1);
	snprintf(rest, sizeof(rest), "/%s", name);
	return set(ret, from.path, rest, why);
}

/* Makes every directory above the last component that is missing. */
static enum err make_above(const struct place *p, struct why *why)
{
	struct place up = *p;

	for (char *s = strchr(up.path + 1, '/'); s; s = strchr(s + 1, '/')) {
		*s = '\0';
		if (mkdir(up.path, 0700) < 0 && errno != EEXIST)
			return fail_errno(why, "cannot make the directory %.300s", up.path);
		*s = '/';
	}
	return OK;
}

static enum err not_ours(const struct place *p, const char *what, struct why *why)
{
	fail(why, ERR_not_owned, "%.300s %s", p->path, what);
	return fail_hint(why, "move it away, or choose another place (BANGER_CONFIG_DIR, "
			      "BANGER_STATE_DIR, BANGER_DATA_DIR, BANGER_RUNTIME_DIR)");
}

static enum err check(const struct place *p, struct why *why)
{
	struct stat leaf, dir;
	own_fd fd = -1;

	if (lstat(p->path, &leaf) < 0)
		return fail_errno(why, "cannot look at %.300s", p->path);
	if (leaf.st_uid != geteuid())
		return not_ours(p, "belongs to another user", why);
	fd = open(p->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &dir) < 0)
		return fail_errno(why, "cannot open the directory %.300s", p->path);
	if (dir.st_uid != geteuid())
		return not_ours(p, "leads to a directory of another user", why);
	if (dir.st_mode & 022)
		return not_ours(p, "may be written by its group or by others (chmod go-w)", why);
	return OK;
}

enum err place_make(const struct place *p, struct why *why)
{
	enum err e;

	if (mkdir(p->path, 0700) == 0)
		return OK;
	if (errno == ENOENT) {
		e = make_above(p, why);
		if (e)
			return e;
		if (mkdir(p->path, 0700) == 0)
			return OK;
	}
	if (errno != EEXIST)
		return fail_errno(why, "cannot make the directory %.300s", p->path);
	return check(p, why);
}

/* Whether an installed daemon serves this user: root's metadata says so. */
static enum err installed(bool *ret, struct why *why)
{
	struct install in = { 0 };
	own_buf text = { 0 };
	struct arena mem;
	bool there;
	enum err e;

	*ret = false;
	if (access(SYSTEM_INSTALL_FILE, F_OK) < 0)
		return OK;
	arena_init(&mem, 64 * KiB);
	e = yaml_file(SYSTEM_INSTALL_FILE, YAML_ROOTS, &text, &there, why);
	if (!e && there)
		e = yaml_read(&shape_install, SYSTEM_INSTALL_FILE, (struct bytes){ text.p, text.n },
			&mem, &in, NULL, why);
	if (!e && there)
		*ret = in.owner_uid == geteuid() || geteuid() == 0;
	arena_done(&mem);
	return e;
}

enum err place_socket(struct place *ret, bool *system, struct why *why)
{
	struct place runtime;
	enum err e;

	*system = false;
	if (!env_of("BANGER_RUNTIME_DIR")) {
		e = installed(system, why);
		if (e)
			return e;
		if (*system)
			return set(ret, SYSTEM_SOCKET, "", why);
	}
	e = place_runtime(&runtime, why);
	if (!e)
		e = place_beneath(ret, &runtime, SOCKET_NAME, why);
	if (!e && strlen(ret->path) >= sizeof(((struct sockaddr_un *)0)->sun_path)) {
		fail_field(why, ERR_too_large, "BANGER_RUNTIME_DIR",
			"the path of a socket may have at most %zu bytes; %.120s... has %zu",
			sizeof(((struct sockaddr_un *)0)->sun_path) - 1, ret->path,
			strlen(ret->path));
		e = fail_hint(why, "set BANGER_RUNTIME_DIR to a shorter path");
	}
	return e;
}
