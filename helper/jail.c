/*
 * jail.c - directories of root's for VMMs, the uids that go with them, and copies of programs for a
 * jailer that takes them by path.
 */
#include "helper/jail.h"

#include <fcntl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sys/beneath.h"

void jail_name(char out[JAIL_NAME_MAX], enum vmm driver, const char *vm)
{
	snprintf(out, JAIL_NAME_MAX, "%s/%s", word_of(vmm, driver), vm);
}

struct uids {
	bool used[VMMS_MAX];
};

static void note_uid(void *ctx, const struct priv_entry *r)
{
	struct uids *u = ctx;

	if (r->has_uid && r->uid >= VMM_UID_FIRST && r->uid < VMM_UID_FIRST + VMMS_MAX)
		u->used[r->uid - VMM_UID_FIRST] = true;
}

enum err jail_uid(const struct helper *h, uid_t *ret, struct why *why)
{
	struct uids u = { .used = { false } };

	ledger_each(h->ledger, priv_thing_jail, note_uid, &u);
	for (unsigned i = 0; i < VMMS_MAX; i++)
		if (!u.used[i]) {
			*ret = (uid_t)VMM_UID_FIRST + i;
			return OK;
		}
	return fail_field(
		why, ERR_busy, "vm_id", "%d machines have jails, one more is refused", VMMS_MAX);
}

static enum err make_dir(
	int at, const char *name, mode_t mode, bool fresh, int *ret, struct why *why)
{
	own_fd fd = -1;

	if (mkdirat(at, name, mode) < 0 && (fresh || errno != EEXIST)) {
		if (errno == EEXIST)
			return fail_field(why, ERR_exists, "vm_id",
				"a jail of that machine is there; clean it up first");
		return fail_errno(why, "cannot make directory %s of a jail", name);
	}
	fd = open_beneath(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	if (fd < 0 || fchmod(fd, mode) < 0) /* whatever the umask took off */
		return fail_errno(why, "cannot make directory %s of a jail", name);
	*ret = take_fd(&fd);
	return OK;
}

enum err jail_make(
	struct helper *h, const char *name, uid_t uid, bool own_run, int *ret, struct why *why)
{
	own_fd driver = -1, id = -1, root = -1, run = -1;
	const char *slash = strchr(name, '/');
	char first[JAIL_NAME_MAX];
	enum err e;

	must(slash);
	snprintf(first, sizeof(first), "%.*s", (int)(slash - name), name);
	e = make_dir(h->jails, first, 0711, false, &driver, why);
	if (!e)
		e = make_dir(driver, slash + 1, 0711, true, &id, why);
	if (!e)
		e = make_dir(id, "root", 0755, true, &root, why);
	if (!e)
		e = make_dir(root, "run", 0755, true, &run, why);
	if (!e && own_run && fchown(run, uid, VMM_GID) < 0)
		e = fail_errno(why, "cannot give a jail to its machine");
	if (!e)
		*ret = take_fd(&root);
	return e;
}

static enum err copy_program(int from, int to, off_t size, struct why *why)
{
	off_t at = 0;

	while (at < size) {
		ssize_t n = sendfile(to, from, &at, (size_t)(size - at));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return fail_errno(why, "cannot copy a program");
	}
	if (fchown(to, 0, 0) < 0 || fchmod(to, 0555) < 0)
		return fail_errno(why, "cannot copy a program");
	return OK;
}

/*
 * Kept by what the program is (device, inode, change time), under its own name, for the jailer
 * names the jail by it.
 */
enum err jail_program(
	struct helper *h, int program, const char *name, char *out, size_t size, struct why *why)
{
	own_fd all = -1, one = -1, from = -1, to = -1;
	char key[80], link[32], part[] = ".part";
	struct stat st;
	enum err e;

	if (fstat(program, &st) < 0)
		return fail_errno(why, "cannot look at a program");
	snprintf(key, sizeof(key), "%llx-%llx-%llx-%llx", (unsigned long long)st.st_dev,
		(unsigned long long)st.st_ino, (unsigned long long)st.st_ctim.tv_sec,
		(unsigned long long)st.st_ctim.tv_nsec);
	if (snprintf(out, size, "%s/%s/%s/%s", h->jail_path, JAIL_PROGRAMS, key, name) >= (int)size)
		return fail(why, ERR_too_large, "path too long: %s", h->jail_path);
	e = make_dir(h->jails, JAIL_PROGRAMS, 0711, false, &all, why);
	if (!e)
		e = make_dir(all, key, 0711, false, &one, why);
	if (e || faccessat(one, name, X_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return e;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", program);
	from = openat(AT_FDCWD, link, O_RDONLY | O_CLOEXEC);
	to = open_beneath(one, part, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0500);
	if (from < 0 || to < 0)
		return fail_errno(why, "cannot copy program %s", name);
	e = copy_program(from, to, st.st_size, why);
	fd_done(&to); /* a file that is open for writing cannot be executed */
	if (!e && renameat(one, part, one, name) < 0)
		e = fail_errno(why, "cannot copy program %s", name);
	if (e)
		unlinkat(one, part, 0);
	return e;
}
