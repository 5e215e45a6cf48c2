/*
 * catalog.c - the user's catalog over the built-in one.
 */
#include "conf/catalog.h"

#include "base/text.h"
#include "conf/yaml.h"

#define BUILT_IN "images/catalog.yaml"

/* The file itself, with a NUL behind it; make runs at the top of the checkout. */
__asm__(".pushsection .rodata\n"
	"catalog_text:\n"
	".incbin \"" BUILT_IN "\"\n"
	".byte 0\n"
	".popsection\n");
extern const char catalog_text[] __attribute__((visibility("hidden")));

enum { ENTRIES_MAX = 320 };

struct seen { /* in this file */
	const char *kind, *name;
	bool has_arch;
	enum arch arch;
};

struct checking {
	struct seen seen[ENTRIES_MAX];
	uint32_t n;
};

struct bytes catalog_built_in(void)
{
	return (struct bytes){ (const uint8_t *)catalog_text, strlen(catalog_text) };
}

enum arch catalog_arch(void)
{
#if defined(__aarch64__)
	return arch_arm64;
#else
	return arch_amd64;
#endif
}

/* ---- what a shape alone cannot tell ---- */

static enum err check_once(struct checking *c, struct seen s, struct why *why)
{
	for (uint32_t i = 0; i < c->n; i++) {
		const struct seen *o = &c->seen[i];

		if (str_eq(o->kind, s.kind) && str_eq(o->name, s.name) &&
			(!o->has_arch || !s.has_arch || o->arch == s.arch))
			return fail_field(why, ERR_invalid_value, "name",
				"%s '%.128s' is there twice", s.kind, s.name);
	}
	must(c->n < ENTRIES_MAX);
	c->seen[c->n++] = s;
	return OK;
}

static enum err check_image(struct checking *c, const struct catalog_image *im, struct why *why)
{
	struct seen s = { "image", im->name, im->has_arch, im->arch };

	if (!im->reference == !im->bundle)
		return fail_field(why, ERR_invalid_value, im->reference ? "bundle" : "reference",
			"image '%.128s' needs one of reference and bundle", im->name);
	if (!im->bundle != !im->sha256)
		return fail_field(why, ERR_invalid_value, "sha256",
			im->bundle ? "the bundle of image '%.128s' needs its sha256" :
				     "sha256 is a bundle's; a reference takes @sha256: "
				     "('%.128s')",
			im->name);
	return check_once(c, s, why);
}

static enum err check(void *ctx, const struct shape *s, const void *obj, struct why *why)
{
	const struct catalog_kernel *k = obj;

	if (s == &shape_catalog_image)
		return check_image(ctx, obj, why);
	if (s != &shape_catalog_kernel)
		return OK;
	return check_once(ctx, (struct seen){ "kernel", k->name, k->has_arch, k->arch }, why);
}

static enum err read_one(struct conf_catalog *c, const char *file, struct bytes text,
	struct catalog *ret, struct why *why)
{
	struct checking checking = { .n = 0 };

	*ret = (struct catalog){ .has_built_in = false };
	return yaml_read_checked(&shape_catalog, file, text, &c->mem, ret, check, &checking, why);
}

/* ---- one over the other ---- */

static bool has_image(const struct catalog *c, const char *name)
{
	for (uint32_t i = 0; i < c->images.n; i++)
		if (str_eq(c->images.v[i].name, name))
			return true;
	return false;
}

static bool has_kernel(const struct catalog *c, const char *name)
{
	for (uint32_t i = 0; i < c->kernels.n; i++)
		if (str_eq(c->kernels.v[i].name, name))
			return true;
	return false;
}

/* `from`'s entries for this architecture whose names `over` does not have go behind c's. */
static void append(
	struct catalog *c, const struct catalog *from, const struct catalog *over, enum arch arch)
{
	for (uint32_t i = 0; i < from->images.n; i++) {
		const struct catalog_image *im = &from->images.v[i];

		if ((!im->has_arch || im->arch == arch) && !has_image(over, im->name))
			c->images.v[c->images.n++] = *im;
	}
	for (uint32_t i = 0; i < from->kernels.n; i++) {
		const struct catalog_kernel *k = &from->kernels.v[i];

		if ((!k->has_arch || k->arch == arch) && !has_kernel(over, k->name))
			c->kernels.v[c->kernels.n++] = *k;
	}
}

static enum err merge(struct conf_catalog *c, const struct catalog *mine,
	const struct catalog *built_in, enum arch arch, struct why *why)
{
	static const struct catalog nothing;
	size_t images = mine->images.n + built_in->images.n;
	size_t kernels = mine->kernels.n + built_in->kernels.n;

	c->v.images.v = arena_take(&c->mem, MAX(images, 1u) * sizeof(struct catalog_image));
	c->v.kernels.v = arena_take(&c->mem, MAX(kernels, 1u) * sizeof(struct catalog_kernel));
	if (!c->v.images.v || !c->v.kernels.v)
		return fail(why, ERR_no_memory, "no memory for the catalog");
	append(&c->v, mine, &nothing, arch);
	if (!mine->has_built_in || mine->built_in)
		append(&c->v, built_in, mine, arch);
	return OK;
}

enum err catalog_read(struct conf_catalog *c, const char *file, struct bytes text, enum arch arch,
	struct why *why)
{
	struct catalog mine, built_in;
	enum err e;

	*c = (struct conf_catalog){ .file = { "" } };
	arena_init(&c->mem, 2 * MiB);
	e = read_one(c, BUILT_IN, catalog_built_in(), &built_in, why);
	if (!e)
		e = read_one(c, file, text, &mine, why);
	return e ? e : merge(c, &mine, &built_in, arch, why);
}

static enum err find_file(struct place *ret, const char *named, struct why *why)
{
	struct place dir;
	enum err e;

	if (!named) {
		e = place_config(&dir, why);
		return e ? e : place_beneath(ret, &dir, "catalog.yaml", why);
	}
	if (str_copy(ret->path, sizeof(ret->path), named))
		return OK;
	return fail(why, ERR_too_large, "the path %.60s... is too long", named);
}

enum err catalog_load(struct conf_catalog *c, const char *named, struct why *why)
{
	own_buf text = { .p = NULL };
	struct place file = { "" };
	bool there = false;
	enum err e;

	*c = (struct conf_catalog){ .file = { "" } }; /* so that catalog_done finds nothing */
	e = find_file(&file, named, why);
	if (!e)
		e = yaml_file(file.path, YAML_OURS, &text, &there, why);
	if (!e && named && !there) {
		fail(why, ERR_not_found, "the catalog %.250s is not there", named);
		return fail_hint(why, "`catalog` of config.yaml names it: `banger config path`");
	}
	if (!e)
		e = catalog_read(
			c, file.path, (struct bytes){ text.p, text.n }, catalog_arch(), why);
	if (!e)
		c->file = file;
	return e;
}

void catalog_done(struct conf_catalog *c)
{
	arena_done(&c->mem);
}
