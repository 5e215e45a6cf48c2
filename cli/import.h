/*
 * cli/import.h - the user's file, directory or standard input into an image or kernel (row E3).
 */
#ifndef CLI_IMPORT_H
#define CLI_IMPORT_H

#include "cli/cli.h"

struct import {
	struct cli *c;
	enum letter_id letter; /* image.import or kernel.import */
	const void *body;
	const char *source; /* a file, or "-" for standard input */
	const char *const *pack; /* or: a companion whose output it is; NULL-terminated argv */
};

/* Answers 0, or the exit code after it said why; Ctrl-C cancels and waits for the undoing. */
int import(struct import *in);

#endif
