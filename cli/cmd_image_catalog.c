/*
 * cmd_image_catalog.c - `banger image catalog`: what may be asked for by name and is fetched then.
 */
#include "cli/json.h"
#include "cli/link.h"
#include "cli/report.h"

static void add_image(struct grid *g, const struct catalog_image *im)
{
	grid_cell(g, PLAIN, "%s", im->name);
	grid_cell(g, PLAIN, "image");
	grid_cell(g, PLAIN, "%s", im->reference ? im->reference : im->bundle);
	grid_cell(g, PLAIN, "%s", im->about ? im->about : "");
}

static void add_kernel(struct grid *g, const struct catalog_kernel *k)
{
	grid_cell(g, PLAIN, "%s", k->name);
	grid_cell(g, PLAIN, "kernel");
	grid_cell(g, PLAIN, "%s", k->package);
	grid_cell(g, PLAIN, "Debian package");
}

static int catalog(struct cli *c)
{
	static const char *const heads[] = { "NAME", "KIND", "SOURCE", "ABOUT" };
	struct catalog all = { .has_built_in = false };
	struct nothing none;
	struct grid g;
	struct why why;

	if (ask(c, LETTER_image_catalog, &none, &all, &why))
		return report(c, &why);
	if (c->json) {
		print_document(c, &shape_catalog, &all);
		return EXIT_DONE;
	}
	for (uint32_t i = 0; c->quiet && i < all.images.n; i++)
		printf("%s\n", all.images.v[i].name);
	if (c->quiet)
		return EXIT_DONE;
	grid_init(&g, c, heads, COUNT(heads));
	for (uint32_t i = 0; i < all.images.n; i++)
		add_image(&g, &all.images.v[i]);
	for (uint32_t i = 0; i < all.kernels.n; i++)
		add_kernel(&g, &all.kernels.v[i]);
	grid_print(&g);
	return EXIT_DONE;
}

const struct command cmd_image_catalog = {
	.words = "image catalog",
	.args = "",
	.doc = "names that are fetched when they are wanted and not here",
	.more = "A catalog of your own (catalog.yaml of the config directory, or what config's "
		"`catalog` names)\ngoes over the built-in one. The daemon reads it when it starts.",
	.example = "banger image catalog",
	.run = catalog,
};
