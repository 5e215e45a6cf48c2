/*
 * cmd_image_bundle.c - images as files: export, and the way back, `image pull file:PATH`.
 */
#include "base/text.h"
#include "cli/bundle.h"
#include "cli/export.h"
#include "cli/image.h"
#include "cli/import.h"
#include "cli/report.h"

#define BUNDLE_END ".tar.zst"

static const struct flag export_flags[] = {
	{ .name = "force", .letter = 'f', .doc = "replace FILE when it is there" },
	{ .name = NULL },
};

/* Names may have what a file's name in this directory cannot. */
static void usual_target(char *out, size_t size, const char *name)
{
	snprintf(out, size, "%s" BUNDLE_END, name);
	for (char *s = out; *s; s++)
		if (*s == '/' || *s == ':' || *s == '@')
			*s = '_';
}

static int export(struct cli *c)
{
	char usual[160];
	struct exporting ex = { .c = c, .image = c->args[0], .force = flag_on(c, "force") };
	struct why why;
	int code;

	if (type_ok(&type_image_name, "name", c->args[0], &why))
		return report_usage(c, &why);
	usual_target(usual, sizeof(usual), c->args[0]);
	ex.target = c->args_n > 1 ? c->args[1] : usual;
	code = export_image(&ex);
	if (!code && !str_eq(ex.target, "-"))
		printf("%s\n", ex.target);
	return code;
}

const struct command cmd_image_export = {
	.words = "image export",
	.args = "NAME [FILE]",
	.least = 1,
	.most = 2,
	.offer = OFFER_IMAGES,
	.flags = export_flags,
	.doc = "write an image to a file, as a bundle",
	.more = "FILE is NAME" BUNDLE_END " in this directory when absent; - is standard output. "
		"A bundle is a tar\nwith a manifest of digests; `banger image pull file:FILE` "
		"and `banger image import` take it.\nA registered image is promoted first.",
	.example = "banger image export debian\n"
		   "banger image export app - | ssh host banger image import app -",
	.run = export,
};

/* ---- the way back ---- */

bool is_file_url(const char *s)
{
	return strncmp(s, "file:", 5) == 0;
}

bool is_https_url(const char *s)
{
	return strncmp(s, "https://", 8) == 0;
}

/* file:///a, file:/a, file:a; "" when it names another host. */
static const char *path_of(const char *url)
{
	const char *path = url + 5;

	if (path[0] != '/' || path[1] != '/')
		return path;
	if (strncmp(path + 2, "localhost/", 10) == 0)
		return path + 11;
	return path[2] == '/' ? path + 2 : "";
}

char *name_of_bundle(struct cli *c, const char *path)
{
	size_t all = is_https_url(path) ? strcspn(path, "?#") : strlen(path);
	const char *slash = memrchr(path, '/', all), *base = slash ? slash + 1 : path;
	size_t n = all - (size_t)(base - path), end = strlen(BUNDLE_END);

	if (n > end && memcmp(base + n - end, BUNDLE_END, end) == 0)
		n -= end;
	return arena_strn(&c->mem, base, n);
}

/* What has to do with a network is not asked for in vain. */
static enum err check_flags(const struct cli *c, struct why *why)
{
	static const char *const others[] = { "insecure", "ca", "anonymous", "sha256" };

	for (size_t i = 0; i < COUNT(others); i++)
		if (flag_given(c, others[i])->set)
			return fail_field(why, ERR_invalid_value, others[i],
				"--%s is for what comes over a network", others[i]);
	return OK;
}

int pull_file(struct cli *c)
{
	const char *path = path_of(c->args[0]);
	struct image_import body = { .format = pack_kind_bundle, .has_format = true };
	struct import in = { .c = c, .letter = LETTER_image_import, .body = &body, .source = path };
	struct why why;
	enum err e = check_flags(c, &why);
	int code;

	if (!e)
		e = flags_fill(c, &shape_image_import, &body, &why);
	if (!e && !path[0]) {
		e = fail(
			&why, ERR_invalid_value, "'%.200s' names no file of this host", c->args[0]);
		fail_hint(&why, "file:PATH, or file:///PATH from the root");
	}
	if (!e && !body.name)
		body.name = name_of_bundle(c, path);
	if (!e && (!body.name || type_ok(&type_image_name, "name", body.name, &why))) {
		e = fail(&why, ERR_invalid_value, "'%.200s' does not tell the image's name", path);
		fail_hint(&why, "--name NAME does");
	}
	if (e)
		return report_usage(c, &why);
	code = import(&in);
	return code ? code : print_image_named(c, body.name);
}
