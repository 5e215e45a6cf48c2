/*
 * confine.c - what the helper gives up, when, and why.
 *
 * early: a umask of our own, no core.
 * ready: what it must have is open. The environment goes, capabilities shrink to those that its
 *   verbs use, no new ones come by exec, and system calls that no verb and no VMM needs end whoever
 *   makes them.
 * plain: a child that parses what owner or guest wrote: nobody's uid, no capability, and only
 *   system calls on what is open already.
 * starter: the same for one that starts a program to do it: that may open what all may read.
 */
#include "helper/task.h" /* first: a header of seccomp's takes a name of libev's */

#include <cap-ng.h>
#include <grp.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum err confine_early(struct why *why)
{
	struct rlimit none = { 0, 0 };

	umask(077);
	if (prctl(PR_SET_DUMPABLE, 0) < 0 || setrlimit(RLIMIT_CORE, &none) < 0)
		return fail_errno(why, "cannot confine the helper");
	return OK;
}

/* What the verbs use; a VMM's child keeps none of them. */
static const unsigned needed[] = {
	CAP_NET_ADMIN, /* bridge, taps, nft, forwarding */
	CAP_SYS_ADMIN, /* loop and dm devices, mounts of a jail's own namespace */
	CAP_MKNOD, /* a jail's /dev, a snapshot's node */
	CAP_CHOWN, /* sockets and files given to owner or VMM */
	CAP_DAC_OVERRIDE, /* the owner's files beneath the state directory */
	CAP_FOWNER, /* modes of what was given */
	CAP_SETUID, /* the uid of a machine, of a plain child */
	CAP_SETGID, /* the same */
	CAP_SETPCAP, /* shrinking the bounding set of children */
	CAP_KILL, /* VMMs run under other uids */
	CAP_SYS_CHROOT, /* jails */
	CAP_SYS_RESOURCE, /* limits of a VMM */
	CAP_SYS_PTRACE, /* /proc/PID of a VMM under another uid */
};

static const char *const never[] = { "ptrace", "process_vm_readv", "process_vm_writev",
	"kexec_load", "kexec_file_load", "bpf", "init_module", "finit_module", "delete_module",
	"perf_event_open", "add_key", "request_key", "keyctl", "swapon", "swapoff", "reboot",
	"acct", "quotactl", "settimeofday", "clock_settime", "clock_adjtime", "adjtimex",
	"lookup_dcookie", "iopl", "ioperm", "userfaultfd", "vhangup", "nfsservctl", "uselib" };

static int add_rules(scmp_filter_ctx f, uint32_t action, const char *const *names, size_t n)
{
	int r = f ? 0 : -ENOMEM;

	for (size_t i = 0; i < n && r == 0; i++) {
		int nr = seccomp_syscall_resolve_name(names[i]);

		if (nr >= 0) /* this machine has it */
			r = seccomp_rule_add(f, action, nr, 0);
	}
	return r;
}

/* r: of the rules that were added. The filter ends here. */
static enum err load_filter(scmp_filter_ctx f, int r, struct why *why)
{
	if (r == 0)
		r = seccomp_load(f);
	seccomp_release(f);
	if (r == 0)
		return OK;
	errno = -r;
	return fail_errno(why, "cannot load the system call filter");
}

static enum err forbid(struct why *why)
{
	scmp_filter_ctx f = seccomp_init(SCMP_ACT_ALLOW);

	return load_filter(f, add_rules(f, SCMP_ACT_KILL_PROCESS, never, COUNT(never)), why);
}

enum err confine_ready(struct why *why)
{
	bool have[COUNT(needed)];

	clearenv(); /* what systemd said in it has been read; no library shall be led by it */
	/* a container may hold some back; the verb that needs one then says so */
	for (size_t i = 0; i < COUNT(needed); i++)
		have[i] = capng_have_capability(CAPNG_PERMITTED, needed[i]);
	capng_clear(CAPNG_SELECT_BOTH);
	for (size_t i = 0; i < COUNT(needed); i++) {
		unsigned sets = CAPNG_EFFECTIVE | CAPNG_PERMITTED | CAPNG_BOUNDING_SET;

		if (have[i])
			capng_update(CAPNG_ADD, (capng_type_t)sets, needed[i]);
	}
	if (capng_apply(CAPNG_SELECT_BOTH) < 0)
		return fail(why, ERR_denied, "cannot shrink the capabilities; is this root?");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return fail_errno(why, "cannot confine the helper");
	return forbid(why);
}

/* What a parser needs on descriptors that are open already. */
static const char *const plain_calls[] = { "read", "write", "readv", "writev", "pread64",
	"pwrite64", "lseek", "fstat", "newfstatat", "ftruncate", "fallocate", "fsync", "fdatasync",
	"sendmsg", "recvmsg", "close", "dup", "fcntl", "mmap", "munmap", "mremap", "mprotect",
	"madvise", "brk", "futex", "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "getpid",
	"gettid", "getuid", "geteuid", "getgid", "getegid", "clock_gettime", "gettimeofday", "time",
	"getrandom", "exit", "exit_group", "restart_syscall", "uname", "sysinfo", "getrlimit",
	"prlimit64", "getrusage", "ioctl", "umask" };

/* What starting e2fsck and being it takes beside that. */
static const char *const starter_calls[] = { "execve", "execveat", "clone", "clone3", "vfork",
	"wait4", "waitid", "pidfd_send_signal", "pipe2", "openat", "open", "access", "faccessat",
	"faccessat2", "stat", "lstat", "statx", "statfs", "fstatfs", "readlink", "readlinkat",
	"getcwd", "dup2", "dup3", "close_range", "prctl", "getppid", "arch_prctl",
	"set_tid_address", "set_robust_list", "rseq", "sigaltstack", "nanosleep", "clock_nanosleep",
	"setitimer", "alarm", "poll", "ppoll", "getdents64", "fadvise64", "sched_getaffinity",
	"sync_file_range" };

static enum err shed(bool starts, struct why *why)
{
	scmp_filter_ctx f;
	int r;

	if (setgroups(0, NULL) < 0 || setresgid(TASK_UID, TASK_UID, TASK_UID) < 0 ||
		setresuid(TASK_UID, TASK_UID, TASK_UID) < 0)
		return fail_errno(why, "cannot give up privileges");
	prctl(PR_SET_PDEATHSIG, SIGKILL); /* a change of uid takes it away */
	capng_clear(CAPNG_SELECT_CAPS);
	if (capng_apply(CAPNG_SELECT_CAPS) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return fail(why, ERR_denied, "cannot give up capabilities");
	f = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	r = add_rules(f, SCMP_ACT_ALLOW, plain_calls, COUNT(plain_calls));
	if (r == 0 && starts)
		r = add_rules(f, SCMP_ACT_ALLOW, starter_calls, COUNT(starter_calls));
	return load_filter(f, r, why);
}

enum err confine_plain(struct why *why)
{
	return shed(false, why);
}

enum err confine_starter(struct why *why)
{
	return shed(true, why);
}
