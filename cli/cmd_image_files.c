/*
 * cmd_image_files.c - images whose files the user keeps, and what may go: register, promote, prune.
 */
#include <stdlib.h>

#include "base/text.h"
#include "cli/image.h"
#include "cli/json.h"
#include "cli/op.h"
#include "cli/pruned.h"
#include "cli/report.h"

/* Asks for what takes a while, its stages shown; Ctrl-C ends us, and the daemon then undoes it. */
static int ask_long(struct cli *c, enum letter_id letter, const void *body)
{
	struct image_info info;
	struct why why;

	if (op_ask(c, letter, body, &info, &why))
		return report(c, &why);
	return print_image(c, &info);
}

static const struct flag register_flags[] = {
	{ .name = "user",
		.letter = 'u',
		.type = &type_user,
		.value = "USER",
		.doc = "user of programs; root when absent" },
	{ .name = "service",
		.field = "services",
		.type = &type_service,
		.value = "NAME:PORT",
		.many = true,
		.doc = "a start ends when it is up" },
	{ .name = "kernel",
		.type = &type_kernel_name,
		.value = "NAME",
		.offer = OFFER_KERNELS,
		.doc = "its machines boot this one when they name none" },
	{ .name = "replace", .doc = "change the registered image of that name; it keeps its id" },
	{ .name = NULL },
};

static int register_image(struct cli *c)
{
	struct image_register body = { .name = c->args[0] };
	char *path;
	struct why why;
	enum err e = type_ok(&type_image_name, "name", c->args[0], &why);
	int code;

	if (!e)
		e = flags_fill(c, &shape_image_register, &body, &why);
	if (e)
		return report_usage(c, &why);
	/* the daemon follows no link: the path that is kept is the file's own */
	path = realpath(c->args[1], NULL);
	if (!path) {
		fail_errno(&why, "cannot find %.200s", c->args[1]);
		return report(c, &why);
	}
	body.root = path;
	code = ask_long(c, LETTER_image_register, &body);
	free(path);
	return code;
}

const struct command cmd_image_register = {
	.words = "image register",
	.args = "NAME FILE",
	.least = 2,
	.most = 2,
	.offer = OFFER_FILES,
	.flags = register_flags,
	.doc = "make an image of a root filesystem that stays where it is",
	.more = "FILE is an ext4 without partitions, cleanly unmounted. It is only read, and "
		"yours: leave it\nas it is while machines stand on it. --replace points a "
		"registered image at another file\n(or at what the file holds now); machines go "
		"on with what they have.",
	.example = "banger image register mine ./root.ext4\n"
		   "banger image register --replace mine ./root-2.ext4",
	.run = register_image,
};

static const struct flag promote_flags[] = {
	{ .name = "service",
		.field = "services",
		.type = &type_service,
		.value = "NAME:PORT",
		.many = true,
		.doc = "a start ends when it is up; over those that it has" },
	{ .name = NULL },
};

static int promote(struct cli *c)
{
	struct image_promote body = { .image = c->args[0] };
	struct why why;
	enum err e = type_ok(&type_image_name, "image", c->args[0], &why);

	if (!e)
		e = flags_fill(c, &shape_image_promote, &body, &why);
	if (e)
		return report_usage(c, &why);
	return ask_long(c, LETTER_image_promote, &body);
}

const struct command cmd_image_promote = {
	.words = "image promote",
	.args = "NAME",
	.least = 1,
	.most = 1,
	.offer = OFFER_IMAGES,
	.flags = promote_flags,
	.doc = "copy a registered image's file, so that banger owns all of it",
	.more = "The image keeps its id. Machines whose disks stand on your file (layer qcow2) go "
		"on standing\nthere; new ones stand on the copy.",
	.example = "banger image promote mine",
	.run = promote,
};

static const struct flag prune_flags[] = {
	{ .name = "all",
		.letter = 'a',
		.doc = "managed images without machines, too; not the default one" },
	{ .name = "dry-run", .letter = 'n', .doc = "only show what would go" },
	{ .name = NULL },
};

static int prune(struct cli *c)
{
	struct image_prune body = { 0 };
	struct image_pruned said;
	struct why why;

	if (flags_fill(c, &shape_image_prune, &body, &why))
		return report_usage(c, &why);
	if (ask(c, LETTER_image_prune, &body, &said, &why))
		return report(c, &why);
	print_pruned(c, &said);
	return EXIT_DONE;
}

const struct command cmd_image_prune = {
	.words = "image prune",
	.args = "",
	.flags = prune_flags,
	.doc = "remove what nobody uses, and tell how many bytes that were",
	.more = "Without --all only leftovers of the image store go, and layers of pulls, which "
		"are kept to make the\nnext pull faster. Files that you registered are never "
		"removed.",
	.example = "banger image prune --all --dry-run\nbanger image prune --all",
	.run = prune,
};
