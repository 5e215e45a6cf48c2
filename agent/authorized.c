/*
 * authorized.c - puts a key into ~/.ssh/authorized_keys.
 *
 * What lies in a home is its user's, links too, so the agent acts with that user's rights on files
 * (setfsuid) and cannot be led to write what the user could not.
 */
#include "agent/authorized.h"

#include <fcntl.h>
#include <sys/fsuid.h>
#include <sys/stat.h>

#include "agent/image.h"

enum { FILE_BYTES_MAX = 1048576 };

static enum err install(int root, const struct account *who, const char *key, struct why *why)
{
	const char *slash = str_eq(who->home, "/") ? "" : "/";
	own_buf dir = { 0 };
	own_buf file = { 0 };
	own_buf have = { 0 };
	own_buf want = { 0 };
	own_fd home = image_open(root, who->home, O_PATH | O_DIRECTORY);
	own_fd ssh = -1;
	enum err e;

	buf_fmt(&dir, "%s%s.ssh", who->home, slash);
	buf_fmt(&file, "%s%s.ssh/authorized_keys", who->home, slash);
	buf_init(&want, 2 * (size_t)FILE_BYTES_MAX);
	if (home < 0 || (mkdirat(home, ".ssh", 0700) < 0 && errno != EEXIST))
		return fail_errno(why, "cannot make the guest's %s", buf_cstr(&dir));
	ssh = image_open(root, buf_cstr(&dir), O_PATH | O_DIRECTORY);
	if (ssh < 0)
		return fail_errno(why, "cannot reach the guest's %s", buf_cstr(&dir));
	e = image_read(root, buf_cstr(&file), FILE_BYTES_MAX, &have, why);
	if (e && e != ERR_not_found)
		return e;
	if (have.n > 0 && memchr(have.p, 0, have.n))
		return fail(why, ERR_invalid_value, "the guest's %s is no text", buf_cstr(&file));
	if (!authorized_edit(buf_cstr(&have), key, &want))
		return OK;
	if (have.failed || want.failed)
		return fail(why, ERR_too_large, "the guest's %s is too large", buf_cstr(&file));
	return image_write(root, buf_cstr(&file), want.p, want.n, 0600, false, why);
}

enum err authorized_install(int root, const struct account *who, const char *key, struct why *why)
{
	/* a home that the image lacks is made, as a login would find it */
	own_fd home = image_dir(root, who->home, who->uid, who->gid);
	enum err e;

	if (home < 0)
		return fail_errno(why, "the guest's user %s has no home %s", who->name, who->home);
	(void)setfsgid(who->gid);
	(void)setfsuid(who->uid);
	e = install(root, who, key, why);
	(void)setfsuid(0);
	(void)setfsgid(0);
	return e;
}
