/*
 * cmd_image.c - images: import, list, show, delete. Others are in cmd_image_files.c.
 */
#include <sys/stat.h>

#include "base/text.h"
#include "cli/each.h"
#include "cli/image.h"
#include "cli/import.h"
#include "cli/json.h"
#include "cli/report.h"

int print_image(struct cli *c, const struct image_info *info)
{
	if (c->json)
		print_document(c, &shape_image_info, info);
	else
		printf("%s\n", info->name);
	return EXIT_DONE;
}

int print_image_named(struct cli *c, const char *name)
{
	struct image_only which = { name };
	struct image_info info = { .name = name };
	struct why why;

	if (c->json && ask(c, LETTER_image_show, &which, &info, &why))
		return report(c, &why);
	return print_image(c, &info);
}

static const struct flag import_flags[] = {
	{ .name = "format",
		.type = &type_pack_kind,
		.value = "NAME",
		.offer = OFFER_WORDS,
		.doc = "tar (a root filesystem), archive (docker or podman save), bundle or auto" },
	{ .name = "size",
		.type = &type_size,
		.value = "SIZE",
		.doc = "size of the root filesystem; content and room to grow when absent" },
	{ .name = "user",
		.letter = 'u',
		.type = &type_user,
		.value = "USER",
		.doc = "user of programs, for a plain tree" },
	{ .name = "service",
		.field = "services",
		.type = &type_service,
		.value = "NAME:PORT",
		.many = true,
		.doc = "a start ends when it is up; over the archive's own" },
	{ .name = "kernel",
		.type = &type_kernel_name,
		.value = "NAME",
		.offer = OFFER_KERNELS,
		.doc = "its machines boot this one when they name none" },
	{ .name = "replace", .doc = "take the name of an image that exists" },
	{ .name = NULL },
};

static int import_image(struct cli *c)
{
	const char *const pack[] = { "banger-worker", "pack", c->args[1], NULL };
	struct image_import body = { .name = c->args[0] };
	struct import in = {
		.c = c, .letter = LETTER_image_import, .body = &body, .source = c->args[1]
	};
	struct stat st;
	struct why why;
	enum err e = type_ok(&type_image_name, "name", c->args[0], &why);
	int code;

	if (!e)
		e = flags_fill(c, &shape_image_import, &body, &why);
	if (e)
		return report_usage(c, &why);
	if (!str_eq(c->args[1], "-") && stat(c->args[1], &st) == 0 && S_ISDIR(st.st_mode))
		in.pack = pack;
	code = import(&in);
	return code ? code : print_image_named(c, c->args[0]);
}

const struct command cmd_image_import = {
	.words = "image import",
	.args = "NAME SOURCE",
	.least = 2,
	.most = 2,
	.offer = OFFER_FILES,
	.flags = import_flags,
	.doc = "make an image from a tar file, a directory, a docker archive or a bundle",
	.more = "SOURCE is a file (compressed or not), a directory, or - for standard input. "
		"Prints the\nimage's name.",
	.example = "banger image import debian rootfs.tar.zst\n"
		   "docker save my/app | banger image import app -\n"
		   "banger image import --user me --service sshd:22 mine ./rootfs",
	.run = import_image,
};

/* Every page of image.list. */
static enum err list_all(struct cli *c, json_t *all, struct grid *g, struct why *why)
{
	struct image_list which = { 0 };
	struct image_listed page;
	char time[40];
	enum err e;

	do {
		e = ask(c, LETTER_image_list, &which, memset(&page, 0, sizeof(page)), why);
		if (e)
			return e;
		for (uint32_t i = 0; i < page.images.n; i++) {
			const struct image_info *m = &page.images.v[i];

			which.after = m->name;
			if (c->json) {
				json_add(&all, json_of(&shape_image_info, m));
				continue;
			}
			if (c->quiet) {
				printf("%s\n", m->name);
				continue;
			}
			show_time(time, sizeof(time), m->created);
			grid_cell(g, PLAIN, "%s%s%s", m->name, m->is_default ? " *" : "",
				m->missing.n ? " (files not there)" : "");
			grid_cell(g, PLAIN, "%s", m->facts.os);
			grid_cell(g, PLAIN, "%s", word_of(init_kind, m->facts.init));
			grid_size(g, true, m->facts.size);
			grid_size(g, true, m->facts.used);
			grid_cell(g, PLAIN, "%llu", (unsigned long long)m->machines);
			grid_cell(g, PLAIN, "%.19sZ", time);
		}
	} while (page.more && page.images.n > 0);
	return OK;
}

static int list(struct cli *c)
{
	static const char *const heads[] = { "NAME", "SYSTEM", "INIT", "SIZE", "USED", "MACHINES",
		"CREATED" };
	json_t *all = c->json ? json_array() : NULL;
	struct grid g = { .c = c };
	struct why why;

	if (!c->json && !c->quiet)
		grid_init(&g, c, heads, COUNT(heads));
	if (list_all(c, all, &g, &why)) {
		buf_done(&g.text);
		json_decref(all);
		return report(c, &why);
	}
	if (c->json)
		json_print(c, all);
	else if (!c->quiet)
		grid_print(&g);
	return EXIT_DONE;
}

const struct command cmd_image_list = {
	.words = "image list",
	.args = "",
	.doc = "all images; the default one has a *",
	.example = "banger image list\nbanger image list --json | jq '.[].name'",
	.run = list,
};

static void show_one(struct cli *c, const struct image_info *m)
{
	const struct image_config *conf = &m->facts.config;
	char text[40];

	line_text(c, "name", "%s%s", m->name, m->is_default ? " (default)" : "");
	line_text(c, "id", "%s", m->id);
	if (m->root)
		line_text(c, "file", "%s%s", m->root, m->missing.n ? " (not there)" : "");
	line_text(c, "system", "%s", m->facts.os);
	line_text(c, "init", "%s", word_of(init_kind, m->facts.init));
	show_size(text, sizeof(text), m->facts.size);
	line_text(c, "size", "%s", text);
	show_size(text, sizeof(text), m->facts.used);
	line_text(c, "used", "%s, %llu files", text, (unsigned long long)m->facts.files);
	line_text(c, "user", "%s (uid %llu, home %s)", conf->user ? conf->user : "root",
		(unsigned long long)m->facts.uid, m->facts.home);
	if (conf->workdir)
		line_text(c, "workdir", "%s", conf->workdir);
	for (uint32_t i = 0; i < conf->env.n; i++)
		line_text(c, i ? "" : "env", "%s", conf->env.v[i]);
	if (m->kernel)
		line_text(c, "kernel", "%s", m->kernel);
	for (uint32_t i = 0; i < conf->services.n; i++)
		line_text(c, i ? "" : "services", "%s", conf->services.v[i]);
	line_text(c, "machines", "%llu", (unsigned long long)m->machines);
	show_time(text, sizeof(text), m->created);
	line_text(c, "created", "%s", text);
	line_text(c, "digest", "%s", m->facts.digest);
	if (m->facts.reference)
		line_text(c, "pulled", "%s", m->facts.reference);
}

static int show(struct cli *c)
{
	struct image_only which = { c->args[0] };
	struct image_info info;
	struct why why;

	if (type_ok(&type_image_name, "image", c->args[0], &why))
		return report_usage(c, &why);
	if (ask(c, LETTER_image_show, &which, &info, &why))
		return report(c, &why);
	if (c->json)
		print_document(c, &shape_image_info, &info);
	else
		show_one(c, &info);
	return EXIT_DONE;
}

const struct command cmd_image_show = {
	.words = "image show",
	.args = "NAME",
	.least = 1,
	.most = 1,
	.offer = OFFER_IMAGES,
	.doc = "everything about an image",
	.example = "banger image show debian",
	.run = show,
};

static int delete (struct cli *c)
{
	return act_on_names(c, LETTER_image_delete, "image");
}

const struct command cmd_image_delete = {
	.words = "image delete",
	.args = "NAME...",
	.least = 1,
	.most = UINT32_MAX,
	.offer = OFFER_IMAGES,
	.doc = "delete images that no machine stands on",
	.example = "banger image delete old",
	.run = delete,
};
