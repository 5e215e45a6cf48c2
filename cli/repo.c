/*
 * repo.c - finds a repository: its working tree, its own git directory, the one that it shares.
 *
 * A `.git` that is a file leads somewhere else, and a hostile one to a repository that is none of
 * its business, whose history would then go into a guest. So the place that it leads to must know
 * of it: a worktree's by its `gitdir` file, a submodule's by core.worktree. For the same reason
 * objects are not read through links, nor from another object directory unless the user says so.
 */
#include "cli/repo.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"

enum { LINE_MAX_BYTES = 4096 };

enum err repo_path(char ret[GIT_PATH_BYTES], const char *dir, const char *name, struct why *why)
{
	int n = name[0] == '/' ? snprintf(ret, GIT_PATH_BYTES, "%s", name) :
				 snprintf(ret, GIT_PATH_BYTES, "%s/%s", dir, name);

	return n < GIT_PATH_BYTES ? OK :
				    fail(why, ERR_too_large, "the path %.100s... is too long", dir);
}

static enum err real(const char *path, char ret[GIT_PATH_BYTES], struct why *why)
{
	char *got = realpath(path, NULL);
	bool fits = got && str_copy(ret, GIT_PATH_BYTES, got);

	if (!got)
		return fail_errno(why, "cannot find %.200s", path);
	free(got);
	return fits ? OK : fail(why, ERR_too_large, "the path %.100s... is too long", path);
}

/* A file of one line, behind `prefix`; "" when there is none. */
static enum err read_line(const char *dir, const char *name, const char *prefix,
	char ret[GIT_PATH_BYTES], struct why *why)
{
	char path[GIT_PATH_BYTES], text[LINE_MAX_BYTES + 1];
	size_t skip = strlen(prefix);
	struct stat st;
	own_fd fd = -1;
	ssize_t n;

	ret[0] = '\0';
	if (repo_path(path, dir, name, why))
		return why->code;
	fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return OK;
	if (fd < 0 || fstat(fd, &st) < 0)
		return fail_errno(why, "cannot read %.200s", path);
	n = S_ISREG(st.st_mode) ? read(fd, text, LINE_MAX_BYTES) : -1;
	if (n < (ssize_t)skip || memcmp(text, prefix, skip) != 0)
		return fail(why, ERR_invalid_value, "%.200s is not what git writes", path);
	while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == '\r'))
		n--;
	text[n] = '\0';
	return str_copy(ret, GIT_PATH_BYTES, text + skip) ?
		       OK :
		       fail(why, ERR_too_large, "%.200s names too long a path", path);
}

static bool is_dir(const char *dir, const char *name)
{
	char path[GIT_PATH_BYTES];
	struct stat st;

	return !repo_path(path, dir, name, NULL) && lstat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static bool is_there(const char *dir, const char *name)
{
	char path[GIT_PATH_BYTES];
	struct stat st;

	return !repo_path(path, dir, name, NULL) && lstat(path, &st) == 0;
}

static enum err none(const char *path, struct why *why)
{
	fail_field(why, ERR_not_found, "path", "%.200s is in no git repository", path);
	return fail_hint(why, "`git init` makes one; `banger vm cp` copies plain directories");
}

/* The directory above path that has a .git. */
static enum err find_top(struct repo *r, const char *path, struct why *why)
{
	struct stat st;
	enum err e = real(path, r->top, why);

	if (e)
		return e;
	if (stat(r->top, &st) < 0 || !S_ISDIR(st.st_mode))
		return fail_field(why, ERR_invalid_value, "path", "%.200s is no directory", path);
	for (;;) {
		char *slash = strrchr(r->top, '/');

		if (is_there(r->top, ".git"))
			return OK;
		if (is_there(r->top, "HEAD") && is_dir(r->top, "objects") && is_dir(r->top, "refs"))
			return fail_field(why, ERR_unsupported, "path",
				"%.200s is a repository without a working tree", r->top);
		if (!slash || slash == r->top)
			return none(path, why);
		*slash = '\0';
	}
}

/* Whether the git directory of a .git file says that it is this one's. */
static bool knows(const struct repo *r, const char *gitfile, struct why *why)
{
	char said[GIT_PATH_BYTES], path[GIT_PATH_BYTES], back[GIT_PATH_BYTES];
	own_buf text = { .max = REPO_FILE_MAX };
	const char *at;
	bool there;

	if (read_line(r->dir, "gitdir", "", said, why) == OK && said[0])
		return !repo_path(path, r->dir, said, why) && real(path, back, why) == OK &&
		       str_eq(back, gitfile);
	if (repo_path(path, r->dir, "config", why) || repo_read(path, &text, &there, why) || !there)
		return false;
	/* a submodule's: git writes the key in this form */
	at = strstr(buf_cstr(&text), "\tworktree = ");
	if (!at || sscanf(at, "\tworktree = %4095[^\n]", said) != 1)
		return false;
	return !repo_path(path, r->dir, said, why) && real(path, back, why) == OK &&
	       str_eq(back, r->top);
}

static enum err find_dirs(struct repo *r, struct why *why)
{
	char path[GIT_PATH_BYTES], said[GIT_PATH_BYTES], file[GIT_PATH_BYTES];
	enum err e = repo_path(path, r->top, ".git", why);

	if (!e && is_dir(r->top, ".git")) {
		e = str_copy(r->dir, sizeof(r->dir), path) ? OK : none(r->top, why);
	} else if (!e) {
		str_copy(file, sizeof(file), path);
		e = read_line(r->top, ".git", "gitdir: ", said, why);
		if (!e)
			e = repo_path(path, r->top, said, why);
		if (!e)
			e = real(path, r->dir, why);
		if (!e && !knows(r, file, why)) {
			fail(why, ERR_denied, "%.150s leads to %.150s, which does not know of it",
				file, r->dir);
			return fail_hint(why, "`git worktree repair` mends a worktree that moved");
		}
	}
	if (!e)
		e = read_line(r->dir, "commondir", "", said, why);
	if (!e)
		e = repo_path(path, r->dir, said[0] ? said : ".", why);
	if (!e)
		e = real(path, r->common, why);
	if (e || !said[0])
		return e;
	/* COMMON/worktrees/NAME */
	str_copy(path, sizeof(path), r->dir);
	for (int i = 0; i < 2 && strrchr(path, '/'); i++)
		*strrchr(path, '/') = '\0';
	return str_eq(path, r->common) ?
		       OK :
		       fail(why, ERR_denied, "%.200s is no worktree of %.150s", r->dir, r->common);
}

/* Objects must be the repository's own: no link among what git would read, two levels deep. */
static enum err no_links(const char *dir, unsigned deep, struct why *why)
{
	own_dir d = opendir(dir);
	enum err err = d ? OK : fail_errno(why, "cannot list %.200s", dir);
	char path[GIT_PATH_BYTES];
	struct dirent *e;
	struct stat st;

	while (!err && (e = readdir(d)) != NULL) {
		bool dot = str_eq(e->d_name, ".") || str_eq(e->d_name, "..");

		if (dot || e->d_type == DT_REG || (e->d_type == DT_DIR && deep == 0))
			continue;
		if (fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
			err = fail(why, ERR_denied,
				"%.200s/%.60s is a link: objects must be the "
				"repository's own",
				dir, e->d_name);
		else if (S_ISDIR(st.st_mode) && deep > 0 && !repo_path(path, dir, e->d_name, why))
			err = no_links(path, deep - 1, why);
	}
	return err;
}

static enum err check_objects(const struct repo *r, bool alternates, struct why *why)
{
	char path[GIT_PATH_BYTES];
	struct stat st;
	enum err e = repo_path(path, r->common, "objects", why);

	if (e)
		return e;
	if (!is_dir(r->common, "objects") || !is_dir(r->common, "refs") ||
		!is_there(r->dir, "HEAD"))
		return none(r->top, why);
	e = no_links(path, 1, why);
	if (!e)
		e = repo_path(path, r->common, "objects/info/alternates", why);
	if (e || alternates || lstat(path, &st) < 0 || st.st_size == 0)
		return e;
	fail(why, ERR_denied, "the repository borrows objects of another one (%.200s)", path);
	return fail_hint(why, "--alternates allows it, if you know where they come from; "
			      "`git repack -a -d` and removing that file makes it whole");
}

enum err repo_find(struct repo *r, const char *path, bool alternates, struct why *why)
{
	enum err e;

	*r = (struct repo){ .index_ns = 0 };
	buf_init(&r->settings, 64 * KiB);
	buf_init(&r->tracking, MiB);
	e = find_top(r, path, why);
	if (!e)
		e = find_dirs(r, why);
	if (!e && is_there(r->common, "reftable"))
		e = fail(why, ERR_unsupported, "the repository keeps its refs in reftable");
	return e ? e : check_objects(r, alternates, why);
}

void repo_done(struct repo *r)
{
	buf_done(&r->settings);
	buf_done(&r->tracking);
}

enum err repo_write(const char *dir, const char *name, struct bytes content, struct why *why)
{
	char path[GIT_PATH_BYTES];
	own_fd fd = -1;
	size_t done = 0;

	if (repo_path(path, dir, name, why))
		return why->code;
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
	while (fd >= 0 && done < content.n) {
		ssize_t n = write(fd, content.p + done, content.n - done);

		if (n < 0 && errno != EINTR)
			break;
		done += n > 0 ? (size_t)n : 0;
	}
	return fd < 0 || done < content.n ? fail_errno(why, "cannot write %.200s", path) : OK;
}

static enum err copy_all(int from, int to, const char *name, uint64_t max, struct why *why)
{
	uint64_t done = 0;
	ssize_t n;

	while ((n = copy_file_range(from, NULL, to, NULL, 1 << 20, 0)) > 0)
		if ((done += (uint64_t)n) > max)
			break;
	if (n < 0 && done == 0) { /* between file systems that cannot */
		uint8_t chunk[65536];

		while ((n = read(from, chunk, sizeof(chunk))) > 0 && done <= max) {
			if (write(to, chunk, (size_t)n) != n)
				return fail_errno(why, "cannot copy %.100s", name);
			done += (uint64_t)n;
		}
	}
	if (n < 0)
		return fail_errno(why, "cannot copy %.100s", name);
	return done > max ? fail(why, ERR_too_large, "%.100s is too large", name) : OK;
}

enum err repo_read(const char *path, struct buf *ret, bool *there, struct why *why)
{
	own_fd fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	uint8_t chunk[65536];
	struct stat st;
	ssize_t n = 1;

	*there = fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
	if (fd < 0 && errno != ENOENT && errno != ENOTDIR)
		return fail_errno(why, "cannot read %.200s", path);
	while (*there && n > 0) {
		n = read(fd, chunk, sizeof(chunk));
		if (n < 0 && errno != EINTR)
			return fail_errno(why, "cannot read %.200s", path);
		n = n < 0 ? 1 : n;
		buf_add(ret, chunk, (size_t)n);
	}
	return ret->failed ? fail(why, ERR_too_large, "%.200s is too large", path) : OK;
}

enum err repo_copy_file(const char *from, const char *to, uint64_t max, bool *there,
	struct why *why)
{
	own_fd in = open(from, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct timespec times[2];
	own_fd out = -1;
	struct stat st;
	enum err e;

	*there = in >= 0 && fstat(in, &st) == 0 && S_ISREG(st.st_mode);
	if (in < 0 && errno != ENOENT && errno != ENOTDIR)
		return fail_errno(why, "cannot read %.200s", from);
	if (!*there)
		return OK;
	out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
	if (out < 0)
		return fail_errno(why, "cannot write %.200s", to);
	e = copy_all(in, out, from, max, why);
	times[0] = times[1] = st.st_mtim;
	if (!e && futimens(out, times) < 0)
		e = fail_errno(why, "cannot write %.200s", to);
	return e;
}

enum err repo_copy(const char *from_dir, const char *name, const char *to_dir, uint64_t max,
	bool *there, struct why *why)
{
	char from[GIT_PATH_BYTES], to[GIT_PATH_BYTES];
	enum err e = repo_path(from, from_dir, name, why);

	if (!e)
		e = repo_path(to, to_dir, name, why);
	return e ? e : repo_copy_file(from, to, max, there, why);
}
