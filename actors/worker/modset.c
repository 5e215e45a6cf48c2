/*
 * modset.c - collects module files and reads what they say in .modinfo.
 */
#include "worker/modset.h"

#include <archive_entry.h>
#include <unistd.h>

#include "worker/elf.h"
#include "worker/unpack.h"

enum { ARENA_MAX = 128 * 1024 * 1024, NEEDS_DEPTH_MAX = 64 };

bool module_name(const char *path, char *out, size_t size)
{
	static const char *const ends[] = { ".ko", ".ko.gz", ".ko.xz", ".ko.zst" };
	const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
	size_t n = strlen(base), cut = 0;

	for (size_t i = 0; i < COUNT(ends); i++) {
		size_t len = strlen(ends[i]);

		if (n > len && str_eq(base + n - len, ends[i]))
			cut = len;
	}
	if (cut == 0 || n - cut >= size)
		return false;
	for (size_t i = 0; i < n - cut; i++)
		out[i] = base[i] == '-' ? '_' : base[i];
	out[n - cut] = '\0';
	return true;
}

enum err modset_init(struct modset *s, struct job *j, struct why *why)
{
	memset(s, 0, sizeof(*s));
	s->job = j;
	s->spool = -1;
	arena_init(&s->arena, ARENA_MAX);
	table_init(&s->paths, (uintptr_t)s);
	table_init(&s->names, (uintptr_t)j);
	return job_temp(j, &s->spool, why);
}

void modset_done(struct modset *s)
{
	for (uint32_t i = 0; i < s->files_n; i++) {
		free(s->files[i]->needs.v);
		free(s->files[i]->aliases.v);
		free(s->files[i]->softdeps.v);
	}
	free(s->files);
	table_done(&s->paths);
	table_done(&s->names);
	arena_done(&s->arena);
	fd_done(&s->spool);
}

struct modfile *modset_file(struct modset *s, const char *path)
{
	struct link *l = table_get(&s->paths, path, strlen(path));

	return l ? CONTAINER_OF(l, struct modfile, by_path) : NULL;
}

struct modfile *modset_module(struct modset *s, const char *name)
{
	struct link *l = table_get(&s->names, name, strlen(name));

	return l ? CONTAINER_OF(l, struct modfile, by_name) : NULL;
}

static bool room(struct modset *s)
{
	uint32_t cap = s->files_cap ? s->files_cap * 2 : 256;
	struct modfile **p;

	if (s->files_n < s->files_cap)
		return true;
	p = realloc(s->files, cap * sizeof(struct modfile *));
	if (!p)
		return false;
	s->files = p;
	s->files_cap = cap;
	return true;
}

static enum err enlist(struct modset *s, struct modfile *f, struct why *why)
{
	if (!room(s) || !table_add(&s->paths, &f->by_path, f->path, strlen(f->path)))
		return fail(why, ERR_no_memory, "no memory for modules");
	s->files[s->files_n++] = f;
	if (!f->name || modset_module(s, f->name))
		return OK; /* of two modules with one name the first counts */
	if (!table_add(&s->names, &f->by_name, f->name, strlen(f->name)))
		return fail(why, ERR_no_memory, "no memory for modules");
	f->index = s->modules_n++;
	return OK;
}

enum err modset_add(struct modset *s, const char *path, uint32_t mode, struct timespec mtime,
	struct source *src, struct why *why)
{
	struct modfile *f = modset_file(s, path);
	char name[256];
	uint64_t n = 0;
	enum err e;

	if (strlen(path) > MODFILE_PATH_MAX)
		return fail(why, ERR_too_large, "a path of %zu bytes", strlen(path));
	if (!f && s->files_n >= MODFILES_MAX)
		return fail(why, ERR_too_large, "more than %d files of modules", MODFILES_MAX);
	e = source_save(src, s->spool, &n, why);
	if (e)
		return e;
	if (f) { /* the youngest of a name counts */
		f->at = s->spooled;
		f->size = n;
		s->spooled += n;
		return OK;
	}
	f = arena_take(&s->arena, sizeof(*f));
	if (f)
		f->path = arena_str(&s->arena, path);
	if (f && module_name(path, name, sizeof(name)))
		f->name = arena_str(&s->arena, name);
	if (!f || !f->path)
		return fail(why, ERR_no_memory, "no memory for modules");
	f->at = s->spooled;
	f->size = n;
	f->mode = mode;
	f->mtime = mtime;
	s->spooled += n;
	return enlist(s, f, why);
}

/* Unpacks what a source of compressed (or plain) bytes holds; at most MODULE_BYTES_MAX. */
static enum err inflate(struct source *src, struct buf *out, struct why *why)
{
	own_archive a = NULL;
	struct archive_entry *e;
	struct entry_source data;
	enum err err = open_raw(src, &a, why);

	if (!err)
		err = next_entry(a, src, &e, why);
	if (err || !e)
		return err;
	entry_source_init(&data, a, src, MODULE_BYTES_MAX);
	for (;;) {
		const uint8_t *p = NULL;
		size_t n;

		err = source_next(&data.s, &p, &n, why);
		if (err || n == 0)
			break;
		buf_add(out, p, n);
	}
	if (!err && out->failed)
		err = fail(why, ERR_too_large, "a module of more than %d bytes", MODULE_BYTES_MAX);
	return err;
}

static enum err read_plain(struct modset *s, const struct modfile *f, struct buf *out,
	struct why *why)
{
	uint8_t *p = buf_room(out, (size_t)f->size);

	if (!p)
		return fail(why, ERR_no_memory, "no memory for a module");
	while (out->n < f->size) {
		ssize_t got = pread(s->spool, p + out->n, (size_t)f->size - out->n,
			(off_t)(f->at + out->n));

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return fail_errno(why, "cannot read a module");
		out->n += (size_t)got;
	}
	return OK;
}

enum err modset_load(struct modset *s, const struct modfile *f, uint8_t **ret, size_t *ret_n,
	struct why *why)
{
	bool plain = str_eq(f->path + strlen(f->path) - 3, ".ko");
	own_buf out = { .max = MODULE_BYTES_MAX };
	enum err e;

	if (f->size == 0) {
		e = fail(why, ERR_invalid_value, "an empty module");
	} else if (f->size > MODULE_BYTES_MAX) {
		e = fail(why, ERR_too_large, "a module of %llu bytes", (unsigned long long)f->size);
	} else if (plain) {
		e = read_plain(s, f, &out, why);
	} else {
		struct file_source *src = calloc(1, sizeof(*src));

		if (!src)
			return fail(why, ERR_no_memory, "no memory for a module");
		file_source_init(src, s->spool, f->at, f->size);
		e = inflate(&src->s, &out, why);
		free(src);
	}
	if (e)
		return fail_entry(why, f->path);
	*ret = take_ptr(&out.p);
	*ret_n = out.n;
	return OK;
}

static bool push(struct text_list *l, const char *s)
{
	uint32_t cap = l->cap ? l->cap * 2 : 4;
	const char **p;

	if (!s)
		return false;
	if (l->n == l->cap) {
		p = realloc(l->v, cap * sizeof(char *));
		if (!p)
			return false;
		l->v = p;
		l->cap = cap;
	}
	l->v[l->n++] = s;
	return true;
}

static bool push_needs(struct modset *s, struct modfile *f, const char *list)
{
	bool ok = true;

	while (*list && ok) {
		size_t n = strcspn(list, ",");
		char *name = arena_strn(&s->arena, list, n);

		for (char *c = name; c && *c; c++)
			if (*c == '-')
				*c = '_';
		ok = n == 0 || push(&f->needs, name);
		list += n + (list[n] == ',');
	}
	return ok;
}

static bool is_line(const char *s)
{
	return strpbrk(s, "\n\r") == NULL;
}

static enum err scan(struct modset *s, struct modfile *f, struct bytes elf, struct why *why)
{
	struct bytes info = { NULL, 0 }, key;
	const char *value;
	bool ok = true;

	if (!elf_section(elf, ".modinfo", &info))
		return OK; /* listed all the same: modprobe's business */
	while (ok && modinfo_next(&info, &key, &value)) {
		if (!is_line(value))
			continue;
		if (key.n == 7 && memcmp(key.p, "depends", 7) == 0)
			ok = push_needs(s, f, value);
		else if (key.n == 5 && memcmp(key.p, "alias", 5) == 0)
			ok = push(&f->aliases, arena_str(&s->arena, value));
		else if (key.n == 7 && memcmp(key.p, "softdep", 7) == 0)
			ok = push(&f->softdeps, arena_str(&s->arena, value));
	}
	return ok ? OK : fail(why, ERR_no_memory, "no memory for modules");
}

enum err modset_scan(struct modset *s, struct why *why)
{
	enum err e = OK;

	for (uint32_t i = 0; i < s->files_n && !e; i++) {
		struct modfile *f = s->files[i];
		own_mem uint8_t *p = NULL;
		size_t n = 0;

		if (!f->name)
			continue;
		e = modset_load(s, f, &p, &n, why);
		if (!e)
			e = scan(s, f, (struct bytes){ p, n }, why);
		job_tick(s->job, s->spooled, "modules");
	}
	return e;
}

void modset_unmark(struct modset *s)
{
	for (uint32_t i = 0; i < s->files_n; i++)
		s->files[i]->mark = 0;
}

static enum err visit(struct modset *s, struct modfile *f, struct modfile **out, uint32_t *n,
	int depth, struct why *why)
{
	enum err e = OK;

	if (f->mark)
		return OK; /* done, or a circle: the kernel could not load that either */
	if (depth > NEEDS_DEPTH_MAX)
		return fail(why, ERR_too_large, "modules that need each other %d deep", depth);
	f->mark = 1;
	for (uint32_t i = 0; i < f->needs.n && !e; i++) {
		struct modfile *need = modset_module(s, f->needs.v[i]);

		if (need)
			e = visit(s, need, out, n, depth + 1, why);
	}
	f->mark = 2;
	if (!e)
		out[(*n)++] = f;
	return e;
}

enum err modset_closure(struct modset *s, struct modfile *f, struct modfile **out, uint32_t *n,
	struct why *why)
{
	return visit(s, f, out, n, 0, why);
}
