/*
 * sync.c - opens what file_sync names, and sends it when the machine is there.
 *
 * A name is resolved once; what it leads to is then opened beneath the home directory, crossing no
 * link, and only that descriptor is read. So nothing that changes meanwhile leads out of the home.
 */
#include "cli/sync.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "cli/report.h"
#include "cli/space.h"
#include "conf/config.h"

static enum err find_home(char ret[GIT_PATH_BYTES], struct why *why)
{
	const char *home = getenv("HOME");
	own_mem char *real = home && home[0] == '/' ? realpath(home, NULL) : NULL;

	if (!real || str_eq(real, "/") || !str_copy(ret, GIT_PATH_BYTES, real)) {
		fail(why, ERR_not_found, "file_sync needs a home directory");
		return fail_hint(why, "set HOME");
	}
	return OK;
}

/* Where the guest gets it: by default where it is here, told from the home. */
static const char *guest_path(struct cli *c, const struct file_sync *f)
{
	const char *slash = strrchr(f->from, '/');

	if (f->to)
		return strncmp(f->to, "~/", 2) == 0 ? f->to + 2 : f->to;
	if (strncmp(f->from, "~/", 2) == 0)
		return f->from + 2;
	return arena_str(&c->mem, slash ? slash + 1 : f->from);
}

static enum err outside(const struct file_sync *f, struct why *why)
{
	fail_field(why, ERR_denied, "file_sync", "%.200s lies outside of your home directory",
		f->from);
	return fail_hint(why, "file_sync copies files of the home only; see `banger config show`");
}

static enum err open_one(struct sync *s, struct cli *c, const struct file_sync *f, const char *home,
	int dir, struct why *why)
{
	size_t n = strlen(home);
	const char *path = f->from;
	own_mem char *real = NULL;
	own_fd fd = -1;
	struct stat st;

	if (strncmp(path, "~/", 2) == 0)
		path = arena_fmt(&c->mem, "%s/%s", home, path + 2);
	if (!path || path[0] != '/')
		return fail_field(why, ERR_invalid_value, "file_sync",
			"%.200s must begin with ~/ or /", f->from);
	real = realpath(path, NULL);
	if (!real && errno == ENOENT) {
		note(c, "file_sync: %s is not there", f->from);
		return OK;
	}
	if (!real)
		return fail_errno(why, "file_sync: cannot find %.200s", f->from);
	if (strncmp(real, home, n) != 0 || real[n] != '/')
		return outside(f, why);
	fd = at_open(dir, real + n + 1, O_RDONLY | O_NONBLOCK | O_NOCTTY,
		RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS);
	if (fd < 0 || fstat(fd, &st) < 0)
		return fail_errno(why, "file_sync: cannot open %.200s", f->from);
	if (!S_ISREG(st.st_mode))
		return fail_field(
			why, ERR_invalid_type, "file_sync", "%.200s is no regular file", f->from);
	s->files[s->n].to = guest_path(c, f);
	if (!s->files[s->n].to)
		return fail(why, ERR_no_memory, "no memory for a path");
	s->files[s->n++].fd = take_fd(&fd);
	return OK;
}

enum err sync_open(struct sync *s, struct cli *c, struct why *why)
{
	char home[GIT_PATH_BYTES];
	struct conf conf;
	own_fd dir = -1;
	enum err e;

	s->n = 0;
	e = conf_load(&conf, why);
	if (!e && conf.v.file_sync.n > 0) {
		e = find_home(home, why);
		dir = e ? -1 : open(home, O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (!e && dir < 0)
			e = fail_errno(why, "cannot open %.200s", home);
	}
	for (uint32_t i = 0; !e && i < MIN(conf.v.file_sync.n, (uint32_t)SYNC_MAX); i++) {
		struct file_sync f = conf.v.file_sync.v[i];

		f.from = arena_str(&c->mem, f.from);
		f.to = f.to ? arena_str(&c->mem, f.to) : NULL;
		e = f.from ? open_one(s, c, &f, home, dir, why) :
			     fail(why, ERR_no_memory, "no memory for a path");
	}
	conf_done(&conf);
	return e;
}

void sync_close(struct sync *s)
{
	while (s->n > 0)
		fd_done(&s->files[--s->n].fd);
}

void sync_skip(struct sync *s, struct cli *c)
{
	if (s->n > 0)
		note(c, "files of file_sync are not copied: the machine is not waited for");
	sync_close(s);
}

enum err sync_send(
	struct sync *s, struct cli *c, struct interrupts *i, const char *vm, struct why *why)
{
	enum err e = OK;

	for (unsigned k = 0; !e && k < s->n; k++) {
		struct space_where body = { .vm = vm, .dest = s->files[k].to };
		struct space_place place;

		e = ask(c, LETTER_space_where, &body, &place, why);
		if (!e)
			e = space_put_file(c, i, vm, &place, &s->files[k].fd, why);
		if (e)
			fail_hint(why, "it is named by file_sync of the configuration");
	}
	sync_close(s);
	return e;
}
