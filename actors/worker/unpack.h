/*
 * worker/unpack.h - a tar stream becomes entries of a tree.
 */
#ifndef WORKER_UNPACK_H
#define WORKER_UNPACK_H

#include "worker/job.h"
#include "worker/tree.h"

struct archive_entry;

struct unpack {
	struct tree *tree;
	struct job *job;
	uint64_t content, content_max; /* bytes of files; ceiling */
	uint64_t entries, entries_max; /* read, replaced ones too */
	uint64_t skipped; /* sockets, storage drivers' marks */
	bool layered; /* whiteouts mean something */
};

/* All entries of a, which reads from s. */
enum err unpack_tar(struct unpack *u, struct archive *a, struct source *s,
	struct why *why) MUST_CHECK;

/* Attributes of an entry that belong into an image; ACLs in the kernel's form. */
enum { XATTRS_MAX = 64 };
struct xattr_set {
	struct xattr v[XATTRS_MAX];
	size_t n;
	uint8_t acl[2][4096];
};
enum err xattrs_of(struct archive_entry *e, struct xattr_set *set, struct why *why) MUST_CHECK;
/* The permissions of a file with these: an ACL's mask stands where the group's would. */
uint32_t xattrs_mode(const struct xattr_set *set, uint32_t mode);

/* Puts "entry 'path': " in front of what went wrong; returns its code. */
enum err fail_entry(struct why *why, const char *path);

#endif
