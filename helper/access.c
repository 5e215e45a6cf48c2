/*
 * access.c - lets a VMM's uid use one file of the owner's, by a POSIX ACL on the descriptor.
 *
 * The file's owner keeps reading and writing; nobody else gains anything, for the directories on
 * the way to the file are closed to VMMs, who see it only where it is mounted into their jail.
 */
#include <sys/stat.h>
#include <sys/xattr.h>

#include "helper/jail.h"

/* The kernel's form of system.posix_acl_access, version 2. */
enum {
	ACL_VERSION = 2,
	TAG_USER_OBJ = 1,
	TAG_USER = 2,
	TAG_GROUP_OBJ = 4,
	TAG_GROUP = 8,
	TAG_MASK = 16,
	TAG_OTHER = 32,
	READ = 4,
	WRITE = 2
};

struct acl_entry {
	uint16_t tag, perm;
	uint32_t id;
};

struct acl {
	uint32_t version;
	struct acl_entry e[5];
};

static enum err set_acl(
	int fd, uint16_t tag, uint32_t id, uint16_t perm, const char *field, struct why *why)
{
	const uint32_t none = UINT32_MAX;
	struct acl a = { .version = ACL_VERSION };
	struct stat st;
	char path[32];
	unsigned n = 0;

	if (fstat(fd, &st) < 0)
		return fail_errno(why, "cannot look at a file");
	/* sorted by tag, as the kernel wants it */
	a.e[n++] = (struct acl_entry){ TAG_USER_OBJ, st.st_mode >> 6 & 7, none };
	if (tag == TAG_USER)
		a.e[n++] = (struct acl_entry){ TAG_USER, perm, id };
	a.e[n++] = (struct acl_entry){ TAG_GROUP_OBJ, 0, none };
	if (tag == TAG_GROUP)
		a.e[n++] = (struct acl_entry){ TAG_GROUP, perm, id };
	a.e[n++] = (struct acl_entry){ TAG_MASK, perm, none };
	a.e[n++] = (struct acl_entry){ TAG_OTHER, 0, none };
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (setxattr(path, "system.posix_acl_access", &a, sizeof(a), 0) == 0)
		return OK;
	if (errno == EOPNOTSUPP) {
		fail_field(why, ERR_unsupported, field,
			"the filesystem of the state directory has no POSIX ACLs");
		return fail_hint(why, "use ext4, xfs, btrfs or tmpfs, mounted with acl");
	}
	return fail_field(why, err_from_errno(errno), field, "cannot give access to a VMM: %s",
		strerror(errno));
}

enum err grant_read(int fd, const char *field, struct why *why)
{
	return set_acl(fd, TAG_GROUP, VMM_GID, READ, field, why);
}

enum err grant_write(int fd, uid_t uid, const char *field, struct why *why)
{
	return set_acl(fd, TAG_USER, uid, READ | WRITE, field, why);
}
