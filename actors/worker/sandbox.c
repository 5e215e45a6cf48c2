/*
 * sandbox.c - sheds privileges in named steps, each with its reason.
 *
 * Order matters: what needs a right comes before the step that drops it. Steps that some hosts do
 * not offer (user namespaces, Landlock) are taken where they are; identity, no_new_privs, limits
 * and the system call filter are not optional.
 */
#include "worker/sandbox.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "worker/job.h"

/* No program that we start, nor an attribute on a file, may hand rights back to us. */
static enum err no_new_privileges(struct why *why)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return fail_errno(why, "cannot give up new privileges");
	return OK;
}

/* The daemon's own files belong to another user than the one who reads hostile bytes. */
static enum err drop_identity(const struct identity *who, struct why *why)
{
	if (!who->set)
		return geteuid() != 0 ? OK : fail(why, ERR_denied, "root needs --uid and --gid");
	if (who->uid == 0 || who->gid == 0)
		return fail(why, ERR_invalid_value, "--uid and --gid must not be root's");
	if (geteuid() == 0 && setgroups(0, NULL) < 0)
		return fail_errno(why, "cannot drop groups");
	if (setresgid(who->gid, who->gid, who->gid) < 0 ||
		setresuid(who->uid, who->uid, who->uid) < 0)
		return fail_errno(why, "cannot become uid %u", who->uid);
	return OK;
}

/* Nothing here needs a capability; a namespace of ours must not bring any either. */
static enum err drop_capabilities(struct why *why)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[2] = { { 0 }, { 0 } };

	for (int cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
		(void)!prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
	(void)!prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	if (syscall(SYS_capset, &head, none) < 0)
		return fail_errno(why, "cannot drop capabilities");
	return OK;
}

static enum err limit(__rlimit_resource_t what, rlim_t max, const char *name, struct why *why)
{
	struct rlimit now, r = { max, max };

	if (getrlimit(what, &now) == 0 && now.rlim_max < max)
		r.rlim_cur = r.rlim_max = now.rlim_max;
	if (setrlimit(what, &r) < 0)
		return fail_errno(why, "cannot limit %s", name);
	return OK;
}

/* A decoder that runs wild must not take the host's memory, disk or descriptors. */
static enum err limits(struct why *why)
{
	enum err e = limit(RLIMIT_CORE, 0, "core files", why);

	if (!e)
		e = limit(RLIMIT_NOFILE, 256, "descriptors", why);
	if (!e)
		e = limit(RLIMIT_FSIZE, (rlim_t)16 << 40, "file size", why);
#ifndef __SANITIZE_ADDRESS__ /* its shadow alone is larger */
	if (!e)
		e = limit(RLIMIT_DATA, (rlim_t)768 << 20, "memory", why);
	if (!e)
		e = limit(RLIMIT_AS, (rlim_t)4 << 30, "address space", why);
#endif
	return e;
}

enum err sandbox_begin(const struct identity *who, struct why *why)
{
	enum err e;

	/* Somebody else's descriptors would reach round everything below. */
	if (syscall(SYS_close_range, FD_EXTRA + 1, ~0U, 0) < 0)
		return fail_errno(why, "cannot close inherited descriptors");
	e = no_new_privileges(why);
	if (!e)
		e = drop_identity(who, why);
	if (!e)
		e = drop_capabilities(why);
	return e ? e : limits(why);
}

#ifndef __SANITIZE_ADDRESS__ /* looks at itself through /proc, and at exit by ptrace */
/*
 * A network without links, IPC of our own, and the job's directory as the whole file system. From a
 * user namespace, so no right of the host is used; where there are none the filter still stands.
 */
static void isolate(void)
{
	if (unshare(CLONE_NEWUSER) < 0)
		return;
	(void)!unshare(CLONE_NEWNET);
	(void)!unshare(CLONE_NEWIPC);
	(void)!unshare(CLONE_NEWUTS);
	if (fchdir(FD_DIR) == 0)
		(void)!chroot(".");
}
#endif

#ifndef LANDLOCK_ACCESS_FS_REFER
#define LANDLOCK_ACCESS_FS_REFER (1ULL << 13)
#endif
#ifndef LANDLOCK_ACCESS_FS_TRUNCATE
#define LANDLOCK_ACCESS_FS_TRUNCATE (1ULL << 14)
#endif

enum {
	READS = LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE |
		LANDLOCK_ACCESS_FS_READ_DIR,
	WRITES = LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR |
		 LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_CHAR |
		 LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |
		 LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO |
		 LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_SYM
};

static void allow_beneath(int rules, int dir, uint64_t access)
{
	struct landlock_path_beneath_attr beneath = { .allowed_access = access, .parent_fd = dir };

	(void)!syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &beneath, 0);
}

/* What this kernel can refuse. Its first version refuses every rename between directories. */
static uint64_t refusable(bool read_all)
{
	long version =
		syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	uint64_t access = WRITES;

	if (version < (read_all ? 2 : 1))
		return 0;
	if (!read_all)
		access |= READS;
	if (version >= 2)
		access |= LANDLOCK_ACCESS_FS_REFER;
	if (version >= 3)
		access |= LANDLOCK_ACCESS_FS_TRUNCATE;
	return access;
}

/* Rules that allow nothing but files beneath dir; -1 where the kernel has none. */
static int rules_for(int dir, uint64_t access)
{
	struct landlock_ruleset_attr attr = { .handled_access_fs = access };
	int rules = -1;

	if (access)
		rules = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);
	if (rules >= 0)
		allow_beneath(rules, dir,
			access & ~(uint64_t)(LANDLOCK_ACCESS_FS_EXECUTE |
					     LANDLOCK_ACCESS_FS_MAKE_CHAR |
					     LANDLOCK_ACCESS_FS_MAKE_BLOCK));
	return rules;
}

void landlock_close(int dir, bool read_all)
{
	uint64_t access = refusable(read_all);
	own_fd rules = rules_for(dir, access);

	if (rules < 0)
		return;
	if (!read_all && fcntl(FD_EXTRA, F_GETFD) >= 0)
		allow_beneath(rules, FD_EXTRA, LANDLOCK_ACCESS_FS_READ_FILE);
	if (read_all) {
		own_fd null = open("/dev/null", O_PATH | O_CLOEXEC);

		allow_beneath(rules, null,
			access & (LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_TRUNCATE));
	}
	(void)!syscall(SYS_landlock_restrict_self, rules, 0);
}

void landlock_reads(int dir, const char *const *paths, size_t n)
{
	own_fd rules = rules_for(dir, refusable(false));

	if (rules < 0)
		return;
	for (size_t i = 0; i < n; i++) {
		own_fd fd = open(paths[i], O_PATH | O_CLOEXEC);
		struct stat st;

		if (fd >= 0 && fstat(fd, &st) == 0)
			allow_beneath(rules, fd,
				S_ISDIR(st.st_mode) ?
					LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR :
					LANDLOCK_ACCESS_FS_READ_FILE);
	}
	(void)!syscall(SYS_landlock_restrict_self, rules, 0);
}

enum err sandbox_close(struct why *why)
{
#ifdef __SANITIZE_ADDRESS__
	return drop_capabilities(why);
#else
	enum err e;

	isolate();
	e = drop_capabilities(why);
	if (e)
		return e;
	landlock_close(FD_DIR, false);
	/* Nobody of the same uid may look into us or change us. */
	(void)!prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	return filter_parser(why);
#endif
}

static bool put_text(const char *path, const char *text)
{
	own_fd fd = open(path, O_WRONLY | O_CLOEXEC);

	return fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
}

/*
 * apt names files by absolute paths, and the directories above the job's may be closed to our uid
 * (a daemon of root). In a mount namespace of our own the job's directory gets a path that is open.
 * The current directory moves into the namespace with us; a descriptor would not.
 */
static enum err reach_directory(struct why *why)
{
	char uids[32], gids[32];
	own_fd dir = -1;

	if (fchdir(FD_DIR) == 0 && access(".", W_OK) == 0) {
		char *path = getcwd(NULL, 0);
		bool reached = path && access(path, W_OK) == 0;

		free(path);
		if (reached)
			return OK;
	}
	/* Who changed his uid finds his own /proc/self to be root's, until he says otherwise. */
	(void)!prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
	snprintf(uids, sizeof(uids), "%u %u 1", geteuid(), geteuid());
	snprintf(gids, sizeof(gids), "%u %u 1", getegid(), getegid());
	if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0 || !put_text("/proc/self/setgroups", "deny") ||
		!put_text("/proc/self/uid_map", uids) || !put_text("/proc/self/gid_map", gids) ||
		mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
		mount(".", "/mnt", NULL, MS_BIND, NULL) < 0) {
		fail_errno(why, "cannot give apt a path to the job's directory");
		return fail_hint(why, "download the package as another user, then `banger kernel "
				      "import` it");
	}
	dir = open("/mnt", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0 || dup2(dir, FD_DIR) < 0)
		return fail_errno(why, "cannot enter the job's directory");
	return OK;
}

enum err sandbox_fetch(struct why *why)
{
	if (reach_directory(why))
		return why->code;
	landlock_close(FD_DIR, true);
	return filter_fetch(why);
}

/* What a resolver and TLS read: who asks where a host is, and which certificates are good. */
enum err sandbox_registry(struct why *why)
{
#ifdef __SANITIZE_ADDRESS__
	return drop_capabilities(why);
#else
	static const char *const reads[] = { "/etc/resolv.conf", "/etc/hosts", "/etc/host.conf",
		"/etc/nsswitch.conf", "/etc/gai.conf", "/etc/services", "/etc/protocols",
		"/etc/ssl", "/etc/pki", "/etc/ca-certificates", "/etc/crypto-policies",
		"/etc/ld.so.cache", "/usr/share/ca-certificates",
		"/usr/local/share/ca-certificates", "/usr/lib", "/usr/lib64", "/lib", "/lib64",
		"/usr/share/zoneinfo", "/run/systemd/resolve", "/run/resolvconf",
		"/run/NetworkManager", "/dev/urandom", "/dev/null" };

	landlock_reads(FD_DIR, reads, COUNT(reads));
	(void)!prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	return filter_registry(why);
#endif
}
