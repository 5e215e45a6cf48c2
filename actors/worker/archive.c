/*
 * archive.c - docker and OCI archives: files are spooled, the manifest says which of them are
 * layers, and those are unpacked from the bottom up into one tree.
 *
 * Nothing is believed: a name that declares a digest must keep it, and every layer, unpacked, must
 * have the digest that the config gives it.
 */
#include <archive_entry.h>
#include <unistd.h>

#include "worker/layer.h"
#include "worker/manifest.h"

enum { BLOBS_MAX = 16384, INDEX_DEPTH_MAX = 4, LINKS_MAX = 8 };

struct blob { /* a file of the archive */
	struct link link;
	const char *name;
	const char *target; /* the file that it is a link to, else NULL */
	uint64_t at, size;
};

struct spool {
	struct image *im;
	struct arena arena;
	struct table blobs;
	int fd;
	uint64_t used;
	struct manifest manifest;
	struct manifest_config config;
	struct file_source file;
};

static struct blob *find(struct spool *s, const char *name)
{
	for (int i = 0; i < LINKS_MAX; i++) {
		struct link *l = table_get(&s->blobs, name, strlen(name));
		struct blob *b = l ? CONTAINER_OF(l, struct blob, link) : NULL;

		if (!b || !b->target)
			return b;
		name = b->target;
	}
	return NULL;
}

/* The digest that a name declares, as its 64 hex digits; NULL when it declares none. */
static const char *declared(const char *name)
{
	static const char blobs[] = "blobs/sha256/";
	bool oci = strncmp(name, blobs, sizeof(blobs) - 1) == 0;
	const char *hex = oci ? name + sizeof(blobs) - 1 : name;

	if (strspn(hex, "0123456789abcdef") != 64)
		return NULL;
	return str_eq(hex + 64, oci ? "" : ".json") ? hex : NULL;
}

static enum err save(struct spool *s, struct source *data, struct blob *b, struct why *why)
{
	char digest[DIGEST_CHARS + 1];
	const char *hex = declared(b->name);
	enum err e = hex ? source_hash(data, why) : OK;

	if (!e)
		e = source_save(data, s->fd, &b->size, why);
	s->used += b->size;
	if (!e && hex)
		e = source_digest(data, digest, why);
	if (!e && hex && memcmp(digest + 7, hex, 64) != 0)
		e = fail(why, ERR_invalid_value, "its content has not the digest of its name");
	source_done(data);
	return e;
}

/* "a/../b/c" without its dots; NULL when it leads out of the archive. */
static char *clean(struct arena *a, const char *dir, size_t dir_n, const char *path)
{
	char *out = arena_fmt(a, "%.*s%s", (int)dir_n, dir, path), *to = out, *from = out;

	while (out && *from) {
		size_t n = strcspn(from, "/");

		if (n == 2 && from[0] == '.' && from[1] == '.') {
			if (to == out)
				return NULL;
			for (to--; to > out && to[-1] != '/'; to--)
				;
		} else if (n > 0 && !(n == 1 && from[0] == '.')) {
			bool more = from[n] == '/';

			memmove(to, from, n);
			to += n;
			from += n + more;
			if (more)
				*to++ = '/';
			continue;
		}
		from += n + (from[n] == '/');
	}
	if (out)
		*to = '\0';
	return out;
}

static enum err enlist(struct spool *s, struct blob *b, struct why *why)
{
	struct link *old = table_get(&s->blobs, b->name, strlen(b->name));

	if (old)
		table_del(&s->blobs, old); /* the youngest of a name counts */
	if (!old && s->blobs.count >= BLOBS_MAX)
		return fail(why, ERR_too_large, "an archive of more than %d files", BLOBS_MAX);
	if (!table_add(&s->blobs, &b->link, b->name, strlen(b->name)))
		return fail(why, ERR_no_memory, "no memory for an archive");
	return OK;
}

static enum err take_link(struct spool *s, struct blob *b, const char *symlink, const char *hard,
	struct why *why)
{
	const char *slash = symlink ? strrchr(b->name, '/') : NULL;
	size_t dir_n = slash ? (size_t)(slash - b->name) + 1 : 0;

	b->target = clean(&s->arena, b->name, dir_n, symlink ? symlink : hard);
	if (!b->target)
		return fail(why, ERR_invalid_value, "a link that leads out of the archive");
	return enlist(s, b, why);
}

static enum err take_entry(struct spool *s, struct archive *a, struct source *in,
	struct archive_entry *e, const char *path, struct why *why)
{
	mode_t type = archive_entry_filetype(e);
	const char *symlink = type == AE_IFLNK ? archive_entry_symlink(e) : NULL;
	const char *hard = archive_entry_hardlink(e);
	uint64_t size = (uint64_t)MAX(archive_entry_size(e), 0);
	struct entry_source *data;
	struct blob *b;
	enum err err;

	if (!hard && !symlink && type != AE_IFREG)
		return OK;
	if (size > s->im->ask.content_max || s->used > s->im->ask.content_max - size)
		return fail(why, ERR_too_large, "more than %llu bytes of layers",
			(unsigned long long)s->im->ask.content_max);
	b = arena_take(&s->arena, sizeof(*b));
	if (!b)
		return fail(why, ERR_no_memory, "no memory for an archive");
	b->name = clean(&s->arena, "", 0, path);
	if (!b->name || !*b->name)
		return fail(why, ERR_invalid_value, "a name that leads out of the archive");
	if (hard || symlink)
		return take_link(s, b, symlink, hard, why);
	b->at = s->used;
	data = calloc(1, sizeof(*data));
	if (!data)
		return fail(why, ERR_no_memory, "no memory for an archive");
	entry_source_init(data, a, in, size);
	err = save(s, &data->s, b, why);
	free(data);
	return err ? err : enlist(s, b, why);
}

static enum err fill(struct spool *s, struct source *in, struct why *why)
{
	uint64_t max = s->im->ask.content_max + s->im->ask.content_max / 4 + GiB;
	own_archive a = NULL;
	struct archive_entry *e = NULL;
	enum err err = open_tar(in, &a, why);

	while (!err) {
		const char *path;

		err = next_entry(a, in, &e, why);
		if (err || !e)
			break;
		path = archive_entry_pathname(e);
		if (!path)
			err = fail(why, ERR_invalid_value, "an entry with an unreadable name");
		else if (take_entry(s, a, in, e, path, why))
			err = fail_entry(why, path);
		else
			err = check_ratio(a, max, why);
		job_tick(s->im->job, in->total, "reading the archive");
	}
	return err ? err : check_end(a, why);
}

static enum err load(struct spool *s, const char *name, struct bytes *ret, char *digest,
	struct why *why)
{
	struct blob *b = find(s, name);
	struct source *src = &s->file.s;
	uint8_t *p;
	size_t n, at = 0;
	enum err e;

	if (!b)
		return fail(why, ERR_invalid_value, "the archive has no %.200s", name);
	if (b->size > JSON_BYTES_MAX)
		return fail(why, ERR_too_large, "%.200s is %llu bytes long", name,
			(unsigned long long)b->size);
	p = arena_take(&s->arena, (size_t)b->size + 1);
	if (!p)
		return fail(why, ERR_no_memory, "no memory for a manifest");
	file_source_init(&s->file, s->fd, b->at, b->size);
	e = source_hash(src, why);
	while (!e) {
		const uint8_t *from = NULL;

		e = source_next(src, &from, &n, why);
		if (e || n == 0)
			break;
		memcpy(p + at, from, n);
		at += n;
	}
	if (!e && digest)
		e = source_digest(src, digest, why);
	source_done(src);
	*ret = (struct bytes){ p, at };
	return e;
}

/* From index.json down to the manifest of one image. */
static enum err read_oci(struct spool *s, struct why *why)
{
	const char *name = "index.json";
	struct bytes text;
	bool index = true;
	uint64_t size;
	enum err e = load(s, name, &text, NULL, why);

	for (int i = 0; !e && index; i++) {
		if (i == INDEX_DEPTH_MAX)
			return fail(why, ERR_too_large, "an index in an index, %d deep", i);
		e = manifest_index(text, host_arch(), false, &s->arena, &name, &size, why);
		if (!e)
			e = load(s, name, &text, NULL, why);
		if (!e && size != text.n)
			e = fail(why, ERR_invalid_value, "%.100s is not as long as declared", name);
		if (!e)
			e = manifest_is_index(text, &index, why);
	}
	return e ? e : manifest_oci(text, &s->arena, &s->manifest, why);
}

static enum err read_manifest(struct spool *s, struct why *why)
{
	struct bytes text;
	enum err e;

	if (find(s, "manifest.json")) {
		e = load(s, "manifest.json", &text, NULL, why);
		if (!e)
			e = manifest_docker(text, &s->arena, &s->manifest, why);
	} else if (find(s, "index.json")) {
		e = read_oci(s, why);
	} else {
		e = fail(why, ERR_invalid_value,
			"the archive has neither manifest.json nor index.json");
	}
	if (!e)
		e = load(s, s->manifest.config, &text, s->im->digest, why);
	if (!e)
		e = manifest_config(text, host_arch(), &s->im->job->arena, &s->config, why);
	if (!e && s->config.diff_ids_n > 0 && s->config.diff_ids_n != s->manifest.layers_n)
		e = fail(why, ERR_invalid_value, "%u layers, but digests of %u",
			s->manifest.layers_n, s->config.diff_ids_n);
	s->im->config = s->config.run;
	return e;
}

static enum err apply_layer(struct spool *s, uint32_t i, struct why *why)
{
	const char *diff_id = s->config.diff_ids_n > 0 ? s->config.diff_ids[i] : NULL;
	struct blob *b = find(s, s->manifest.layers[i]);

	if (!b || b->size == 0)
		return fail(why, ERR_invalid_value, "the archive has no such file");
	file_source_init(&s->file, s->fd, b->at, b->size);
	return layer_apply(s->im, i + 1, &s->file.s, diff_id, why);
}

static enum err apply_all(struct spool *s, struct why *why)
{
	struct why inner = { .code = OK };
	enum err e = OK;

	s->im->unpack.layered = true;
	for (uint32_t i = 0; i < s->manifest.layers_n && !e; i++) {
		e = apply_layer(s, i, &inner);
		if (e)
			*why = inner;
		if (e)
			snprintf(why->text, sizeof(why->text), "layer %u of %u: %.300s", i + 1,
				s->manifest.layers_n, inner.text);
	}
	return e;
}

enum err archive_apply(struct image *im, struct source *in, struct why *why)
{
	struct spool *s = calloc(1, sizeof(*s));
	enum err e;

	if (!s)
		return fail(why, ERR_no_memory, "no memory for an archive");
	s->im = im;
	s->fd = -1;
	arena_init(&s->arena, 64 * MiB);
	table_init(&s->blobs, im->tree.table.seed);
	e = job_temp(im->job, &s->fd, why);
	if (!e)
		e = fill(s, in, why);
	if (!e)
		e = read_manifest(s, why);
	if (!e)
		e = apply_all(s, why);
	table_done(&s->blobs);
	arena_done(&s->arena);
	fd_done(&s->fd);
	free(s);
	return e;
}
