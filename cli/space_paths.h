/*
 * cli/space_paths.h - names that a guest chose. Pure.
 */
#ifndef CLI_SPACE_PATHS_H
#define CLI_SPACE_PATHS_H

#include "base/base.h"

/* No component is .git in any spelling that a file system takes for it, nor empty or dots. */
bool look_path_ok(const char *path);
/* Whether the text of a link at `path` stays beneath the directory that the path is relative to. */
bool link_stays(const char *path, const char *text);

#endif
