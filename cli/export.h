/*
 * cli/export.h - an image of the daemon into a file of the user's, or to standard output (row E3).
 */
#ifndef CLI_EXPORT_H
#define CLI_EXPORT_H

#include "cli/cli.h"

struct exporting {
	struct cli *c;
	const char *image;
	const char *target; /* a file, or "-" for standard output */
	bool force; /* a file that is there is replaced */
};

/* Answers 0, or the exit code after it said why; then there is no file, or the one that was. */
int export_image(struct exporting *ex);

#endif
