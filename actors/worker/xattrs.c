/*
 * xattrs.c - which attributes of an archive's entry go into an image, and ACLs in binary.
 *
 * Policy: user.* on files and directories, security.* (file capabilities), trusted.* but for the
 * marks of overlay file systems, and POSIX ACLs. Anything else belongs to the host it came from.
 */
#include <archive_entry.h>
#include <sys/stat.h>

#include "worker/unpack.h"

enum { ACL_VERSION = 2, ACL_HEAD = 4, ACL_ENTRY = 8 };

enum { /* tags of the kernel's form */
	TAG_USER_OBJ = 1,
	TAG_USER = 2,
	TAG_GROUP_OBJ = 4,
	TAG_GROUP = 8,
	TAG_MASK = 16,
	TAG_OTHER = 32
};

static bool begins(const char *s, const char *prefix)
{
	return strncmp(s, prefix, strlen(prefix)) == 0;
}

static uint32_t get16(const uint8_t *p)
{
	return p[0] | (uint32_t)p[1] << 8;
}

/* An ACL that came in the kernel's form already: whole entries, known tags, in order. */
static bool is_acl(const uint8_t *p, size_t n)
{
	uint32_t last = 0;

	if (n < ACL_HEAD + 3 * ACL_ENTRY || n > 4096 || (n - ACL_HEAD) % ACL_ENTRY != 0 ||
		get16(p) != ACL_VERSION || get16(p + 2) != 0)
		return false;
	for (size_t at = ACL_HEAD; at < n; at += ACL_ENTRY) {
		uint32_t tag = get16(p + at);

		if (tag == 0 || tag > TAG_OTHER || (tag & (tag - 1)) || tag < last ||
			get16(p + at + 2) > 7)
			return false;
		last = tag;
	}
	return true;
}

static bool is_wanted(const char *name, mode_t type, const void *value, size_t n)
{
	if (str_eq(name, "system.posix_acl_access"))
		return type != S_IFLNK && is_acl(value, n);
	if (str_eq(name, "system.posix_acl_default"))
		return type == S_IFDIR && is_acl(value, n);
	if (begins(name, "user."))
		return (type == S_IFREG || type == S_IFDIR) && name[5];
	if (begins(name, "security."))
		return name[9];
	return begins(name, "trusted.") && !begins(name, "trusted.overlay.") && name[8];
}

static enum err add(struct xattr_set *set, const char *name, const void *p, size_t n,
	struct why *why)
{
	if (strlen(name) > 255)
		return fail(why, ERR_too_large, "an attribute's name of %zu bytes", strlen(name));
	if (set->n == XATTRS_MAX)
		return fail(why, ERR_too_large, "more than %d extended attributes", XATTRS_MAX);
	if (n > 65536)
		return fail(why, ERR_too_large, "an attribute of %zu bytes", n);
	set->v[set->n++] = (struct xattr){ name, { p, n } };
	return OK;
}

static void put16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)v;
	p[1] = (uint8_t)(v >> 8);
}

static void put32(uint8_t *p, uint32_t v)
{
	put16(p, v);
	put16(p + 2, v >> 16);
}

static uint32_t tag_of(int tag)
{
	switch (tag) {
	case ARCHIVE_ENTRY_ACL_USER_OBJ:
		return TAG_USER_OBJ;
	case ARCHIVE_ENTRY_ACL_USER:
		return TAG_USER;
	case ARCHIVE_ENTRY_ACL_GROUP_OBJ:
		return TAG_GROUP_OBJ;
	case ARCHIVE_ENTRY_ACL_GROUP:
		return TAG_GROUP;
	case ARCHIVE_ENTRY_ACL_MASK:
		return TAG_MASK;
	case ARCHIVE_ENTRY_ACL_OTHER:
		return TAG_OTHER;
	default:
		return 0;
	}
}

/* The kernel wants tags in order and, within one, ids in order. */
static int by_tag(const void *a, const void *b)
{
	const uint8_t *x = a, *y = b;

	for (int i = 0; i < ACL_ENTRY; i++) {
		static const int order[ACL_ENTRY] = { 1, 0, 7, 6, 5, 4, 3, 2 };
		int d = x[order[i]] - y[order[i]];

		if (d)
			return d;
	}
	return 0;
}

static enum err pack_acl(struct archive_entry *e, int type, uint8_t *out, size_t size, size_t *ret,
	struct why *why)
{
	int kind, permset, tag, id;
	const char *name;
	size_t n = ACL_HEAD;

	*ret = 0;
	if (archive_entry_acl_reset(e, type) == 0)
		return OK;
	put32(out, ACL_VERSION);
	while (archive_entry_acl_next(e, type, &kind, &permset, &tag, &id, &name) == ARCHIVE_OK) {
		uint32_t t = tag_of(tag);
		bool named = t == TAG_USER || t == TAG_GROUP;

		if (t == 0)
			continue;
		if (n + ACL_ENTRY > size)
			return fail(why, ERR_too_large, "an access list of more than %zu bytes",
				size);
		put16(out + n, t);
		put16(out + n + 2, (uint32_t)permset & 7);
		put32(out + n + 4, named ? (uint32_t)id : UINT32_MAX);
		n += ACL_ENTRY;
	}
	qsort(out + ACL_HEAD, (n - ACL_HEAD) / ACL_ENTRY, ACL_ENTRY, by_tag);
	*ret = n;
	return OK;
}

static enum err add_acls(struct archive_entry *e, struct xattr_set *set, struct why *why)
{
	size_t n;
	enum err err;

	err = pack_acl(e, ARCHIVE_ENTRY_ACL_TYPE_ACCESS, set->acl[0], sizeof(set->acl[0]), &n, why);
	/* Three entries say no more than the mode does. */
	if (!err && n > ACL_HEAD + 3 * ACL_ENTRY)
		err = add(set, "system.posix_acl_access", set->acl[0], n, why);
	if (err || archive_entry_filetype(e) != AE_IFDIR)
		return err;
	err = pack_acl(e, ARCHIVE_ENTRY_ACL_TYPE_DEFAULT, set->acl[1], sizeof(set->acl[1]), &n,
		why);
	if (!err && n > ACL_HEAD)
		err = add(set, "system.posix_acl_default", set->acl[1], n, why);
	return err;
}

enum err xattrs_of(struct archive_entry *e, struct xattr_set *set, struct why *why)
{
	mode_t type = archive_entry_filetype(e);
	const char *name;
	const void *value;
	enum err err = OK;
	size_t n;

	set->n = 0;
	archive_entry_xattr_reset(e);
	while (!err && archive_entry_xattr_next(e, &name, &value, &n) == ARCHIVE_OK)
		if (name && is_wanted(name, type, value, n))
			err = add(set, name, value, n, why);
	if (!err && type != AE_IFLNK)
		err = add_acls(e, set, why);
	return err;
}

uint32_t xattrs_mode(const struct xattr_set *set, uint32_t mode)
{
	for (size_t i = 0; i < set->n; i++) {
		const struct bytes *v = &set->v[i].value;

		if (!str_eq(set->v[i].name, "system.posix_acl_access"))
			continue;
		for (size_t at = ACL_HEAD; at + ACL_ENTRY <= v->n; at += ACL_ENTRY)
			if (get16(v->p + at) == TAG_MASK)
				mode = (mode & ~070u) | (get16(v->p + at + 2) & 7) << 3;
	}
	return mode;
}
