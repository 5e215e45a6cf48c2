/*
 * cli/image.h - how commands that made an image say which: its name, or with --json all about it.
 */
#ifndef CLI_IMAGE_H
#define CLI_IMAGE_H

#include "cli/cli.h"

/* Both answer the exit code. */
int print_image(struct cli *c, const struct image_info *info);
int print_image_named(struct cli *c, const char *name); /* asks for the rest, when it is wanted */

#endif
