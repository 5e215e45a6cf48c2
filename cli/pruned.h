/*
 * cli/pruned.h - what a prune took away, or would.
 */
#ifndef CLI_PRUNED_H
#define CLI_PRUNED_H

#include "cli/cli.h"

/* As a document, as names (--quiet), or as a line each with its bytes. */
void print_pruned(struct cli *c, const struct image_pruned *said);

#endif
