/*
 * image.c - the job work.image: root.ext4 and work.ext4 from a tar of a root filesystem or from a
 * docker or podman archive, and what is in them.
 */
#include "worker/bundle.h"
#include "worker/image.h"

#include <archive_entry.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

enum { ETC_MAX = MiB };
#define ROOT_SIZE (16 * GiB) /* sparse; content is not known when the file system begins */

bool is_archive_name(const char *path)
{
	static const char *const names[] = { "blobs", "index.json", "oci-layout", "manifest.json",
		"repositories" };
	size_t n;

	while (path[0] == '.' && path[1] == '/')
		path += 2;
	n = strcspn(path, "/");
	for (size_t i = 0; i < COUNT(names); i++)
		if (n == strlen(names[i]) && memcmp(path, names[i], n) == 0)
			return true;
	if (strspn(path, "0123456789abcdef") < 64)
		return false;
	path += 64;
	return path[0] == '\0' || path[0] == '/' || str_eq(path, ".tar") ||
		str_eq(path, ".json") || str_eq(path, ".tar.gz");
}

static bool is_root_entry(const char *path)
{
	return str_eq(path, ".") || str_eq(path, "./") || str_eq(path, "/");
}

static enum err apply_tar(struct image *im, struct source *s, struct why *why)
{
	own_archive a = NULL;
	enum err e = open_tar(s, &a, why);

	if (!e)
		e = unpack_tar(&im->unpack, a, s, why);
	if (!e)
		e = check_end(a, why);
	if (!e && im->tree.count == 0)
		e = fail(why, ERR_invalid_value, "the archive holds no files");
	return e;
}

/*
 * Looks at the head of the input without using it up, by reading a copy of it as a tar. A
 * compressed head cut short still yields its first names.
 */
static enum err head_next(struct source *s, const uint8_t **p, size_t *n, struct why *why UNUSED)
{
	struct bytes *head = s->ctx;

	*p = head->p;
	*n = head->n;
	head->n = 0;
	return OK;
}

static enum err guess(struct source *s, enum pack_kind *ret, struct why *why)
{
	own_archive a = NULL;
	struct archive_entry *e = NULL;
	struct source copy;
	struct bytes head;
	enum err err = source_peek(s, SOURCE_HEAD, &head, why);

	*ret = pack_kind_tar;
	if (err)
		return err;
	if (head.n == 0)
		return fail(why, ERR_invalid_value, "the input is empty");
	source_init(&copy, head_next, &head, 0);
	if (open_tar(&copy, &a, NULL))
		return OK; /* told properly when it is read in earnest */
	while (!next_entry(a, &copy, &e, NULL) && e) {
		const char *path = archive_entry_pathname(e);

		if (!path || is_root_entry(path))
			continue;
		if (is_bundle_name(path))
			*ret = pack_kind_bundle;
		else if (is_archive_name(path))
			*ret = pack_kind_archive;
		break;
	}
	return OK;
}

/* *ret is NULL when it is not there, or a link to it leads nowhere. */
static enum err look_up(struct image *im, const char *path, struct node **ret, struct why *why)
{
	enum err e = tree_find(&im->tree, path, ret, why);

	if (e)
		*ret = NULL;
	return e == ERR_no_memory ? e : OK;
}

enum err image_text(struct image *im, const char *path, size_t max, char **ret, size_t *ret_n,
	struct why *why)
{
	struct node *n;
	enum err e;

	*ret = NULL;
	*ret_n = 0;
	e = look_up(im, path, &n, why);
	if (e || !n || !S_ISREG(n->mode))
		return e;
	e = ext4_read(im->tree.fs, n->ino, max, ret, ret_n, why);
	return e ? fail_entry(why, path) : OK;
}

enum err image_find_user(struct image *im, struct why *why)
{
	own_mem char *passwd = NULL, *group = NULL;
	const char *who = im->ask.user ? im->ask.user : im->config.user;
	size_t passwd_n, group_n;
	enum err e;

	e = image_text(im, "/etc/passwd", ETC_MAX, &passwd, &passwd_n, why);
	if (!e)
		e = image_text(im, "/etc/group", ETC_MAX, &group, &group_n, why);
	if (!e)
		e = etc_user_find((struct bytes){ (uint8_t *)passwd, passwd_n },
			(struct bytes){ (uint8_t *)group, group_n }, who ? who : "0", &im->user,
			why);
	if (e)
		return e;
	etc_home(&im->user, im->home, sizeof(im->home));
	im->config.user = who;
	if (im->ask.services.n > 0) {
		im->config.services.v = im->ask.services.v;
		im->config.services.n = im->ask.services.n;
	}
	return OK;
}

const char *host_arch(void)
{
	struct utsname u;

	return uname(&u) == 0 && str_eq(u.machine, "aarch64") ? "arm64" : "amd64";
}

static enum err is_program(struct image *im, const struct node *n, bool *ret, struct why *why)
{
	struct meta m = { .mode = 0 };
	enum err e = S_ISREG(n->mode) ? ext4_meta(im->tree.fs, n->ino, &m, why) : OK;

	*ret = (m.mode & 0111) != 0;
	return e;
}

static enum err find_init(struct image *im, enum init_kind *ret, struct why *why)
{
	static const char *const places[] = { "/sbin/init", "/lib/systemd/systemd",
		"/usr/lib/systemd/systemd", "/etc/init", "/bin/init", "/init" };

	for (size_t i = 0; i < COUNT(places); i++) {
		bool program = false;
		const char *name;
		struct node *n;
		size_t len;
		enum err e = look_up(im, places[i], &n, why);

		if (!e && n)
			e = is_program(im, n, &program, why);
		if (e)
			return e;
		if (!program)
			continue;
		name = node_name(n, &len);
		*ret = len == 7 && memcmp(name, "systemd", 7) == 0 ? init_kind_systemd :
								     init_kind_other;
		return OK;
	}
	*ret = init_kind_none;
	return OK;
}

static enum err find_os(struct image *im, char *out, size_t size, struct why *why)
{
	static const char *const places[] = { "/etc/os-release", "/usr/lib/os-release" };

	for (size_t i = 0; i < COUNT(places); i++) {
		own_mem char *text = NULL;
		size_t n;
		enum err e = image_text(im, places[i], ETC_MAX, &text, &n, why);

		if (e)
			return e;
		if (text && etc_release((struct bytes){ (uint8_t *)text, n }, "PRETTY_NAME", out,
				     size))
			return OK;
	}
	snprintf(out, size, "Linux");
	return OK;
}

static int hex_value(char c)
{
	return c <= '9' ? c - '0' : c - 'a' + 10;
}

void name_of(const char *digest, uint8_t kind, uint8_t uuid[16])
{
	const char *hex = digest + strlen("sha256:");

	for (int i = 0; i < 16; i++)
		uuid[i] = (uint8_t)(hex_value(hex[2 * i]) << 4 | hex_value(hex[2 * i + 1]));
	uuid[0] = (uint8_t)(uuid[0] + kind);
	uuid[6] = (uint8_t)((uuid[6] & 0x0f) | 0x80);
	uuid[8] = (uint8_t)((uuid[8] & 0x3f) | 0x80);
}

enum err used_bytes(int fd, uint64_t *ret, struct why *why)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return fail_errno(why, "cannot measure a file");
	*ret = (uint64_t)st.st_blocks * 512;
	return OK;
}

static enum err begin(struct image *im, int *ret_fd, struct why *why)
{
	struct ext4_spec spec = { .size = im->ask.has_size ? im->ask.size : ROOT_SIZE,
		.label = "root" };
	own_fd fd = -1, second = -1;
	struct ext4 *fs;
	enum err e = job_create(im->job, "root.ext4", &fd, why);

	if (e)
		return e;
	second = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (second < 0)
		return fail_errno(why, "cannot hold the image");
	e = ext4_new(take_fd(&fd), &spec, &fs, why);
	if (!e)
		e = tree_init(&im->tree, fs, im->ask.files_max, why);
	if (e)
		return e;
	im->unpack = (struct unpack){ .tree = &im->tree, .job = im->job,
		.content_max = im->ask.content_max, .entries_max = im->ask.files_max };
	*ret_fd = take_fd(&second);
	return OK;
}

struct input { /* of an import */
	struct source s;
	enum pack_kind kind;
};

static enum err input_open(struct input *in, struct job *j, const struct work_image *ask,
	struct why *why)
{
	enum err e = job_source(j, &in->s, ask->content_max + ask->content_max / 4 + GiB, why);

	in->kind = ask->format;
	return !e && in->kind == pack_kind_auto ? guess(&in->s, &in->kind, why) : e;
}

static enum err apply_stream(struct image *im, void *ctx, struct why *why)
{
	struct input *in = ctx;
	bool archive = in->kind == pack_kind_archive;
	enum err e = archive ? archive_apply(im, &in->s, why) : apply_tar(im, &in->s, why);

	if (!e)
		e = source_drain(&in->s, why);
	return !e && !archive ? source_digest(&in->s, im->digest, why) : e;
}

enum err image_state_facts(struct image *im, uint64_t size, struct image_facts *f, struct why *why)
{
	enum init_kind init;
	char os[129];
	enum err e = find_os(im, os, sizeof(os), why);

	if (!e)
		e = find_init(im, &init, why);
	if (e)
		return e;
	*f = (struct image_facts){
		.size = size,
		.files = im->tree.count,
		.init = init,
		.os = arena_str(&im->job->arena, os),
		.home = arena_str(&im->job->arena, im->home),
		.uid = im->user.uid,
		.gid = im->user.gid,
		.digest = arena_str(&im->job->arena, im->digest),
		.reference = im->reference,
		.config = im->config,
	};
	return f->os && f->home && f->digest ? OK : fail(why, ERR_no_memory, "no memory");
}

static enum err build(struct image *im, image_fill_fn *fill, void *ctx, int fd,
	struct image_facts *f, struct why *why)
{
	uint64_t size = im->ask.has_size ? im->ask.size / EXT4_BLOCK * EXT4_BLOCK : ROOT_SIZE;
	uint64_t root = 0, work = 0;
	uint8_t uuid[16];
	enum err e = fill(im, ctx, why);

	if (!e)
		e = image_find_user(im, why);
	if (!e)
		e = image_state_facts(im, size, f, why);
	if (!e)
		e = seed_build(im, &work, why);
	if (!e)
		e = tree_write(&im->tree, why);
	if (e)
		return e;
	name_of(im->digest, 0, uuid);
	e = ext4_finish(im->tree.fs, uuid, why);
	im->tree.fs = NULL;
	if (!e)
		e = used_bytes(fd, &root, why);
	f->used = root + work;
	return e;
}

enum err image_make(struct job *j, const struct work_image *ask, image_fill_fn *fill, void *ctx,
	struct image_facts *ret, struct why *why)
{
	struct image *im = calloc(1, sizeof(*im));
	own_fd fd = -1;
	enum err e;

	if (!im)
		return fail(why, ERR_no_memory, "no memory for an image");
	im->job = j;
	im->ask = *ask;
	e = begin(im, &fd, why);
	if (!e)
		e = build(im, fill, ctx, fd, ret, why);
	ext4_free(im->tree.fs);
	tree_done(&im->tree);
	free(im);
	if (e) {
		job_remove(j, "root.ext4");
		job_remove(j, "work.ext4");
	}
	return e;
}

enum err run_image(struct job *j, struct image_made *ret, struct why *why)
{
	struct input *in = calloc(1, sizeof(*in));
	struct work_image ask;
	enum err e;

	*ret = (struct image_made){ .kernel = NULL };
	if (!in)
		return fail(why, ERR_no_memory, "no memory for an image");
	e = job_read(j, &ask, why);
	if (!e)
		e = input_open(in, j, &ask, why);
	if (!e && in->kind == pack_kind_bundle)
		e = bundle_unpack(j, &ask, &in->s, ret, why);
	else if (!e)
		e = image_make(j, &ask, apply_stream, in, &ret->facts, why);
	source_done(&in->s);
	free(in);
	return e;
}
