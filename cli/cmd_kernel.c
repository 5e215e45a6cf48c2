/*
 * cmd_kernel.c - kernels: the six commands of row C4.
 */
#include "base/text.h"
#include "cli/each.h"
#include "cli/import.h"
#include "cli/json.h"
#include "cli/op.h"
#include "cli/report.h"

static int print_kernel(struct cli *c, const struct kernel_info *info)
{
	if (c->json)
		print_document(c, &shape_kernel_info, info);
	else
		printf("%s\n", info->name);
	return EXIT_DONE;
}

static int list(struct cli *c)
{
	static const char *const heads[] = { "NAME", "RELEASE", "ARCH", "SIZE", "MODULES",
		"MACHINES", "CREATED" };
	struct kernel_listed all = { 0 };
	struct nothing none;
	struct grid g;
	struct why why;
	char time[40];

	if (ask(c, LETTER_kernel_list, &none, &all, &why))
		return report(c, &why);
	if (c->json) {
		json_print(c, json_of_list(&shape_kernel_info, all.kernels.v, all.kernels.n));
		return EXIT_DONE;
	}
	if (!c->quiet)
		grid_init(&g, c, heads, COUNT(heads));
	for (uint32_t i = 0; i < all.kernels.n; i++) {
		const struct kernel_info *k = &all.kernels.v[i];

		if (c->quiet) {
			printf("%s\n", k->name);
			continue;
		}
		show_time(time, sizeof(time), k->created);
		grid_cell(&g, PLAIN, "%s%s", k->name, k->is_default ? " *" : "");
		grid_cell(&g, PLAIN, "%s", k->facts.release);
		grid_cell(&g, PLAIN, "%s", k->facts.arch);
		grid_size(&g, true, k->facts.size);
		grid_cell(&g, PLAIN, "%llu", (unsigned long long)k->facts.modules);
		grid_cell(&g, PLAIN, "%llu", (unsigned long long)k->machines);
		grid_cell(&g, PLAIN, "%.19sZ", time);
	}
	if (!c->quiet)
		grid_print(&g);
	return EXIT_DONE;
}

const struct command cmd_kernel_list = {
	.words = "kernel list",
	.args = "",
	.doc = "all kernels; the default one has a *",
	.example = "banger kernel list",
	.run = list,
};

static int show(struct cli *c)
{
	struct kernel_only which = { c->args[0] };
	struct kernel_info k;
	struct why why;
	char text[40];

	if (type_ok(&type_kernel_name, "kernel", c->args[0], &why))
		return report_usage(c, &why);
	if (ask(c, LETTER_kernel_show, &which, &k, &why))
		return report(c, &why);
	if (c->json)
		return print_kernel(c, &k);
	line_text(c, "name", "%s%s", k.name, k.is_default ? " (default)" : "");
	line_text(c, "id", "%s", k.id);
	line_text(c, "release", "%s", k.facts.release);
	line_text(c, "arch", "%s", k.facts.arch);
	show_size(text, sizeof(text), k.facts.size);
	line_text(c, "size", "%s%s", text, k.facts.pvh ? ", PVH" : "");
	show_size(text, sizeof(text), k.facts.modules_size);
	line_text(c, "modules", "%llu, %s", (unsigned long long)k.facts.modules, text);
	line_text(c, "machines", "%llu", (unsigned long long)k.machines);
	show_time(text, sizeof(text), k.created);
	line_text(c, "created", "%s", text);
	line_text(c, "digest", "%s", k.facts.digest);
	return EXIT_DONE;
}

const struct command cmd_kernel_show = {
	.words = "kernel show",
	.args = "NAME",
	.least = 1,
	.most = 1,
	.offer = OFFER_KERNELS,
	.doc = "everything about a kernel",
	.example = "banger kernel show debian",
	.run = show,
};

static const struct flag pull_flags[] = {
	{ .name = "replace", .doc = "pull again when it is there" },
	{ .name = "offline", .doc = "fetch nothing: what is not here is refused" },
	{ .name = "default", .field = "make_default", .doc = "machines use it when none is named" },
	{ .name = NULL },
};

/* Ctrl-C ends us as it would any program; the daemon then undoes what was begun. */
static int pull(struct cli *c)
{
	struct kernel_pull body = { .name = c->args[0] };
	struct kernel_info info;
	struct why why;
	enum err e = type_ok(&type_kernel_name, "name", c->args[0], &why);

	if (!e)
		e = flags_fill(c, &shape_kernel_pull, &body, &why);
	if (e)
		return report_usage(c, &why);
	if (op_ask(c, LETTER_kernel_pull, &body, &info, &why))
		return report(c, &why);
	return print_kernel(c, &info);
}

const struct command cmd_kernel_pull = {
	.words = "kernel pull",
	.args = "NAME",
	.least = 1,
	.most = 1,
	.flags = pull_flags,
	.doc = "fetch a kernel of the catalog",
	.example = "banger kernel pull debian",
	.run = pull,
};

static const struct flag import_flags[] = {
	{ .name = "modules",
		.type = &type_path,
		.value = "DIR",
		.offer = OFFER_FILES,
		.doc = "its modules tree, /lib/modules/<release>" },
	{ .name = "replace", .doc = "take the name of a kernel that exists" },
	{ .name = "default", .field = "make_default", .doc = "machines use it when none is named" },
	{ .name = NULL },
};

static int import_kernel(struct cli *c)
{
	const char *modules = flag_text(c, "modules");
	const char *const pack[] = { "banger-worker", "pack-kernel", c->args[1], modules, NULL };
	struct kernel_import body = { .name = c->args[0] };
	struct import in = { .c = c,
		.letter = LETTER_kernel_import,
		.body = &body,
		.source = c->args[1],
		.pack = modules ? pack : NULL };
	struct kernel_only which = { c->args[0] };
	struct kernel_info info;
	struct why why;
	enum err e = type_ok(&type_kernel_name, "name", c->args[0], &why);
	int code;

	if (!e)
		e = flags_fill(c, &shape_kernel_import, &body, &why);
	if (e)
		return report_usage(c, &why);
	code = import(&in);
	if (code)
		return code;
	if (!c->json) {
		printf("%s\n", c->args[0]);
		return EXIT_DONE;
	}
	if (ask(c, LETTER_kernel_show, &which, &info, &why))
		return report(c, &why);
	return print_kernel(c, &info);
}

const struct command cmd_kernel_import = {
	.words = "kernel import",
	.args = "NAME FILE",
	.least = 2,
	.most = 2,
	.offer = OFFER_FILES,
	.flags = import_flags,
	.doc = "make a kernel from a bzImage, a vmlinux or a Debian package",
	.more = "FILE may be - for standard input, unless --modules is given.",
	.example = "banger kernel import mine bzImage --modules /lib/modules/6.1.0-18-amd64\n"
		   "banger kernel import cloud linux-image-6.1.0-18-cloud-amd64.deb",
	.run = import_kernel,
};

static int delete (struct cli *c)
{
	return act_on_names(c, LETTER_kernel_delete, "kernel");
}

const struct command cmd_kernel_delete = {
	.words = "kernel delete",
	.args = "NAME...",
	.least = 1,
	.most = UINT32_MAX,
	.offer = OFFER_KERNELS,
	.doc = "delete kernels that no machine stands on",
	.example = "banger kernel delete old",
	.run = delete,
};

static int choose(struct cli *c)
{
	struct kernel_default body = { c->args_n ? c->args[0] : NULL };
	struct kernel_default_is is = { 0 };
	struct why why;

	if (body.kernel && type_ok(&type_kernel_name, "kernel", body.kernel, &why))
		return report_usage(c, &why);
	if (ask(c, LETTER_kernel_default, &body, &is, &why))
		return report(c, &why);
	if (c->json) {
		print_document(c, &shape_kernel_default_is, &is);
		return EXIT_DONE;
	}
	if (is.kernel) {
		printf("%s\n", is.kernel);
		return EXIT_DONE;
	}
	fail(&why, ERR_not_found, "there is no default kernel");
	fail_hint(&why, "banger kernel pull NAME --default");
	return report(c, &why);
}

const struct command cmd_kernel_default = {
	.words = "kernel default",
	.args = "[NAME]",
	.most = 1,
	.offer = OFFER_KERNELS,
	.doc = "the kernel that machines boot when none is named: ask, or choose",
	.example = "banger kernel default\nbanger kernel default debian",
	.run = choose,
};
