/*
 * cli/bundle.h - `image pull file:PATH`, a part of image pull.
 */
#ifndef CLI_BUNDLE_H
#define CLI_BUNDLE_H

#include "cli/cli.h"

bool is_file_url(const char *s); /* file:PATH or file:///PATH */
bool is_https_url(const char *s);
char *name_of_bundle(struct cli *c, const char *path); /* web.tar.zst is web */
int pull_file(struct cli *c);

#endif
