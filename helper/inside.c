/*
 * inside.c - a VMM's own world: the jail directory as its root, and in it the host's libraries,
 * read-only; a /dev with the few nodes it needs; the files it was given, as mounts of their
 * descriptors; no /proc, no other file, and no network but the taps that it holds.
 *
 * Runs in the child, between fork and exec: system calls only. Mounts are made in a namespace of
 * the child's own, so they end with the VMM, however that comes about.
 */
#include "helper/inside.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

enum { LAST_CAP_MAX = 63, THREADS_MAX = 512, FILES_MAX = 4096, PATH_ROOM = INSIDE_PATH_MAX + 8 };

static const char *const system_dirs[] = { "usr", "lib", "lib64", "lib32" };

void inside_plan(struct inside *in)
{
	own_fd top = openat(AT_FDCWD, "/", O_PATH | O_DIRECTORY | O_CLOEXEC);

	for (size_t i = 0; i < COUNT(system_dirs); i++) {
		struct stat st;
		ssize_t n;

		if (fstatat(top, system_dirs[i], &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		snprintf(in->system[in->system_n].name, sizeof(in->system[0].name), "%s",
			system_dirs[i]);
		if (S_ISLNK(st.st_mode)) {
			n = readlinkat(top, system_dirs[i], in->system[in->system_n].link,
				sizeof(in->system[0].link) - 1);
			if (n <= 0)
				continue;
			in->system[in->system_n].link[n] = '\0';
		}
		in->system_n++;
	}
}

static int sys_open_tree(int dir, const char *path, unsigned flags)
{
	return (int)syscall(SYS_open_tree, dir, path, flags | OPEN_TREE_CLOEXEC);
}

static int sys_move_mount(int from, const char *to)
{
	return (int)syscall(SYS_move_mount, from, "", AT_FDCWD, to, MOVE_MOUNT_F_EMPTY_PATH);
}

static int limit_mount(const char *at, unsigned long flags)
{
	return mount(NULL, at, NULL, MS_REMOUNT | MS_BIND | MS_NOSUID | MS_NODEV | flags, NULL);
}

/* Directories on the way to a file of the jail. */
static int make_parents(const char *path)
{
	char up[PATH_ROOM];

	for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
		memcpy(up, path, (size_t)(slash - path));
		up[slash - path] = '\0';
		if (mkdirat(AT_FDCWD, up, 0755) < 0 && errno != EEXIST)
			return -1;
	}
	return 0;
}

static int place_file(const struct inside *in, const struct inside_file *f, int tree)
{
	if (make_parents(f->at) < 0)
		return -1;
	if (f->fd < 0) {
		if (mknodat(AT_FDCWD, f->at, S_IFBLK | (f->writable ? 0600 : 0400), f->dev) < 0)
			return -1;
		return fchownat(AT_FDCWD, f->at, in->uid, VMM_GID, AT_SYMLINK_NOFOLLOW);
	}
	if (mknodat(AT_FDCWD, f->at, S_IFREG | 0600, 0) < 0 || sys_move_mount(tree, f->at) < 0)
		return -1;
	return limit_mount(f->at, MS_NOEXEC | (f->writable ? 0 : MS_RDONLY));
}

static int place_tmpfs(const char *at)
{
	if (mkdirat(AT_FDCWD, at, 0755) < 0)
		return -1;
	return mount("none", at, "tmpfs", MS_NOSUID | MS_NOEXEC, "size=64k,mode=755");
}

/* The host's libraries and firmware, as the host has them. */
static int place_system(const struct inside *in)
{
	char from[16];

	for (unsigned i = 0; i < in->system_n; i++) {
		const char *name = in->system[i].name;
		int tree;

		if (in->system[i].link[0]) {
			if (symlinkat(in->system[i].link, AT_FDCWD, name) < 0)
				return -1;
			continue;
		}
		snprintf(from, sizeof(from), "/%s", name);
		tree = sys_open_tree(AT_FDCWD, from, OPEN_TREE_CLONE);
		if (tree < 0 || mkdirat(AT_FDCWD, name, 0755) < 0 ||
			sys_move_mount(tree, name) < 0 || limit_mount(name, MS_RDONLY) < 0)
			return -1;
		close(tree);
	}
	return 0;
}

static int make_node(const char *path, mode_t mode, unsigned major_, unsigned minor_, uid_t uid)
{
	if (mknodat(AT_FDCWD, path, S_IFCHR | mode, makedev(major_, minor_)) < 0)
		return -1;
	return uid ? fchownat(AT_FDCWD, path, uid, VMM_GID, AT_SYMLINK_NOFOLLOW) : 0;
}

static int place_devices(const struct inside *in)
{
	if (place_tmpfs("dev") < 0)
		return -1;
	if (make_node("dev/null", 0666, 1, 3, 0) < 0 || make_node("dev/zero", 0666, 1, 5, 0) < 0 ||
		make_node("dev/random", 0444, 1, 8, 0) < 0 ||
		make_node("dev/urandom", 0444, 1, 9, 0) < 0)
		return -1;
	if (in->kvm && make_node("dev/kvm", 0600, 10, 232, in->uid) < 0)
		return -1;
	if (in->tun && (mkdirat(AT_FDCWD, "dev/net", 0755) < 0 ||
			       make_node("dev/net/tun", 0600, 10, 200, in->uid) < 0))
		return -1;
	return 0;
}

/* The jail's directory becomes a mount, and where we are. */
static int step_in(void)
{
	int tree = sys_open_tree(AT_FDCWD, ".", OPEN_TREE_CLONE);

	if (tree < 0 || sys_move_mount(tree, ".") < 0 || fchdir(tree) < 0)
		return -1;
	close(tree);
	return 0;
}

static int leave_the_host(void)
{
	if (syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0)
		return -1;
	return chroot(".") < 0 ? -1 : 0; /* "/" is where we are, whatever the root was */
}

static int give_up_rights(void)
{
	struct rlimit files = { FILES_MAX, FILES_MAX }, threads = { THREADS_MAX, THREADS_MAX },
		      core = { 0, 0 };

	if (setrlimit(RLIMIT_NOFILE, &files) < 0 || setrlimit(RLIMIT_NPROC, &threads) < 0 ||
		setrlimit(RLIMIT_CORE, &core) < 0)
		return -1;
	for (int cap = 0; cap <= LAST_CAP_MAX; cap++)
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0 && errno != EINVAL)
			return -1;
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

#define STEP(name, act) \
	do { \
		*step = name; \
		if ((act) < 0) \
			return -1; \
	} while (0)

int inside_enter(void *arg, const char **step)
{
	const struct inside *in = arg;
	int trees[INSIDE_FILES_MAX];

	/* until it has a uid of its own (which ends this) it dies with the helper, so whoever has
	 * one is in a jail, where the next helper finds it */
	STEP("tying it to the helper", prctl(PR_SET_PDEATHSIG, SIGKILL));
	STEP("tying it to the helper", getppid() == in->helper ? 0 : -1);
	/* while the descriptors' mounts are in our namespace: afterwards they are another's */
	for (unsigned i = 0; i < in->files_n; i++)
		if (in->files[i].fd >= 0)
			STEP("taking its files", trees[i] = sys_open_tree(in->files[i].fd, "",
							 AT_EMPTY_PATH | OPEN_TREE_CLONE));
	umask(0);
	STEP("entering its jail", fchdir(in->root));
	STEP("leaving namespaces",
		unshare(CLONE_NEWNS | CLONE_NEWIPC | (in->no_network ? CLONE_NEWNET : 0)));
	STEP("closing its mounts off", mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
	STEP("stepping in", step_in());
	if (!in->jailer) {
		STEP("placing libraries", place_system(in));
		STEP("placing devices", place_devices(in));
	}
	STEP("placing its disks", place_tmpfs(JAIL_DISKS));
	for (unsigned i = 0; i < in->files_n; i++)
		STEP("placing its files", place_file(in, &in->files[i], trees[i]));
	umask(077);
	if (in->jailer)
		return 0;
	STEP("leaving the host", leave_the_host());
	STEP("giving up rights", give_up_rights());
	return 0;
}
