/*
 * worker/pack.h - the local mode: trees of the caller's own as tar on stdout, for the CLI to send.
 * Both answer an exit code: 0, or 1 when something could not be read (named on stderr).
 */
#ifndef WORKER_PACK_H
#define WORKER_PACK_H

int pack_tree(const char *dir);
int pack_kernel(const char *kernel, const char *modules);

#endif
