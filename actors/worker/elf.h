/*
 * worker/elf.h - as much of ELF as a kernel and its modules need. Pure: every offset is checked
 * against the bytes that are there.
 */
#ifndef WORKER_ELF_H
#define WORKER_ELF_H

#include "base/err.h"

struct elf_kernel {
	const char *arch; /* x86_64 or aarch64 */
	bool pvh; /* has a PVH entry note */
	char release[129]; /* of its banner; "" when there is none */
};

bool elf_is(struct bytes file);
/* A 64-bit little-endian executable for a machine that banger runs. */
enum err elf_kernel_read(struct bytes file, struct elf_kernel *ret, struct why *why) MUST_CHECK;

/* Content of the section of that name; false when there is none. */
bool elf_section(struct bytes file, const char *name, struct bytes *ret);

/*
 * The next KEY=VALUE of a .modinfo section, which is taken off *left; both point into it, the value
 * ends in NUL. False at the end.
 */
bool modinfo_next(struct bytes *left, struct bytes *key, const char **value);

#endif
