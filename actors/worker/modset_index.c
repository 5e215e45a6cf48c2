/*
 * modset_index.c - what depmod would write: modules.dep, .alias, .softdep and .devname as text, and
 * the binary indexes without which kmod's modprobe finds nothing.
 *
 * modules.symbols stays empty: it serves only loading by symbol, which nobody asks a guest for.
 */
#include "worker/kmod_index.h"
#include "worker/modset.h"

enum { TEXT_MAX = 32 * 1024 * 1024, PAIRS_MAX = 1000000 };

struct pairs {
	struct kmod_pair *v;
	size_t n, cap;
};

static bool add_pair(struct pairs *p, const char *key, const char *value, uint32_t priority)
{
	size_t cap = p->cap ? p->cap * 2 : 1024;
	struct kmod_pair *v;

	if (!key || !value || p->n >= PAIRS_MAX)
		return false;
	if (p->n == p->cap) {
		v = realloc(p->v, cap * sizeof(*v));
		if (!v)
			return false;
		p->v = v;
		p->cap = cap;
	}
	p->v[p->n++] = (struct kmod_pair){ key, value, priority };
	return true;
}

static enum err no_memory(struct why *why)
{
	return fail(why, ERR_no_memory, "no memory for the modules' indexes");
}

struct text_source {
	struct source s;
	struct bytes left;
};

static enum err text_next(struct source *s, const uint8_t **p, size_t *n, struct why *why UNUSED)
{
	struct text_source *t = s->ctx;

	*p = t->left.p;
	*n = t->left.n;
	t->left.n = 0;
	return OK;
}

/* Puts a file made here into the set, over one that the package brought. */
static enum err put(struct modset *s, const char *path, struct buf *b, struct why *why)
{
	struct text_source *t;
	struct timespec stamp = { 0, 0 };
	enum err e;

	if (b->failed)
		return no_memory(why);
	if (s->files_n > 0)
		stamp = s->files[0]->mtime;
	t = calloc(1, sizeof(*t));
	if (!t)
		return no_memory(why);
	source_init(&t->s, text_next, t, 0);
	t->left = (struct bytes){ b->p, b->n };
	e = modset_add(s, path, 0644, stamp, &t->s, why);
	free(t);
	return e;
}

static enum err put_index(struct modset *s, const char *path, struct pairs *p, struct why *why)
{
	own_buf b = { .max = TEXT_MAX };
	enum err e = kmod_index(p->v, p->n, &b, why);

	return e ? e : put(s, path, &b, why);
}

/* Whether f stands for its name, and the next one that does from *i on. */
static struct modfile *next_module(struct modset *s, uint32_t *i)
{
	while (*i < s->files_n) {
		struct modfile *f = s->files[(*i)++];

		if (f->name && modset_module(s, f->name) == f)
			return f;
	}
	return NULL;
}

/* "path: need need": the nearest first, since modprobe loads from the end. */
static char *dep_line(struct modset *s, struct modfile *f, struct modfile **all, struct buf *text,
	struct why *why)
{
	size_t from = text->n;
	uint32_t n = 0;

	modset_unmark(s);
	if (modset_closure(s, f, all, &n, why))
		return NULL;
	buf_fmt(text, "%s:", f->path);
	for (uint32_t i = n - 1; i-- > 0;)
		buf_fmt(text, " %s", all[i]->path);
	if (text->failed)
		return NULL;
	return arena_strn(&s->arena, text->p + from, text->n - from);
}

static enum err index_deps(struct modset *s, struct pairs *p, struct why *why)
{
	own_buf text = { .max = TEXT_MAX };
	own_mem struct modfile **all = calloc(s->modules_n + 1, sizeof(struct modfile *));
	struct modfile *f;
	enum err e;

	if (!all)
		return no_memory(why);
	for (uint32_t i = 0; (f = next_module(s, &i)) != NULL;) {
		char *line = dep_line(s, f, all, &text, why);

		buf_str(&text, "\n");
		if (!line || !add_pair(p, f->name, line, f->index))
			return no_memory(why);
	}
	e = put(s, "modules.dep", &text, why);
	return e ? e : put_index(s, "modules.dep.bin", p, why);
}

/* '-' is '_' but inside brackets, where it is a range. */
static const char *plain_alias(struct modset *s, const char *alias)
{
	char *out = arena_str(&s->arena, alias);
	bool range = false;

	for (char *c = out; c && *c; c++) {
		if (*c == '[' || *c == ']')
			range = *c == '[';
		else if (*c == '-' && !range)
			*c = '_';
	}
	return out;
}

static enum err index_aliases(struct modset *s, struct pairs *p, struct why *why)
{
	own_buf text = { .max = TEXT_MAX };
	struct modfile *f;
	enum err e;

	buf_str(&text, "# Aliases extracted from modules themselves.\n");
	for (uint32_t i = 0; (f = next_module(s, &i)) != NULL;)
		for (uint32_t k = 0; k < f->aliases.n; k++) {
			buf_fmt(&text, "alias %s %s\n", f->aliases.v[k], f->name);
			if (!add_pair(p, plain_alias(s, f->aliases.v[k]), f->name, f->index))
				return no_memory(why);
		}
	e = put(s, "modules.alias", &text, why);
	return e ? e : put_index(s, "modules.alias.bin", p, why);
}

static enum err list_softdeps(struct modset *s, struct why *why)
{
	own_buf text = { .max = TEXT_MAX };
	struct modfile *f;

	buf_str(&text, "# Soft dependencies extracted from modules themselves.\n");
	for (uint32_t i = 0; (f = next_module(s, &i)) != NULL;)
		for (uint32_t k = 0; k < f->softdeps.n; k++)
			buf_fmt(&text, "softdep %s %s\n", f->name, f->softdeps.v[k]);
	return put(s, "modules.softdep", &text, why);
}

/* Device nodes that exist before their module: "devname:net/tun" with "char-major-10-200". */
static void devname(struct modfile *f, struct buf *text)
{
	const char *name = NULL;
	unsigned major = 0, minor = 0, a = 0, b = 0;
	char type = '\0';

	for (uint32_t k = 0; k < f->aliases.n; k++) {
		const char *alias = f->aliases.v[k];
		bool block = sscanf(alias, "block-major-%u-%u", &a, &b) == 2;

		if (strncmp(alias, "devname:", 8) == 0)
			name = alias + 8;
		if (!block && sscanf(alias, "char-major-%u-%u", &a, &b) != 2)
			continue;
		type = block ? 'b' : 'c';
		major = a;
		minor = b;
	}
	if (name && type)
		buf_fmt(text, "%s %s %c%u:%u\n", f->name, name, type, major, minor);
}

static enum err list_devnames(struct modset *s, struct why *why)
{
	own_buf text = { .max = TEXT_MAX };
	struct modfile *f;

	buf_str(&text, "# Device nodes to trigger on-demand module loading.\n");
	for (uint32_t i = 0; (f = next_module(s, &i)) != NULL;)
		devname(f, &text);
	return put(s, "modules.devname", &text, why);
}

static enum err read_file(struct modset *s, const char *path, struct buf *out, struct why *why)
{
	struct modfile *f = modset_file(s, path);
	struct file_source *src;
	enum err e = OK;
	size_t n = 0;

	if (!f)
		return OK;
	src = calloc(1, sizeof(*src));
	if (!src)
		return no_memory(why);
	file_source_init(src, s->spool, f->at, f->size);
	do {
		const uint8_t *p = NULL;

		e = source_next(&src->s, &p, &n, why);
		if (!e)
			buf_add(out, p, n);
	} while (!e && n > 0);
	free(src);
	return e ? e : out->failed ? no_memory(why) : OK;
}

/* modules.builtin names paths; modprobe of such a module succeeds without doing anything. */
static enum err index_builtin(struct modset *s, struct why *why)
{
	own_buf text = { .max = TEXT_MAX };
	struct pairs p = { .n = 0 };
	char name[256], *line, *rest;
	enum err e = read_file(s, "modules.builtin", &text, why);
	bool ok = true;

	if (e)
		return e;
	buf_add(&text, "", 1);
	rest = text.failed ? NULL : (char *)text.p;
	while (ok && (line = strsep(&rest, "\n")) != NULL)
		if (module_name(line, name, sizeof(name)))
			ok = add_pair(&p, arena_str(&s->arena, name), "", 0);
	e = ok && !text.failed ? put_index(s, "modules.builtin.bin", &p, why) : no_memory(why);
	free(p.v);
	return e;
}

/* modules.builtin.modinfo: "MODULE.KEY=VALUE", each ended by NUL. */
static enum err index_builtin_aliases(struct modset *s, struct why *why)
{
	own_buf text = { .max = TEXT_MAX };
	struct pairs p = { .n = 0 };
	enum err e = read_file(s, "modules.builtin.modinfo", &text, why);
	bool ok = true;

	if (e)
		return e;
	for (size_t at = 0; ok && at < text.n;) {
		const char *line = (const char *)text.p + at, *dot;
		size_t n = strnlen(line, text.n - at);

		if (n == text.n - at)
			break; /* cut short */
		at += n + 1;
		dot = strchr(line, '.');
		if (dot && strncmp(dot, ".alias=", 7) == 0)
			ok = add_pair(&p, plain_alias(s, dot + 7),
				arena_strn(&s->arena, line, (size_t)(dot - line)), 0);
	}
	e = ok ? put_index(s, "modules.builtin.alias.bin", &p, why) : no_memory(why);
	free(p.v);
	return e;
}

enum err modset_index(struct modset *s, struct why *why)
{
	struct pairs deps = { .n = 0 }, aliases = { .n = 0 }, none = { .n = 0 };
	enum err e = index_deps(s, &deps, why);

	if (!e)
		e = index_aliases(s, &aliases, why);
	if (!e)
		e = list_softdeps(s, why);
	if (!e)
		e = list_devnames(s, why);
	if (!e)
		e = put_index(s, "modules.symbols.bin", &none, why);
	if (!e)
		e = index_builtin(s, why);
	if (!e)
		e = index_builtin_aliases(s, why);
	free(deps.v);
	free(aliases.v);
	return e;
}
