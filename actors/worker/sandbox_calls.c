/*
 * sandbox_calls.c - the system call filters.
 *
 * The parser's filter is a list of what may be called; the rest answers EPERM, and what only an
 * attacker would call ends the process. fetch runs the host's apt, whose calls we do not know: its
 * filter takes away what no downloader needs.
 */
#include <sched.h>
#include <seccomp.h>
#include <linux/fs.h>

#include "worker/sandbox.h"

static const int allowed[] = {
	/* NEEDS: letters and the loop */
	SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(readv), SCMP_SYS(writev), SCMP_SYS(shutdown),
	SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait), SCMP_SYS(epoll_ctl), SCMP_SYS(timerfd_settime),
	SCMP_SYS(timerfd_create), SCMP_SYS(eventfd2), SCMP_SYS(poll), SCMP_SYS(ppoll),
	SCMP_SYS(fcntl), SCMP_SYS(close),
	/* NEEDS: files of the job */
	SCMP_SYS(pread64), SCMP_SYS(pwrite64), SCMP_SYS(lseek), SCMP_SYS(fstat),
	SCMP_SYS(newfstatat), SCMP_SYS(statx), SCMP_SYS(openat), SCMP_SYS(openat2),
	SCMP_SYS(unlinkat), SCMP_SYS(renameat), SCMP_SYS(renameat2), SCMP_SYS(ftruncate),
	SCMP_SYS(fallocate), SCMP_SYS(fsync), SCMP_SYS(fdatasync), SCMP_SYS(fchmod),
	SCMP_SYS(copy_file_range), SCMP_SYS(fadvise64), SCMP_SYS(dup), SCMP_SYS(dup3),
	/* NEEDS: memory */
	SCMP_SYS(mmap), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(mprotect), SCMP_SYS(madvise),
	SCMP_SYS(brk),
	/* NEEDS: libc */
	SCMP_SYS(futex), SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn),
	SCMP_SYS(sigaltstack), SCMP_SYS(clock_gettime), SCMP_SYS(gettimeofday), SCMP_SYS(time),
	SCMP_SYS(getrandom), SCMP_SYS(getpid), SCMP_SYS(gettid), SCMP_SYS(getuid),
	SCMP_SYS(geteuid), SCMP_SYS(getgid), SCMP_SYS(getegid), SCMP_SYS(uname),
	SCMP_SYS(prlimit64), SCMP_SYS(sched_yield), SCMP_SYS(restart_syscall), SCMP_SYS(exit),
	SCMP_SYS(exit_group), SCMP_SYS(tgkill),
};

/* Only somebody who has taken the process over would try these. */
static const int deadly[] = {
	SCMP_SYS(execve), SCMP_SYS(execveat), SCMP_SYS(ptrace), SCMP_SYS(process_vm_writev),
	SCMP_SYS(process_vm_readv), SCMP_SYS(socket), SCMP_SYS(connect), SCMP_SYS(mount),
	SCMP_SYS(umount2), SCMP_SYS(pivot_root), SCMP_SYS(unshare), SCMP_SYS(setns),
	SCMP_SYS(clone3), SCMP_SYS(bpf), SCMP_SYS(kexec_load), SCMP_SYS(init_module),
	SCMP_SYS(finit_module), SCMP_SYS(mknodat), SCMP_SYS(fchownat), SCMP_SYS(fchown),
	SCMP_SYS(io_uring_setup), SCMP_SYS(userfaultfd), SCMP_SYS(keyctl), SCMP_SYS(add_key),
	SCMP_SYS(perf_event_open), SCMP_SYS(open_by_handle_at),
};

/* What the parser must not, and a downloader must: sockets, threads of the resolver, its files. */
static const int online[] = {
	/* NEEDS: sockets */
	SCMP_SYS(socket), SCMP_SYS(connect), SCMP_SYS(bind), SCMP_SYS(getsockname),
	SCMP_SYS(getpeername), SCMP_SYS(getsockopt), SCMP_SYS(setsockopt), SCMP_SYS(sendto),
	SCMP_SYS(recvfrom), SCMP_SYS(sendmsg), SCMP_SYS(recvmsg), SCMP_SYS(sendmmsg),
	SCMP_SYS(recvmmsg), SCMP_SYS(socketpair), SCMP_SYS(pipe2), SCMP_SYS(ioctl),
	/* NEEDS: the resolver's thread; clone3 answers ENOSYS, so that flags can be seen */
	SCMP_SYS(set_robust_list), SCMP_SYS(rseq), SCMP_SYS(clock_nanosleep), SCMP_SYS(sysinfo),
	SCMP_SYS(sched_getaffinity), SCMP_SYS(prctl), SCMP_SYS(access), SCMP_SYS(faccessat),
	SCMP_SYS(faccessat2), SCMP_SYS(readlink), SCMP_SYS(readlinkat),
	/* NEEDS: blobs */
	SCMP_SYS(getdents64), SCMP_SYS(utimensat), SCMP_SYS(flock), SCMP_SYS(mkdirat),
};

/* What no downloader needs. */
static const int withheld[] = {
	SCMP_SYS(ptrace), SCMP_SYS(process_vm_writev), SCMP_SYS(process_vm_readv), SCMP_SYS(mount),
	SCMP_SYS(umount2), SCMP_SYS(pivot_root), SCMP_SYS(setns), SCMP_SYS(unshare), SCMP_SYS(bpf),
	SCMP_SYS(kexec_load), SCMP_SYS(kexec_file_load), SCMP_SYS(init_module),
	SCMP_SYS(finit_module), SCMP_SYS(delete_module), SCMP_SYS(io_uring_setup),
	SCMP_SYS(userfaultfd), SCMP_SYS(keyctl), SCMP_SYS(add_key), SCMP_SYS(request_key),
	SCMP_SYS(perf_event_open), SCMP_SYS(open_by_handle_at), SCMP_SYS(reboot),
	SCMP_SYS(swapon), SCMP_SYS(swapoff), SCMP_SYS(settimeofday), SCMP_SYS(clock_settime),
};

static int add_all(scmp_filter_ctx f, uint32_t action, const int *calls, size_t n)
{
	int e = 0;

	for (size_t i = 0; i < n && !e; i++)
		e = seccomp_rule_add(f, action, calls[i], 0);
	return e;
}

static enum err load(scmp_filter_ctx f, int e, struct why *why)
{
	if (!e)
		e = seccomp_load(f);
	seccomp_release(f);
	errno = -e;
	return e ? fail_errno(why, "cannot filter system calls") : OK;
}

enum err filter_parser(struct why *why)
{
	scmp_filter_ctx f = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	/* work.copy shares blocks where the file system can. */
	const struct scmp_arg_cmp clone = { .arg = 1, .op = SCMP_CMP_EQ, .datum_a = FICLONE };
	int e;

	if (!f)
		return fail(why, ERR_no_memory, "no memory for a filter");
	e = add_all(f, SCMP_ACT_ALLOW, allowed, COUNT(allowed));
	if (!e)
		e = add_all(f, SCMP_ACT_KILL_PROCESS, deadly, COUNT(deadly));
	if (!e)
		e = seccomp_rule_add_array(f, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1, &clone);
	return load(f, e, why);
}

enum err filter_fetch(struct why *why)
{
	scmp_filter_ctx f = seccomp_init(SCMP_ACT_ALLOW);

	if (!f)
		return fail(why, ERR_no_memory, "no memory for a filter");
	return load(f, add_all(f, SCMP_ACT_ERRNO(EPERM), withheld, COUNT(withheld)), why);
}

enum err filter_registry(struct why *why)
{
	scmp_filter_ctx f = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	const struct scmp_arg_cmp thread = SCMP_A0_64(SCMP_CMP_MASKED_EQ, CLONE_THREAD,
		CLONE_THREAD);
	int e;

	if (!f)
		return fail(why, ERR_no_memory, "no memory for a filter");
	e = add_all(f, SCMP_ACT_ALLOW, allowed, COUNT(allowed));
	if (!e)
		e = add_all(f, SCMP_ACT_ALLOW, online, COUNT(online));
	for (size_t i = 0; i < COUNT(deadly) && !e; i++)
		if (deadly[i] != SCMP_SYS(socket) && deadly[i] != SCMP_SYS(connect) &&
			deadly[i] != SCMP_SYS(clone3))
			e = seccomp_rule_add(f, SCMP_ACT_KILL_PROCESS, deadly[i], 0);
	if (!e)
		e = seccomp_rule_add(f, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
	if (!e)
		e = seccomp_rule_add_array(f, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1, &thread);
	return load(f, e, why);
}
