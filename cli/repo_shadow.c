/*
 * repo_shadow.c - the directory that git is pointed at in place of a repository.
 *
 * What a repository says of itself is copied: HEAD, refs, index, the list of shallow commits, its
 * own ignored files and attributes. Its configuration is read by git as a file of keys and
 * values, not as a configuration, and the few keys that say what files are go into one of ours.
 */
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "cli/file.h"
#include "cli/repo.h"

enum { DEPTH_MAX = 32, REF_BYTES_MAX = 4096 };

/* Keys that are taken over, and what they may say. */
static const struct {
	const char *key, *section, *name;
	const char *values; /* NULL: a truth value */
} wanted[] = {
	{ "core.filemode", "core", "filemode", NULL },
	{ "core.ignorecase", "core", "ignorecase", NULL },
	{ "core.symlinks", "core", "symlinks", NULL },
	{ "core.trustctime", "core", "trustctime", NULL },
	{ "core.sparsecheckout", "core", "sparseCheckout", NULL },
	{ "core.sparsecheckoutcone", "core", "sparseCheckoutCone", NULL },
	{ "core.autocrlf", "core", "autocrlf", " input true false " },
	{ "core.eol", "core", "eol", " lf crlf native " },
	{ "core.checkstat", "core", "checkStat", " default minimal " },
	{ "extensions.objectformat", "extensions", "objectFormat", " sha1 sha256 " },
};

static bool is_value(const char *values, const char *v)
{
	char word[34];

	if (strlen(v) > sizeof(word) - 3)
		return false;
	snprintf(word, sizeof(word), " %s ", v);
	return strstr(values ? values : " true false yes no on off 1 0 ", word) != NULL;
}

static void quote(struct buf *b, const char *s, size_t n)
{
	buf_str(b, "\"");
	for (size_t i = 0; i < n; i++) {
		if (s[i] == '"' || s[i] == '\\')
			buf_str(b, "\\");
		buf_add(b, s + i, 1);
	}
	buf_str(b, "\"");
}

/* branch.NAME.merge and the like, for the guest's git to tell of; a URL without its password. */
static void take_tracking(struct repo *r, const char *key, const char *value)
{
	static const char *const known[] = { "branch.", ".remote", "branch.", ".merge", "remote.",
		".fetch", "remote.", ".url" };
	const char *scheme = strstr(value, "://"), *at;
	size_t n = strlen(key), group = 6;

	for (const char *p = value; *p; p++)
		if ((unsigned char)*p < ' ')
			return;
	for (size_t i = 0; i < COUNT(known); i += 2) {
		size_t head = strlen(known[i]), tail = strlen(known[i + 1]);

		if (n <= head + tail || strncmp(key, known[i], head) != 0 ||
			!str_eq(key + n - tail, known[i + 1]) || strpbrk(key, "\n"))
			continue;
		buf_fmt(&r->tracking, "[%.*s ", (int)group, key);
		quote(&r->tracking, key + head, n - head - tail);
		buf_fmt(&r->tracking, "]\n\t%s = ", known[i + 1] + 1);
		at = scheme ? strchr(scheme + 3, '@') : NULL;
		if (at && at < scheme + 3 + strcspn(scheme + 3, "/")) {
			own_mem char *bare = NULL;

			if (asprintf(&bare, "%.*s%s", (int)(scheme + 3 - value), value, at + 1) > 0)
				quote(&r->tracking, bare, strlen(bare));
		} else {
			quote(&r->tracking, value, strlen(value));
		}
		buf_str(&r->tracking, "\n");
	}
}

/* key\nvalue\0 of `git config --list -z`; a key alone means true. */
static enum err take_setting(struct repo *r, char *pair, struct why *why)
{
	char *value = strchr(pair, '\n');

	if (value)
		*value++ = '\0';
	if (value)
		take_tracking(r, pair, value);
	if (str_eq(pair, "extensions.partialclone") ||
		(strncmp(pair, "remote.", 7) == 0 && strstr(pair, ".promisor")))
		r->partial = true;
	if (str_eq(pair, "extensions.refstorage") && value && !str_eq(value, "files"))
		return fail(why, ERR_unsupported, "the repository keeps its refs in %.40s", value);
	for (size_t i = 0; i < COUNT(wanted); i++)
		if (str_eq(pair, wanted[i].key) &&
			is_value(wanted[i].values, value ? value : "true")) {
			buf_fmt(&r->settings, "[%s]\n\t%s = %s\n", wanted[i].section,
				wanted[i].name, value ? value : "true");
			r->sha256 |= str_eq(pair, "extensions.objectformat") && value &&
				     str_eq(value, "sha256");
		}
	return r->settings.failed ? fail(why, ERR_too_large, "too much configuration") : OK;
}

static enum err take_settings(struct repo *r, struct git *g, const char *dir, const char *from,
	const char *name, struct why *why)
{
	own_buf said = { .max = REPO_FILE_MAX };
	char copy[GIT_PATH_BYTES];
	bool there;
	enum err e = repo_copy(from, name, dir, REPO_FILE_MAX, &there, why);

	if (e || !there)
		return e;
	e = repo_path(copy, dir, name, why);
	if (!e) {
		struct git_call k = { .args = GIT_ARGS("config", "--file", copy, "--no-includes",
					      "--list", "-z"),
			.out = &said,
			.own_config = true };

		e = git_call(g, &k, why);
		if (!e && k.code)
			e = fail(why, ERR_invalid_value, "its configuration cannot be read");
	}
	(void)unlink(copy);
	buf_add(&said, "", 1);
	for (size_t i = 0; !e && i + 1 < said.n; i += strlen((char *)said.p + i) + 1)
		e = take_setting(r, (char *)said.p + i, why);
	return e;
}

/* The user's own list of ignored files. */
static enum err take_excludes(struct repo *r, struct git *g, struct why *why)
{
	own_buf said = { .max = 64 * KiB };
	struct git_call k = { .args = GIT_ARGS("config", "--global", "--type=path", "--get",
				      "core.excludesFile"),
		.out = &said,
		.own_config = true };
	enum err e = git_call(g, &k, why);
	const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");

	while (said.n && said.p[said.n - 1] == '\n')
		said.n--;
	r->excludes[0] = '\0';
	if (!e && k.code == 0 && said.n && strchr(buf_cstr(&said), '/') == buf_cstr(&said))
		str_copy(r->excludes, sizeof(r->excludes), buf_cstr(&said));
	else if (config && config[0] == '/')
		(void)!repo_path(r->excludes, config, "git/ignore", NULL);
	else if (home && home[0] == '/')
		(void)!repo_path(r->excludes, home, ".config/git/ignore", NULL);
	return e;
}

static enum err make_dir(const char *dir, const char *name, struct why *why)
{
	char path[GIT_PATH_BYTES];
	enum err e = repo_path(path, dir, name, why);

	if (!e && mkdir(path, 0755) < 0 && errno != EEXIST)
		e = fail_errno(why, "cannot make %.200s", path);
	return e;
}

static enum err copy_refs(int from, int to, unsigned depth, unsigned *n, struct why *why);

static enum err copy_ref(
	int from, int to, const char *name, unsigned depth, unsigned *n, struct why *why)
{
	own_fd a = openat(from, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	char text[REF_BYTES_MAX];
	own_fd b = -1;
	struct stat st;
	ssize_t got;

	if (a < 0 || fstat(a, &st) < 0)
		return OK; /* a link, or gone */
	if (S_ISDIR(st.st_mode)) {
		if (mkdirat(to, name, 0755) < 0 && errno != EEXIST)
			return fail_errno(why, "cannot copy the refs");
		b = openat(to, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		return b < 0 ? fail_errno(why, "cannot copy the refs") :
			       copy_refs(a, b, depth + 1, n, why);
	}
	if (!S_ISREG(st.st_mode) || st.st_size > REF_BYTES_MAX)
		return OK;
	if (++*n > REFS_MAX)
		return fail(why, ERR_too_large,
			"the repository has more than %d refs outside of "
			"packed-refs (`git pack-refs --all` packs them)",
			REFS_MAX);
	got = read(a, text, sizeof(text));
	b = openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (got < 0 || b < 0 || write(b, text, (size_t)got) != got)
		return fail_errno(why, "cannot copy the ref %.100s", name);
	return OK;
}

static enum err copy_refs(int from, int to, unsigned depth, unsigned *n, struct why *why)
{
	int fd = depth < DEPTH_MAX ? fcntl(from, F_DUPFD_CLOEXEC, 3) : -1;
	own_dir d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;
	enum err err = OK;

	if (!d && fd >= 0)
		close(fd);
	if (!d)
		return fail(why, ERR_too_large, "the refs cannot be listed");
	while (!err && (e = readdir(d)) != NULL)
		if (!str_eq(e->d_name, ".") && !str_eq(e->d_name, ".."))
			err = copy_ref(from, to, e->d_name, depth, n, why);
	return err;
}

static enum err take_refs(const struct repo *r, const char *dir, struct why *why)
{
	char from[GIT_PATH_BYTES], to[GIT_PATH_BYTES];
	own_fd a = -1;
	own_fd b = -1;
	unsigned n = 0;
	bool there;
	enum err e = repo_path(from, r->common, "refs", why);

	if (!e)
		e = repo_path(to, dir, "refs", why);
	if (!e)
		e = make_dir(dir, "refs", why);
	if (e)
		return e;
	a = open(from, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	b = open(to, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (a < 0 || b < 0)
		return fail_errno(why, "cannot read %.200s", from);
	e = copy_refs(a, b, 0, &n, why);
	return e ? e : repo_copy(r->common, "packed-refs", dir, REPO_FILE_MAX, &there, why);
}

/* A split index has its larger part in another file. */
static enum err take_shared_index(const struct repo *r, const char *dir, struct why *why)
{
	own_dir d = opendir(r->dir);
	struct dirent *e;
	enum err err = OK;
	bool there;

	while (d && !err && (e = readdir(d)) != NULL)
		if (strncmp(e->d_name, "sharedindex.", 12) == 0)
			err = repo_copy(r->dir, e->d_name, dir, INDEX_BYTES_MAX, &there, why);
	return err;
}

static enum err take_index(struct repo *r, const char *dir, struct why *why)
{
	char path[GIT_PATH_BYTES];
	struct stat st;
	bool there;
	enum err e = repo_copy(r->dir, "index", dir, INDEX_BYTES_MAX, &there, why);

	r->index_ns = 0;
	r->index_size = 0;
	if (!e && there)
		e = repo_path(path, dir, "index", why);
	if (e || !there)
		return e;
	if (stat(path, &st) < 0)
		return fail_errno(why, "cannot read the index");
	r->index_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
	r->index_size = (uint64_t)st.st_size;
	return take_shared_index(r, dir, why);
}

static enum err write_config(struct repo *r, const char *dir, struct why *why)
{
	own_buf text = { .max = 256 * KiB };

	buf_fmt(&text,
		"[core]\n\trepositoryformatversion = %d\n\tbare = false\n"
		"\thooksPath = /dev/null\n\tfsmonitor = false\n\tuntrackedCache = false\n"
		"\tattributesFile = /dev/null\n",
		r->sha256 ? 1 : 0);
	if (r->excludes[0] && !strpbrk(r->excludes, "\"\\\n"))
		buf_fmt(&text, "\texcludesFile = \"%s\"\n", r->excludes);
	buf_add(&text, r->settings.p, r->settings.n);
	buf_str(&text, "[gc]\n\tauto = 0\n[maintenance]\n\tauto = false\n[protocol]\n"
		       "\tallow = never\n[transfer]\n\tfsckObjects = true\n");
	return text.failed ? fail(why, ERR_no_memory, "no memory for a configuration") :
			     repo_write(dir, "config", buf_bytes(&text), why);
}

/* Where new objects go; what is not there is looked for in the repository. */
static enum err borrow(const struct repo *r, const char *objects, struct why *why)
{
	own_buf text = { .max = 64 * KiB };
	char path[GIT_PATH_BYTES];
	enum err e;

	if (strchr(r->common, '\n'))
		return fail(why, ERR_unsupported, "the repository's path has a newline");
	if (mkdir(objects, 0755) < 0 && errno != EEXIST)
		return fail_errno(why, "cannot make %.200s", objects);
	e = make_dir(objects, "info", why);
	if (!e)
		e = repo_path(path, objects, "info/alternates", why);
	if (!e)
		(void)unlink(path);
	buf_fmt(&text, "%s/objects\n", r->common);
	return e ? e : repo_write(objects, "info/alternates", buf_bytes(&text), why);
}

enum err repo_shadow(
	struct repo *r, struct git *g, const char *dir, const char *objects, struct why *why)
{
	static const char *const shared[] = { "shallow", "info/exclude", "info/attributes" };
	bool there;
	enum err e = mkdir(dir, 0755) < 0 ? fail_errno(why, "cannot make %.200s", dir) : OK;

	r->settings.n = r->tracking.n = 0;
	r->sha256 = r->partial = false;
	if (!e)
		e = take_settings(r, g, dir, r->common, "config", why);
	if (!e)
		e = take_settings(r, g, dir, r->dir, "config.worktree", why);
	if (!e)
		e = take_excludes(r, g, why);
	if (!e)
		e = write_config(r, dir, why);
	if (!e)
		e = make_dir(dir, "info", why);
	if (!e)
		e = make_dir(dir, "objects", why);
	for (size_t i = 0; !e && i < COUNT(shared); i++)
		e = repo_copy(r->common, shared[i], dir, REPO_FILE_MAX, &there, why);
	if (!e)
		e = repo_copy(r->dir, "info/sparse-checkout", dir, REPO_FILE_MAX, &there, why);
	if (!e)
		e = repo_copy(r->dir, "HEAD", dir, REPO_FILE_MAX, &there, why);
	if (!e && !there)
		e = fail(why, ERR_invalid_value, "%.200s has no HEAD", r->dir);
	if (!e)
		e = take_refs(r, dir, why);
	if (!e)
		e = take_index(r, dir, why);
	if (!e)
		e = borrow(r, objects, why);
	if (!e && (!str_copy(g->dir, sizeof(g->dir), dir) ||
			  !str_copy(g->work, sizeof(g->work), r->top) ||
			  !str_copy(g->objects, sizeof(g->objects), objects)))
		e = fail(why, ERR_too_large, "a path is too long");
	return e;
}
