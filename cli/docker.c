/*
 * docker.c - where docker and podman keep passwords on this host, and asking their helpers.
 */
#include "cli/docker.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/text.h"
#include "cli/file.h"
#include "cli/spawn.h"
#include "conf/places.h"

enum { HELPED_MAX = 65536 };

/* A credential helper knows Docker's own registry by its old address. */
static const char *server_of(const struct reference *ref)
{
	return str_eq(ref->host, DOCKER_HOST) ? "https://" DOCKER_INDEX "/v1/" : ref->host;
}

static enum err give_name(const char *name, int *ret, struct why *why)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return fail_errno(why, "cannot make a pipe");
	*ret = ends[0];
	if (write(ends[1], name, strlen(name)) < 0)
		fail_errno(why, "cannot ask a credential helper");
	else
		why->code = OK;
	close(ends[1]);
	return why->code;
}

static void read_all(int fd, struct buf *b)
{
	char piece[4096];
	ssize_t n;

	do {
		n = read(fd, piece, sizeof(piece));
		if (n > 0)
			buf_add(b, piece, (size_t)n);
	} while (n > 0 || (n < 0 && errno == EINTR));
}

/* One that knows nothing of the registry fails, and says "not found". */
static enum err run_helper(const char *program, const struct reference *ref, struct arena *a,
	struct docker_login *ret, struct why *why)
{
	const char *const argv[] = { program, "get", NULL };
	char path[PLACE_BYTES];
	own_buf said = { .max = HELPED_MAX };
	own_fd in = -1, out = -1;
	pid_t pid;
	enum err e = program_path(program, path, sizeof(path), why);

	if (!e)
		e = give_name(server_of(ref), &in, why);
	if (!e)
		e = spawn_fed_at(path, argv, in, &pid, &out, why);
	if (e)
		return e;
	read_all(out, &said);
	e = spawn_wait(pid, program, why);
	if (e && strstr(buf_cstr(&said), "not found"))
		return OK;
	return e ? e : docker_helped((struct bytes){ said.p, said.n }, a, ret, why);
}

static enum err try_file(const char *path, const struct reference *ref, struct arena *a,
	struct docker_login *ret, struct why *why)
{
	own_buf text = { .max = FILE_BYTES_MAX };
	const char *helper = NULL;
	char program[96];
	bool there = false;
	struct why inner;
	enum err e = file_read(path, &text, &there, &inner);

	if (!e && there)
		e = docker_file((struct bytes){ text.p, text.n }, ref, a, ret, &helper, &inner);
	if (!e && helper) {
		snprintf(program, sizeof(program), "docker-credential-%s", helper);
		e = run_helper(program, ref, a, ret, &inner);
	}
	if (!e)
		return OK;
	fail(why, e, "%.120s: %.200s", path, inner.text);
	return fail_hint(why, "mend it, or `--anonymous` asks without a password");
}

enum err docker_login(
	const struct reference *ref, struct arena *a, struct docker_login *ret, struct why *why)
{
	static const struct {
		const char *variable, *beneath;
	} places[] = { { "DOCKER_CONFIG", "/config.json" }, { "REGISTRY_AUTH_FILE", "" },
		{ "HOME", "/.docker/config.json" }, { "XDG_RUNTIME_DIR", "/containers/auth.json" },
		{ "HOME", "/.config/containers/auth.json" } };
	bool own_docker = getenv("DOCKER_CONFIG") != NULL;
	char path[PLACE_BYTES];

	*ret = (struct docker_login){ .username = NULL };
	for (size_t i = 0; i < COUNT(places) && !ret->username && !ret->token; i++) {
		const char *at = getenv(places[i].variable);
		enum err e;

		if (!at || !*at || (own_docker && i == 2) ||
			(size_t)snprintf(path, sizeof(path), "%s%s", at, places[i].beneath) >=
				sizeof(path))
			continue;
		e = try_file(path, ref, a, ret, why);
		if (e)
			return e;
	}
	return OK;
}
